package externalsecret

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
)

// depend finds out whether something in this cluster that the values are made from has changed since they were read:
// templates, the Secrets that a store reads in this cluster, credentials of stores. After a start, what the object depends
// on is followed from the versions that the status names, without a read.
func (r *Reconciler) depend(_ context.Context, s *scope) error {
	key := client.ObjectKeyFromObject(s.es)
	if !s.memo.following {
		s.memo.following = true
		r.inputs.Follow(key, r.expectedInputs(s))
		if s.memo.stores == "" {
			s.memo.stores = cmp.Or(s.es.Status.StoresHash, fingerprint(s.stores))
		}
	}
	s.since, s.changed = r.inputs.Newer(key)
	for _, store := range s.stores {
		if store != nil && r.deps.Sessions.ReplacedAt(store, s.es.Namespace).After(s.memo.refreshed) {
			s.changed = true
		}
	}
	return nil
}

// expectedInputs returns what an object depends on that this process has not read for it yet, in the versions in which the
// status says that it was read. A source Secret is among it only when the status says that it was: whoever may not read a
// Secret does not learn when it changes.
func (r *Reconciler) expectedInputs(s *scope) map[watches.Object]watches.Version {
	inputs := map[watches.Object]watches.Version{}
	_ = holdersOf(s.es.Spec.Target.Template, func(_ string, _ esv1.TemplateFrom, h holder, _ []esv1.TemplateRefItem) error {
		inputs[watches.Object{Kind: h.kind, Namespace: s.es.Namespace, Name: h.name}] = s.templateVersion(h)
		return nil
	})
	ready := conditions.Ready(s.es.Status.Conditions).Status == metav1.ConditionTrue
	if !ready || s.es.Status.SyncedResourceVersion != s.version {
		return inputs
	}
	for _, e := range entriesOf(&s.es.Spec) {
		namespace, ok := r.readsThisCluster(s.stores[e.origin.store])
		switch {
		case ok && e.find != nil:
			if query, err := queryOf(e.find); err == nil {
				inputs[watches.Search(namespace, query.Tags, query.Name)] = s.foundVersion(e.origin.store, query)
			}
		case ok:
			inputs[watches.Object{Kind: watches.Secret, Namespace: namespace, Name: e.origin.ref.Key}] = s.sourceVersion(e.origin)
		}
	}
	return inputs
}

// foundVersion returns the version of what a search found last, as far as the status says: it names what was read of a store, not what
// found it, and no more than the first of much. What a store has that an expression matches, a search of it has found.
func (s *scope) foundVersion(store esv1.StoreRef, query providers.Query) watches.Version {
	alone := !slices.ContainsFunc(entriesOf(&s.es.Spec), func(e entry) bool { return e.origin.store == store && e.origin.find != sessions.Canonical(query) })
	if s.es.Status.MoreSources > 0 || len(query.Tags) > 0 && !alone {
		return ""
	}
	found := map[string]string{}
	for _, source := range s.es.Status.Sources {
		if source.StoreRef == store && query.Matches(source.Key) {
			found[source.Key] = source.Version
		}
	}
	return watches.SearchVersion(found)
}

// templateVersion returns the version in which a template was read last, as far as the status says.
func (s *scope) templateVersion(h holder) watches.Version {
	for _, t := range s.es.Status.Templates {
		if t.Kind == h.kind && t.Name == h.name {
			return watches.Version(t.ResourceVersion)
		}
	}
	return ""
}

// sourceVersion returns the version in which a document was read last, as far as the status says.
func (s *scope) sourceVersion(o origin) watches.Version {
	for _, source := range s.es.Status.Sources {
		if source.StoreRef == o.store && source.Key == o.ref.Key {
			return watches.Version(source.Version)
		}
	}
	return ""
}

// follow notes which versions this run has read. After a failure what was followed before counts as not read: the object
// is due until it succeeds.
func (r *Reconciler) follow(s *scope) {
	key := client.ObjectKeyFromObject(s.es)
	switch {
	case s.synced:
		r.inputs.Follow(key, s.inputs)
	default:
		for o, read := range s.inputs {
			if !r.inputs.Has(key, o) {
				r.inputs.Add(key, o, read)
			}
		}
	}
}

// note records that an object of this cluster was read in a version.
func (s *scope) note(o watches.Object, v watches.Version) {
	if s.inputs == nil {
		s.inputs = map[watches.Object]watches.Version{}
	}
	s.inputs[o] = v
}

// noteHolder records what was found where a template should be.
func (s *scope) noteHolder(h holder, obj client.Object, err error) {
	o := watches.Object{Kind: h.kind, Namespace: s.es.Namespace, Name: h.name}
	switch {
	case err == nil:
		s.note(o, watches.Version(obj.GetResourceVersion()))
	case errors.Is(err, providers.ErrNotFound):
		s.note(o, watches.Absent)
	}
}

// noteSource records what a store that reads this cluster found. One that may not read a Secret learns nothing about it.
func (r *Reconciler) noteSource(s *scope, store esv1.StoreRef, ref providers.Ref, result providers.Result) {
	namespace, ok := r.readsThisCluster(s.stores[store])
	if !ok {
		return
	}
	o := watches.Object{Kind: watches.Secret, Namespace: namespace, Name: ref.Key}
	switch {
	case result.Err == nil:
		s.note(o, watches.Version(result.Version))
	case errors.Is(result.Err, providers.ErrNotFound):
		s.note(o, watches.Absent)
	}
}

// noteFound records what a search of a store that reads this cluster found.
func (r *Reconciler) noteFound(s *scope, store esv1.StoreRef, query providers.Query, doc providers.Document) {
	namespace, ok := r.readsThisCluster(s.stores[store])
	list, some := doc.(sessions.Found)
	if !ok || !some {
		return
	}
	found := map[string]string{}
	for _, m := range list.Matches() {
		found[m.Key] = m.Version
	}
	s.note(watches.Search(namespace, query.Tags, query.Name), watches.SearchVersion(found))
}

// readsThisCluster returns the namespace of this cluster whose Secrets a store reads; false for any other store, and for one
// whose server a kubeconfig names.
func (r *Reconciler) readsThisCluster(store client.Object) (namespace string, ok bool) {
	if store == nil {
		return "", false
	}
	_, spec, _ := sessions.Parts(store)
	k := spec.Provider.Kubernetes
	if k == nil || k.AuthRef != nil || !sameServer(k.Server.URL, r.deps.APIServer) {
		return "", false
	}
	if k.RemoteNamespace == "" {
		return "default", true
	}
	return k.RemoteNamespace, true
}

// sameServer reports whether an address is that of the API server at ours, by its name inside of every cluster or by host,
// port and path, because a proxy has several clusters below one host. Any other name of it is taken for another server.
func sameServer(address, ours string) bool {
	host, path := placeOf(address)
	name, _, _ := net.SplitHostPort(host)
	switch {
	case address == "" || path == "" && (name == "kubernetes" || name == "kubernetes.default" || name == "kubernetes.default.svc" ||
		strings.HasPrefix(name, "kubernetes.default.svc.")):
		return true
	default:
		ourHost, ourPath := placeOf(ours)
		return host != "" && host == ourHost && path == ourPath
	}
}

// placeOf returns host:port of an address, https and its port when they are not said, and the path; an empty host for what is none.
func placeOf(address string) (host, path string) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return "", ""
	}
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port), strings.Trim(u.Path, "/")
}

// replaced is a source of the objects that use a store a credential of which was replaced.
func (r *Reconciler) replaced() source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.deps.Sessions.OnReplaced(func(store sessions.Replaced) {
			flow.EnqueueMerged(queue, flow.PriorityNews, requestsFor(r.namers(ctx, store.Kind, store.Name, store.Users))...)
		})
		return nil
	})
}

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// The size of the first-sync scenario; the same as in the published measurements of the tools it is compared with.
const (
	firstSyncObjects    = 1000
	firstSyncNamespaces = 20
	firstSyncKeys       = 10
	firstSyncTimeout    = 5 * time.Minute
	fillers             = 8 // how many objects are created at once while the cluster is filled
)

func firstSync(ctx context.Context, log io.Writer) (*Report, error) {
	w, err := newWorld(ctx, log)
	if err != nil {
		return nil, err
	}
	defer w.stop()
	if err := w.fillStore(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "  creating %d ExternalSecrets\n", firstSyncObjects)
	if err := w.fillCluster(ctx); err != nil {
		return nil, err
	}
	before, err := w.counts(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(log, "  starting the controller")
	start := time.Now()
	ctl, err := w.startController(ctx, "--controllers", "externalsecret,secretstore")
	if err != nil {
		return nil, err
	}
	defer ctl.Stop(stopGrace)
	if err := w.waitReady(ctx, firstSyncObjects, ctl.Done()); err != nil {
		return nil, fmt.Errorf("%w; log of the controller: %s", err, ctl.Log())
	}
	elapsed := time.Since(start)
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	use, err := readUsage(ctl.PID())
	if err != nil {
		return nil, err
	}
	after, err := w.counts(ctx)
	if err != nil {
		return nil, err
	}
	secrets, err := w.targets(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{Machine: machine()}
	r.Add("ExternalSecrets", firstSyncObjects, "objects")
	r.Add("Secrets materialized", float64(secrets), "objects")
	r.Add("until all are ready", elapsed.Seconds(), "s")
	r.Add("controller CPU", use.cpu.Seconds(), "s")
	r.Add("controller peak memory", float64(use.peakRSS)/(1<<20), "MiB")
	r.addStoreRequests(after.store[len(before.store):])
	r.addRequests(before.api, after.api)
	if secrets != firstSyncObjects {
		return nil, fmt.Errorf("%d of %d Secrets exist although all are ready", secrets, firstSyncObjects)
	}
	return r, nil
}

func (w *world) fillStore(ctx context.Context) error {
	if err := w.vault.EnableKV(ctx, "bench", 2); err != nil {
		return err
	}
	for i := range firstSyncKeys {
		fields := map[string]any{"username": fmt.Sprintf("user-%d", i), "password": strings.Repeat(fmt.Sprintf("%d", i), 24)}
		if _, err := w.vault.Put(ctx, "bench", remoteKey(i), fields); err != nil {
			return err
		}
	}
	return nil
}

func remoteKey(i int) string { return fmt.Sprintf("app-%d", i%firstSyncKeys) }
func namespace(i int) string { return fmt.Sprintf("bench-%02d", i%firstSyncNamespaces) }

// fillCluster creates the store and, for each ExternalSecret, an object that reads two of the shared keys.
func (w *world) fillCluster(ctx context.Context) error {
	token := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "vault-token"},
		StringData: map[string]string{"token": w.vault.Token()}}
	store := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: "vault"}}
	store.Spec.Provider = stores.Provider{Vault: &stores.Vault{
		Server: w.vault.Address(), Path: "bench",
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "vault-token", Namespace: "default", Key: "token"}},
	}}
	objects := []client.Object{token, store}
	for i := range firstSyncNamespaces {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(i)}})
	}
	for _, o := range objects {
		if err := w.client.Create(ctx, o); err != nil {
			return fmt.Errorf("create %s: %w", o.GetName(), err)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fillers)
	for i := range firstSyncObjects {
		g.Go(func() error { return w.client.Create(ctx, benchSecret(i)) })
	}
	return g.Wait()
}

func benchSecret(i int) *esv1.ExternalSecret {
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(i), Name: fmt.Sprintf("es-%04d", i)}}
	es.Spec.SecretStoreRef = esv1.StoreRef{Kind: "ClusterSecretStore", Name: "vault"}
	es.Spec.Data = []esv1.Data{
		{SecretKey: "username", RemoteRef: esv1.RemoteRef{Key: remoteKey(i), Property: "username"}},
		{SecretKey: "password", RemoteRef: esv1.RemoteRef{Key: remoteKey(i + 1), Property: "password"}},
	}
	return es
}

// waitReady watches until n ExternalSecrets are Ready.
func (w *world) waitReady(ctx context.Context, n int, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, firstSyncTimeout)
	defer cancel()
	events, err := w.client.Watch(ctx, &esv1.ExternalSecretList{})
	if err != nil {
		return fmt.Errorf("watch ExternalSecrets: %w", err)
	}
	defer events.Stop()
	ready := map[string]bool{}
	for len(ready) < n {
		select {
		case <-ended:
			return fmt.Errorf("the controller ended with %d of %d ready", len(ready), n)
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d are ready: %w", len(ready), n, ctx.Err())
		case event, open := <-events.ResultChan():
			if !open || event.Type == watch.Error {
				return fmt.Errorf("the watch ended with %d of %d ready", len(ready), n)
			}
			if es, ok := event.Object.(*esv1.ExternalSecret); ok && isReady(es) {
				ready[es.Namespace+"/"+es.Name] = true
			}
		}
	}
	return nil
}

func isReady(es *esv1.ExternalSecret) bool {
	return slices.ContainsFunc(es.Status.Conditions, func(c esv1.Condition) bool {
		return c.Type == esv1.ConditionReady && c.Status == metav1.ConditionTrue
	})
}

// settle waits until the last events are written, which the controller does in the background: until the API server's
// count of created events stays the same for a second.
func (w *world) settle(ctx context.Context) error {
	last := -1
	for {
		now, err := w.plane.Requests(ctx)
		if err != nil {
			return err
		}
		n := 0
		for r, c := range now {
			if r.Resource == "events" {
				n += c
			}
		}
		if n == last {
			return nil
		}
		last = n
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (w *world) targets(ctx context.Context) (int, error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := w.client.List(ctx, &list, client.MatchingLabels{"reconcile.external-secrets.io/managed": "true"}); err != nil {
		return 0, fmt.Errorf("list targets: %w", err)
	}
	return len(list.Items), nil
}

// addStoreRequests adds how many requests Vault has seen, and which; the keys below the mount count together.
func (r *Report) addStoreRequests(requests []vault.Request) {
	r.Add("store requests", float64(len(requests)), "requests")
	sums := map[string]int{}
	for _, req := range requests {
		path := req.Path
		if below, ok := strings.CutPrefix(path, "bench/data/"); ok && below != "" {
			path = "bench/data/*"
		}
		sums[req.Operation+" "+path]++
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		r.Add("store "+name, float64(sums[name]), "requests")
	}
}

// addRequests adds, per verb and resource, the requests that the API server counted meanwhile, of the resources that
// the controller works with; the control plane's own controllers do not touch them here, and the bench's own few
// requests (one watch, one list) are among them.
func (r *Report) addRequests(before, after map[controlplane.Request]int) {
	sums := map[string]int{}
	for req, n := range after {
		switch req.Resource {
		case "externalsecrets", "secretstores", "clustersecretstores", "secrets", "events", "leases", "serviceaccounts", "configmaps":
			name := req.Verb + " " + req.Resource
			if req.Subresource != "" {
				name += "/" + req.Subresource
			}
			sums[name] += n - before[req]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		if sums[name] > 0 {
			r.Add("Kubernetes "+name, float64(sums[name]), "requests")
		}
	}
}

package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/watches"
)

// recover ends all faults that last: what is missing comes back, and what only a hand can put right is put right.
func (w *world) recover() {
	w.t.Helper()
	if w.paused != nil {
		w.resume()
	}
	if !w.shared {
		w.openShared()
	}
	for _, t := range w.tenants {
		for _, b := range t.backends {
			heal(b.server)
			for _, d := range removable() {
				if b.isRemoved(d) {
					b.put(d)
				}
			}
		}
		if t.gone {
			w.settle(t)
		}
		for _, name := range []string{storeVault, storeHook} {
			if !t.stores[name] {
				w.open(t, name)
			}
		}
		for _, kind := range []string{watches.ConfigMap, watches.Secret} {
			if t.shapeless[kind] {
				w.form(t, kind)
			}
		}
		w.sweep(t)
		w.clear(t)
		w.free(t)
	}
}

// sweep deletes objects that went with their namespace, and are in the one that was made anew. For some hundred milliseconds after
// its start the API server names no kinds of custom resources; a namespace that Kubernetes looks at then counts as empty, and goes
// without them.
func (w *world) sweep(t *tenant) {
	w.t.Helper()
	var ess esv1.ExternalSecretList
	var sss v1alpha1.SealedSecretList
	for _, list := range []client.ObjectList{&ess, &sss} {
		w.do("list what is left", func(ctx context.Context) error { return w.client.List(ctx, list, client.InNamespace(t.name)) })
	}
	for i := range ess.Items {
		if w.witness.isDead(ess.Items[i].UID) {
			w.remove(&ess.Items[i])
		}
	}
	for i := range sss.Items {
		if w.witness.isDead(sss.Items[i].UID) {
			w.remove(&sss.Items[i])
		}
	}
}

// clear deletes Secrets that only a hand can delete. From some a hand took their owner, and then the owner went. Others the garbage
// collector of Kubernetes left where they were, as was seen after crashes of the API server, and nobody of their owner's name is there
// to take them over.
func (w *world) clear(t *tenant) {
	w.t.Helper()
	var list corev1.SecretList
	w.do("list Secrets", func(ctx context.Context) error { return w.client.List(ctx, &list, client.InNamespace(t.name)) })
	for i := range list.Items {
		s := &list.Items[i]
		owner := metav1.GetControllerOf(s)
		if owner == nil && len(t.claims(s.Name)) > 0 && !t.stays(s.Name) && w.witness.isOurs(s) || owner != nil && w.witness.isDead(owner.UID) && !t.has(owner.Name) {
			w.witness.take(s.UID)
			w.remove(s)
		}
	}
}

// cluster is what the API server holds of the world.
type cluster struct {
	secrets   map[client.ObjectKey]*corev1.Secret
	externals map[types.UID]*esv1.ExternalSecret
	sealed    map[types.UID]*v1alpha1.SealedSecret
	stores    []client.Object
	spread    *esv1.ClusterExternalSecret
	// versions are the resource versions of all of these, and texts what statuses and events say.
	versions map[string]string
	texts    []string
}

func (w *world) look() (*cluster, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	c := &cluster{
		secrets: map[client.ObjectKey]*corev1.Secret{}, externals: map[types.UID]*esv1.ExternalSecret{},
		sealed: map[types.UID]*v1alpha1.SealedSecret{}, versions: map[string]string{},
	}
	var secrets corev1.SecretList
	var ess esv1.ExternalSecretList
	var sss v1alpha1.SealedSecretList
	var own esv1.SecretStoreList
	var shared esv1.ClusterSecretStoreList
	var spreads esv1.ClusterExternalSecretList
	var events eventsv1.EventList
	for _, list := range []client.ObjectList{&secrets, &ess, &sss, &own, &shared, &spreads, &events} {
		if err := w.client.List(ctx, list); err != nil {
			return nil, err
		}
	}
	note := func(obj client.Object, status any) {
		c.versions[fmt.Sprintf("%T %s/%s", obj, obj.GetNamespace(), obj.GetName())] = string(obj.GetUID()) + "/" + obj.GetResourceVersion()
		if raw, err := json.Marshal(status); err == nil {
			c.texts = append(c.texts, string(raw))
		}
	}
	for i := range secrets.Items {
		c.secrets[client.ObjectKeyFromObject(&secrets.Items[i])] = &secrets.Items[i]
		note(&secrets.Items[i], nil)
	}
	for i := range ess.Items {
		c.externals[ess.Items[i].UID] = &ess.Items[i]
		note(&ess.Items[i], ess.Items[i].Status)
	}
	for i := range sss.Items {
		c.sealed[sss.Items[i].UID] = &sss.Items[i]
		note(&sss.Items[i], sss.Items[i].Status)
	}
	for i := range own.Items {
		c.stores = append(c.stores, &own.Items[i])
		note(&own.Items[i], own.Items[i].Status)
	}
	for i := range shared.Items {
		c.stores = append(c.stores, &shared.Items[i])
		note(&shared.Items[i], shared.Items[i].Status)
	}
	for i := range spreads.Items {
		c.spread = &spreads.Items[i]
		note(c.spread, c.spread.Status)
	}
	for i := range events.Items {
		if raw, err := json.Marshal(&events.Items[i]); err == nil {
			c.texts = append(c.texts, string(raw))
		}
	}
	return c, nil
}

// reveals reports whether a status, an event or a metric shows what only Secrets hold.
func (w *world) reveals(c *cluster) []string {
	var wrong []string
	texts := c.texts
	for _, r := range w.fleet.replicas() {
		if w.fleet.isPaused(r) {
			continue
		}
		texts = append(texts, r.get(w.t.Context(), endMetrics, "/metrics"))
	}
	for _, text := range texts {
		for _, what := range revealing() {
			if i := strings.Index(text, what); i >= 0 {
				wrong = append(wrong, "a status, event or metric shows a value, a token or a key: "+text[:min(i, 300)])
			}
		}
	}
	return wrong
}

// wrong says what is not as the model says.
func (w *world) wrong() []string {
	c, err := w.look()
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	for _, s := range c.stores {
		if text := unready(s); text != "" {
			wrong = append(wrong, fmt.Sprintf("%T %s/%s: %s", s, s.GetNamespace(), s.GetName(), text))
		}
	}
	for _, t := range w.tenants {
		wrong = append(wrong, w.wrongIn(t, c)...)
	}
	wrong = append(wrong, w.wrongSpread(c)...)
	slices.Sort(wrong)
	return wrong
}

func unready(store client.Object) string {
	var status esv1.SecretStoreStatus
	switch s := store.(type) {
	case *esv1.SecretStore:
		status = s.Status
	case *esv1.ClusterSecretStore:
		status = s.Status
	}
	ready := conditions.Ready(status.Conditions)
	if ready.Status != metav1.ConditionTrue || status.ObservedGeneration != store.GetGeneration() {
		return "it is not ready: " + ready.Message
	}
	return ""
}

func (w *world) wrongIn(t *tenant, c *cluster) []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, t.name+": "+fmt.Sprintf(format, args...)) }
	holder := map[types.UID]bool{}
	for _, name := range t.targets() {
		wanted := t.wanted(name)
		s := c.secrets[client.ObjectKey{Namespace: t.name, Name: name}]
		if len(wanted) == 0 && t.stays(name) {
			wrong = append(wrong, t.wrongFree(name, s, holder)...)
			continue
		}
		if len(wanted) == 0 {
			if s != nil {
				add("Secret %s is left, and nobody wants it", name)
			}
			continue
		}
		if s == nil {
			add("Secret %s is missing", name)
			continue
		}
		owner := metav1.GetControllerOf(s)
		if owner == nil {
			add("Secret %s belongs to nobody", name)
			continue
		}
		holder[owner.UID] = true
		if text := differs(s, wanted[owner.UID]); text != "" {
			add("Secret %s of %s %s %s", name, owner.Kind, owner.Name, text)
		}
	}
	for _, e := range t.externals {
		if e.uid == "" {
			continue
		}
		es := c.externals[e.uid]
		if es == nil {
			add("ExternalSecret %s is gone", e.name)
			continue
		}
		ready := conditions.Ready(es.Status.Conditions)
		is := ready.Status == metav1.ConditionTrue && ready.Reason == esv1.ReasonSecretSynced && es.Status.ObservedGeneration == es.Generation
		if is != holder[e.uid] {
			add("ExternalSecret %s: it has the Secret: %t, and says %s (%s) of generation %d of %d: %s", e.name, holder[e.uid], ready.Status, ready.Reason,
				es.Status.ObservedGeneration, es.Generation, ready.Message)
		}
		if !is && e.policy == esv1.CreationMerge && ready.Reason != esv1.ReasonSecretMissing {
			add("ExternalSecret %s has no Secret to merge into, and says %s (%s): %s", e.name, ready.Status, ready.Reason, ready.Message)
		}
	}
	for _, s := range t.sealed {
		if s.uid == "" {
			continue
		}
		obj := c.sealed[s.uid]
		if obj == nil {
			add("SealedSecret %s is gone", s.name)
			continue
		}
		synced := syncedOf(obj)
		is := synced.Status == metav1.ConditionTrue && obj.Status.ObservedGeneration == obj.Generation
		if is != holder[s.uid] || !is && synced.Reason != v1alpha1.ReasonNotManaged {
			add("SealedSecret %s: it has the Secret: %t, and says %s (%s): %s", s.name, holder[s.uid], synced.Status, synced.Reason, synced.Message)
		}
	}
	return append(wrong, leftovers(t, c)...)
}

func syncedOf(obj *v1alpha1.SealedSecret) v1alpha1.Condition {
	i := slices.IndexFunc(obj.Status.Conditions, func(c v1alpha1.Condition) bool { return c.Type == v1alpha1.ConditionSynced })
	if i < 0 {
		return v1alpha1.Condition{}
	}
	return obj.Status.Conditions[i]
}

// leftovers are objects in a tenant's namespace that the model does not know.
func leftovers(t *tenant, c *cluster) []string {
	var wrong []string
	known := append(t.targets(), "bystander", "blocked", credential, shapeName, spreadName)
	for key := range c.secrets {
		if key.Namespace == t.name && !slices.Contains(known, key.Name) {
			wrong = append(wrong, fmt.Sprintf("Secret %s is of nobody", key))
		}
	}
	for uid, es := range c.externals {
		if es.Namespace == t.name && es.Name != spreadName && !slices.ContainsFunc(t.externals, func(e *external) bool { return e.uid == uid }) {
			wrong = append(wrong, fmt.Sprintf("ExternalSecret %s/%s was deleted and is still there", t.name, es.Name))
		}
	}
	for uid, ss := range c.sealed {
		if ss.Namespace == t.name && !slices.ContainsFunc(t.sealed, func(s *sealedSecret) bool { return s.uid == uid }) {
			wrong = append(wrong, fmt.Sprintf("SealedSecret %s/%s was deleted and is still there", t.name, ss.Name))
		}
	}
	return wrong
}

// differs says how a Secret differs from what its owner wants, without a value.
func differs(s *corev1.Secret, want map[string]string) string {
	if want == nil {
		return "belongs to an object that does not want it"
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if key == randomKey {
			if !isDrawn(string(s.Data[key]), want[key]) {
				return "has in " + key + " no random value of the spec"
			}
			continue
		}
		is, _, _ := parse(string(s.Data[key]))
		shall, _, _ := parse(want[key])
		if string(s.Data[key]) != want[key] {
			return fmt.Sprintf("has in %s version %d of %s/%s%s instead of %d of %s/%s%s", key,
				is.version, is.tenant, is.backend, is.shape.mark(), shall.version, shall.tenant, shall.backend, shall.shape.mark())
		}
	}
	if len(s.Data) != len(want) {
		return fmt.Sprintf("has the keys %v", slices.Sorted(maps.Keys(s.Data)))
	}
	return ""
}

// quiet waits until nothing has been written for a while, and returns the versions of all.
func (w *world) quiet() map[string]string {
	w.t.Helper()
	const still = 6 * time.Second
	var last map[string]string
	var since time.Time
	eventually(w.t, "nothing is written any more", func() []string {
		c, err := w.look()
		if err != nil {
			return []string{err.Error()}
		}
		if changed := changes(last, c.versions); len(changed) > 0 {
			last, since = c.versions, time.Now()
			return changed
		}
		if rest := still - time.Since(since); rest > 0 {
			return []string{fmt.Sprintf("still for less than %s", still)}
		}
		return nil
	})
	return last
}

// changes names what was made, written or deleted between two looks.
func changes(before, after map[string]string) []string {
	var out []string
	for name, v := range after {
		if before[name] != v {
			out = append(out, name+" was written")
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			out = append(out, name+" is gone")
		}
	}
	return out
}

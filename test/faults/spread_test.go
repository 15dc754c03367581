package faults_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
)

// spread is the name of the ClusterExternalSecret, of its ExternalSecrets and of their Secrets. It selects namespaces by zone.
const (
	spreadName     = "spread"
	zone           = "zone"
	spreadInterval = 3 * time.Second
)

// spreadDocuments are those of which it has its ExternalSecrets read one.
func spreadDocuments() []string { return []string{"kept", "three"} }

// spread is the ClusterExternalSecret.
type spread struct {
	uid      types.UID // empty while it does not exist
	document string
}

// reach is whether a namespace is to have an ExternalSecret of the ClusterExternalSecret.
type reach struct {
	wanted bool
	// broken is when it was last to have none, or none of before.
	broken time.Time
}

// unspread tells, before it is done, that the ExternalSecret of a tenant goes; respread that it may be there again.
func (t *tenant) unspread() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reach.wanted = false
}

func (w *world) respread(t *tenant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if wanted := w.spread.uid != "" && t.zoned && !t.gone; wanted && !t.reach.wanted {
		t.reach = reach{wanted: true, broken: time.Now()}
	}
}

// broke reports whether the ExternalSecret had to go at some time since.
func (t *tenant) broke(since time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.reach.wanted || t.reach.broken.After(since.Add(-time.Second))
}

func (t *tenant) reached() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reach.wanted
}

// labels are those of a tenant's namespace.
func (t *tenant) labels() map[string]string {
	if t.zoned {
		return map[string]string{zone: "in"}
	}
	return nil
}

func (w *world) spreadOut() {
	w.t.Helper()
	s := &esv1.ClusterExternalSecret{ObjectMeta: meta("", spreadName)}
	s.Spec.NamespaceSelectors = []*metav1.LabelSelector{{MatchLabels: map[string]string{zone: "in"}}}
	s.Spec.ExternalSecretSpec = esv1.ExternalSecretSpec{
		SecretStoreRef: storeRef(storeShared), RefreshInterval: &metav1.Duration{Duration: spreadInterval},
		DataFrom: []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: w.spread.document}}},
	}
	w.spread.uid = w.create(s).GetUID()
	for _, t := range w.tenants {
		w.respread(t)
	}
}

// toggleSpread deletes the ClusterExternalSecret, makes it, or lets it have another document read.
func (w *world) toggleSpread() string {
	obj := &esv1.ClusterExternalSecret{ObjectMeta: meta("", spreadName)}
	if w.spread.uid != "" && w.random.IntN(3) == 0 {
		w.spread.document = pick(w, slices.DeleteFunc(spreadDocuments(), func(d string) bool { return d == w.spread.document }))
		w.patch(obj, fmt.Sprintf(`{"spec":{"externalSecretSpec":{"dataFrom":[{"extract":{"key":%q}}]}}}`, w.spread.document))
		return "let ClusterExternalSecret spread read " + w.spread.document
	}
	if w.spread.uid != "" {
		for _, t := range w.tenants {
			t.unspread()
		}
	}
	return w.flip(&w.spread.uid, obj, "ClusterExternalSecret", w.spreadOut)
}

// toggleZone takes a namespace into the zone or out of it.
func (w *world) toggleZone() string {
	t := w.someone()
	t.zoned = !t.zoned
	value := `"in"`
	if !t.zoned {
		value = "null"
		t.unspread()
	}
	w.patch(&corev1.Namespace{ObjectMeta: meta("", t.name)}, fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, zone, value))
	w.respread(t)
	return fmt.Sprintf("namespace %s is in the zone: %t", t.name, t.zoned)
}

// meddle changes by hand what is the ClusterExternalSecret's.
func (w *world) meddle() string {
	t := w.someone()
	es, secret := &esv1.ExternalSecret{ObjectMeta: meta(t.name, spreadName)}, &corev1.Secret{ObjectMeta: meta(t.name, spreadName)}
	what := pick(w, []string{"delete the ExternalSecret", "edit the ExternalSecret", "take the owner from the ExternalSecret", "delete the Secret", "edit the Secret"})
	switch what {
	case "delete the ExternalSecret":
		t.unspread()
		w.remove(es)
		w.respread(t)
	case "edit the ExternalSecret":
		w.patch(es, fmt.Sprintf(`{"spec":{"refreshInterval":"1h","dataFrom":[{"extract":{"key":%q}}]}}`, pick(w, spreadDocuments())))
	case "take the owner from the ExternalSecret":
		// It is nobody's then, and left alone, until the hand that did it deletes it.
		t.unspread()
		w.patch(es, `{"metadata":{"ownerReferences":null}}`)
		w.rest(time.Second)
		w.remove(es)
		w.respread(t)
	case "delete the Secret":
		if s := w.secret(t.name, spreadName); s != nil {
			w.witness.take(s.UID)
			w.remove(secret)
		}
	case "edit the Secret":
		w.patch(secret, fmt.Sprintf(`{"data":{%q:%q,%q:null}}`, foreign, base64.StdEncoding.EncodeToString([]byte(byHand)), keysOf(w.spread.document)[0]))
	}
	return what + " spread of " + t.name
}

// free deletes what the garbage collector of Kubernetes has left of a ClusterExternalSecret that is no more, as clear does.
func (w *world) free(t *tenant) {
	w.t.Helper()
	var es esv1.ExternalSecret
	found := false
	key := client.ObjectKey{Namespace: t.name, Name: spreadName}
	w.do("read an ExternalSecret", func(ctx context.Context) error {
		err := w.client.Get(ctx, key, &es)
		found = err == nil
		return client.IgnoreNotFound(err)
	})
	if owner := metav1.GetControllerOf(&es); found && owner != nil && owner.UID != w.spread.uid {
		w.remove(&es)
		found = false
	}
	if s := w.secret(t.name, spreadName); s != nil && !found && !t.reached() {
		w.witness.take(s.UID)
		w.remove(s)
	}
}

// wrongSpread says what is not as it shall be with the ClusterExternalSecret, and with what it makes.
func (w *world) wrongSpread(c *cluster) []string {
	var wrong, names []string
	for _, t := range w.tenants {
		if t.reached() {
			names = append(names, t.name)
		}
		for _, text := range w.wrongReach(t, c) {
			wrong = append(wrong, t.name+": "+text)
		}
	}
	if w.spread.uid == "" {
		return wrong
	}
	if c.spread == nil {
		return append(wrong, "the ClusterExternalSecret is gone")
	}
	slices.Sort(names)
	ready := conditions.Ready(c.spread.Status.Conditions)
	if ready.Status != metav1.ConditionTrue || c.spread.Status.ObservedGeneration != c.spread.Generation || !slices.Equal(names, c.spread.Status.ProvisionedNamespaces) {
		wrong = append(wrong, fmt.Sprintf("the ClusterExternalSecret says %s (%s) of generation %d of %d, and has %v instead of %v: %s", ready.Status, ready.Reason,
			c.spread.Status.ObservedGeneration, c.spread.Generation, c.spread.Status.ProvisionedNamespaces, names, ready.Message))
	}
	return wrong
}

func (w *world) wrongReach(t *tenant, c *cluster) []string {
	key := client.ObjectKey{Namespace: t.name, Name: spreadName}
	secret := c.secrets[key]
	var es *esv1.ExternalSecret
	for _, one := range c.externals {
		if client.ObjectKeyFromObject(one) == key {
			es = one
		}
	}
	switch {
	case !t.reached() && (es != nil || secret != nil):
		return []string{fmt.Sprintf("ExternalSecret spread is left: %t, its Secret: %t", es != nil, secret != nil)}
	case !t.reached():
		return nil
	case es == nil || secret == nil:
		return []string{fmt.Sprintf("ExternalSecret spread is missing: %t, its Secret: %t", es == nil, secret == nil)}
	}
	var wrong []string
	if owner := metav1.GetControllerOf(es); owner == nil || owner.UID != w.spread.uid {
		wrong = append(wrong, "ExternalSecret spread is not the ClusterExternalSecret's")
	}
	if es.Spec.RefreshInterval.Duration != spreadInterval {
		wrong = append(wrong, "ExternalSecret spread is as a hand left it")
	}
	ready := conditions.Ready(es.Status.Conditions)
	if ready.Reason != esv1.ReasonSecretSynced || es.Status.ObservedGeneration != es.Generation {
		wrong = append(wrong, fmt.Sprintf("ExternalSecret spread says %s: %s", ready.Reason, ready.Message))
	}
	if owner := metav1.GetControllerOf(secret); owner == nil || owner.UID != es.UID {
		wrong = append(wrong, "Secret spread is not the ExternalSecret's")
	}
	if text := differs(secret, t.backends[left].current(w.spread.document).fields()); text != "" {
		wrong = append(wrong, "Secret spread "+text)
	}
	return wrong
}

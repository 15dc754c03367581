package faults_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

// act does one thing to the world and says what.
type act func(*world) string

// deal returns the acts of one round in an order by chance. Those that end a leader are all in the first two thirds, so that the
// leader of the end has lived through something when its goroutines are counted.
func (w *world) deal() []act {
	var end, other []act
	for range 2 {
		end = append(end, (*world).killLeader, (*world).pauseLeader)
		other = append(other, (*world).healStore, (*world).deleteTarget, (*world).forceSync, (*world).toggleRival, (*world).toggleSealed,
			(*world).reseal, (*world).toggleNamespace, (*world).toggleStore, (*world).rotate, (*world).loseDocument)
	}
	for range 3 {
		other = append(other, (*world).toggleExternal, (*world).moveExternal, (*world).changeDocument, (*world).breakStore, (*world).editTarget)
	}
	end = append(end, (*world).endLeader, (*world).crashAPIServer)
	other = append(other, (*world).restoreDocument, (*world).addKeys, (*world).reshape, (*world).redraw,
		(*world).contend, (*world).editShared, (*world).turn, (*world).toggleSharer, (*world).toggleSpread, (*world).toggleZone, (*world).meddle)
	w.shuffle(other)
	third := len(other) / 3
	first := append(end, other[third:]...)
	w.shuffle(first)
	return append(first, other[:third]...)
}

func (w *world) shuffle(acts []act) {
	w.random.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
}

// pick draws one.
func pick[T any](w *world, from []T) T { return from[w.random.IntN(len(from))] }

// someone draws a tenant whose namespace is there. One of the two always is.
func (w *world) someone() *tenant {
	return pick(w, slices.DeleteFunc(slices.Clone(w.tenants), func(t *tenant) bool { return t.gone }))
}

func (w *world) killLeader() string {
	r := w.fleet.leader()
	r.Kill()
	return "kill " + r.Name()
}

func (w *world) endLeader() string {
	r := w.fleet.leader()
	r.Stop(30 * time.Second)
	return "end " + r.Name()
}

// pauseLeader stops the leader's time until it has lost its lease, or lets one go on for which that was done.
func (w *world) pauseLeader() string {
	if w.paused != nil {
		return w.resume()
	}
	r := w.fleet.leader()
	w.fleet.pause(r)
	w.paused = r
	return "pause " + r.Name()
}

func (w *world) resume() string {
	r := w.paused
	w.paused = nil
	w.witness.woke()
	w.fleet.wake(r)
	return "resume " + r.Name()
}

// crashAPIServer kills the API server and starts it again; meanwhile documents change.
func (w *world) crashAPIServer() string {
	w.cp.KillAPIServer()
	text := "crash the API server"
	for range w.random.IntN(3) {
		w.rest(time.Second)
		text += ", " + w.changeDocument()
	}
	w.rest(2 * time.Second)
	if err := w.cp.StartAPIServer(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return text
}

func (w *world) backend() *backend {
	return pick(w, w.tenants).backends[pick(w, []string{left, right})]
}

func (w *world) breakStore() string {
	b := w.backend()
	text := fmt.Sprintf("store %s of %s ", b.name, b.tenant)
	switch pick(w, []string{"503", "429", "500", "reset", "slow"}) {
	case "503":
		b.server.Fail(http.StatusServiceUnavailable)
		return text + "answers 503"
	case "429":
		b.server.Fail(http.StatusTooManyRequests)
		return text + "answers 429"
	case "500":
		b.server.Fail(http.StatusInternalServerError)
		return text + "answers 500"
	case "reset":
		b.server.Fail(-1)
		return text + "breaks connections off"
	default:
		b.server.Delay(time.Duration(200+w.random.IntN(2500)) * time.Millisecond)
		return text + "is slow"
	}
}

func (w *world) healStore() string {
	b := w.backend()
	heal(b.server)
	return fmt.Sprintf("store %s of %s is well", b.name, b.tenant)
}

func heal(s *countingstore.Server) {
	s.Fail(0)
	s.Delay(0)
}

func (w *world) changeDocument() string {
	b, document := w.backend(), pick(w, documents())
	if b.isRemoved(document) {
		document = "kept"
	}
	b.put(document)
	return "change " + b.tenant + "/" + b.name + "/" + document
}

func (w *world) loseDocument() string {
	b, document := w.backend(), pick(w, removable())
	b.remove(document)
	return "lose " + b.tenant + "/" + b.name + "/" + document
}

func (w *world) restoreDocument() string {
	b := w.backend()
	text := "restore " + b.tenant + "/" + b.name
	for _, document := range removable() {
		if b.isRemoved(document) {
			b.put(document)
			text += "/" + document
		}
	}
	return text
}

// editTarget changes a Secret by hand, in one of the ways in which that can be done wrong.
func (w *world) editTarget() string {
	t := w.someone()
	return w.edit(t, pick(w, t.targets()))
}

// editShared does that with one that several share.
func (w *world) editShared() string { return w.edit(w.someone(), "common") }

func (w *world) edit(t *tenant, name string) string {
	key := pick(w, pick(w, t.claims(name)).keys())
	hand := base64.StdEncoding.EncodeToString([]byte(byHand))
	edit := pick(w, []string{"value", "foreign", "key", "all", "label", "labels", "owner", "annotations"})
	var patch any
	type object = map[string]any
	switch edit {
	case "value":
		patch = object{"data": object{key: hand}}
	case "foreign":
		patch = object{"data": object{foreign: hand}}
	case "key":
		patch = object{"data": object{key: nil}}
	case "all":
		patch = object{"data": nil}
	case "label":
		patch = object{"metadata": object{"labels": object{esv1.LabelManaged: nil, v1alpha1.LabelSealedBy: nil}}}
	case "labels":
		patch = object{"metadata": object{"labels": nil}}
	case "owner":
		patch = object{"metadata": object{"ownerReferences": nil}}
	case "annotations":
		patch = object{"metadata": object{"annotations": nil}}
	}
	raw, err := json.Marshal(patch)
	if err != nil {
		w.t.Fatal(err)
	}
	w.patch(&corev1.Secret{ObjectMeta: meta(t.name, name)}, string(raw))
	return fmt.Sprintf("edit %s of Secret %s/%s", edit, t.name, name)
}

func (w *world) deleteTarget() string {
	t := w.someone()
	name := pick(w, t.targets())
	if s := w.secret(t.name, name); s != nil {
		w.witness.take(s.UID)
		w.do("delete a Secret", func(ctx context.Context) error {
			err := w.client.Delete(ctx, s, client.Preconditions{UID: &s.UID})
			if apierrors.IsConflict(err) { // another has its name by now
				return nil
			}
			return client.IgnoreNotFound(err)
		})
	}
	return fmt.Sprintf("delete Secret %s/%s", t.name, name)
}

// toggleExternal deletes an ExternalSecret that exists, or makes one that does not.
func (w *world) toggleExternal() string {
	t := w.someone()
	return w.toggle(t, pick(w, slices.DeleteFunc(slices.Clone(t.externals), func(e *external) bool { return e.rival })))
}

// toggleRival does that with an object that wants the Secret of another.
func (w *world) toggleRival() string {
	t := w.someone()
	if w.random.IntN(3) == 0 {
		i := slices.IndexFunc(t.sealed, func(s *sealedSecret) bool { return s.rival })
		return w.toggleSeal(t, t.sealed[i])
	}
	return w.toggle(t, pick(w, slices.DeleteFunc(slices.Clone(t.externals), func(e *external) bool { return !e.rival })))
}

// contend does that with the one that wants the keys of another in a Secret that several share.
func (w *world) contend() string {
	t := w.someone()
	i := slices.IndexFunc(t.externals, func(e *external) bool { return e.name == "contender" })
	return w.toggle(t, t.externals[i])
}

func (w *world) toggle(t *tenant, e *external) string {
	return w.flip(&e.uid, &esv1.ExternalSecret{ObjectMeta: meta(t.name, e.name)}, "ExternalSecret", func() { w.ask(t, e) })
}

// flip makes an object that does not exist, and deletes one that does, or makes it anew.
func (w *world) flip(uid *types.UID, obj client.Object, kind string, create func()) string {
	text := fmt.Sprintf("%s %s/%s", kind, obj.GetNamespace(), obj.GetName())
	if *uid == "" {
		create()
		return "create " + text
	}
	w.witness.kill(*uid)
	w.remove(obj)
	*uid = ""
	if w.random.IntN(2) == 0 {
		return "delete " + text
	}
	create()
	return "recreate " + text
}

// moveExternal lets an ExternalSecret read from another store.
func (w *world) moveExternal() string {
	t := w.someone()
	e := pick(w, slices.DeleteFunc(slices.Clone(t.externals), func(e *external) bool { return e.stays }))
	e.store = pick(w, slices.DeleteFunc([]string{storeVault, storeHook, storeShared}, func(s string) bool { return s == e.store }))
	if e.uid != "" {
		raw, err := json.Marshal(map[string]any{"spec": map[string]any{"secretStoreRef": storeRef(e.store)}})
		if err != nil {
			w.t.Fatal(err)
		}
		w.patch(&esv1.ExternalSecret{ObjectMeta: meta(t.name, e.name)}, string(raw))
	}
	return fmt.Sprintf("move ExternalSecret %s/%s to %s", t.name, e.name, e.store)
}

func (w *world) forceSync() string {
	t := w.someone()
	e := pick(w, t.externals)
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, esv1.AnnotationForceSync, w.step)
	if e.uid != "" {
		w.patch(&esv1.ExternalSecret{ObjectMeta: meta(t.name, e.name)}, patch)
	}
	return fmt.Sprintf("force ExternalSecret %s/%s", t.name, e.name)
}

func (w *world) toggleSealed() string {
	t := w.someone()
	return w.toggleSeal(t, pick(w, slices.DeleteFunc(slices.Clone(t.sealed), func(s *sealedSecret) bool { return s.rival })))
}

func (w *world) toggleSeal(t *tenant, s *sealedSecret) string {
	return w.flip(&s.uid, &v1alpha1.SealedSecret{ObjectMeta: meta(t.name, s.name)}, "SealedSecret", func() { w.seal(t, s) })
}

// reseal gives a SealedSecret other values, sealed to the newest keys.
func (w *world) reseal() string {
	t := w.someone()
	s := pick(w, t.sealed)
	if s.uid != "" {
		raw, err := json.Marshal(map[string]any{"spec": map[string]any{"encryptedData": w.encrypt(t, s)}})
		if err != nil {
			w.t.Fatal(err)
		}
		w.patch(&v1alpha1.SealedSecret{ObjectMeta: meta(t.name, s.name)}, string(raw))
	}
	return fmt.Sprintf("reseal SealedSecret %s/%s", t.name, s.name)
}

// addKeys asks all replicas for new sealing keys, of which the one that leads makes them.
func (w *world) addKeys() string {
	for _, r := range w.fleet.replicas() {
		select {
		case <-r.Done():
		default:
			if !w.fleet.isPaused(r) {
				_ = syscall.Kill(r.PID(), syscall.SIGUSR1)
			}
		}
	}
	return "ask for new sealing keys"
}

// toggleNamespace deletes a namespace and all that is in it, or waits until it is gone and makes everything anew.
func (w *world) toggleNamespace() string {
	if i := slices.IndexFunc(w.tenants, func(t *tenant) bool { return t.gone }); i >= 0 {
		w.settle(w.tenants[i])
		return "recreate namespace " + w.tenants[i].name
	}
	t := pick(w, w.tenants)
	t.unspread()
	for _, e := range t.externals {
		w.witness.kill(e.uid)
		e.uid = ""
	}
	for _, s := range t.sealed {
		w.witness.kill(s.uid)
		s.uid = ""
	}
	var list corev1.SecretList
	w.do("list Secrets", func(ctx context.Context) error { return w.client.List(ctx, &list, client.InNamespace(t.name)) })
	for i := range list.Items {
		w.witness.take(list.Items[i].UID)
	}
	t.gone, t.stores = true, map[string]bool{}
	t.shapeless = map[string]bool{watches.ConfigMap: true, watches.Secret: true}
	w.remove(&corev1.Namespace{ObjectMeta: meta("", t.name)})
	return "delete namespace " + t.name
}

// toggleStore deletes a store, or makes one that was deleted.
func (w *world) toggleStore() string {
	t := w.someone()
	name := pick(w, []string{storeVault, storeHook, storeShared})
	switch {
	case name == storeShared && !w.shared:
		w.openShared()
		return "create store shared"
	case name == storeShared:
		w.shared = false
		w.remove(&esv1.ClusterSecretStore{ObjectMeta: meta("", name)})
		return "delete store shared"
	case !t.stores[name]:
		w.open(t, name)
		return "create store " + t.name + "/" + name
	default:
		t.stores[name] = false
		w.remove(&esv1.SecretStore{ObjectMeta: meta(t.name, name)})
		return "delete store " + t.name + "/" + name
	}
}

// rotate gives a tenant another credential, at the stores first or in the cluster first.
func (w *world) rotate() string {
	t := w.someone()
	inCluster := func(token string) {
		raw := base64.StdEncoding.EncodeToString([]byte(token))
		w.patch(&corev1.Secret{ObjectMeta: meta(t.name, credential)}, fmt.Sprintf(`{"data":{"token":%q}}`, raw))
	}
	text := "rotate the credential of " + t.name
	if w.random.IntN(2) == 0 {
		inCluster(nextToken(t))
		w.rest(2 * time.Second)
		w.reissue(t)
		return text + ", in the cluster first"
	}
	w.reissue(t)
	w.rest(2 * time.Second)
	inCluster(t.token)
	return text + ", at the stores first"
}

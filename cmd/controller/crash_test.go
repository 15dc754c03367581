package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/gitserver"
)

// everything are the flags of a controller of all kinds in the namespace, which has time to renew its lease on a machine that is busy and
// is followed soon when it is killed, and is so slow to write that it is still at it when a test that has seen it begin ends it.
func (w *world) everything() []string {
	return []string{
		"--controllers=*", "--watch-namespaces=" + w.ns, "--leader-elect", "--leader-election-lease-duration=30s",
		"--leader-election-renew-deadline=25s", "--leader-election-retry-period=300ms", "--kubeclient-qps=50", "--kubeclient-burst=20",
	}
}

// keys are those of each Secret of these tests.
func keys() []string { return []string{"a", "b", "c", "d"} }

// valueOf is what a Secret holds under a key while the store says what it says in a turn.
func valueOf(name, key, turn string) string {
	return strings.Join([]string{name, key, turn, canary}, "-")
}

// secretStore is the store of the namespace, before it has a provider.
func (w *world) secretStore() *esv1.SecretStore {
	return &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: esv1.SecretStoreSpec{Controller: w.class()}}
}

// store makes or changes the store, so that each name of ExternalSecrets has a document.
func (w *world) store(turn string, names []string) {
	w.t.Helper()
	s := w.secretStore()
	fake := &stores.Fake{}
	for _, name := range names {
		var fields []string
		for _, key := range keys() {
			fields = append(fields, fmt.Sprintf("%q:%q", key, valueOf(name, key, turn)))
		}
		fake.Data = append(fake.Data, stores.FakeData{Key: name, Value: "{" + strings.Join(fields, ",") + "}"})
	}
	s.Spec.Provider.Fake = fake
	if turn == "1" {
		w.must(w.client.Create(w.t.Context(), s))
		return
	}
	patch := client.MergeFrom(&esv1.SecretStore{ObjectMeta: s.ObjectMeta})
	w.must(w.client.Patch(w.t.Context(), s, patch))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) externalSecret(name string) {
	w.t.Helper()
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	es.Spec.SecretStoreRef = esv1.StoreRef{Name: "store", Kind: esv1.KindSecretStore}
	es.Spec.RefreshInterval = &metav1.Duration{Duration: 5 * time.Second}
	es.Spec.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: name}}}
	w.must(w.client.Create(w.t.Context(), es))
}

func (w *world) sealedSecret(name, certificate string) *v1alpha1.SealedSecret {
	w.t.Helper()
	key, err := keyring.ParseRecipient([]byte(certificate), time.Now())
	w.must(err)
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	obj.Spec.EncryptedData = map[string]string{}
	for _, k := range keys() {
		obj.Spec.EncryptedData[k], err = seal.Seal(rand.Reader, seal.Compat(key), seal.Strict, w.ns, name, []byte(valueOf(name, k, "1")))
		w.must(err)
	}
	return obj
}

// named returns names with a prefix and a number.
func named(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%03d", prefix, i)
	}
	return names
}

// witness watches the Secrets of the namespace for as long as the test runs, also over the end of the API server, and
// says what no moment may show: a Secret with some of its keys, or one that is gone.
func (w *world) witness() {
	var watching sync.WaitGroup
	watching.Go(func() {
		for w.t.Context().Err() == nil {
			events, err := w.client.Watch(w.t.Context(), &corev1.SecretList{}, client.InNamespace(w.ns))
			if err != nil {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			for e := range events.ResultChan() {
				w.judge(e)
			}
		}
	})
	w.t.Cleanup(watching.Wait)
}

func (w *world) judge(e watch.Event) {
	s, ok := e.Object.(*corev1.Secret)
	if !ok || !strings.HasPrefix(s.Name, "es-") && !strings.HasPrefix(s.Name, "ss-") {
		return
	}
	if e.Type == watch.Deleted {
		w.t.Errorf("Secret %s was deleted", s.Name)
	}
	if s.Labels["edited"] == "" && !slices.Equal(slices.Sorted(maps.Keys(s.Data)), keys()) {
		w.t.Errorf("Secret %s was seen with the keys %v", s.Name, slices.Sorted(maps.Keys(s.Data)))
	}
}

// secrets returns the Secrets of the tests' objects by name.
func (w *world) secrets() map[string]corev1.Secret {
	var list corev1.SecretList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.ns)); err != nil {
		return nil
	}
	out := map[string]corev1.Secret{}
	for _, s := range list.Items {
		if strings.HasPrefix(s.Name, "es-") || strings.HasPrefix(s.Name, "ss-") {
			out[s.Name] = s
		}
	}
	return out
}

// changed counts the Secrets that hold what the store says in its second turn.
func (w *world) changed(names []string) int {
	secrets, n := w.secrets(), 0
	for _, name := range names {
		if string(secrets[name].Data["a"]) == valueOf(name, "a", "2") {
			n++
		}
	}
	return n
}

func uids(secrets map[string]corev1.Secret) map[string]types.UID {
	out := map[string]types.UID{}
	for name, s := range secrets {
		out[name] = s.UID
	}
	return out
}

// complete waits until each name has a Secret with what its turn says and nothing else, and a condition that says so.
func (w *world) complete(what string, external, sealed []string, turn string) map[string]corev1.Secret {
	w.t.Helper()
	var got map[string]corev1.Secret
	var wrong string
	defer func() {
		if wrong != "" {
			w.t.Error(wrong)
		}
	}()
	w.eventually(what, func() bool {
		got, wrong = w.secrets(), ""
		for _, name := range slices.Concat(external, sealed) {
			for _, key := range keys() {
				want := valueOf(name, key, "1")
				if strings.HasPrefix(name, "es-") {
					want = valueOf(name, key, turn)
				}
				if string(got[name].Data[key]) != want {
					wrong = name + " has not its value"
					return false
				}
			}
			if len(got[name].Data) != len(keys()) {
				wrong = name + " has a key of somebody else"
				return false
			}
		}
		wrong = w.unready(external, sealed)
		return wrong == ""
	})
	return got
}

// unready names an object that does not say that it is ready as it is.
func (w *world) unready(external, sealed []string) string {
	ready := map[string]bool{}
	var ess esv1.ExternalSecretList
	var sss v1alpha1.SealedSecretList
	if w.client.List(w.t.Context(), &ess, client.InNamespace(w.ns)) != nil || w.client.List(w.t.Context(), &sss, client.InNamespace(w.ns)) != nil {
		return "the API server does not answer"
	}
	for _, es := range ess.Items {
		c := conditions.Ready(es.Status.Conditions)
		ready[es.Name] = c.Status == metav1.ConditionTrue && c.Reason == esv1.ReasonSecretSynced && es.Status.ObservedGeneration == es.Generation
	}
	for _, ss := range sss.Items {
		for _, c := range ss.Status.Conditions {
			if c.Type == v1alpha1.ConditionSynced {
				ready[ss.Name] = string(c.Status) == "True" && ss.Status.ObservedGeneration == ss.Generation
			}
		}
	}
	for _, name := range slices.Concat(external, sealed) {
		if !ready[name] {
			return name + " is not ready"
		}
	}
	return ""
}

// quiet fails the test when a log shows a value.
func (w *world) quiet(replicas ...*replica) {
	w.t.Helper()
	for _, r := range replicas {
		if text, err := os.ReadFile(r.Log()); err != nil || bytes.Contains(text, []byte(canary)) {
			w.t.Errorf("a log shows a value, or cannot be read: %v", err)
		}
	}
}

// edit changes Secrets as somebody who should not.
func (w *world) edit(secrets map[string]corev1.Secret, names []string) {
	w.t.Helper()
	for _, name := range names {
		s := secrets[name]
		patch := []byte(`{"metadata":{"labels":{"edited":"yes"}},"data":{"a":"ZWRpdGVk"},"stringData":{"foreign":"x"}}`)
		w.must(w.client.Patch(w.t.Context(), &s, client.RawPatch(types.MergePatchType, patch)))
	}
}

// survived fails the test when a controller has ended, or its log shows a value.
func (w *world) survived(r *replica) {
	w.t.Helper()
	select {
	case <-r.Done():
		w.t.Error("the controller has ended")
	default:
	}
	w.quiet(r)
}

// repository makes a Git server with a repository of ConfigMaps and a GitSync of it.
func (w *world) repository(n int) *gitserver.Repo {
	w.t.Helper()
	server, err := gitserver.Start(w.t.Context(), gitserver.Options{})
	w.must(err)
	w.t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			w.t.Error(err)
		}
	})
	repo, err := server.Create(w.t.Context(), "deploy")
	w.must(err)
	w.commit(repo, n, "1")
	w.must(w.client.Create(w.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "git"}, Data: map[string][]byte{"ca.crt": server.CA()},
	}))
	gs := &sbv1.GitSync{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "deploy"}}
	gs.Spec.URL, gs.Spec.SecretRef = repo.HTTPS(), &sbv1.LocalRef{Name: "git"}
	gs.Spec.Interval = metav1.Duration{Duration: time.Second}
	gs.Spec.TargetNamespace = w.ns
	w.must(w.client.Create(w.t.Context(), gs))
	return repo
}

func (w *world) commit(repo *gitserver.Repo, n int, turn string) {
	w.t.Helper()
	files := map[string]string{}
	for _, name := range named("cm", n) {
		files[name+".yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {turn: \"" + turn + "\"}\n"
	}
	_, err := repo.Commit(w.t.Context(), gitserver.Change{Files: files})
	w.must(err)
}

// applied waits until the ConfigMaps are what Git says.
func (w *world) applied(what string, n int, turn string) {
	w.t.Helper()
	w.eventually(what, func() bool {
		var list corev1.ConfigMapList
		if w.client.List(w.t.Context(), &list, client.InNamespace(w.ns)) != nil {
			return false
		}
		current := 0
		for _, cm := range list.Items {
			if cm.Data["turn"] == turn {
				current++
			}
		}
		var gs sbv1.GitSync
		if w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: "deploy"}, &gs) != nil {
			return false
		}
		return current == n && meta.IsStatusConditionTrue(gs.Status.Conditions, string(esv1.ConditionReady))
	})
}

func TestAnAPIServerThatIsKilledAndComesBackCostsNothingButTime(t *testing.T) {
	t.Parallel()
	cp := controlplane.Own(t)
	w := worldOn(t, cp)
	external, sealed, files := named("es", 40), named("ss", 20), 10
	// Without an election: a leader that cannot renew its lease ends, as it must, and its platform starts it again.
	controller := w.start("--controllers=*", "--watch-namespaces="+w.ns)
	w.witness()
	crash := func(when string) {
		t.Helper()
		cp.KillAPIServer()
		time.Sleep(time.Second) // while it is down, writes, refreshes and repairs fall due
		if err := cp.StartAPIServer(t.Context()); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	w.store("1", external)
	certificate := controller.certificate()
	for i, name := range external {
		w.externalSecret(name)
		if i < len(sealed) {
			w.must(w.client.Create(t.Context(), w.sealedSecret(sealed[i], certificate)))
		}
	}
	repository := w.repository(files)
	w.eventually("some Secrets exist", func() bool { return len(w.secrets()) > 5 })
	crash("while Secrets are made")
	first := w.complete("all are there after the first crash", external, sealed, "1")
	w.applied("the GitSync is there after the first crash", files, "1")

	// Somebody edits targets and values change, and the server goes before the half is done.
	w.edit(first, slices.Concat(external[:20], sealed[:10]))
	w.store("2", external)
	crash("while repairs are due and values change")
	second := w.complete("all is repaired and new after the second crash", external, sealed, "2")
	if !maps.Equal(uids(first), uids(second)) {
		t.Error("a Secret was made anew")
	}
	w.commit(repository, files, "2")
	w.applied("the GitSync goes on", files, "2")
	w.survived(controller)
}

func TestALeaderThatIsKilledWhileItWritesIsFollowedByOneThatCompletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	external, sealed := named("es", 200), named("ss", 40)
	replicas := []*replica{w.start(w.everything()...), w.start(w.everything()...)}
	w.witness()
	leader := replicas[w.leader(replicas...)]
	other := replicas[1-slices.Index(replicas, leader)]
	certificate := leader.certificate()
	for _, name := range external {
		w.externalSecret(name)
	}
	var objs []*v1alpha1.SealedSecret
	for _, name := range sealed {
		objs = append(objs, w.sealedSecret(name, certificate))
	}
	// The store lets all be written at once, and objects of the other kind go on coming.
	var coming sync.WaitGroup
	coming.Go(func() {
		for _, obj := range objs {
			if err := w.client.Create(t.Context(), obj); err != nil {
				t.Error(err)
			}
		}
	})
	w.store("1", external)
	w.eventually("the leader writes", func() bool { return len(w.secrets()) > 20 })
	leader.Kill()
	left := w.secrets()
	if n := len(left); n == len(external)+len(sealed) {
		t.Error("the leader was done before it was killed")
	}
	coming.Wait()
	got := w.complete("the other one completes", external, sealed, "1")
	for name, s := range left {
		if got[name].UID != s.UID {
			t.Errorf("Secret %s was made anew", name)
		}
	}

	// The same while it changes what is there.
	third := w.start(w.everything()...)
	w.store("2", external)
	w.eventually("the leader changes Secrets", func() bool { return w.changed(external) > 0 })
	other.Kill()
	if n := w.changed(external); n == len(external) {
		t.Error("the leader was done before it was killed")
	}
	after := w.complete("the third one completes", external, sealed, "2")
	if !maps.Equal(uids(got), uids(after)) {
		t.Error("a Secret was made anew")
	}
	w.quiet(leader, other, third)
}

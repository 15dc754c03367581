package externalsecret_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// paused has the controller do what makes it send a request, holds that back while meanwhile happens, as for a leader that is
// stopped and wakes later, and then lets it pass. It does so once.
func (w *world) paused(at func(*http.Request) bool, do, meanwhile func()) {
	w.t.Helper()
	reached, woken := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(reached); <-woken })
	w.traffic.meet(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if at(req) {
			once()
		}
		return next.RoundTrip(req)
	})
	do()
	select {
	case <-reached:
	case <-time.After(w.patience):
		w.t.Error("no such request was sent")
	}
	meanwhile()
	close(woken)
}

// successor deletes an ExternalSecret, makes it anew with another document, and gives it the Secret, as another leader does.
func (w *world) successor(old *esv1.ExternalSecret) *esv1.ExternalSecret {
	w.t.Helper()
	anew := old.DeepCopy()
	anew.Spec.Data[0].RemoteRef.Key = "anew"
	w.backend.put("anew", `{"password":"two"}`)
	anew.ObjectMeta = metav1.ObjectMeta{Namespace: w.ns, Name: old.Name}
	change(w, &corev1.Secret{ObjectMeta: anew.ObjectMeta}, func(s *corev1.Secret) { s.OwnerReferences = nil })
	change(w, old, func(es *esv1.ExternalSecret) { es.Finalizers = nil })
	if err := w.c.Delete(w.t.Context(), old.DeepCopy()); err != nil {
		w.t.Fatal(err)
	}
	w.create(anew)
	given := corev1ac.Secret(anew.Name, w.ns).WithData(map[string][]byte{"password": []byte("given")}).
		WithLabels(map[string]string{esv1.LabelManaged: "true"}).WithType(corev1.SecretTypeOpaque).
		WithOwnerReferences(metav1ac.OwnerReference().WithAPIVersion(esv1.GroupVersion().String()).WithKind(esv1.KindExternalSecret).
			WithName(anew.Name).WithUID(anew.UID).WithController(true).WithBlockOwnerDeletion(true))
	if anew.Spec.Target.Immutable {
		given.WithData(map[string][]byte{"password": []byte("one")}).WithImmutable(true)
	}
	if err := w.c.Apply(w.t.Context(), given, client.FieldOwner(esv1.FieldOwnerPrefix+anew.Name), client.ForceOwnership); err != nil {
		w.t.Fatal(err)
	}
	return anew
}

// watch returns a function that returns the states of a Secret from now on until it holds a value; nil is one that is deleted.
func (w *world) watch(name string) func(value string) []*corev1.Secret {
	w.t.Helper()
	c, err := client.NewWithWatch(w.admin, client.Options{Scheme: scheme(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	seen, err := c.Watch(w.t.Context(), &corev1.SecretList{}, client.InNamespace(w.ns), client.MatchingFields{"metadata.name": name})
	if err != nil {
		w.t.Fatal(err)
	}
	return func(value string) (states []*corev1.Secret) {
		w.t.Helper()
		defer seen.Stop()
		timeout := time.After(w.patience)
		for {
			select {
			case e := <-seen.ResultChan():
				s, ok := e.Object.(*corev1.Secret)
				if !ok {
					w.t.Fatalf("%s: %+v", e.Type, e.Object)
				}
				if e.Type == "DELETED" {
					s = nil
				}
				states = append(states, s)
				if s != nil && string(s.Data["password"]) == value {
					return states
				}
			case <-timeout:
				w.t.Fatalf("the value was not written in %d changes", len(states))
			}
		}
	}
}

func TestALeaderThatWasPausedTakesNoSecretFromTheSuccessorOfAnExternalSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one"}`)
	w.store("store")
	old := w.externalSecret("db")
	w.create(old)
	w.ready("db")
	applies := func(req *http.Request) bool {
		return req.Method == http.MethodPatch && strings.HasSuffix(req.URL.Path, "/secrets/db")
	}
	var states func(string) []*corev1.Secret
	w.paused(applies, func() {
		w.backend.put("db", `{"password":"one, changed"}`)
		w.sync("db")
	}, func() {
		w.successor(old)
		states = w.watch("db")
	})
	for _, s := range states("two") {
		if s == nil || metav1.IsControlledBy(s, old) {
			t.Error("the Secret of the successor was taken or deleted")
		}
	}
}

func TestALeaderWhoseCacheIsBehindTakesNoSecretFromTheSuccessorOfAnExternalSecret(t *testing.T) {
	t.Parallel()
	for name, immutable := range map[string]bool{"one that is written": false, "one of which only the metadata is": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.backend.put("db", `{"password":"one"}`)
			w.store("store")
			old := w.externalSecret("db", func(es *esv1.ExternalSecret) { es.Spec.Target.Immutable = immutable })
			w.create(old)
			stale := w.ready("db")
			w.stop()
			anew := w.successor(old)
			w.stale.Store(stale)
			w.start()
			w.eventually("the leader has tried, and cannot write the status of what is gone", func() error {
				if !strings.Contains(w.logs.String(), "Reconciler error") {
					return errors.New("it has not")
				}
				return nil
			})
			if s := w.secret("db"); !metav1.IsControlledBy(s, anew) {
				t.Errorf("the Secret belongs to %+v", s.OwnerReferences)
			}
			w.stale.Store(nil)
			w.ready("db")
			if s := w.secret("db"); !metav1.IsControlledBy(s, anew) {
				t.Errorf("the Secret belongs to %+v", s.OwnerReferences)
			}
		})
	}
}

func TestALeaderThatWasPausedDeletesNoSecretOfTheSuccessorOfAnExternalSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one"}`)
	w.store("store")
	old := w.externalSecret("db", policies("", esv1.DeletionDelete))
	w.create(old)
	w.ready("db")
	deletes := func(req *http.Request) bool {
		return req.Method == http.MethodDelete && strings.HasSuffix(req.URL.Path, "/secrets/db")
	}
	var states func(string) []*corev1.Secret
	w.paused(deletes, func() {
		w.backend.remove("db")
		w.sync("db")
	}, func() {
		w.successor(old)
		states = w.watch("db")
	})
	for _, s := range states("two") {
		if s == nil {
			t.Error("the Secret of the successor was deleted")
		}
	}
}

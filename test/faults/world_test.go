package faults_test

import (
	"context"
	"encoding/base64"
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

// system is the controller's own namespace, and credential the Secret with which a tenant's stores log in.
const (
	system     = "faults-system"
	credential = "credential"
)

// revealing are texts that nothing but a Secret may hold.
func revealing() []string {
	return []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), "PRIVATE KEY", "AGE-SECRET-KEY"}
}

// world is everything that a storm goes over.
type world struct {
	t       *testing.T
	cp      *controlplane.ControlPlane
	client  client.WithWatch
	random  *mathrand.Rand
	fleet   *fleet
	witness *witness
	fronts  map[string]*front
	tenants []*tenant
	spread  spread
	// shared tells whether the ClusterSecretStore exists.
	shared bool
	paused *replica
	began  time.Time
	// step is the act that is under way.
	step int
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	cp := controlplane.Own(t)
	w := &world{
		t: t, cp: cp, began: time.Now(), random: mathrand.New(mathrand.NewPCG(seed, seed)),
		spread: spread{document: spreadDocuments()[0]},
		fronts: map[string]*front{left: newFront(t), right: newFront(t)},
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, v1alpha1.AddToScheme, esv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.client, err = client.NewWithWatch(cp.Config(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"team-a", "team-b"} {
		w.tenants = append(w.tenants, newTenant(name, map[string]*countingstore.Server{left: w.store(), right: w.store()}))
	}
	w.witness = newWitness(w)
	w.fleet = newFleet(t, cp.Kubeconfig())
	return w
}

func (w *world) store() *countingstore.Server {
	w.t.Helper()
	s, err := countingstore.Start(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Stop() })
	return s
}

// eventually waits until nothing is wrong.
func eventually(t *testing.T, what string, wrong func() []string) {
	t.Helper()
	const long = 30 * time.Second
	begin := time.Now()
	for said := begin; ; time.Sleep(100 * time.Millisecond) {
		found := wrong()
		if len(found) == 0 {
			return
		}
		text := what + ":\n  " + strings.Join(found, "\n  ")
		if time.Since(begin) > *patienceFlag {
			t.Fatalf("not within %s: %s", *patienceFlag, text)
		}
		if time.Since(said) > long {
			said = time.Now()
			t.Logf("waiting for %s: %s", time.Since(begin).Round(time.Second), text)
		}
	}
}

// do repeats a request to the API server until it is served: one that has just started may not serve everything.
func (w *world) do(what string, request func(context.Context) error) {
	w.t.Helper()
	eventually(w.t, what, func() []string {
		ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
		defer cancel()
		if err := request(ctx); err != nil {
			return []string{err.Error()}
		}
		return nil
	})
}

// create makes an object and returns it as it was made. One of the same name that is on its way out is waited for.
func (w *world) create(obj client.Object) client.Object {
	w.t.Helper()
	var made client.Object
	w.do("create "+obj.GetNamespace()+"/"+obj.GetName(), func(ctx context.Context) error {
		made = obj.DeepCopyObject().(client.Object)
		err := w.client.Create(ctx, made)
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		if err := w.client.Get(ctx, client.ObjectKeyFromObject(obj), made); err != nil {
			return err
		}
		switch dead := w.witness.isDead(made.GetUID()); {
		case dead && made.GetDeletionTimestamp() == nil:
			// What the namespace controller of Kubernetes has left: see sweep.
			return errors.Join(errors.New("the one before was not deleted"), client.IgnoreNotFound(w.client.Delete(ctx, made)))
		case dead || made.GetDeletionTimestamp() != nil:
			return errors.New("the one before is still there")
		}
		return nil // an earlier try of ours, whose answer was lost
	})
	if s, ok := made.(*corev1.Secret); ok {
		w.witness.ours(s)
	}
	return made
}

// patch changes an object by a merge patch; one that is gone stays gone.
func (w *world) patch(obj client.Object, patch string) {
	w.t.Helper()
	w.do("change "+obj.GetNamespace()+"/"+obj.GetName(), func(ctx context.Context) error {
		return client.IgnoreNotFound(w.client.Patch(ctx, obj, client.RawPatch(types.MergePatchType, []byte(patch))))
	})
	if s, ok := obj.(*corev1.Secret); ok && s.ResourceVersion != "" {
		w.witness.ours(s)
	}
}

func (w *world) remove(obj client.Object) {
	w.t.Helper()
	w.do("delete "+obj.GetNamespace()+"/"+obj.GetName(), func(ctx context.Context) error {
		return client.IgnoreNotFound(w.client.Delete(ctx, obj))
	})
}

// secret reads a Secret, nil when there is none.
func (w *world) secret(namespace, name string) *corev1.Secret {
	w.t.Helper()
	var s corev1.Secret
	found := false
	w.do("read a Secret", func(ctx context.Context) error {
		err := w.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &s)
		found = err == nil
		return client.IgnoreNotFound(err)
	})
	if !found {
		return nil
	}
	return &s
}

// rest waits a while.
func (w *world) rest(most time.Duration) {
	time.Sleep(time.Duration(w.random.Int64N(int64(most))))
}

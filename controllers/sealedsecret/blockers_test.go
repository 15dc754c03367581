package sealedsecret

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

func TestASecretInTheWayIsWatchedByItsNameAndOnlyUntilItChanges(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	c, err := client.NewWithWatch(cp.Config(), client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	b, life := &blockers{client: c, limit: 3}, &lifetime{Context: ctx, done: make(chan struct{})}
	if err := b.Start(life, queue); err != nil {
		t.Fatal(err)
	}
	create := func(name string) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
		if err := c.Create(ctx, s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	watch := func(s *corev1.Secret) bool { return b.watch(ctx, client.ObjectKeyFromObject(s), s.ResourceVersion) }
	next := func() string {
		got := make(chan string, 1)
		go func() { r, _ := queue.Get(); queue.Done(r); got <- r.Name }()
		select {
		case name := <-got:
			return name
		case <-time.After(30 * time.Second):
			t.Fatal("nothing was enqueued")
			return ""
		}
	}

	changed, deleted, gone, fourth := create("changed"), create("deleted"), create("gone"), create("fourth")
	if err := c.Delete(ctx, gone.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*corev1.Secret{changed, changed, deleted, gone} {
		if !watch(s) {
			t.Fatalf("%s is not watched", s.Name)
		}
	}
	if name := next(); name != "gone" {
		t.Errorf("%s was enqueued; a Secret that had gone before the watch began is noticed", name)
	}
	if !watch(fourth) || watch(create("fifth")) {
		t.Error("the limit does not hold")
	}
	create("unrelated")
	changed.Data = map[string][]byte{"k": []byte("v")}
	if err := c.Update(ctx, changed); err != nil {
		t.Fatal(err)
	}
	if name := next(); name != "changed" {
		t.Errorf("%s was enqueued", name)
	}
	if err := c.Delete(ctx, deleted); err != nil {
		t.Fatal(err)
	}
	if name := next(); name != "deleted" {
		t.Errorf("%s was enqueued", name)
	}
	b.forget(client.ObjectKeyFromObject(fourth))
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.active) != 0 {
		t.Errorf("watches are left: %v", b.active)
	}
	for end := time.Now().Add(30 * time.Second); life.waiting.Load() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the controller's context holds %d watches that have ended", life.waiting.Load())
		}
	}
}

// lifetime is a context that counts what waits for its end.
type lifetime struct {
	context.Context
	done    chan struct{}
	waiting atomic.Int32
}

func (l *lifetime) Done() <-chan struct{} { return l.done }

// AfterFunc is what package context registers with where a context is not its own.
func (l *lifetime) AfterFunc(func()) (stop func() bool) {
	l.waiting.Add(1)
	return func() bool { l.waiting.Add(-1); return true }
}

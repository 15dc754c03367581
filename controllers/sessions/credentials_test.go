package sessions

import (
	"context"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

// atRest is a Watcher that is not started, and asks nobody: who follows what is known all the same.
func atRest(t *testing.T) *watches.Watcher {
	t.Helper()
	w, err := watches.New(&rest.Config{Host: "http://127.0.0.1:1"}, http.DefaultClient, 0)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestNoCredentialIsWatchedForAStoreThatGoesWhileItIsRead(t *testing.T) {
	t.Parallel()
	for name, goes := range map[string]bool{"it goes": true, "it stays": false} {
		b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
		s := storeOf(b, "team", "s", 1)
		var p *Pool
		c := interceptor.NewClient(cluster(credentialSecret("team", "cred", "v")), interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
				if goes {
					p.Forget(s.UID)
				}
				return c.Get(ctx, key, into, opts...)
			},
		})
		p = New(Deps{Reader: c, Tokens: c, Watches: atRest(t)})
		mustFetch(t, p, request(s, "team", "a"))
		watched := watches.Object{Kind: watches.Secret, Namespace: "team", Name: "cred"}
		if is := p.followers.Has(key{identity: s.identity()}, watched); is == goes {
			t.Errorf("%s: its credential is watched: %t", name, is)
		}
		p.close()
	}
}

// watching returns a started pool that learns from an API server at once what is replaced, a client of that server, and what those who
// use the stores are told.
func watching(t *testing.T, cp *controlplane.ControlPlane) (p *Pool, c client.Client, told func() []Replaced) {
	t.Helper()
	c, err := client.New(cp.Config(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	web, err := rest.HTTPClientFor(cp.Config())
	if err != nil {
		t.Fatal(err)
	}
	w, err := watches.New(cp.Config(), web, 0)
	if err != nil {
		t.Fatal(err)
	}
	p = New(Deps{Reader: c, Tokens: c, Watches: w})
	var mu sync.Mutex
	var all []Replaced
	p.OnReplaced(func(r Replaced) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Start(ctx) })
	running.Go(func() { _ = p.Start(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return p, c, func() []Replaced {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
	}
}

func TestWhoUsesAStoreIsToldAtOnceThatItsCredentialWasReplaced(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	p, c, told := watching(t, cp)
	if err := c.Create(t.Context(), credentialSecret(ns, "cred", "old")); err != nil {
		t.Fatal(err)
	}
	cred := watches.Object{Kind: watches.Secret, Namespace: ns, Name: "cred"}
	b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
	own, shared, earlier := storeOf(b, ns, "own", 3), storeOf(b, "", "shared", 1), storeOf(b, ns, "earlier", 1)
	own.Name, shared.Name, earlier.Name = "own", "shared", "earlier"
	for _, s := range []Store{own, shared} {
		if got := mustFetch(t, p, request(s, ns, "a")); got[0] != "old/a" {
			t.Fatalf("read %q", got[0])
		}
	}
	object := func(uid string, generation int64) metav1.ObjectMeta {
		return metav1.ObjectMeta{UID: storeOf(b, "", uid, 1).UID, Generation: generation}
	}
	ofOwn, ofShared := &esv1.SecretStore{ObjectMeta: object("own", 3)}, &esv1.ClusterSecretStore{ObjectMeta: object("shared", 1)}
	eventually(t, "it is watched", func() bool { return p.watcher.Version(cred) != "" })
	if len(told()) != 0 || !p.ReplacedAt(ofOwn, ns).IsZero() {
		t.Errorf("told %v before anything has happened", told())
	}
	before := time.Now()
	if err := c.Update(t.Context(), credentialSecret(ns, "cred", "new")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are told", func() bool {
		return slices.Contains(told(), Replaced{Kind: "SecretStore", Namespace: ns, Name: "own", Users: ns}) &&
			slices.Contains(told(), Replaced{Kind: "ClusterSecretStore", Name: "shared", Users: ns})
	})
	eventually(t, "the sessions of before are ended though nobody asks", func() bool { return b.closes.Load() == 2 })
	for name, tc := range map[string]struct {
		store client.Object
		users string
		was   bool
	}{
		"a store":                            {ofOwn, ns, true},
		"one for a namespace":                {ofShared, ns, true},
		"one for another namespace":          {ofShared, "another", false},
		"another kind":                       {&esv1.ClusterSecretStore{ObjectMeta: object("own", 3)}, ns, false},
		"another configuration of the store": {&esv1.SecretStore{ObjectMeta: object("own", 4)}, ns, false},
	} {
		if at := p.ReplacedAt(tc.store, tc.users); at.After(before) != tc.was || at.IsZero() == tc.was {
			t.Errorf("the credential of %s was replaced at %s", name, at)
		}
	}
	for _, s := range []Store{own, shared} {
		if got := mustFetch(t, p, request(s, ns, "a")); got[0] != "new/a" {
			t.Errorf("%s read %q with the credential that was replaced", s.Name, got[0])
		}
	}
	opens := b.opens.Load()
	p.Expect(earlier, map[watches.Object]watches.Version{cred: "1"})
	eventually(t, "who has read it in an earlier process is told", func() bool {
		return slices.Contains(told(), Replaced{Kind: "SecretStore", Namespace: ns, Name: "earlier", Users: ns})
	})
	if b.opens.Load() != opens {
		t.Error("a session is opened though nobody asks")
	}
	p.Forget(own.UID)
	n := len(told())
	if err := c.Delete(t.Context(), credentialSecret(ns, "cred", "")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other is told that it is gone", func() bool {
		return slices.Contains(told()[n:], Replaced{Kind: "ClusterSecretStore", Name: "shared", Users: ns})
	})
	if slices.ContainsFunc(told()[n:], func(r Replaced) bool { return r.Name == "own" }) {
		t.Error("who used a store that is gone is told of its credential")
	}
}

package sessions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

func TestALoginThatLastsForACenturyIsKept(t *testing.T) {
	t.Parallel()
	now, p := time.Now(), New(Deps{})
	for _, expires := range []time.Time{now.AddDate(100, 0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)} {
		if renew := p.renewal(now, &backendSession{expires: expires}, time.Time{}); renew.Before(now.AddDate(79, 0, 0)) {
			t.Errorf("one that ends at %s is replaced at %s", expires, renew)
		}
	}
}

func TestASessionLivesAsLongAsItIsUsedAndValid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{expires: time.Hour}
		p := running(t, cluster())
		s := storeOf(b, "", "s", 1)
		want := func(what string, opens, closes int64) {
			t.Helper()
			synctest.Wait()
			if b.opens.Load() != opens || b.closes.Load() != closes {
				t.Errorf("%s: %d opened and %d closed, want %d and %d", what, b.opens.Load(), b.closes.Load(), opens, closes)
			}
		}
		for range 4 {
			mustFetch(t, p, request(s, "team", "a"))
			time.Sleep(10 * time.Minute)
		}
		want("used every ten minutes", 1, 0)
		time.Sleep(9 * time.Minute)
		mustFetch(t, p, request(s, "team", "a"))
		want("past four fifths of its lifetime", 2, 1)
		time.Sleep(20 * time.Minute)
		want("idle", 2, 2)
		mustFetch(t, p, request(s, "team", "a"))
		mustFetch(t, p, request(storeOf(b, "", "s", 2), "team", "a"))
		want("the store's configuration changed", 4, 3)
		p.Forget("s")
		want("the store was deleted", 4, 4)
	})
}

func TestATokenThatWasMintedIsReplacedBeforeItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{account: providers.AccountRef{Namespace: "team", Name: "reader"}}
		p := running(t, cluster())
		plain := struct{ providers.Provider }{hideExpiry{b}}
		s := storeOf(b, "", "s", 1)
		s.Provider = plain
		for range 12 {
			mustFetch(t, p, request(s, "team", "a"))
			time.Sleep(5 * time.Minute)
		}
		if got := b.opens.Load(); got != 2 {
			t.Errorf("%d sessions in an hour, want 2", got)
		}
	})
}

// The clock of who says when a login ends may be hours behind, and the login good.
func TestALoginThatSeemsToBeOverAsItComesIsNotMadeForEachQuestion(t *testing.T) {
	t.Parallel()
	for name, expires := range map[string]time.Duration{"an hour ago": -time.Hour, "in a moment": time.Second - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{expires: expires}
				p := running(t, cluster())
				for i := range 1000 { // in 100 s
					mustFetch(t, p, request(storeOf(b, "team", "s", 1), "team", fmt.Sprint("k", i)))
					time.Sleep(100 * time.Millisecond)
				}
				if got := b.opens.Load(); got != 4 {
					t.Errorf("%d logins for a thousand questions, want one in half a minute", got)
				}
			})
		})
	}
}

// hideExpiry opens sessions that know nothing about their login.
type hideExpiry struct{ *backend }

func (h hideExpiry) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	s, err := h.backend.Open(ctx, cfg, env)
	return struct{ providers.Session }{s}, err
}

func TestASessionThatIsDeniedSomethingIsOpenedAgainWhenItIsNotNew(t *testing.T) {
	t.Parallel()
	for name, denies := range map[string]func(id string, refs []providers.Ref) ([]providers.Result, error){
		"all": func(string, []providers.Ref) ([]providers.Result, error) {
			return nil, providers.Errorf(providers.ErrDenied, "token revoked")
		},
		"one document of several": func(id string, refs []providers.Ref) ([]providers.Result, error) {
			out := answer(id, refs)
			out[0] = providers.Result{Err: providers.Errorf(providers.ErrDenied, "token revoked")}
			return out, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := cluster(credentialSecret("team", "cred", "old"))
				b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
				b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
					if id == "old" && b.fetches.Load() > 1 {
						return denies(id, refs)
					}
					return answer(id, refs), nil
				}
				p := running(t, c)
				s := storeOf(b, "team", "s", 1)
				mustFetch(t, p, request(s, "team", "a"))
				results, err := p.Fetch(t.Context(), request(s, "team", "b", "c"))
				if err == nil {
					err = results[0].Err
				}
				if !errors.Is(err, providers.ErrDenied) {
					t.Fatalf("a new session that is denied: %v", err)
				}
				if err := c.Update(t.Context(), credentialSecret("team", "cred", "new")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(40 * time.Second)
				if got := mustFetch(t, p, request(s, "team", "b", "d")); got[0] != "new/b" {
					t.Errorf("read %q, want it with the new credential", got[0])
				}
				synctest.Wait()
				if b.opens.Load() != 2 || b.closes.Load() != 1 {
					t.Errorf("%d sessions, %d of them ended, want 2 and the first", b.opens.Load(), b.closes.Load())
				}
			})
		})
	}
}

func TestAReplacedCredentialReplacesTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cluster(credentialSecret("team", "cred", "old"))
		b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
		p := running(t, c)
		s := storeOf(b, "team", "s", 1)
		mustFetch(t, p, request(s, "team", "a"))
		if err := c.Update(t.Context(), credentialSecret("team", "cred", "new")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if got := mustFetch(t, p, request(s, "team", "a")); got[0] != "new/a" {
			t.Errorf("read %q with the credential that was replaced", got[0])
		}
		if err := c.Delete(t.Context(), credentialSecret("team", "cred", "")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if _, err := p.Fetch(t.Context(), request(s, "team", "a")); !errors.Is(err, providers.ErrNotFound) {
			t.Errorf("error %v, want not found: the credential is gone", err)
		}
	})
}

func TestAServiceAccountThatIsBoundToAnotherIdentityReplacesTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		account := func(role string) *corev1.ServiceAccount {
			return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "reader", Annotations: map[string]string{"role": role}}}
		}
		c := cluster(account("old"))
		b := &backend{annotated: providers.AccountRef{Name: "reader"}}
		p := running(t, c)
		s := storeOf(b, "team", "s", 1)
		if got := mustFetch(t, p, request(s, "team", "a")); got[0] != "old/a" {
			t.Fatalf("read %q", got[0])
		}
		if err := c.Update(t.Context(), account("new")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if got := mustFetch(t, p, request(s, "team", "a")); got[0] != "new/a" {
			t.Errorf("read %q, want it with the identity that the account has now", got[0])
		}
		if err := c.Delete(t.Context(), account("")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if _, err := p.Fetch(t.Context(), request(s, "team", "a")); !errors.Is(err, providers.ErrNotFound) {
			t.Errorf("error %v, want not found: the account is gone", err)
		}
	})
}

func TestASessionThatCannotBeOpenedIsTriedOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{open: func() error { return providers.Errorf(providers.ErrDenied, "wrong password") }}
		p := running(t, cluster())
		for range 30 {
			if _, err := p.Fetch(t.Context(), request(storeOf(b, "", "s", 1), "team", "a")); !errors.Is(err, providers.ErrDenied) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := b.opens.Load(); got > 4 {
			t.Errorf("%d attempts in three seconds", got)
		}
	})
}

func TestCredentialsAreConfinedToTheNamespacesOfTheStore(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		store, asks, refers string
		want                string
		err                 error
	}{
		"a SecretStore uses its own namespace":                  {store: "a", asks: "a", want: "of-a/k"},
		"a SecretStore may name its own namespace":              {store: "a", asks: "a", refers: "a", want: "of-a/k"},
		"a SecretStore may not name another":                    {store: "a", asks: "a", refers: "b", err: providers.ErrInvalid},
		"a SecretStore serves no other namespace":               {store: "a", asks: "b", err: providers.ErrInvalid},
		"a ClusterSecretStore uses the namespace that it names": {asks: "a", refers: "b", want: "of-b/k"},
		"a ClusterSecretStore uses the namespace that asks":     {asks: "b", want: "of-b/k"},
		"a namespace without the credential gets nothing":       {asks: "c", err: providers.ErrNotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &backend{credential: providers.ObjectRef{Namespace: tt.refers, Name: "cred", Key: "token"}}
			p := running(t, cluster(credentialSecret("a", "cred", "of-a"), credentialSecret("b", "cred", "of-b")))
			results, err := p.Fetch(t.Context(), request(storeOf(b, tt.store, "s", 1), tt.asks, "k"))
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil && read(t, results[0]) != tt.want {
				t.Errorf("read %q, want %q", read(t, results[0]), tt.want)
			}
		})
	}
}

func TestAClusterStoreThatNamesItsCredentialsIsOpenedOnceForAllNamespaces(t *testing.T) {
	t.Parallel()
	shared := &backend{credential: providers.ObjectRef{Namespace: "ops", Name: "cred", Key: "token"}}
	p := running(t, cluster(credentialSecret("ops", "cred", "ops")))
	s := storeOf(shared, "", "s", 1)
	for _, ns := range []string{"a", "b", "c"} {
		mustFetch(t, p, request(s, ns, "k"))
	}
	if shared.opens.Load() != 1 || shared.fetches.Load() != 1 {
		t.Errorf("%d sessions and %d calls for three namespaces, want one of each", shared.opens.Load(), shared.fetches.Load())
	}
}

// lenient opens a session with an identity of its own when the store's credential cannot be had.
type lenient struct{ *backend }

func (l lenient) Open(ctx context.Context, _ providers.Config, env providers.Env) (providers.Session, error) {
	s := &backendSession{backend: l.backend, identity: "its own"}
	if value, err := env.Secret(ctx, providers.ObjectRef{Name: "cred", Key: "token"}); err == nil {
		s.identity = string(value)
	}
	return s, nil
}

func TestWhatAProviderFindsInsteadOfANamespacesCredentialIsNotUsed(t *testing.T) {
	t.Parallel()
	b := &backend{fetch: func(_ context.Context, identity string, refs []providers.Ref) ([]providers.Result, error) {
		if identity == "its own" {
			t.Error("the backend is asked with it")
		}
		return answer(identity, refs), nil
	}}
	p := running(t, cluster(credentialSecret("a", "cred", "of-a"), credentialSecret("b", "cred", "of-b")))
	s := storeOf(b, "", "s", 1)
	s.Provider = lenient{b}
	for ns, want := range map[string]string{"a": "of-a/k", "b": "of-b/k"} {
		if got := mustFetch(t, p, request(s, ns, "k")); len(got) != 1 || got[0] != want {
			t.Errorf("namespace %s read %q, want %q", ns, got, want)
		}
	}
}

// A session that got along without a credential, as one does without an optional bundle, is not what the store says once it
// is there.
func TestACredentialThatWasMissingReplacesTheSessionWhenItComesIntoBeing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cluster()
		b := &backend{}
		p := running(t, c)
		s := storeOf(b, "team", "s", 1)
		s.Provider = lenient{b}
		for range 3 { // as long as it is missing, the session stays
			if got := mustFetch(t, p, request(s, "team", "a")); got[0] != "its own/a" {
				t.Fatalf("read %q", got[0])
			}
			time.Sleep(61 * time.Second)
		}
		if err := c.Create(t.Context(), credentialSecret("team", "cred", "new")); err != nil {
			t.Fatal(err)
		}
		if got := mustFetch(t, p, request(s, "team", "a")); got[0] != "new/a" {
			t.Errorf("read %q, want it with the credential that is there now", got[0])
		}
		if synctest.Wait(); b.closes.Load() != 1 {
			t.Errorf("%d sessions are closed, want the first alone", b.closes.Load())
		}
	})
}

func TestAStoreOfReferentCredentialsCannotBeCheckedWithoutANamespace(t *testing.T) {
	t.Parallel()
	b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
	p := running(t, cluster(credentialSecret("a", "cred", "of-a")))
	s := storeOf(b, "", "s", 1)
	for range 2 { // before and after the pool knows it
		if _, err := p.Check(t.Context(), s, 0); !errors.Is(err, ErrReferent) {
			t.Errorf("Check: %v, want ErrReferent", err)
		}
		mustFetch(t, p, request(s, "a", "k"))
	}
}

// TestNoIdentityEverReadsWithAnother lets many namespaces use many stores of every kind at the same time, while
// credentials are denied, stores change and sessions are forgotten, and looks at whose credential each answer was read with.
func TestNoIdentityEverReadsWithAnother(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"a document in a request": 1, "four documents in a request": 4} {
		t.Run(name, func(t *testing.T) { noIdentityReadsWithAnother(t, size) })
	}
}

func noIdentityReadsWithAnother(t *testing.T, size int) {
	t.Parallel()
	namespaces := []string{"a", "b", "c", "d"}
	var objs []client.Object
	for _, ns := range append(namespaces, "ops") {
		objs = append(objs, credentialSecret(ns, "cred", ns))
	}
	p := running(t, cluster(objs...))
	p.limits.Reopen, p.limits.Recheck = time.Millisecond, time.Millisecond
	var together atomic.Int64
	newBackend := func(namespace string) *batching {
		b := newBatching(size, 0)
		b.credential = providers.ObjectRef{Namespace: namespace, Name: "cred", Key: "token"}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if rand.IntN(20) == 0 {
				return nil, providers.ErrDenied
			}
			if size > 1 {
				together.Add(int64(len(refs) / 3))                           // there are two in a request
				time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) // others join meanwhile
			}
			return answer(id, refs), nil
		}
		return b
	}
	storeOf := func(b *batching, namespace, uid string, generation int64) Store {
		s := storeOf(b.backend, namespace, uid, generation)
		if size > 1 {
			s.Provider = b
		}
		return s
	}
	referent, shared := newBackend(""), newBackend("ops")
	own := map[string]*batching{}
	for _, ns := range namespaces {
		own[ns] = newBackend("")
	}
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			ns := namespaces[worker%len(namespaces)]
			for i := range 150 {
				generation := int64(1 + i/50)
				var s Store
				want := ns
				switch rand.IntN(3) {
				case 0:
					s = storeOf(referent, "", "referent", generation)
				case 1:
					s, want = storeOf(shared, "", "shared", generation), "ops"
				case 2:
					s = storeOf(own[ns], ns, "own-"+ns, generation)
				}
				req := request(s, ns, fmt.Sprintf("k%d", rand.IntN(3)), "k9")
				req.Forced = rand.IntN(5) == 0
				if size > 1 {
					req.MaxAge, req.Interval = 20*time.Millisecond, 20*time.Millisecond // it will ask again soon
				}
				results, err := p.Fetch(t.Context(), req)
				if errors.Is(err, providers.ErrDenied) {
					continue
				}
				if err != nil {
					t.Errorf("fetch: %v", err)
					return
				}
				got := []string{read(t, results[0]), read(t, results[1])}
				if diff := cmp.Diff([]string{want + "/" + req.Refs[0].Key, want + "/k9"}, got); diff != "" {
					t.Errorf("namespace %s read with another identity (-want +got):\n%s", ns, diff)
					return
				}
				if rand.IntN(30) == 0 {
					p.Forget(s.UID)
				}
			}
		})
	}
	wg.Wait()
	if n := together.Load(); size > 1 && n == 0 {
		t.Error("no call holds what several have asked for: the test would say nothing of them")
	}
}

// The generations of a cluster that was restored from a backup have the numbers of others.
func TestAConfigurationOfTheSameGenerationThatIsAnotherIsOpenedAnew(t *testing.T) {
	t.Parallel()
	b := &backend{}
	p := running(t, cluster())
	for turn, tc := range []struct {
		version string
		opens   int64
	}{{"1", 1}, {"1", 1}, {"2", 2}, {"2", 2}, {"1", 3}} {
		s := storeOf(b, "team", "s", 1)
		s.Config.Spec = &stores.Fake{Data: []stores.FakeData{{Key: "a", Value: tc.version}}}
		var asking sync.WaitGroup
		for range 3 { // also while it is being opened
			asking.Go(func() {
				if _, err := p.Fetch(t.Context(), request(s, "team", "a")); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		if opens := b.opens.Load(); opens != tc.opens {
			t.Errorf("turn %d: opened %d times, want %d", turn, opens, tc.opens)
		}
	}
}

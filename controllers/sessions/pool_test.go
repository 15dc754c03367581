package sessions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sealbridge/sealbridge/providers"
)

// backend is a provider whose faults and credentials a test controls. Its documents say under which identity they were
// read: "<credential>/<key>".
type backend struct {
	// credential is read when a session is opened; without a name none is.
	credential providers.ObjectRef
	account    providers.AccountRef
	// fetch, when set, stands in for the answer.
	fetch func(ctx context.Context, identity string, refs []providers.Ref) ([]providers.Result, error)
	open  func() error
	// expires is what the sessions say about their login.
	expires time.Duration

	opens, fetches, asked, closes atomic.Int64
}

func (*backend) Name() string                                  { return "backend" }
func (*backend) Validate(providers.Config) []providers.Problem { return nil }

func (b *backend) Open(ctx context.Context, _ providers.Config, env providers.Env) (providers.Session, error) {
	b.opens.Add(1)
	if b.open != nil {
		if err := b.open(); err != nil {
			return nil, err
		}
	}
	identity := "none"
	if b.credential.Name != "" {
		value, err := env.Secret(ctx, b.credential)
		if err != nil {
			return nil, err
		}
		identity = string(value)
	}
	if b.account.Name != "" {
		if _, err := env.ServiceAccountToken(ctx, b.account); err != nil {
			return nil, err
		}
	}
	s := &backendSession{backend: b, identity: identity}
	if b.expires > 0 {
		s.expires = time.Now().Add(b.expires)
	}
	return s, nil
}

type backendSession struct {
	*backend
	identity string
	expires  time.Time
	closed   atomic.Bool
}

func (s *backendSession) Expires() time.Time { return s.expires }

func (s *backendSession) Close() error {
	s.closes.Add(1)
	if s.closed.Swap(true) {
		panic("closed twice")
	}
	return nil
}

func (s *backendSession) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	if s.closed.Load() {
		panic("used after close")
	}
	s.fetches.Add(1)
	s.asked.Add(int64(len(refs)))
	if s.fetch != nil {
		return s.fetch(ctx, s.identity, refs)
	}
	return answer(s.identity, refs), nil
}

func answer(identity string, refs []providers.Ref) []providers.Result {
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		out[i].Document = text(identity + "/" + ref.Key)
	}
	return out
}

type text string

func (t text) Value(string) (providers.Value, error)             { return providers.NewValue([]byte(t)), nil }
func (t text) Fields(string) (map[string]providers.Value, error) { return nil, providers.ErrInvalid }

func read(t *testing.T, r providers.Result) string {
	t.Helper()
	if r.Err != nil {
		t.Fatalf("result: %v", r.Err)
	}
	v, err := r.Document.Value("")
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Bytes())
}

func storeOf(b *backend, namespace, uid string, generation int64) Store {
	kind := "ClusterSecretStore"
	if namespace != "" {
		kind = "SecretStore " + namespace
	}
	return Store{Namespace: namespace, UID: types.UID(uid), Generation: generation, Provider: b,
		Config: providers.Config{Store: kind + "/" + uid}}
}

func credentialSecret(namespace, name, value string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"token": []byte(value)}}
}

// cluster returns a client that holds the objects and mints tokens that last an hour.
func cluster(objs ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithObjects(objs...).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceCreate: func(_ context.Context, _ client.Client, _ string, _ client.Object, sub client.Object, _ ...client.SubResourceCreateOption) error {
			request := sub.(*authenticationv1.TokenRequest)
			request.Status.Token = "token"
			request.Status.ExpirationTimestamp = metav1.NewTime(time.Now().Add(time.Duration(*request.Spec.ExpirationSeconds) * time.Second))
			return nil
		},
	}).Build()
}

// running returns a started pool that is closed at the end of the test.
func running(t *testing.T, c client.Client) *Pool {
	t.Helper()
	p := New(Deps{Reader: c, Tokens: c})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Start: %v", err)
		}
	})
	return p
}

func request(s Store, namespace string, keys ...string) Request {
	req := Request{Store: s, Namespace: namespace, MaxAge: time.Minute}
	for _, k := range keys {
		req.Refs = append(req.Refs, providers.Ref{Key: k})
	}
	return req
}

func mustFetch(t *testing.T, p *Pool, req Request) []string {
	t.Helper()
	results, err := p.Fetch(t.Context(), req)
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	out := make([]string, len(results))
	for i, r := range results {
		out[i] = read(t, r)
	}
	return out
}

func TestEqualRequestsThatAreUnderWayShareOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{fetch: func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			time.Sleep(time.Second)
			return answer(id, refs), nil
		}}
		p := running(t, cluster())
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				req := request(storeOf(b, "", "s", 1), "team", "a")
				req.MaxAge = 0
				if got := mustFetch(t, p, req); got[0] != "none/a" {
					t.Errorf("got %q", got)
				}
			})
		}
		wg.Wait()
		if b.opens.Load() != 1 || b.fetches.Load() != 1 {
			t.Errorf("%d sessions and %d calls, want one of each", b.opens.Load(), b.fetches.Load())
		}
	})
}

func TestADocumentIsReusedWhileItIsYoungEnoughForTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		p := running(t, cluster())
		ask := func(maxAge time.Duration, forced bool) int64 {
			req := request(storeOf(b, "", "s", 1), "team", "a", "a")
			req.MaxAge, req.Forced = maxAge, forced
			before := b.asked.Load()
			mustFetch(t, p, req)
			return b.asked.Load() - before
		}
		steps := []struct {
			name   string
			after  time.Duration
			maxAge time.Duration
			forced bool
			calls  int64
		}{
			{"the first request asks, once for both", 0, time.Minute, false, 1},
			{"young enough", 30 * time.Second, time.Minute, false, 0},
			{"a request that allows nothing asks", 0, 0, false, 1},
			{"too old for this request", 10 * time.Second, 5 * time.Second, false, 1},
			{"a forced one always asks", 0, time.Minute, true, 1},
			{"what a forced one brought is reused", time.Second, time.Minute, false, 0},
			{"never longer than a minute", 90 * time.Second, time.Hour, false, 1},
		}
		for _, s := range steps {
			time.Sleep(s.after)
			if got := ask(s.maxAge, s.forced); got != s.calls {
				t.Errorf("%s: %d documents asked for, want %d", s.name, got, s.calls)
			}
		}
	})
}

func TestAForcedRequestJoinsNoCallThatWasStartedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var value atomic.Value
		value.Store("old")
		b := &backend{fetch: func(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
			read := value.Load().(string)
			time.Sleep(time.Second)
			return answer(read, refs), nil
		}}
		p := running(t, cluster())
		s := storeOf(b, "", "s", 1)
		var wg sync.WaitGroup
		wg.Go(func() { mustFetch(t, p, request(s, "team", "a")) })
		synctest.Wait()
		value.Store("new")
		forced := request(s, "team", "a")
		forced.Forced = true
		if got := mustFetch(t, p, forced); got[0] != "new/a" {
			t.Errorf("a forced request got %q, which was read before it", got[0])
		}
		wg.Wait()
		if got := mustFetch(t, p, request(s, "team", "a")); got[0] != "new/a" {
			t.Errorf("the older answer %q replaced the newer one", got[0])
		}
	})
}

func TestABadRefFailsAlone(t *testing.T) {
	t.Parallel()
	b := &backend{fetch: func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
		out := answer(id, refs)
		for i, ref := range refs {
			if ref.Key == "missing" {
				out[i] = providers.Result{Err: providers.ErrNotFound}
			}
		}
		return out, nil
	}}
	p := running(t, cluster())
	results, err := p.Fetch(t.Context(), request(storeOf(b, "", "s", 1), "team", "a", "missing", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if read(t, results[0]) != "none/a" || !errors.Is(results[1].Err, providers.ErrNotFound) || read(t, results[2]) != "none/b" {
		t.Errorf("results %+v", results)
	}
}

func TestWhatAProviderDoesWrongIsUnavailable(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3e9b"
	tests := map[string]*backend{
		"it panics with a value": {fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) { panic(canary) }},
		"it answers fewer": {fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			return nil, nil
		}},
		"it answers nothing for a key": {fetch: func(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
			return make([]providers.Result, len(refs)), nil
		}},
		"it panics while opening": {open: func() error { panic(canary) }},
		"it hangs until it is told to stop": {fetch: func(ctx context.Context, _ string, _ []providers.Ref) ([]providers.Result, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		"it does not stop when told": {fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			time.Sleep(time.Hour)
			return nil, nil
		}},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := running(t, cluster())
				began := time.Now()
				results, err := p.Fetch(t.Context(), request(storeOf(b, "", "s", 1), "team", "a"))
				if err == nil {
					err = results[0].Err
				}
				if !errors.Is(err, providers.ErrUnavailable) {
					t.Fatalf("error %v, want one of class unavailable", err)
				}
				if strings.Contains(err.Error(), canary) {
					t.Errorf("the error quotes what the provider panicked with: %v", err)
				}
				if took := time.Since(began); took > 25*time.Second {
					t.Errorf("the request took %s", took)
				}
				time.Sleep(2 * time.Hour) // the provider that does not stop returns, so that the bubble ends
			})
		})
	}
}

func TestRetrySettingsRepeatWhatIsUnavailable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err   error
		calls int64
	}{
		"unavailable is repeated":   {providers.ErrUnavailable, 3},
		"denied is not":             {providers.ErrDenied, 1},
		"throttled is not":          {&providers.ThrottledError{}, 1},
		"a key not found is not":    {providers.ErrNotFound, 1},
		"no class means unvailable": {errors.New("some error"), 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) { return nil, tt.err }}
				p := running(t, cluster())
				s := storeOf(b, "", "s", 1)
				s.Retries, s.RetryInterval = 2, 10*time.Second
				if _, err := p.Fetch(t.Context(), request(s, "team", "a")); !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				if got := b.fetches.Load(); got != tt.calls {
					t.Errorf("%d calls, want %d", got, tt.calls)
				}
			})
		})
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

// hideExpiry opens sessions that know nothing about their login.
type hideExpiry struct{ *backend }

func (h hideExpiry) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	s, err := h.backend.Open(ctx, cfg, env)
	return struct{ providers.Session }{s}, err
}

func TestASessionThatIsDeniedSomethingIsOpenedAgainWhenItIsNotNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cluster(credentialSecret("team", "cred", "old"))
		b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if id == "old" && b.fetches.Load() > 1 {
				return nil, providers.Errorf(providers.ErrDenied, "token revoked")
			}
			return answer(id, refs), nil
		}
		p := running(t, c)
		s := storeOf(b, "team", "s", 1)
		mustFetch(t, p, request(s, "team", "a"))
		if _, err := p.Fetch(t.Context(), request(s, "team", "b")); !errors.Is(err, providers.ErrDenied) {
			t.Fatalf("a new session that is denied: %v", err)
		}
		if err := c.Update(t.Context(), credentialSecret("team", "cred", "new")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		if got := mustFetch(t, p, request(s, "team", "b")); got[0] != "new/b" {
			t.Errorf("read %q, want it with the new credential", got[0])
		}
		if b.opens.Load() != 2 {
			t.Errorf("%d sessions, want 2", b.opens.Load())
		}
	})
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
	secrets := []client.Object{credentialSecret("a", "cred", "of-a"), credentialSecret("b", "cred", "of-b")}
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
			p := running(t, cluster(secrets...))
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

func TestAStoreOfReferentCredentialsCannotBeCheckedWithoutANamespace(t *testing.T) {
	t.Parallel()
	b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
	p := running(t, cluster(credentialSecret("a", "cred", "of-a")))
	s := storeOf(b, "", "s", 1)
	for range 2 { // before and after the pool knows it
		if err := p.Check(t.Context(), s); !errors.Is(err, ErrReferent) {
			t.Errorf("Check: %v, want ErrReferent", err)
		}
		mustFetch(t, p, request(s, "a", "k"))
	}
}

// TestNoIdentityEverReadsWithAnother lets many namespaces use many stores of every kind at the same time, while
// credentials are denied, stores change and sessions are forgotten, and looks at whose credential each answer was read with.
func TestNoIdentityEverReadsWithAnother(t *testing.T) {
	t.Parallel()
	namespaces := []string{"a", "b", "c", "d"}
	var objs []client.Object
	for _, ns := range append(namespaces, "ops") {
		objs = append(objs, credentialSecret(ns, "cred", ns))
	}
	p := running(t, cluster(objs...))
	p.limits.Reopen, p.limits.Recheck = time.Millisecond, time.Millisecond
	newBackend := func(namespace string) *backend {
		b := &backend{credential: providers.ObjectRef{Namespace: namespace, Name: "cred", Key: "token"}}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if rand.IntN(20) == 0 {
				return nil, providers.ErrDenied
			}
			return answer(id, refs), nil
		}
		return b
	}
	referent, shared := newBackend(""), newBackend("ops")
	own := map[string]*backend{}
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
}

func TestABackendThatIsDownIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		down := true
		b.fetch = func(ctx context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if down {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		s := storeOf(b, "", "s", 1)
		began := time.Now()
		for i := range 500 { // one worker, which others wait for
			if _, err := p.Fetch(t.Context(), request(s, "team", fmt.Sprintf("k%d", i))); !errors.Is(err, providers.ErrUnavailable) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if calls := b.fetches.Load(); calls > 12 {
			t.Errorf("%d calls to a backend that is down", calls)
		}
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("500 requests took %s", took)
		}
		down = false
		time.Sleep(maxPause)
		for i := range 10 {
			mustFetch(t, p, request(s, "team", fmt.Sprintf("k%d", i)))
		}
	})
}

func TestABackendThatThrottlesIsLeftAloneAsLongAsItAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			return nil, &providers.ThrottledError{After: 30 * time.Second}
		}}
		p := running(t, cluster())
		for range 55 {
			var throttled *providers.ThrottledError
			if _, err := p.Fetch(t.Context(), request(storeOf(b, "", "s", 1), "team", "a")); !errors.As(err, &throttled) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(time.Second)
		}
		if calls := b.fetches.Load(); calls != 2 {
			t.Errorf("%d calls in 55 seconds, want 2", calls)
		}
	})
}

func TestAClosedPoolIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := &backend{fetch: func(ctx context.Context, _ string, _ []providers.Ref) ([]providers.Result, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		c := cluster()
		p := New(Deps{Reader: c, Tokens: c})
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan struct{})
		go func() { _ = p.Start(ctx); close(started) }()
		failed := make(chan error, 1)
		go func() {
			_, err := p.Fetch(t.Context(), request(storeOf(hang, "", "s", 1), "team", "a"))
			failed <- err
		}()
		synctest.Wait()
		began := time.Now()
		cancel()
		<-started
		if err := <-failed; err == nil {
			t.Error("a request under way succeeded though its session was closed")
		}
		if time.Since(began) > time.Second {
			t.Error("closing waited for a call that had been canceled")
		}
		if _, err := p.Fetch(t.Context(), request(storeOf(hang, "", "s", 1), "team", "a")); !errors.Is(err, providers.ErrUnavailable) {
			t.Errorf("a request after the end: %v", err)
		}
		synctest.Wait()
		if hang.closes.Load() != 1 {
			t.Errorf("%d sessions closed, want 1", hang.closes.Load())
		}
	})
}

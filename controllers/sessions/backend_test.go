package sessions

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

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
	annotated  providers.AccountRef
	// ambient is what the configuration says that it leaves to the controller, and found what shows only when it is opened.
	ambient, found *providers.Ambient
	// fetch, when set, stands in for the answer.
	fetch func(ctx context.Context, identity string, refs []providers.Ref) ([]providers.Result, error)
	open  func() error
	// expires is what the sessions say about their login.
	expires time.Duration

	opens, fetches, asked, closes atomic.Int64
}

func (*backend) Name() string                                  { return "backend" }
func (*backend) Validate(providers.Config) []providers.Problem { return nil }
func (b *backend) Ambient(providers.Config) *providers.Ambient { return b.ambient }

func (b *backend) Open(ctx context.Context, _ providers.Config, env providers.Env) (providers.Session, error) {
	b.opens.Add(1)
	if b.open != nil {
		if err := b.open(); err != nil {
			return nil, err
		}
	}
	if b.found != nil {
		if err := env.Ambient(*b.found); err != nil {
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
	if b.annotated.Name != "" {
		annotations, err := env.Annotations(ctx, b.annotated)
		if err != nil {
			return nil, err
		}
		identity = annotations["role"]
	}
	s := &backendSession{backend: b, identity: identity}
	if b.expires != 0 {
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
func (t text) Size() int                                         { return len(t) }

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

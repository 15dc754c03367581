package sessions

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sealbridge/sealbridge/providers"
)

// Every kind of object that a provider may ask for is confined, also those that hold no secret: a CA bundle of another
// namespace shows what is in it by which certificates are accepted (CVE-2026-42875 of External Secrets Operator).
func TestNoKindOfObjectIsLentFromAnotherNamespace(t *testing.T) {
	t.Parallel()
	c := cluster(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "x", Labels: map[string]string{"type": "webhook"}}, Data: map[string][]byte{"k": []byte("v")}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "x"}, Data: map[string]string{"k": "v"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "x"}},
	)
	ref, account := providers.ObjectRef{Namespace: "b", Name: "x", Key: "k"}, providers.AccountRef{Namespace: "b", Name: "x"}
	kinds := map[string]func(*env) error{
		"Secret":                       func(e *env) error { _, err := e.Secret(t.Context(), ref); return err },
		"Secret's data":                func(e *env) error { _, err := e.SecretData(t.Context(), ref, "type", "webhook"); return err },
		"ConfigMap":                    func(e *env) error { _, err := e.ConfigMap(t.Context(), ref); return err },
		"ServiceAccount":               func(e *env) error { _, err := e.ServiceAccountToken(t.Context(), account, "vault"); return err },
		"ServiceAccount's annotations": func(e *env) error { _, err := e.Annotations(t.Context(), account); return err },
	}
	for kind, ask := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			of := func(namespace string, confined bool) *env {
				return &env{store: "the store", reader: c, tokens: c, namespace: namespace, confined: confined}
			}
			named, _, _ := strings.Cut(kind, "'s ")
			err := ask(of("a", true))
			if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "the store may not use "+named+" b/x") {
				t.Errorf("a SecretStore of another namespace: %v", err)
			}
			if err := ask(of("b", true)); err != nil {
				t.Errorf("a SecretStore of the same namespace: %v", err)
			}
			if err := ask(of("a", false)); err != nil {
				t.Errorf("a ClusterSecretStore: %v", err)
			}
		})
	}
}

func TestAWholeSecretIsLentOnlyWithItsLabel(t *testing.T) {
	t.Parallel()
	c := cluster(credentialSecret("a", "plain", "v"),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "other", Labels: map[string]string{"type": "x"}}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "good", Labels: map[string]string{"type": "webhook"}}, Data: map[string][]byte{"k": []byte("v"), "l": nil}})
	e := &env{store: "the store", reader: c, namespace: "a", confined: true}
	for name, want := range map[string]string{"plain": `needs the label "type": "webhook"`, "other": `needs the label "type": "webhook"`, "good": "", "none": "does not exist"} {
		data, err := e.SecretData(t.Context(), providers.ObjectRef{Name: name}, "type", "webhook")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && len(data) != 2 {
			t.Errorf("%s: %d, %v", name, len(data), err)
		}
	}
}

func TestTheFirstTokenToExpireSaysHowLongACredentialLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cluster()
		e := &env{store: "the store", reader: c, tokens: c, namespace: "a"}
		var first providers.Token
		for i, lasts := range []time.Duration{2 * time.Hour, time.Hour, 2 * time.Hour} { // the API server may say how long
			e.tokens = minting(lasts)
			token, err := e.ServiceAccountToken(t.Context(), providers.AccountRef{Name: "reader"})
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				first = token
			}
			time.Sleep(10 * time.Minute)
		}
		if got := e.expiry(); !got.Equal(first.Expires) {
			t.Errorf("it lasts until %s, want %s", got, first.Expires)
		}
	})
}

// minting is a cluster whose tokens last for a time, whatever is asked for.
func minting(lasts time.Duration) client.WithWatch {
	return interceptor.NewClient(cluster(), interceptor.Funcs{
		SubResourceCreate: func(_ context.Context, _ client.Client, _ string, _ client.Object, sub client.Object, _ ...client.SubResourceCreateOption) error {
			sub.(*authenticationv1.TokenRequest).Status.ExpirationTimestamp = metav1.NewTime(time.Now().Add(lasts))
			return nil
		},
	})
}

// A certificate and its key, and the two halves of an access key, are often in one Secret.
func TestASessionThatWasOpenedWithHalvesOfTwoCredentialsIsOpenedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cluster(credentialSecret("team", "cred", "old"))
		b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
		s := storeOf(b, "team", "s", 1)
		s.Provider = halves{b, func() {
			if err := c.Update(t.Context(), credentialSecret("team", "cred", "new")); err != nil {
				t.Error(err)
			}
		}}
		p := running(t, c)
		mustFetch(t, p, request(s, "team", "a"))
		time.Sleep(p.limits.Recheck)
		mustFetch(t, p, request(s, "team", "b"))
		if opens := b.opens.Load(); opens != 2 {
			t.Errorf("opened %d times", opens)
		}
	})
}

// halves reads a credential twice, and the first time something happens in between.
type halves struct {
	*backend
	between func()
}

func (h halves) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if _, err := env.Secret(ctx, h.credential); err != nil {
		return nil, err
	}
	if h.opens.Load() == 0 {
		h.between()
	}
	return h.backend.Open(ctx, cfg, env)
}

// What is denied or cannot be asked is not what does not exist: that may be cured by nobody, and the others by time.
func TestACredentialThatCannotBeReadHasTheClassOfItsCause(t *testing.T) {
	t.Parallel()
	secrets := schema.GroupResource{Resource: "secrets"}
	for name, tc := range map[string]struct {
		err   error
		class error
		says  string
	}{
		"missing":     {apierrors.NewNotFound(secrets, "s"), providers.ErrNotFound, "Secret a/s does not exist"},
		"denied":      {apierrors.NewForbidden(secrets, "s", errors.New("canary")), providers.ErrDenied, `grant its ServiceAccount "get secrets" in namespace a`},
		"unreachable": {errors.New("dial canary"), providers.ErrUnavailable, "read Secret a/s: the API server could not be reached"},
		"too busy":    {apierrors.NewTooManyRequests("canary", 1), providers.ErrUnavailable, "read Secret a/s: the API server answered TooManyRequests"},
	} {
		err := accessError(tc.err, "read", "get secrets", "Secret", "a", "s")
		for _, class := range []error{providers.ErrNotFound, providers.ErrDenied, providers.ErrUnavailable, providers.ErrInvalid} {
			if errors.Is(err, class) != errors.Is(tc.class, class) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %q, want %q", name, err, tc.says)
		}
	}
	e := &env{store: "the store", namespace: "a"}
	if _, err := e.Secret(t.Context(), providers.ObjectRef{Key: "k"}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "the store refers to a Secret without a name") {
		t.Errorf("a reference without a name: %v", err)
	}
}

func TestWhatTheAPIServerRefusesIsNotLent(t *testing.T) {
	t.Parallel()
	denied := apierrors.NewForbidden(schema.GroupResource{}, "s", errors.New("canary"))
	c := interceptor.NewClient(cluster(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return denied
		},
		SubResourceCreate: func(context.Context, client.Client, string, client.Object, client.Object, ...client.SubResourceCreateOption) error {
			return denied
		},
	})
	e := &env{store: "the store", reader: c, tokens: c, namespace: "a"}
	ref := providers.ObjectRef{Name: "s", Key: "k"}
	for grant, ask := range map[string]func() error{
		"get secrets":         func() error { _, err := e.Secret(t.Context(), ref); return err },
		"get configmaps":      func() error { _, err := e.ConfigMap(t.Context(), ref); return err },
		"get serviceaccounts": func() error { _, err := e.Annotations(t.Context(), providers.AccountRef{Name: "s"}); return err },
		"create serviceaccounts/token": func() error {
			_, err := e.ServiceAccountToken(t.Context(), providers.AccountRef{Name: "s"})
			return err
		},
	} {
		if err := ask(); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), `"`+grant+`"`) {
			t.Errorf("%s: %v", grant, err)
		}
	}
	if len(e.lendings()) != 0 || !e.expiry().IsZero() {
		t.Error("something is believed to have been lent")
	}
}

func TestAKeyOfAConfigMapIsTextOrBytes(t *testing.T) {
	t.Parallel()
	c := cluster(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "ca"},
		Data: map[string]string{"text": "t"}, BinaryData: map[string][]byte{"bytes": {0xff}}})
	e := &env{store: "the store", reader: c, namespace: "a"}
	for key, want := range map[string]string{"text": "t", "bytes": "\xff", "none": ""} {
		got, err := e.ConfigMap(t.Context(), providers.ObjectRef{Name: "ca", Key: key})
		if string(got) != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, providers.ErrNotFound) {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
}

func TestTheCredentialsOfASessionThatIsUsedAreComparedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		c := interceptor.NewClient(cluster(credentialSecret("team", "cred", "v")), interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
				reads++
				return c.Get(ctx, key, into, opts...)
			},
		})
		p := running(t, c)
		s := storeOf(&backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}, "team", "s", 1)
		for range 600 { // ten minutes
			mustFetch(t, p, request(s, "team", "a"))
			time.Sleep(time.Second)
		}
		if reads < 9 || reads > 11 {
			t.Errorf("it is read %d times in ten minutes", reads)
		}
	})
}

package sealhttp_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// holder holds a key and does not use it for anybody.
type holder struct {
	keyring.Key
	recipient *agebox.Recipient
}

func (holder) Since() time.Time               { return time.Unix(1800000000, 0) }
func (holder) Holder() string                 { return "a test" }
func (h holder) Recipient() *agebox.Recipient { return h.recipient }

func (holder) Unwrap(context.Context, keyring.Lock) ([]byte, error) {
	return nil, errors.New("the holder is down")
}

func heldKey(t *testing.T) holder {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r, err := agebox.NewHeld("transit/k", "1", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return holder{keyring.NewPrivateKey(key), r}
}

func TestWhereSomebodyElseHoldsTheKeyItIsSealedToAndNoOther(t *testing.T) {
	t.Parallel()
	own, tenant, recovery, held := identityOf(t, 0), identityOf(t, 0), identityOf(t, 0), heldKey(t)
	unread, read := keyring.New().With(own), keyring.New().With(own, held)
	// A key of a namespace that is of the other format, where the common ones open too and where they do not; and keys of the cluster's
	// own that are newer than the held one.
	compat, newer := generate(t, 0), identityOf(t, -365*24*time.Hour)
	renewed := keyring.New().With(newer, held)
	tenants := func(common *keyring.Ring) *keyring.Ring {
		return common.WithNamespaces(map[string]*keyring.Ring{
			"tenant": keyring.New().With(tenant).Then(common), "allowing": keyring.New(compat).Then(common), "denying": keyring.New(compat)})
	}
	for name, test := range map[string]struct {
		ring     *keyring.Ring
		path     string
		recovery *agebox.Recipient
		code     int
		want     string
	}{
		"the held key":                      {read, "", nil, 200, held.recipient.String()},
		"as long as it is not known":        {unread, "", nil, 503, "has not said which it is"},
		"a recovery key of its kind":        {read, "", heldKey(t).recipient, 200, held.recipient.String()},
		"a recovery key of the other kind":  {read, "", recovery.Recipient(), 503, "cannot be mixed"},
		"a namespace with a key of its own": {tenants(read), "?namespace=tenant", nil, 200, tenant.Recipient().String()},
		"a namespace without one":           {tenants(read), "?namespace=other", nil, 200, held.recipient.String()},
		"one of the other format":           {tenants(read), "?namespace=allowing", nil, 200, held.recipient.String()},
		"the same, the held key being old":  {tenants(renewed), "?namespace=allowing", nil, 200, held.recipient.String()},
		"the same, not known yet":           {tenants(unread), "?namespace=allowing", nil, 503, "has not said which it is"},
		"the same, that alone opening":      {tenants(read), "?namespace=denying", nil, 503, string(sealing.NoKeyOfNamespace)},
	} {
		options := sealhttp.Options{Held: true}
		if test.recovery != nil {
			options.Recovery = []*agebox.Recipient{test.recovery}
		}
		w := httptest.NewRecorder()
		server(t, keys{test.ring}, options).Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/recipients"+test.path, http.NoBody))
		if w.Code != test.code || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %q", name, w.Code, w.Body.String())
		}
		if found, err := agebox.ParseRecipients(w.Body.Bytes()); test.code == 200 && (err != nil || test.recovery == nil && len(found) != 1) {
			t.Errorf("%s: %d recipients, %v", name, len(found), err)
		}
	}
	// Nobody holds anything: a recovery key of the wrong kind is noticed as well.
	w := httptest.NewRecorder()
	server(t, keys{unread}, sealhttp.Options{Recovery: []*agebox.Recipient{held.recipient}}).Handler().
		ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/recipients", http.NoBody))
	if w.Code != 503 {
		t.Errorf("mixed: %d", w.Code)
	}
}

func TestAHolderThatIsDownIsNoVerdictAboutAValue(t *testing.T) {
	t.Parallel()
	held := heldKey(t)
	text, err := seal.Seal(rand.Reader, seal.Native(held.recipient), seal.Strict, "ns", "db", []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	handler := server(t, keys{keyring.New(generate(t, 0)).With(held)}, sealhttp.Options{Held: true}).Handler()
	for _, path := range []string{"/v1/verify", "/v1/rotate"} {
		body := `{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret","metadata":{"name":"db","namespace":"ns"},"spec":{"encryptedData":{"a":"` + text + `"}}}`
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.TrimSpace(w.Body.String()) != string(sealing.KeyOutOfReach) {
			t.Errorf("%s: %d %q", path, w.Code, w.Body.String())
		}
	}
}

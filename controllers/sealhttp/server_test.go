package sealhttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/goroutines"
)

type keys struct{ ring *keyring.Ring }

func (k keys) Ring() (*keyring.Ring, <-chan struct{}) { return k.ring, nil }

func generate(t *testing.T, age time.Duration) *keyring.Pair {
	t.Helper()
	pair, err := keyring.Generate(keyring.Options{Bits: 1024, NotBefore: time.Now().Add(-age)})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func server(t *testing.T, k sealhttp.Keys, o sealhttp.Options) *sealhttp.Server {
	t.Helper()
	s, err := sealhttp.New(k, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func identityOf(t *testing.T, age time.Duration) *keyring.Identity {
	t.Helper()
	identity, err := keyring.GenerateIdentity(time.Now().Add(-age))
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func TestEachPathHasItsAnswer(t *testing.T) {
	t.Parallel()
	newest := generate(t, 0)
	ring := keyring.New(generate(t, time.Hour), newest)
	pem := string(newest.CertificatePEM())
	identity, renewed := identityOf(t, time.Hour), identityOf(t, 0)
	both := ring.With(identity, renewed)
	recipient := "# this cluster, key " + renewed.Fingerprint() + ", since " + renewed.NotBefore().Format(time.RFC3339) + "\n" + renewed.Recipient().String() + "\n"
	const plain = "text/plain; charset=utf-8"
	for name, test := range map[string]struct {
		ring         *keyring.Ring
		method, path string
		code         int
		body, kind   string
	}{
		"the newest certificate":         {ring, "GET", "/v1/cert.pem", 200, pem, "application/x-pem-file"},
		"the newest recipient":           {both, "GET", "/v1/recipients", 200, recipient, plain},
		"no native key":                  {ring, "GET", "/v1/recipients", 503, "there is no sealing key of the native format\n", plain},
		"a recipient cannot be posted":   {both, "POST", "/v1/recipients", 405, "Method Not Allowed\n", plain},
		"no certificate but a recipient": {keyring.New().With(identity), "GET", "/v1/cert.pem", 503, "there is no sealing key yet\n", plain},
		"no keys yet":                    {nil, "GET", "/v1/cert.pem", 503, "there is no sealing key yet\n", "text/plain; charset=utf-8"},
		"no keys at all":                 {keyring.New(), "GET", "/v1/cert.pem", 503, "there is no sealing key yet\n", "text/plain; charset=utf-8"},
		"health does not need keys":      {nil, "GET", "/healthz", 200, "ok\n", "text/plain; charset=utf-8"},
		"ready with keys":                {ring, "GET", "/readyz", 200, "ok\n", "text/plain; charset=utf-8"},
		"ready when there are none":      {keyring.New(), "GET", "/readyz", 200, "ok\n", "text/plain; charset=utf-8"},
		"not ready before they are read": {nil, "GET", "/readyz", 503, "the sealing keys were not read yet\n", "text/plain; charset=utf-8"},
		"nothing is verified by GET":     {ring, "GET", "/v1/verify", 405, "Method Not Allowed\n", "text/plain; charset=utf-8"},
		"nothing is rotated by GET":      {ring, "GET", "/v1/rotate", 405, "Method Not Allowed\n", "text/plain; charset=utf-8"},
		"no keys to verify with":         {keyring.New(), "POST", "/v1/verify", 503, "there is no sealing key yet\n", "text/plain; charset=utf-8"},
		"no keys to rotate to":           {nil, "POST", "/v1/rotate", 503, "there is no sealing key yet\n", "text/plain; charset=utf-8"},
		"a certificate cannot be put":    {ring, "PUT", "/v1/cert.pem", 405, "Method Not Allowed\n", "text/plain; charset=utf-8"},
		"the headers of a certificate":   {ring, "HEAD", "/v1/cert.pem", 200, pem, "application/x-pem-file"},
		"what is beside the path":        {ring, "GET", "/v1/cert.pem/x", 404, "404 page not found\n", "text/plain; charset=utf-8"},
		"private keys are not there":     {ring, "GET", "/v1/key.pem", 404, "404 page not found\n", "text/plain; charset=utf-8"},
		"profiles are not served there":  {ring, "GET", "/debug/pprof/", 404, "404 page not found\n", "text/plain; charset=utf-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			server(t, keys{test.ring}, sealhttp.Options{}).Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), test.method, test.path, http.NoBody))
			if w.Code != test.code || w.Body.String() != test.body || w.Header().Get("Content-Type") != test.kind {
				t.Errorf("got %d %q %q", w.Code, w.Header().Get("Content-Type"), w.Body.String())
			}
			if body := w.Body.String(); strings.Contains(body, "PRIVATE") || strings.Contains(body, "AGE-SECRET") {
				t.Error("a private key was served")
			}
		})
	}
}

// Nobody has to say who he is, so that no body is read where none is needed, however long it is.
func TestNoBodyIsReadWhereNoneIsNeeded(t *testing.T) {
	t.Parallel()
	handler := server(t, keys{keyring.New(generate(t, 0))}, sealhttp.Options{}).Handler()
	for _, target := range []string{"GET /v1/cert.pem", "POST /v1/cert.pem", "GET /v1/verify", "PUT /v1/rotate", "GET /healthz", "POST /readyz", "POST /"} {
		method, path, _ := strings.Cut(target, " ")
		body := &endless{}
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, body))
		if body.read {
			t.Errorf("%s: the body was read", target)
		}
	}
}

// endless is a body without an end.
type endless struct{ read bool }

func (e *endless) Read(p []byte) (int, error) {
	e.read = true
	return len(p), nil
}

func TestTheServerEndsWithItsContextAndLeavesNothing(t *testing.T) {
	defer goroutines.None(t)
	ctx, cancel := context.WithCancel(t.Context())
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server(t, keys{keyring.New(generate(t, 0))}, sealhttp.Options{}).Serve(ctx, listener) }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(header string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/v1/cert.pem", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X", header)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	if code := get(""); code != http.StatusOK {
		t.Errorf("got %d", code)
	}
	if code := get(strings.Repeat("x", 64<<10)); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 64 KiB got %d", code)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func TestAnAddressThatCannotBeListenedOnIsAnError(t *testing.T) {
	t.Parallel()
	err := server(t, keys{}, sealhttp.Options{Address: "127.0.0.1:-1"}).Start(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "serve the sealing certificate: ") {
		t.Errorf("got %v", err)
	}
}

package main

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// harness ends what the tests share after they ran.
type harness struct{ m *testing.M }

// Run implements testscript.TestingM.
func (h harness) Run() int {
	if signal.Ignored(os.Interrupt) { // as where a shell runs the tests in the background: what they start would take no notice of it either
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	return controlplane.Run(h.m)
}

func TestMain(m *testing.M) {
	// The test binary is the command itself, under both of its names.
	testscript.Main(harness{m}, map[string]func(){"sealbridge": main, "kubeseal": main})
}

// canary is the value of every secret in the scripts.
const canary = "canary-7f3e5b"

func TestScripts(t *testing.T) {
	t.Parallel()
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	expired, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	old, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	identity, recovery := newIdentity(t), newIdentity(t)
	held, err := agebox.NewHeld("transit/payments", "1", pair.Public())
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../test/scripts",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			server := newAPIServer(pair, old, expired, identity.Recipient().String())
			env.Defer(server.Close)
			env.Setenv("SERVER", server.URL)
			for name, content := range map[string][]byte{
				"cert.pem": pair.CertificatePEM(), "key.pem": pair.PrivateKeyPEM(), "expired.pem": expired.CertificatePEM(), "old-cert.pem": old.CertificatePEM(), "old-key.pem": old.PrivateKeyPEM(),
				"key.txt": identity.Text(), "recovery-key.txt": recovery.Text(), "recovery.txt": []byte(recovery.Recipient().String() + "\n"),
				"kubeconfig": []byte(kubeconfig(server.URL)),
				"held.txt":   []byte(held.String() + "\n"),
			} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), content, 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sealed":  checkSealed,
			"private": checkPrivate,
		},
	})
}

// newAPIServer stands in for the API server, with controllers behind its service proxy that do what a real one cannot be
// made to: lie, hang, answer rubbish and be asked too often. The real ones are in cmd/controller.
func newAPIServer(pair, old, expired *keyring.Pair, recipient string) *httptest.Server {
	mux := http.NewServeMux()
	service := "/api/v1/namespaces/{namespace}/services/"
	answer := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	mux.HandleFunc("GET "+service+"sealed-secrets-controller", answer(200, `{"spec":{"ports":[{"name":"api"},{"name":"metrics"}]}}`))
	mux.HandleFunc("GET "+service+"portless", answer(200, `{"spec":{}}`))
	mux.HandleFunc("GET "+service+"broken", answer(200, `<html>`+canary))
	mux.HandleFunc("GET "+service+"forbidden", answer(403, `{"kind":"Status","reason":"Forbidden","message":"`+canary+`"}`))
	proxy := service + "http:sealed-secrets-controller:api/proxy"
	mux.HandleFunc("GET "+proxy+"/v1/cert.pem", answer(200, string(pair.CertificatePEM())))
	mux.HandleFunc("GET /cert.pem", answer(200, string(pair.CertificatePEM())))
	mux.HandleFunc("GET "+proxy+"/v1/recipients", answer(200, "# this cluster\n"+recipient+"\n"))
	mux.HandleFunc("GET /v1/recipients", answer(200, "# this cluster\n"+recipient+"\n"))
	mux.HandleFunc("GET "+service+"sealed-secrets", answer(200, `{"spec":{"ports":[{"name":"api"}]}}`))
	mux.HandleFunc("GET "+service+"http:sealed-secrets:api/proxy/v1/recipients", answer(404, "404 page not found"))
	mux.HandleFunc("GET "+service+"expired", answer(200, `{"spec":{"ports":[{"name":"api"}]}}`))
	mux.HandleFunc("GET "+service+"http:expired:api/proxy/v1/cert.pem", answer(200, string(expired.CertificatePEM())))
	mux.HandleFunc("GET /login", answer(200, "<html>"+canary))
	mux.HandleFunc("GET /endless", func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 10 {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("POST "+proxy+"/v1/verify", func(w http.ResponseWriter, r *http.Request) {
		if body, err := readBounded(r.Body, "body"); err != nil || !strings.Contains(string(body), `"name":"good"`) {
			w.WriteHeader(http.StatusConflict)
		}
	})
	// What the API server itself says of a service without a replica, and of one that is gone.
	for name, said := range map[string]struct {
		code   int
		reason string
	}{"unserved": {503, "ServiceUnavailable"}, "vanished": {404, "NotFound"}} {
		mux.HandleFunc("GET "+service+name, answer(200, `{"spec":{"ports":[{"name":"api"}]}}`))
		mux.HandleFunc(service+"http:"+name+":api/proxy/", answer(said.code, `{"kind":"Status","reason":"`+said.reason+`","message":"`+canary+`"}`))
	}
	mux.HandleFunc("GET "+service+"unauthorized", answer(401, `{"kind":"Status","reason":"Unauthorized","message":"`+canary+`"}`))
	for name, rotated := range map[string]string{
		// As the controller of Sealed Secrets does: no kind, and of all that is not sealed only what it makes itself.
		"rotating": `{"metadata":{"name":"db","namespace":"payments","creationTimestamp":null},"spec":{"template":{"metadata":{"name":"db","namespace":"payments"}},"encryptedData":{"password":"new-password","user":"new-user"}}}`,
		"widening": `{"metadata":{"name":"db","namespace":"payments","annotations":{"sealedsecrets.bitnami.com/cluster-wide":"true"}},"spec":{"encryptedData":{"password":"new","user":"new"}}}`,
		"baking":   `{"metadata":{"name":"db","namespace":"payments"},"spec":{"encryptedData":{"password":"new","user":"new","rendered":"new"}}}`,
		"lying":    `{"kind":"Secret","data":{"password":"` + canary + `"}}`,
		"rubbish":  "<html>" + canary,
	} {
		mux.HandleFunc("GET "+service+name, answer(200, `{"spec":{"ports":[{"name":"api"}]}}`))
		mux.HandleFunc("POST "+service+"http:"+name+":api/proxy/v1/rotate", answer(200, rotated))
	}
	for name, refusal := range map[string]struct {
		code int
		said string
	}{
		"keyless":     {503, string(sealing.NoKey) + "\n"},
		"slow":        {503, string(sealing.TooManyValues) + "\n"},
		"apart":       {503, string(sealing.NoKeyOfNamespace) + "\n"},
		"deprecating": {409, string(sealing.DeprecatedData) + "\n"},
		"choosy":      {500, string(sealing.NotOne) + "\n"},
		"strange":     {500, string(sealing.NotOne) + "\x1b[2J" + canary},
	} {
		mux.HandleFunc("GET "+service+name, answer(200, `{"spec":{"ports":[{"name":"api"}]}}`))
		for path, method := range map[string]string{"/v1/cert.pem": "GET ", "/v1/recipients": "GET ", "/v1/verify": "POST ", "/v1/rotate": "POST "} {
			mux.HandleFunc(method+service+"http:"+name+":api/proxy"+path, answer(refusal.code, refusal.said))
		}
	}
	addRotating(mux, service, pair, old)
	mux.HandleFunc("GET /api/v1/namespaces/rubbish/secrets", answer(200, `{"items":["`+canary+`"]}`))
	mux.HandleFunc("GET /api/v1/namespaces/empty/secrets", answer(200, `{"items":[]}`))
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	mux.HandleFunc("GET "+service+"hanging", hang)
	mux.HandleFunc("GET "+service+"hung", answer(200, `{"spec":{"ports":[{"name":"api"}]}}`))
	mux.HandleFunc("GET "+service+"http:hung:api/proxy/", hang)
	return httptest.NewServer(mux)
}

// addRotating adds a controller that has two keys and is asked too often every second time.
func addRotating(mux *http.ServeMux, service string, newest, old *keyring.Pair) {
	ring := keyring.New(newest, old)
	var asked atomic.Int32
	mux.HandleFunc("GET "+service+"two-keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"spec":{"ports":[{"name":"api"}]}}`))
	})
	proxy := service + "http:two-keys:api/proxy"
	mux.HandleFunc("GET "+proxy+"/v1/cert.pem", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(newest.CertificatePEM()) })
	mux.HandleFunc("POST "+proxy+"/v1/rotate", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1)%2 == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		body, _ := readBounded(r.Body, "body")
		received, err := sealing.ReadReceived(body, 10<<20)
		var text []byte
		if err == nil {
			text, err = received.Reseal(r.Context(), ring, rand.Reader, seal.Newest{Compat: newest.Public(), KeepCurrent: r.URL.Query().Get("keep") == "current"})
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(text)
	})
}

func kubeconfig(server string) string {
	return `{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: "` + server + `"}}],
contexts: [{name: c, context: {cluster: c, user: u, namespace: from-context}}, {name: bare, context: {cluster: c, user: u}}], users: [{name: u, user: {token: ` + canary + `}}]}
`
}

var long = regexp.MustCompile(`[A-Za-z0-9+/=]{300,}`)

// checkSealed is the script command "sealed file want": the file is want, once its ciphertexts are written SEALED.
func checkSealed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sealed file want")
	}
	got := long.ReplaceAllString(ts.ReadFile(args[0]), "SEALED")
	if want := ts.ReadFile(args[1]); got != want {
		ts.Fatalf("%s is\n%s\nwant\n%s", args[0], got, want)
	}
}

// checkPrivate is the script command "private file": only its owner can read the file.
func checkPrivate(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if private := info.Mode().Perm()&0o077 == 0; private == neg {
		ts.Fatalf("%s has the mode %s", args[0], info.Mode())
	}
}

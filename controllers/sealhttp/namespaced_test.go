package sealhttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

func TestANamespaceWithKeysOfItsOwnHasItsOwnCertificate(t *testing.T) {
	t.Parallel()
	common, tenant := generate(t, 0), generate(t, time.Hour)
	nativeCommon, nativeTenant := identityOf(t, 0), identityOf(t, time.Hour)
	ring := keyring.New(common).With(nativeCommon).WithNamespaces(map[string]*keyring.Ring{
		"team-a": keyring.New(tenant).With(nativeTenant), "team-b": keyring.New(tenant),
		"team-c": keyring.New().With(nativeTenant),
	})
	for path, test := range map[string]struct {
		code int
		body string
	}{
		"/v1/cert.pem?namespace=team-a":   {200, string(tenant.CertificatePEM())},
		"/v1/cert.pem?namespace=other":    {200, string(common.CertificatePEM())},
		"/v1/cert.pem?namespace=":         {200, string(common.CertificatePEM())},
		"/v1/cert.pem?namespace=../x":     {400, "namespace is no name of a namespace\n"},
		"/v1/recipients?namespace=team-b": {503, string(sealing.NoKeyOfNamespace) + "\n"},
		"/v1/cert.pem?namespace=team-c":   {503, string(sealing.NoKeyOfNamespace) + "\n"},
		"/v1/recipients?namespace=A":      {400, "namespace is no name of a namespace\n"},
	} {
		w := httptest.NewRecorder()
		server(t, keys{ring}, sealhttp.Options{}).Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if w.Code != test.code || w.Body.String() != test.body {
			t.Errorf("%s: %d %q", path, w.Code, w.Body.String())
		}
	}

	// The real kubeseal seals to it by its address.
	front := httptest.NewServer(server(t, keys{ring}, sealhttp.Options{}).Handler())
	t.Cleanup(front.Close)
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	text, stderr, err := kubeseal(t, "", "--raw", "--cert", front.URL+"/v1/cert.pem?namespace=team-a", "--from-file", file, "--name", "db", "--namespace", "team-a")
	if err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	plain, err := seal.NewOpener(keyring.New(tenant), "", 0).Open(t.Context(), seal.Strict, "team-a", "db", text)
	if err != nil || string(plain) != canary {
		t.Errorf("the namespace's key does not open it: %v", err)
	}
}

func TestAValueIsJudgedByTheKeysOfItsNamespace(t *testing.T) {
	t.Parallel()
	common, old, renewed := generate(t, 0), generate(t, 2*time.Hour), generate(t, time.Hour)
	own := keyring.New(old, renewed)
	ring := keyring.New(common).WithNamespaces(map[string]*keyring.Ring{"a": own})
	in := func(namespace string, to *keyring.Pair, scope seal.Scope) string {
		annotations := ""
		if scope == seal.ClusterWide {
			annotations = ", annotations: {" + clusterWide + ": 'true'}"
		}
		return document("name: db, namespace: "+namespace+annotations, "  encryptedData: {k: "+sealed(t, to, scope, namespace, "db")+"}\n")
	}
	for name, test := range map[string]struct {
		body string
		code int
	}{
		"its own key":                                {in("a", old, seal.Strict), 200},
		"the common key there":                       {in("a", common, seal.Strict), 409},
		"its key elsewhere":                          {in("b", renewed, seal.Strict), 409},
		"its key elsewhere, cluster-wide":            {in("b", renewed, seal.ClusterWide), 409},
		"the common key there, cluster-wide":         {in("a", common, seal.ClusterWide), 409},
		"the common key in a namespace without":      {in("b", common, seal.Strict), 200},
		"its own key in its namespace, cluster-wide": {in("a", old, seal.ClusterWide), 200},
	} {
		if w := post(t, ring, "/v1/verify", test.body); w.Code != test.code {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	// Where only namespaces have keys, theirs are judged, and there is none for others yet.
	alone := keyring.New().WithNamespaces(map[string]*keyring.Ring{"a": own})
	for code, body := range map[int]string{200: in("a", old, seal.Strict), 409: in("a", common, seal.Strict), 503: in("b", common, seal.Strict)} {
		if w := post(t, alone, "/v1/verify", body); w.Code != code {
			t.Errorf("without common keys: %d, want %d", w.Code, code)
		}
	}
	w := post(t, ring, "/v1/rotate", in("a", old, seal.Strict))
	var out struct {
		Spec struct{ EncryptedData map[string]string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	plain, err := seal.NewOpener(keyring.New(renewed), "", 0).Open(t.Context(), seal.Strict, "a", "db", out.Spec.EncryptedData["k"])
	if err != nil || string(plain) != canary {
		t.Errorf("it was not sealed to the newest key of its namespace: %v", err)
	}
}

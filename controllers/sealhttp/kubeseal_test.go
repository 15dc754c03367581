package sealhttp_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/internal/sealing"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// behindProxy serves the controller as an API server's service proxy would, and returns a kubeconfig for it. A real API
// server proxies to no loopback address.
func behindProxy(t *testing.T, ring *keyring.Ring) (kubeconfig string) {
	t.Helper()
	const services = "/api/v1/namespaces/kube-system/services/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+services+"sealed-secrets-controller", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Service","apiVersion":"v1","metadata":{"name":"sealed-secrets-controller"},"spec":{"ports":[{"name":"http","port":8080}]}}`)
	})
	proxied := services + "http:sealed-secrets-controller:http/proxy"
	mux.Handle(proxied+"/", http.StripPrefix(proxied, server(t, keys{ring}, sealhttp.Options{}).Handler()))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: '" + server.URL + "'}}]\n"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubeseal runs the real kubeseal v0.40.0.
func kubeseal(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), process.Require(t, "kubeseal"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func TestTheRealKubesealValidatesAndReEncrypts(t *testing.T) {
	t.Parallel()
	for _, scope := range []string{"strict", "namespace-wide", "cluster-wide"} {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			old, newest := generate(t, time.Hour), generate(t, 0)
			cert := filepath.Join(t.TempDir(), "cert.pem")
			if err := os.WriteFile(cert, old.CertificatePEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			before, errs, err := kubeseal(t, `
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: ns, labels: {app: x}, annotations: {note: z}}
type: kubernetes.io/basic-auth
stringData: {username: u, password: `+canary+`}
`, "--cert", cert, "--scope", scope, "-o", "yaml")
			if err != nil {
				t.Fatal(errs)
			}
			kubeconfig := behindProxy(t, keyring.New(old, newest))
			if _, errs, err := kubeseal(t, before, "--kubeconfig", kubeconfig, "--validate"); err != nil {
				t.Errorf("--validate: %s", errs)
			}
			after, errs, err := kubeseal(t, before, "--kubeconfig", kubeconfig, "--re-encrypt", "-o", "yaml")
			if err != nil || after == before {
				t.Fatalf("--re-encrypt: %s", errs)
			}
			// The new key alone opens it, as the same Secret.
			private, err := sealing.ReadPrivateKeys(newest.PrivateKeyPEM())
			if err != nil {
				t.Fatal(err)
			}
			secrets, err := sealing.Unseal(t.Context(), strings.NewReader(after), private)
			if err != nil {
				t.Fatal(err)
			}
			got := secrets[0]
			if string(got.Data["password"]) != canary || len(got.Data) != 2 || got.Type != "kubernetes.io/basic-auth" ||
				got.Metadata.Labels["app"] != "x" || got.Metadata.Annotations["note"] != "z" {
				t.Errorf("re-encrypted: %v %s, %d values", got.Metadata, got.Type, len(got.Data))
			}
			stolen := strings.ReplaceAll(before, "namespace: ns", "namespace: other")
			_, errs, err = kubeseal(t, stolen, "--kubeconfig", kubeconfig, "--validate")
			if mayMove := scope == "cluster-wide"; (err == nil) != mayMove || !mayMove && !strings.Contains(errs, "unable to decrypt sealed secret: db") {
				t.Errorf("--validate in another namespace: %v: %s", err, errs)
			}
		})
	}
}

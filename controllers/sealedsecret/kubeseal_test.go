package sealedsecret_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// kubeseal runs the real kubeseal v0.40.0 and returns what it printed.
func kubeseal(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), process.Require(t, "kubeseal"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubeseal %v: %v\n%s", args, err, stderr.String())
	}
	return stdout.String()
}

func TestWhatKubesealSealsIsOpenedInEveryScope(t *testing.T) {
	t.Parallel()
	w := started(t)
	cert := filepath.Join(t.TempDir(), "cert.pem")
	fetched := kubeseal(t, "", "--fetch-cert", "--cert", w.url+"/v1/cert.pem")
	if fetched != string(newest(w).CertificatePEM()) {
		t.Errorf("kubeseal fetched\n%s", fetched)
	}
	if err := os.WriteFile(cert, []byte(fetched), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, scope := range []seal.Scope{seal.Strict, seal.NamespaceWide, seal.ClusterWide} {
		name := "app-" + string(scope)
		manifest := kubeseal(t, `
apiVersion: v1
kind: Secret
metadata:
  name: `+name+`
  namespace: `+w.ns+`
  labels: {app: x}
type: kubernetes.io/basic-auth
stringData: {username: u, password: `+canary+`}
data: {binary: AP8=}
`, "--cert", w.url+"/v1/cert.pem", "--scope", string(scope), "-o", "yaml")
		if err := w.cp.Apply(t.Context(), manifest); err != nil {
			t.Fatal(err)
		}
		w.synced(name)
		want := map[string]string{"username": "u", "password": canary, "binary": "\x00\xff"}
		if diff := cmp.Diff(want, w.data(name)); diff != "" {
			t.Errorf("%s:\n%s", scope, diff)
		}
		if s := w.secret(name); s.Type != "kubernetes.io/basic-auth" || s.Labels["app"] != "x" {
			t.Errorf("%s: %s %v", scope, s.Type, s.Labels)
		}
	}

	// One value at a time, merged into a manifest that is there.
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := kubeseal(t, "", "--raw", "--cert", cert, "--from-file", file, "--name", "app-strict", "--namespace", w.ns)
	obj := &v1alpha1.SealedSecret{}
	obj.Namespace, obj.Name = w.ns, "app-strict"
	update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["raw"] = raw })
	w.eventually("the raw value", func() bool { return w.data("app-strict")["raw"] == canary })

	// A manifest under another name does not open, and says so in the words of Sealed Secrets.
	stolen := w.object("stolen", nil)
	stolen.Spec.EncryptedData["password"] = raw
	w.create(stolen)
	w.failed("stolen", "no key could decrypt secret (password)")
	w.checkCanary()
}

func TestKubectlShowsTheStateInItsColumns(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.create(w.object("good", map[string]string{"k": canary}))
	bad := w.object("bad", nil)
	bad.Spec.EncryptedData["k"] = w.sealed(seal.Strict, "other", canary)
	w.create(bad)
	w.synced("good")
	w.failed("bad", "no key")
	out, err := w.cp.Kubectl(t.Context(), "", "get", "sealedsecrets", "-n", w.ns)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch fields[0] {
		case "good":
			if fields[1] != "True" {
				t.Errorf("got %q", line)
			}
		case "bad":
			if !strings.Contains(line, "no key could decrypt secret (k)") || !strings.Contains(line, "False") {
				t.Errorf("got %q", line)
			}
		}
	}
	// Tools that wait for Ready wait for a failing object.
	if out, err := w.cp.Kubectl(t.Context(), "", "wait", "--for=condition=Ready", "--timeout=10s", "-n", w.ns, "sealedsecret/good"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

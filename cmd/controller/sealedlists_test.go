package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// A list is asked about item by item: neither controller takes a list, and an item of a SealedSecretList may name no kind.
func TestTheSealedSecretsOfListsAreValidatedAndReEncryptedThroughBothControllers(t *testing.T) {
	bin := process.Require(t, "sealbridge")
	for name, start := range map[string]func(*world) *replica{
		"ours": func(w *world) *replica {
			return w.start("--all-namespaces=false", "--listen-addr="+net.JoinHostPort(controlplane.OwnAddress(t), "0"))
		},
		"that of Sealed Secrets": (*world).sealedSecrets,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.service(start(w))
			w.proxied()
			dir := t.TempDir()
			run := func(stdin string, args ...string) (string, error) {
				cmd := exec.CommandContext(t.Context(), bin, args...)
				cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "KUBECONFIG=" + w.cp.Kubeconfig(), "SEALED_SECRETS_CONTROLLER_NAMESPACE=" + w.ns, "SEALED_SECRETS_CONTROLLER_NAME=sealbridge-controller"}
				cmd.Stdin = strings.NewReader(stdin)
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			cli := func(stdin string, args ...string) string {
				t.Helper()
				out, err := run(stdin, args...)
				if err != nil {
					t.Fatalf("%v: %v: %s", args, err, out)
				}
				return out
			}
			a, b := cli(canary, "seal", "--raw", "--namespace", w.ns, "--name", "a"), cli(canary, "seal", "--raw", "--namespace", w.ns, "--name", "b")
			const bitnami = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret"
			files := map[string]string{
				"bare.yaml": fmt.Sprintf("# before\n%sList\nitems:\n- metadata: {name: a, namespace: %[2]s} # first\n  spec: {encryptedData: {k: %[3]s}}\n"+
					"- metadata:\n    name: b\n    namespace: %[2]s\n  spec:\n    encryptedData:\n      k: %[4]s # kept\n", bitnami, w.ns, a, b),
				"bare.json": fmt.Sprintf(`{"kind":"SealedSecretList","apiVersion":"bitnami.com/v1alpha1","metadata":{},"items":[{"metadata":{"name":"a","namespace":%[1]q},"spec":{"encryptedData":{"k":%[2]q}}},{"metadata":{"name":"b","namespace":%[1]q},"spec":{"encryptedData":{"k":%[3]q}}}]}`, w.ns, a, b) + "\n",
				"nested.yaml": fmt.Sprintf("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: bitnami.com/v1alpha1, kind: SealedSecretList, items: [{metadata: {name: a, namespace: %[1]s}, spec: {encryptedData: {k: %[2]s}}}]}\n"+
					"- {apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, metadata: {name: b, namespace: %[1]s}, spec: {encryptedData: {k: %[3]s}}}\n", w.ns, a, b),
			}
			ciphertext := regexp.MustCompile(`AQ[A-Za-z0-9+/=]{300,}`)
			for file, text := range files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				cli("", "seal", "--validate", "-f", file)
				if out, err := run(strings.Replace(text, a, b, 1), "seal", "--validate"); err == nil || !strings.Contains(out, "unable to decrypt sealed secret: a\n") {
					t.Errorf("%s with a value of another: %v: %s", file, err, out)
				}
				cli("", "seal", "--re-encrypt", "-f", file)
				after, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					t.Fatal(err)
				}
				if ciphertext.ReplaceAllString(string(after), "SEALED") != ciphertext.ReplaceAllString(text, "SEALED") ||
					strings.Contains(string(after), a) || strings.Contains(string(after), b) {
					t.Errorf("%s became\n%s", file, after)
				}
				piped := cli(string(after), "seal", "--re-encrypt", "-o", "yaml")
				cli(piped, "seal", "--validate")
				if out := cli("", "rewrap", "--force", file); !strings.HasSuffix(out, "2 SealedSecrets in 1 files: 2 sealed anew, 0 unchanged, 0 failed\n") {
					t.Errorf("rewrap said of %s: %s", file, out)
				}
				cli("", "seal", "--validate", "-f", file)
			}
			if _, err := w.cp.Kubectl(t.Context(), "", "apply", "-f", filepath.Join(dir, "bare.yaml")); err != nil {
				t.Fatal(err)
			}
			w.opened("a")
			w.opened("b")
		})
	}
}

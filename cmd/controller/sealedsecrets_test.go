package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// sealedSecrets starts the controller of Sealed Secrets, unmodified, for the world's namespace, and returns where it serves.
func (w *world) sealedSecrets() *replica {
	w.t.Helper()
	path := process.Require(w.t, "sealed-secrets-controller")
	const account = "sealed-secrets"
	if err := w.cp.Bind(w.t.Context(), controlplane.ServiceAccount(w.ns, account), w.ns, "ClusterRole", "cluster-admin"); err != nil {
		w.t.Fatal(err)
	}
	port, err := process.FreePorts(w.t.Context(), 1)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &replica{w: w, url: net.JoinHostPort(controlplane.OwnAddress(w.t), strconv.Itoa(port))}
	program, err := w.cp.InPod(w.t.Context(), w.ns, account, process.Spec{
		Name: "sealed-secrets", Path: path, Dir: w.t.TempDir(),
		Args: []string{"--all-namespaces=false", "--key-size=2048", "--listen-addr=" + r.url, "--listen-metrics-addr=127.0.0.1:0"},
	})
	if err != nil {
		process.Missing(w.t, err)
	}
	if r.Process, err = process.Start(w.t.Context(), program); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Kill)
	w.eventually("Sealed Secrets serves its certificate", func() bool { return r.certificate() != "" })
	return r
}

// Whoever comes from Sealed Secrets takes the command line first. What its controller answers has no kind, and lacks labels,
// annotations and templates.
func TestTheCommandLineWorksWithTheControllerOfSealedSecrets(t *testing.T) {
	bin := process.Require(t, "sealbridge")
	w := newWorld(t)
	r := w.sealedSecrets()
	w.service(r)
	w.proxied()
	dir := t.TempDir()
	cli := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "KUBECONFIG=" + w.cp.Kubeconfig(), "SEALED_SECRETS_CONTROLLER_NAMESPACE=" + w.ns, "SEALED_SECRETS_CONTROLLER_NAME=sealbridge-controller"}
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	if cli("", "seal", "--fetch-cert") != r.certificate() {
		t.Error("another certificate was fetched")
	}
	ciphertext := regexp.MustCompile(`AQ[A-Za-z0-9+/=]{300,}`)
	value := cli(canary, "seal", "--raw", "--namespace", w.ns, "--name", "db")
	file := fmt.Sprintf(`# three
%s---
# two
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata:
  namespace: %[2]s # kept
  name: db
  labels: {team: a}
spec:
  template:
    metadata: {labels: {app: db}, annotations: {note: kept}}
    data: {url: "db://{{ .user }}", user: null}
  encryptedData:
    user: %[3]s # the first
    password: %[3]s
`, strings.Repeat(cli("apiVersion: v1\nkind: Secret\nmetadata: {name: other, namespace: "+w.ns+"}\nstringData: {k: "+canary+"}\n", "seal", "-o", "yaml"), 3), w.ns, value)
	path := filepath.Join(dir, "db.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	// It takes two requests a second: these four objects have to wait for it.
	for _, how := range [][]string{{"seal", "--re-encrypt", "-f", "db.yaml"}, {"rewrap", "db.yaml"}, {"rewrap", "--force", "db.yaml"}} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out := cli("", how...)
		if how[0] == "rewrap" && !strings.HasSuffix(out, "4 SealedSecrets in 1 files: 4 sealed anew, 0 unchanged, 0 failed\n") {
			t.Errorf("%v said: %s", how, out)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if ciphertext.ReplaceAllString(string(after), "SEALED") != ciphertext.ReplaceAllString(file, "SEALED") {
			t.Errorf("%v made\n%s", how, after)
		}
		old := map[string]bool{}
		for _, sealed := range ciphertext.FindAllString(string(before), -1) {
			old[sealed] = true
		}
		for _, sealed := range ciphertext.FindAllString(string(after), -1) {
			if old[sealed] {
				t.Errorf("%v left a value as it was", how)
			}
		}
		cli("", "seal", "--validate", "-f", "db.yaml")
	}
	// It seals all values of an object anew; those that were before, as is noted here, stay as they are.
	cli(canary, "set", "db.yaml", "password", "--name", "db")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := cli("", "rewrap", "db.yaml")
	if !strings.Contains(out, "/db: 1 of 2 values") || !strings.HasSuffix(out, "4 SealedSecrets in 1 files: 1 sealed anew, 3 unchanged, 0 failed\n"+
		"values that are sealed to the new key already and stay as they are, without --force: 4\n") {
		t.Errorf("rewrap said: %s", out)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := ciphertext.FindAllString(string(before), -1), ciphertext.FindAllString(string(after), -1)
	if last := len(a) - 1; len(b) != len(a) || !slices.Equal(a[:last], b[:last]) || a[last] == b[last] {
		t.Error("rewrap changed what it had sealed itself")
	}
}

// Manifests of 2018 have one value that holds a whole Secret. Our controller leaves the format as it is, that of Sealed Secrets
// makes today's of it; both are taken, and what comes out opens in the cluster.
func TestTheDeprecatedFormatIsSealedAnewThroughBothControllers(t *testing.T) {
	bin := process.Require(t, "sealbridge")
	kubeseal := process.Require(t, "kubeseal")
	for name, start := range map[string]func(*world) *replica{
		"ours": func(w *world) *replica {
			return w.start("--all-namespaces=false", "--listen-addr="+net.JoinHostPort(controlplane.OwnAddress(t), "0"))
		},
		"that of Sealed Secrets": (*world).sealedSecrets,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := start(w)
			w.service(r)
			w.proxied()
			dir := t.TempDir()
			run := func(bin string, args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), bin, args...)
				cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "KUBECONFIG=" + w.cp.Kubeconfig(), "SEALED_SECRETS_CONTROLLER_NAMESPACE=" + w.ns, "SEALED_SECRETS_CONTROLLER_NAME=sealbridge-controller"}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %v: %s", args, err, out)
				}
				return string(out)
			}
			to, err := keyring.ParseRecipient([]byte(r.certificate()), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			plain := fmt.Sprintf(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"db","namespace":%q,"labels":{"app":"db"}},"data":{"k":%q},"type":"example.com/db"}`,
				w.ns, base64.StdEncoding.EncodeToString([]byte(canary)))
			value, err := seal.Seal(rand.Reader, seal.Compat(to), seal.Strict, w.ns, "db", []byte(plain))
			if err != nil {
				t.Fatal(err)
			}
			before := fmt.Sprintf("# of 2018\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: %s} # kept\nspec:\n  data: %s\n  encryptedData: {}\n", w.ns, value)
			read := func() string {
				t.Helper()
				text, err := os.ReadFile(filepath.Join(dir, "db.yaml"))
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			for _, how := range [][]string{
				{bin, "rewrap", "--force", "db.yaml"}, {bin, "seal", "--re-encrypt", "-f", "db.yaml"}, {kubeseal, "--re-encrypt", "-f", "db.yaml"},
			} {
				if err := os.WriteFile(filepath.Join(dir, "db.yaml"), []byte(before), 0o600); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					was := read()
					if out := run(how[0], how[1:]...); how[1] == "rewrap" && !strings.Contains(out, "1 SealedSecrets in 1 files: 1 sealed anew, 0 unchanged, 0 failed") {
						t.Errorf("%v said: %s", how, out)
					}
					if after := read(); after == was || how[0] == bin && !strings.HasPrefix(after, strings.SplitAfter(before, "kept")[0]) {
						t.Errorf("%v made\n%s", how, after)
					}
				}
				if err := w.cp.Apply(t.Context(), read()); err != nil {
					t.Fatalf("%v made what the API refuses: %v", how, err)
				}
				w.opened("db")
				text, err := w.cp.Kubectl(t.Context(), "", "get", "secret", "db", "-n", w.ns, "-o", "jsonpath={.type} {.metadata.labels.app}")
				if lossy := how[0] == kubeseal && name != "ours"; err != nil || text != "example.com/db db" && (!lossy || text != "example.com/db ") {
					t.Errorf("%v: the Secret is %q, %v", how, text, err)
				}
				if _, err := w.cp.Kubectl(t.Context(), "", "delete", "sealedsecret", "db", "-n", w.ns); err != nil {
					t.Fatal(err)
				}
				w.eventually("the Secret has gone", func() bool { return w.secret("db") == "" })
			}
		})
	}
}

// The way from Sealed Secrets and back, as docs/migration.md has it.
func TestWhatSealedSecretsLeftIsTakenOverAndGivenBack(t *testing.T) {
	w := newWorld(t)
	theirs := w.sealedSecrets()
	certificate := theirs.certificate()
	w.create("before", certificate, nil)
	w.opened("before")
	uid := func() types.UID {
		var s corev1.Secret
		if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "before"}, &s); err != nil {
			t.Fatal(err)
		}
		return s.UID
	}
	keys := func() int {
		var list corev1.SecretList
		if err := w.client.List(t.Context(), &list, client.InNamespace(w.ns), client.HasLabels{v1alpha1.LabelSealingKey}); err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	was := uid()
	theirs.Kill()

	ours := w.start("--all-namespaces=false")
	if ours.certificate() != certificate || keys() != 1 {
		t.Errorf("another key is sealed to, of %d", keys())
	}
	w.eventually("what was there is reported by us", func() bool {
		var obj v1alpha1.SealedSecret
		if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "before"}, &obj); err != nil {
			t.Fatal(err)
		}
		return len(obj.Status.Conditions) == 2 && obj.Status.Secret.UID == was
	})
	w.create("during", certificate, nil)
	w.opened("during")
	ours.Kill()

	again := w.sealedSecrets()
	if again.certificate() != certificate || keys() != 1 {
		t.Errorf("on the way back another key is sealed to, of %d", keys())
	}
	w.create("after", certificate, nil)
	w.opened("after")
	var obj v1alpha1.SealedSecret
	w.eventually("Sealed Secrets owns what we made", func() bool {
		if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "during"}, &obj); err != nil {
			t.Fatal(err)
		}
		return len(obj.Status.Conditions) > 0 && obj.Status.Conditions[0].Status == metav1.ConditionTrue && w.secret("during") == canary
	})
	if uid() != was || w.secret("before") != canary {
		t.Error("the Secret is another one")
	}
}

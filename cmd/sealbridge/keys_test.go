package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// keyCluster is a namespace of a real API server with an old and a new sealing key.
type keyCluster struct {
	cp         *controlplane.ControlPlane
	ns         string
	old, fresh *keyring.Pair
}

func newKeyCluster(t *testing.T) *keyCluster {
	t.Helper()
	c := &keyCluster{cp: controlplane.New(t)}
	if err := c.cp.InstallCRDs(t.Context(), "../../config/crd"); err != nil {
		t.Fatal(err)
	}
	c.ns = c.cp.Namespace(t)
	for i, pair := range []**keyring.Pair{&c.old, &c.fresh} {
		made, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(time.Duration(i-2) * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		*pair = made
		c.key(t, fmt.Sprintf("key-%d", i), made)
	}
	return c
}

// key applies a key Secret.
func (c *keyCluster) key(t *testing.T, name string, pair *keyring.Pair) {
	t.Helper()
	c.apply(t, fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: active}}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n",
		name, c.ns, base64.StdEncoding.EncodeToString(pair.CertificatePEM()), base64.StdEncoding.EncodeToString(pair.PrivateKeyPEM())))
}

func (c *keyCluster) apply(t *testing.T, text string) {
	t.Helper()
	if err := c.cp.Apply(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

// sealed applies a SealedSecret whose values are sealed to these keys, one each.
func (c *keyCluster) sealed(t *testing.T, name string, to ...*keyring.Pair) {
	t.Helper()
	values := ""
	for i, pair := range to {
		text, err := seal.Seal(rand.Reader, seal.Compat(pair.Public()), seal.Strict, c.ns, name, []byte(canary))
		if err != nil {
			t.Fatal(err)
		}
		values += fmt.Sprintf("    k%d: %s\n", i, text)
	}
	c.apply(t, fmt.Sprintf("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: %s, namespace: %s}\nspec:\n  encryptedData:\n%s", name, c.ns, values))
}

func (c *keyCluster) keys(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"sealbridge", "keys"}, args...)
	args = append(args, "--kubeconfig", c.cp.Kubeconfig(), "--controller-namespace", c.ns)
	code = run(t.Context(), args, host{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, env: func(string) (string, bool) { return "", false }})
	if strings.Contains(out.String()+errs.String(), canary) || strings.Contains(out.String()+errs.String(), "PRIVATE KEY") {
		t.Fatal("a value or a private key is shown")
	}
	return out.String(), errs.String(), code
}

func (c *keyCluster) listed(t *testing.T) map[string]shownKey {
	t.Helper()
	stdout, stderr, code := c.keys(t, "list", "-o", "json")
	var answer struct{ Keys []shownKey }
	if code != 0 || json.Unmarshal([]byte(stdout), &answer) != nil {
		t.Fatalf("list: %s", stderr)
	}
	out := map[string]shownKey{}
	for _, k := range answer.Keys {
		out[k.Fingerprint] = k
	}
	return out
}

func TestAKeyIsRetiredWhenNoObjectNeedsIt(t *testing.T) {
	t.Parallel()
	c := newKeyCluster(t)
	c.sealed(t, "new", c.fresh)
	c.sealed(t, "mixed", c.fresh, c.old)
	if out, err := c.cp.Kubectl(t.Context(), "", "patch", "sealedsecret", "mixed", "-n", c.ns, "--subresource=status", "--type=merge", "-p", `{"status":{"sealingKey":"`+c.fresh.Fingerprint()+`"}}`); err != nil {
		t.Fatal(err, out)
	}
	keys := c.listed(t)
	if k := keys[c.fresh.Fingerprint()]; k.State != "sealing" || k.Objects != 1 || k.Name != "key-1" {
		t.Errorf("the new key: %+v", k)
	}
	if k := keys[c.old.Fingerprint()]; k.State != "opening" || k.Objects != 0 || k.Expires == nil {
		t.Errorf("the old key: %+v", k)
	}
	// The status names one key of several, so that the values decide.
	_, stderr, code := c.keys(t, "retire", c.old.Fingerprint())
	if code != 1 || !strings.Contains(stderr, "SealedSecrets need this key: "+c.ns+"/mixed\n") {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	if _, stderr, code := c.keys(t, "retire", "key-1"); code != 1 || !strings.Contains(stderr, "is the key that values are sealed to") {
		t.Errorf("the newest: exit %d, %s", code, stderr)
	}
	if _, stderr, code := c.keys(t, "retire", "gone"); code != 1 || !strings.Contains(stderr, `there is no sealing key "gone"`) {
		t.Errorf("one that is not there: exit %d, %s", code, stderr)
	}
	c.sealed(t, "mixed", c.fresh, c.fresh)
	// A value whose key Vault holds needs none of the cluster's, whether or not it opens.
	held, err := agebox.NewHeld("transit/k", "1", c.old.Public())
	if err != nil {
		t.Fatal(err)
	}
	text, err := seal.Seal(rand.Reader, seal.Native(held), seal.Strict, c.ns, "held", []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	c.apply(t, fmt.Sprintf("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: held, namespace: %s}\nspec:\n  encryptedData: {a: %s}\n", c.ns, text))
	if _, stderr, code := c.keys(t, "retire", "key-0"); code != 0 || strings.Contains(stderr, c.ns+"/held") {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	if k := c.listed(t)[c.old.Fingerprint()]; k.State != "compromised" {
		t.Errorf("the old key is %+v", k)
	}
}

func TestAKeyThatSeveralSecretsHoldIsRetiredInAll(t *testing.T) {
	t.Parallel()
	c := newKeyCluster(t)
	c.key(t, "copy", c.old)
	c.sealed(t, "old", c.old)
	if _, stderr, code := c.keys(t, "retire", c.old.Fingerprint()); code != 1 || !strings.Contains(stderr, "SealedSecrets need this key: "+c.ns+"/old\n") {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	// Of one of the Secrets nothing is needed, and the key stays.
	if _, stderr, code := c.keys(t, "retire", "key-0"); code != 0 || !strings.Contains(stderr, "the same key stays in use: copy holds it, too") {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	c.key(t, "key-0", c.old)
	c.sealed(t, "old", c.fresh)
	_, stderr, code := c.keys(t, "retire", c.old.Fingerprint())
	if code != 0 || !strings.Contains(stderr, "key-0 is retired") || !strings.Contains(stderr, "copy is retired") || strings.Contains(stderr, "stays in use") {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	if _, stderr, code := c.keys(t, "retire", c.old.Fingerprint()); code != 0 || !strings.Contains(stderr, "is retired already") {
		t.Errorf("again: exit %d, %s", code, stderr)
	}
	if k := c.listed(t)[c.fresh.Fingerprint()]; k.State != "sealing" {
		t.Errorf("the other key: %+v", k)
	}
}

func TestTheKeyWithoutALabelAndKeysOfNamespacesAreKeysToo(t *testing.T) {
	t.Parallel()
	c := newKeyCluster(t)
	made := map[string]*keyring.Pair{}
	for i, meta := range []string{
		"name: sealed-secrets-key", // as releases before labels made it
		"name: own-old, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: namespaced}, annotations: {sealbridge.dev/namespaces: 'tenant-a, " + c.ns + "'}",
		"name: own-new, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: namespaced}, annotations: {sealbridge.dev/namespaces: tenant-a}",
		"name: lost, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: namespaced}",
		"name: unclear, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: active}, annotations: {sealbridge.dev/namespaces: tenant-a}",
		"name: misspelt, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: namespaced}, annotations: {sealbridge.dev/namespaces: 'tenant-a,Tenant B'}",
		"name: undecided, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: namespaced}, annotations: {sealbridge.dev/namespaces: tenant-a, sealbridge.dev/common-keys: maybe}",
	} {
		pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(time.Duration(i-10) * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(meta, "name: "), ",")
		made[name] = pair
		c.apply(t, fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {%s, namespace: %s}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n",
			meta, c.ns, base64.StdEncoding.EncodeToString(pair.CertificatePEM()), base64.StdEncoding.EncodeToString(pair.PrivateKeyPEM())))
	}
	c.sealed(t, "old", made["sealed-secrets-key"])
	c.sealed(t, "own", made["own-old"])
	shown := c.listed(t)
	for name, want := range map[string]string{
		"sealed-secrets-key": "opening []", "own-old": "sealing [tenant-a " + c.ns + "]", "own-new": "sealing [tenant-a]",
		"lost": "unusable []", "unclear": "unusable [tenant-a]", "misspelt": "unusable [tenant-a Tenant B]", "undecided": "unusable [tenant-a]",
	} {
		k := shown[made[name].Fingerprint()]
		if got := fmt.Sprint(k.State, " ", k.Namespaces); k.Name != name || got != want {
			t.Errorf("%s is listed as %s: %s, want %s", name, k.Name, got, want)
		}
	}
	text, _, _ := c.keys(t, "list")
	for _, want := range []string{"NAMESPACES", "tenant-a," + c.ns, made["lost"].Fingerprint() + " the annotation"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table has no %s:\n%s", want, text)
		}
	}
	for name, want := range map[string]string{
		"sealed-secrets-key": "SealedSecrets need this key: " + c.ns + "/old\n",
		"own-old":            "own-old is the key that values are sealed to\n",
	} {
		if _, stderr, code := c.keys(t, "retire", name); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
	}
	c.sealed(t, "old", c.fresh)
	for _, name := range []string{"sealed-secrets-key", "lost"} {
		if _, stderr, code := c.keys(t, "retire", name); code != 0 {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
		if k := c.listed(t)[made[name].Fingerprint()]; name == "sealed-secrets-key" && k.State != "compromised" {
			t.Errorf("%s is %s", name, k.State)
		}
	}
	if _, stderr, code := c.keys(t, "list", "--key-prefix", "other-prefix"); code != 0 {
		t.Errorf("without a key of that name: exit %d, %s", code, stderr)
	}
}

// backedUpOnce checks that a backup is only replaced by whoever says so, and that nobody else reads one.
func backedUpOnce(t *testing.T, c *keyCluster, to, file string) {
	t.Helper()
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	private := func(mode os.FileMode) {
		t.Helper()
		if info, err := os.Stat(file); err != nil || info.Mode() != mode {
			t.Errorf("the mode is not %v: %v", mode, err)
		}
	}
	private(0o600)
	link := filepath.Join(filepath.Dir(file), "latest.age")
	if err := os.Symlink(filepath.Base(file), link); err != nil {
		t.Fatal(err)
	}
	first := read()
	for _, path := range []string{file, link} {
		want := "error: " + path + " exists\nhint: name another file, or give --force to replace this one\n"
		if _, stderr, code := c.keys(t, "backup", "--recipient", to, "-w", path); code != 1 || stderr != want || read() != first {
			t.Errorf("exit %d, %s", code, stderr)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := c.keys(t, "backup", "--recipient", to, "-w", link, "--force"); code != 0 || read() == first {
		t.Errorf("with --force: exit %d, %s", code, stderr)
	}
	private(0o640)
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is none any more: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 2 {
		t.Errorf("%d files are left: %v", len(left), err)
	}
}

func TestABackupRestoresTheKeysOfALostCluster(t *testing.T) {
	t.Parallel()
	c := newKeyCluster(t)
	const first = "sealed-secrets-key-first" // in every cluster
	var own []*keyring.Pair
	for range 2 {
		pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-3 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, pair)
	}
	c.key(t, first, own[0])
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.age")
	_, note, code := c.keys(t, "backup", "--recipient", identity.Recipient().String(), "-w", file)
	if code != 0 {
		t.Fatal(note)
	}
	backedUpOnce(t, c, identity.Recipient().String(), file)
	before := c.listed(t)
	if out, err := c.cp.Kubectl(t.Context(), "", "delete", "secrets", "-n", c.ns, "--all"); err != nil {
		t.Fatal(err, out)
	}
	if _, stderr, code := c.keys(t, "list"); code != 1 || !strings.Contains(stderr, "there is no sealing key in "+c.ns) {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	// The controller of the new cluster was there before.
	c.key(t, first, own[1])
	sealed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// What age -d does.
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), identity)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	_, restore, said := strings.Cut(strings.TrimSpace(note), "| kubectl ")
	if !said {
		t.Fatal(note)
	}
	if out, err := c.cp.Kubectl(t.Context(), string(plain), strings.Fields(restore)...); err != nil {
		t.Fatal(err, out)
	}
	if text, err := c.cp.Kubectl(t.Context(), "", "get", "secrets", "-n", c.ns, "-o", "jsonpath={.items[*].metadata}"); err != nil || strings.Contains(text, "LS0t") {
		t.Errorf("the metadata of the restored Secrets hold keys, or cannot be read: %v", err)
	}
	after := c.listed(t)
	if k := after[own[1].Fingerprint()]; k.Name != first || len(after) != len(before)+1 {
		t.Errorf("of the new cluster's own key there is %+v, among %d", k, len(after))
	}
	for fingerprint, k := range before {
		if a := after[fingerprint]; !strings.HasPrefix(a.Name, k.Name) || (a.Name == k.Name) == (k.Name == first) || a.State != k.State || !a.Created.Equal(k.Created) {
			t.Errorf("%s: %+v, was %+v", fingerprint, a, k)
		}
	}
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	empty, secret := filepath.Join(t.TempDir(), "empty.txt"), filepath.Join(t.TempDir(), "identity.txt")
	for path, text := range map[string]string{empty: "# none\n", secret: identity.String() + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string][]string{
		"error: " + empty + " does not hold age recipients alone":   {"--recipients-file", empty},
		"error: " + secret + " holds a private key, not recipients": {"--recipients-file", secret, "--recipient", classic.Recipient().String()},
		"error: backup requires --recipient or --recipients-file":   {},
		"error: the recipients are not age recipients":              {"--recipient", "ssh-ed25519 AAAA"},
		"error: age does not encrypt to these recipients together":  {"--recipient", identity.Recipient().String(), "--recipient", classic.Recipient().String()},
	} {
		stdout, stderr, code := c.keys(t, append([]string{"backup"}, args...)...)
		if first, _, _ := strings.Cut(stderr, "\n"); code == 0 || stdout != "" || first != want {
			t.Errorf("exit %d, %s, want %s", code, first, want)
		}
	}
}

package transit_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/sealbridge/sealbridge/plugins/transit"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// manual returns the first block of a language about keys in Vault of docs/operations.md.
func manual(t *testing.T, root, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## A sealing key in Vault\n")
	if !ok {
		t.Fatal("the manual has no such section")
	}
	_, block, _ := strings.Cut(section, "```"+language+"\n")
	block, _, ok = strings.Cut(block, "```\n")
	if !ok {
		t.Fatalf("no block of %s", language)
	}
	return block
}

func TestTheCommandsOfTheManualSetVaultUp(t *testing.T) {
	t.Parallel()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cp, ctx := controlplane.New(t), t.Context()
	server, err := vault.Start(context.WithoutCancel(ctx), vault.Options{TLS: true})
	if err != nil {
		process.Missing(t, err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	reviewer, err := cp.TokenReviewer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{"ca.crt": cp.CA(), "vault.crt": server.CA()} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(ctx, "sh", "-e")
	run.Dir, run.Stdin = dir, strings.NewReader(manual(t, root, "sh"))
	run.Env = []string{
		"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH"), "HOME=" + dir, "VAULT_ADDR=" + server.Address(),
		"VAULT_CACERT=" + filepath.Join(dir, "vault.crt"), "VAULT_TOKEN=" + server.Token(), "KUBERNETES=" + cp.URL(), "REVIEWER=" + reviewer,
	}
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	clients, err := kubernetes.NewForConfig(cp.Config())
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sealbridge-system"}}
	if _, err := clients.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	token, err := cp.ServiceAccountToken(ctx, namespace.Name, "sealbridge-controller", "vault")
	if err != nil {
		t.Fatal(err)
	}
	c, err := transit.New(transit.Options{
		Address: server.Address(), CA: server.CA(), Mount: "transit", Key: "sealbridge", AuthMount: "kubernetes", Role: "sealbridge",
		Token: func() ([]byte, error) { return []byte(token), nil }, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ring, to := newest(t, c)
	if err := opened(ctx, ring, sealed(t, to)); err != nil {
		t.Error(err)
	}
}

func TestTheKustomizationOfTheManualGivesTheControllerItsTokenAndNoRight(t *testing.T) {
	t.Parallel()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "sealbridge", "config"), os.DirFS(filepath.Join(root, "config"))); err != nil {
		t.Fatal(err)
	}
	render := func(text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
		if err != nil {
			t.Fatal(err)
		}
		out, err := all.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	with, without := render(manual(t, root, "yaml")), render("resources: [sealbridge/config/default, sealbridge/config/manager]\n")
	for _, want := range []string{
		"--transit-address=https://vault.vault:8200", "--transit-key=transit/sealbridge", "--transit-role=sealbridge", "--leader-elect",
		"mountPath: /var/run/secrets/sealbridge.dev/vault", "audience: vault", "path: token",
	} {
		if !strings.Contains(with, want) || want != "--leader-elect" && strings.Contains(without, want) {
			t.Errorf("%q is missing, or there without it", want)
		}
	}
	if rights(with) != rights(without) || rights(with) == "" {
		t.Error("the rights changed")
	}
}

// rights are the roles and bindings of a text with many objects.
func rights(text string) string {
	var out strings.Builder
	for object := range strings.SplitSeq(text, "\n---\n") {
		if strings.Contains(object, "apiVersion: rbac.authorization.k8s.io/v1\n") {
			out.WriteString(object)
		}
	}
	return out.String()
}

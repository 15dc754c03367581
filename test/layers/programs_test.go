package layers_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/layers"
)

// Arguments and URLs that others choose reach no shell, because nothing of ours starts a program.
func TestNothingOfTheProductStartsAProgram(t *testing.T) {
	t.Parallel()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	messages, looked, err := layers.Programs(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	const floor = 100
	if looked < floor {
		t.Errorf("looked at %d files: the check would say nothing", looked)
	}
	for _, message := range messages {
		t.Error(message)
	}
}

func TestCodeThatStartsAProgramIsFound(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{
		"api/a.go":             {Data: []byte("package a\n\nimport \"os/exec\"\n")},
		"cmd/a.go":             {Data: []byte("package a\n\nimport \"plugin\"\n")},
		"controllers/x/a.go":   {Data: []byte("package a\n\nimport sys \"syscall\"\n\nvar _ = sys.ForkExec\n\nvar _ = sys.SIGTERM\n")},
		"controllers/x/b.go":   {Data: []byte("package a\n\nimport . \"os\"\n")},
		"crypto/a.go":          {Data: []byte("package a\n\nimport \"os\"\n\nvar run = os.StartProcess\n\nvar _ = os.Args\n")},
		"internal/a.go":        {Data: []byte("package a\n\nimport \"net/smtp\"\n")},
		"plugins/a_test.go":    {Data: []byte("package a\n\nimport \"os/exec\"\n")},
		"providers/x/a.go":     {Data: []byte("package a\n\nimport \"C\"\n")},
		"test/harness/x/a.go":  {Data: []byte("package a\n\nimport \"os/exec\"\n")},
		"providers/x/notes.md": {Data: []byte("os/exec")},
	}
	messages, looked, err := layers.Programs(tree)
	if err != nil || looked != 7 {
		t.Errorf("looked at %d files, %v", looked, err)
	}
	want := []string{
		"api/a.go:3:8 imports os/exec", "cmd/a.go:3:8 imports plugin", "controllers/x/a.go:5:9 uses syscall.ForkExec",
		"controllers/x/b.go:3:8 imports os without its name", "crypto/a.go:5:11 uses os.StartProcess",
		"internal/a.go:3:8 imports net/smtp", "providers/x/a.go:3:8 imports C",
	}
	if diff := cmp.Diff(want, messages); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// TestTheLinkedPackagesThatCanStartAProgramAreKnown lists the packages of others that are linked into our binaries and can
// start a program, each with what keeps it from doing so. A new one is looked at before it is added.
func TestTheLinkedPackagesThatCanStartAProgramAreKnown(t *testing.T) {
	t.Parallel()
	known := map[string]string{
		// Only with the default credentials of a cloud, which the SOPS key services ask for that we do not give a file: our
		// own key service knows age alone (crypto/sopsfile: TestTheEnvironmentGivesNoKey); and with those of the controller itself, whose
		// files and variables may name a program (in Google's library not without GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES). A store names none.
		"cloud.google.com/go/auth/credentials/internal/externalaccount": "sops, gcpsm, which refuses configurations that name one (providers/gcp)",
		"cloud.google.com/go/auth/internal/transport/cert":              "sops",
		"github.com/Azure/azure-sdk-for-go/sdk/azidentity":              "sops, azurekv, which asks it for none of the credentials that do",
		"github.com/aws/aws-sdk-go-v2/credentials/processcreds":         "sops, aws without auth",
		"github.com/getsops/sops/v3/age":                                "sops",
		"github.com/getsops/sops/v3/pgp":                                "sops",
		"github.com/googleapis/enterprise-certificate-proxy/client":     "sops",
		"github.com/hashicorp/go-sockaddr":                              "sops",
		"github.com/mitchellh/go-homedir":                               "sops",
		"github.com/pkg/browser":                                        "sops",
		"golang.org/x/oauth2/google/externalaccount":                    "sops",
		"golang.org/x/sys/execabs":                                      "sops, go-git",
		"google.golang.org/api/internal/cert":                           "sops",
		// git and helm for remote bases, charts and function plugins: refused before kustomize sees them, and plugins are
		// disabled (controllers/gitsync/build: TestWhatCannotBeBuiltIsRefusedByFile, TestNothingRemoteIsTouchedBeforeItIsRefused).
		"sigs.k8s.io/kustomize/api/internal/builtins":           "kustomize",
		"sigs.k8s.io/kustomize/api/internal/git":                "kustomize",
		"sigs.k8s.io/kustomize/api/internal/plugins/execplugin": "kustomize",
		"sigs.k8s.io/kustomize/api/internal/plugins/loader":     "kustomize",
		"sigs.k8s.io/kustomize/kyaml/fn/runtime/exec":           "kustomize",
		// Only for the operator's own kubeconfig: a store's is refused (providers/kubernetes: TestAProblemNamesTheField, "a kubeconfig").
		"k8s.io/client-go/plugin/pkg/client/auth/exec": "client-go",
		"github.com/google/gnostic-models/compiler":    "client-go",
	}
	graph := load(t)
	linked := map[string]bool{}
	var visit func(pkg string)
	visit = func(pkg string) {
		if linked[pkg] {
			return
		}
		linked[pkg] = true
		for _, imported := range graph[pkg] {
			visit(imported)
		}
	}
	visit(layers.Module + "/cmd/controller")
	visit(layers.Module + "/cmd/sealbridge")
	const floor = 500
	if len(linked) < floor {
		t.Fatalf("%d packages are linked: the check would say nothing", len(linked))
	}
	found := map[string]bool{}
	for pkg := range linked {
		first, _, _ := strings.Cut(pkg, "/")
		if !strings.Contains(first, ".") || strings.HasPrefix(pkg, "vendor/") {
			continue // the standard library
		}
		if slices.ContainsFunc(graph[pkg], func(p string) bool { return p == "os/exec" || p == "plugin" || p == "net/smtp" }) {
			found[pkg] = true
			if known[pkg] == "" {
				t.Errorf("%s can start a program and is linked: see what could make it do so, then add it", pkg)
			}
		}
	}
	for pkg := range known {
		if !found[pkg] {
			t.Errorf("%s is not linked any more: remove it", pkg)
		}
	}
}

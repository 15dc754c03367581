package layers_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/layers"
)

func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	graph := load(t)
	const floor = 20
	if len(graph) < floor {
		t.Fatalf("go list shows %d packages: the check would say nothing", len(graph))
	}
	for _, violation := range layers.Check(graph, layers.Rules()) {
		t.Error(violation)
	}
}

// load reads the import graph of the product, tests not counted.
func load(t *testing.T) layers.Graph {
	t.Helper()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	graph := layers.Graph{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		graph[fields[0]] = fields[1:]
	}
	return graph
}

func TestForbiddenImportsAreFoundWithTheirChain(t *testing.T) {
	t.Parallel()
	const m = layers.Module + "/"
	for name, test := range map[string]struct {
		graph layers.Graph
		want  []string // the chains, joined by " > "
	}{
		"a provider imports another": {
			layers.Graph{m + "providers/vault": {m + "providers", m + "providers/fake"}, m + "providers/fake": nil, m + "providers": {"context"}},
			[]string{"providers/vault > providers/fake"},
		},
		"a reconciler imports another": {
			layers.Graph{m + "controllers/externalsecret": {m + "controllers/flow", m + "controllers/secretstore"}},
			[]string{"controllers/externalsecret > controllers/secretstore"},
		},
		"a reconciler imports a provider": {
			layers.Graph{m + "controllers/gitsync/apply": {m + "providers/vault"}},
			[]string{"controllers/gitsync/apply > providers/vault"},
		},
		"a reconciler imports its own parts": {
			layers.Graph{m + "controllers/gitsync": {m + "controllers/gitsync/apply"}, m + "controllers/gitsync/apply": {m + "controllers/gitsync/source"}},
			nil,
		},
		"the contract imports a module": {
			layers.Graph{m + "providers": {"context", "golang.org/x/sync/errgroup"}},
			[]string{"providers > golang.org/x/sync/errgroup"},
		},
		"a provider reaches a Kubernetes client through another module": {
			layers.Graph{m + "providers/aws": {"example.com/sdk"}, "example.com/sdk": {"example.com/deep"}, "example.com/deep": {"k8s.io/client-go/rest"}},
			[]string{"providers/aws > example.com/sdk > example.com/deep > k8s.io/client-go/rest"},
		},
		"the kubernetes provider reaches a Kubernetes client": {
			layers.Graph{m + "providers/kubernetes": {"k8s.io/client-go/rest"}},
			nil,
		},
		"api imports a client": {
			layers.Graph{m + "api/stores": {"k8s.io/apimachinery/pkg/runtime", "k8s.io/client-go/rest"}},
			[]string{"api/stores > k8s.io/client-go/rest", "api/stores > k8s.io/client-go/rest"},
		},
		"crypto reaches Kubernetes": {
			layers.Graph{m + "crypto/seal": {m + "crypto/keyring"}, m + "crypto/keyring": {"k8s.io/apimachinery/pkg/types"}},
			[]string{"crypto/keyring > k8s.io/apimachinery/pkg/types", "crypto/seal > crypto/keyring > k8s.io/apimachinery/pkg/types"},
		},
		"a plugin reaches a controller": {
			layers.Graph{m + "plugins/krm": {m + "internal/manifest"}, m + "internal/manifest": {m + "controllers/flow"}},
			[]string{"internal/manifest > controllers/flow", "plugins/krm > internal/manifest > controllers/flow"},
		},
		"the command of the CLI imports a controller": {
			layers.Graph{m + "cmd/sealbridge": {m + "controllers/setup"}},
			[]string{"cmd/sealbridge > controllers/setup", "cmd/sealbridge > controllers/setup"},
		},
		"the product imports its tests": {
			layers.Graph{m + "internal/redact": {m + "test/harness/pki"}},
			[]string{"internal/redact > test/harness/pki", "internal/redact > test/harness/pki"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, violation := range layers.Check(test.graph, layers.Rules()) {
				got = append(got, strings.ReplaceAll(strings.Join(violation.Chain, " > "), m, ""))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoFileIsLongerThanAPersonReads(t *testing.T) {
	t.Parallel()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	messages, looked, err := layers.LongFiles(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	const floor = 50
	if looked < floor {
		t.Errorf("looked at %d files: the check would say nothing", looked)
	}
	for _, message := range messages {
		t.Error(message)
	}
}

func TestLongFilesAreFoundUnlessGenerated(t *testing.T) {
	t.Parallel()
	body := []byte("package a\n" + strings.Repeat("// line\n", layers.MaxLines))
	messages, looked, err := layers.LongFiles(fstest.MapFS{
		"a/long.go":          {Data: body},
		"a/short.go":         {Data: []byte("package a\n")},
		"a/zz_generated.go":  {Data: append([]byte("// Code generated by x. DO NOT EDIT.\n\n"), body...)},
		"a/testdata/long.go": {Data: body},
		".demo/long.go":      {Data: body},
		"bin/long.go":        {Data: body},
	})
	if err != nil || looked != 3 || len(messages) != 1 || !strings.HasPrefix(messages[0], "a/long.go has 501 lines") {
		t.Errorf("LongFiles: %q, %d, %v", messages, looked, err)
	}
}

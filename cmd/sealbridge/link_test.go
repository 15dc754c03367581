package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestTheCommandLinksNothingThatWouldSlowItsStart(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, heavy := range []string{
		"k8s.io/client-go/kubernetes", "k8s.io/client-go/informers", "k8s.io/client-go/dynamic", "k8s.io/api/", "sigs.k8s.io/controller-runtime",
		"sigs.k8s.io/kustomize", "github.com/getsops/", "github.com/aws/", "github.com/Azure/", "cloud.google.com/", "github.com/hashicorp/",
		"google.golang.org/grpc", "github.com/prometheus/", "github.com/google/cel-go", "github.com/go-git/", "golang.org/x/crypto/ssh",
		"github.com/sealbridge/sealbridge/controllers", "github.com/sealbridge/sealbridge/providers", "github.com/sealbridge/sealbridge/api",
	} {
		for dep := range strings.Lines(string(out)) {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("links %s", strings.TrimSpace(dep))
				break
			}
		}
	}
}

package controlplane

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// shared is the control plane of this test binary.
//
//nolint:gochecknoglobals // one control plane per test binary is the point, and tests have no other place in common
var shared process.Shared[*ControlPlane]

// New returns the control plane of this test binary, with the CRDs of config/crd installed; the first call starts it.
// Tests share it and isolate by Namespace. Without bin/controlplane the test is skipped, and fails when CI is "true".
func New(t testing.TB) *ControlPlane {
	t.Helper()
	return shared.Get(t, startWithCRDs)
}

// Own returns a control plane for one test, with the CRDs of config/crd, which the test may stop and break: nobody else uses it.
// It ends with the test. Without bin/controlplane the test is skipped, and fails when CI is "true".
func Own(t testing.TB) *ControlPlane {
	t.Helper()
	cp, err := startWithCRDs(t.Context())
	if err != nil {
		process.Missing(t, err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cp
}

func startWithCRDs(ctx context.Context) (*ControlPlane, error) {
	root, err := process.ModuleRoot()
	if err != nil {
		return nil, err
	}
	opts := Options{CRDs: []string{filepath.Join(root, "config", "crd")}}
	if _, err := os.Stat(opts.CRDs[0]); err != nil {
		opts.CRDs = nil
	}
	return Start(ctx, opts)
}

// Run runs the tests of a package, then ends what New of this package and of the other harness packages started, and
// returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }
//
// Without it the control plane ends a moment after the test binary, by its lifeline.
func Run(m *testing.M) int { return process.RunTests(m) }

// Deployment returns the controller's Deployment of config/manager.
func Deployment(t testing.TB) *appsv1.Deployment {
	t.Helper()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "config", "manager", "manager.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	if err := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return &d
}

var notDNS = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace creates a namespace with a name of its own for the test, and deletes it when the test ends (without
// waiting until its objects are gone).
func (c *ControlPlane) Namespace(t testing.TB) string {
	t.Helper()
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		t.Fatal(err)
	}
	prefix := notDNS.ReplaceAllString(strings.ToLower(t.Name()), "-")
	prefix = strings.Trim(prefix[:min(len(prefix), 40)], "-")
	ns, err := clients.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	t.Cleanup(func() {
		err := clients.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), ns.Name, metav1.DeleteOptions{})
		if err != nil {
			t.Logf("delete namespace %s: %v", ns.Name, err)
		}
	})
	return ns.Name
}

// OwnAddress returns an address of this machine that an API server proxies to, which it does not to loopback ones. What is
// sent there stays on the machine.
func OwnAddress(t testing.TB) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	process.Missing(t, errors.New("the machine has no address besides loopback; as root: ip address add 198.18.0.1/32 dev lo"))
	return ""
}

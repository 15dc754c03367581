package sealedsecrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(controlplane.Run(m))
}

// account is the service account of the original.
const account = "sealed-secrets"

// side is one of the two: a control plane with its definition, and what starts its controller.
type side struct {
	name    string
	plane   *controlplane.ControlPlane
	client  client.Client
	binary  string
	program func(ctx context.Context, namespace string, spec process.Spec) (process.Spec, error)
}

// both are the original and ours.
var both = sync.OnceValues(func() ([]*side, error) {
	ctx := context.Background()
	definition, err := originalDefinition(ctx)
	if err != nil {
		return nil, err
	}
	root, err := process.ModuleRoot()
	if err != nil {
		return nil, err
	}
	original := &side{name: "original", binary: "sealed-secrets-controller"}
	original.program = func(ctx context.Context, namespace string, spec process.Spec) (process.Spec, error) {
		err := original.plane.Bind(ctx, controlplane.ServiceAccount(namespace, account), "", "ClusterRole", "cluster-admin")
		if err != nil {
			return spec, err
		}
		return original.plane.InPod(ctx, namespace, account, spec)
	}
	ours := &side{name: "ours", binary: "sealbridge-controller"}
	ours.program = func(_ context.Context, namespace string, spec process.Spec) (process.Spec, error) {
		spec.Args = append([]string{
			"--kubeconfig=" + ours.plane.Kubeconfig(), "--namespace=" + namespace, "--controllers=sealedsecret", "--health-probe-bind-address=0",
		}, spec.Args...)
		return spec, nil
	}
	return []*side{original, ours}, errors.Join(
		original.begin(ctx, definition), ours.begin(ctx, filepath.Join(root, "config", "crd", "bitnami.com_sealedsecrets.yaml")))
})

// sides returns both; without a part that it needs the test is skipped, and fails in CI.
func sides(t *testing.T) []*side {
	t.Helper()
	all, err := both()
	if err != nil {
		process.Missing(t, err)
	}
	return all
}

// originalDefinition returns where the definition of Sealed Secrets is, in the module that its controller was built from.
func originalDefinition(ctx context.Context) (string, error) {
	root, err := process.ModuleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "github.com/bitnami/sealed-secrets")
	cmd.Dir, cmd.Env = filepath.Join(root, "test", "kubeseal"), append(os.Environ(), "GOFLAGS=", "GOWORK=off") // as the Makefile builds it
	out, err := cmd.Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		return "", fmt.Errorf("find the module of Sealed Secrets: %w", err)
	}
	return filepath.Join(module.Dir, "helm", "sealed-secrets", "crds", "bitnami.com_sealedsecrets.yaml"), nil
}

// begin starts the control plane.
func (s *side) begin(ctx context.Context, definition string) (err error) {
	if s.binary, err = process.Binary(s.binary); err != nil {
		return err
	}
	if s.plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{definition}}); err != nil {
		return err
	}
	process.AtEnd(s.plane.Stop)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	s.client, err = client.New(s.plane.Config(), client.Options{Scheme: scheme})
	return err
}

// controller is a running controller of one side in one namespace.
type controller struct {
	*side
	namespace string
	flags     []string
	dir       string
	process   *process.Process
	// serves and metrics are its addresses.
	serves, metrics string
}

// controllerOf makes the namespaces, of which the first is the controller's; start starts it.
func controllerOf(t *testing.T, s *side, namespaces, flags []string) *controller {
	t.Helper()
	for _, name := range namespaces {
		if err := s.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	return &controller{side: s, namespace: namespaces[0], flags: flags, dir: t.TempDir()}
}

// in is the controller seen from another namespace.
func (c *controller) in(namespace string) *controller {
	there := *c
	there.namespace = namespace
	return &there
}

// reports says whether the controller writes a status of each SealedSecret.
func (c *controller) reports() bool {
	return !slices.ContainsFunc(c.flags, func(flag string) bool {
		return flag == "--update-status=false" || strings.HasPrefix(flag, "--label-selector")
	})
}

func (c *controller) start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c.process, err = process.OnFreePorts(func() (*process.Process, error) { return c.startOnce(ctx) })
	return err
}

func (c *controller) startOnce(ctx context.Context) (*process.Process, error) {
	port, err := process.FreePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	address := func(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+i)) }
	c.serves, c.metrics = address(0), address(1)
	spec, err := c.program(ctx, c.namespace, process.Spec{
		Name: c.name, Path: c.binary, Dir: c.dir,
		Args: append([]string{
			"--all-namespaces=false", "--key-renew-period=0", "--kubeclient-qps=1000", "--kubeclient-burst=1000",
			"--listen-addr=" + c.serves, "--listen-metrics-addr=" + c.metrics,
		}, c.flags...),
	})
	if err != nil {
		return nil, err
	}
	started, err := process.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return started, started.Ready(ctx, func(ctx context.Context) error { return process.Answers(ctx, "http://"+c.serves+"/healthz") })
}

func (c *controller) stop() {
	if c.process != nil {
		c.process.Stop(10 * time.Second)
		c.process = nil
	}
}

package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// quiet are the flags of a controller without endpoints on ports that somebody else may have.
func quiet(kubeconfig string) []string {
	return []string{"--kubeconfig=" + kubeconfig, "--metrics-bind-address=0", "--health-probe-bind-address=0", "--sealed-secrets-bind-address=127.0.0.1:0"}
}

// begin starts a controller in a process of its own, which need not become ready.
func begin(t *testing.T, args ...string) *process.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(t.Context(), process.Spec{Name: "controller", Path: self, Dir: t.TempDir(), Env: []string{asMain + "=1"}, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// ends waits until a process is gone, and returns what it has written.
func ends(t *testing.T, p *process.Process) string {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(deadline):
		t.Fatal("it goes on")
	}
	text, err := os.ReadFile(p.Log())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAControllerWithoutRightsEndsWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg, err := w.cp.ServiceAccountConfig(t.Context(), w.ns, "nobody")
	must(t, err)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, controlplane.WriteKubeconfig(kubeconfig, cfg))
	for when, line := range map[string]string{
		"while its controllers wait for one another": "is forbidden",
		"while each waits for itself":                "Starting EventSource",
	} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			p := begin(t, quiet(kubeconfig)...)
			w.eventually("the log says: "+line, func() bool {
				text, err := os.ReadFile(p.Log())
				return err == nil && bytes.Contains(text, []byte(line))
			})
			must(t, syscall.Kill(p.PID(), syscall.SIGTERM))
			ends(t, p)
		})
	}
}

func TestAClusterWithoutTheDefinitionsIsToldWhichOnesItMisses(t *testing.T) {
	t.Parallel()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{
		"../../config/crd/external-secrets.io_externalsecrets.yaml", "../../config/crd/external-secrets.io_secretstores.yaml",
	}})
	if err != nil {
		process.Missing(t, err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	const cure = ": install the definitions (kubectl apply -f config/crd), or leave out controllers (--controllers)"
	for args, want := range map[string]string{
		"--controllers=*": "ClusterSecretStore (external-secrets.io/v1), ClusterExternalSecret (external-secrets.io/v1), " +
			"SealedSecret (bitnami.com/v1alpha1), GitSync (sealbridge.dev/v1alpha1)",
		"--controllers=secretstore,externalsecret": "ClusterSecretStore (external-secrets.io/v1)",
		"--controllers=gitsync":                    "GitSync (sealbridge.dev/v1alpha1)",
	} {
		// In a process of its own: the loggers that a controller sets are those of all tests.
		text := ends(t, begin(t, append(quiet(cp.Kubeconfig()), args)...))
		if text != "sealbridge-controller: the cluster does not serve "+want+cure+"\n" {
			t.Errorf("%s: %s", args, text)
		}
	}
}

func TestAnAddressThatIsTakenIsSaidWithTheFlagsThatChooseOthers(t *testing.T) {
	w := newWorld(t)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"--metrics-bind-address", "--health-probe-bind-address", "--sealed-secrets-bind-address"} {
		text := ends(t, begin(t, append(quiet(w.cp.Kubeconfig()), "--namespace="+w.ns, "--controllers=sealedsecret", "--all-namespaces=false", flag+"="+taken.Addr().String())...))
		if !strings.Contains(text, "\nsomething else has the address") || !strings.Contains(text, taken.Addr().String()+": bind: address already in use\n") {
			t.Errorf("%s: %s", flag, text)
		}
	}
}

func TestANamespaceThatIsNotThereIsSaidUntilItIs(t *testing.T) {
	w := newWorld(t)
	absent := w.ns + "-later"
	p := begin(t, append(quiet(w.cp.Kubeconfig()), "--namespace="+absent, "--controllers=sealedsecret", "--all-namespaces=false", "--key-size=2048")...)
	logged := func(what string) func() bool {
		return func() bool {
			text, err := os.ReadFile(p.Log())
			return err == nil && bytes.Contains(text, []byte(what))
		}
	}
	w.eventually("the log says what to do", logged("create the first sealing key: namespace "+absent+" does not exist: create it, or name another with --namespace: the API server answered NotFound"))
	if out, err := w.cp.Kubectl(t.Context(), "", "create", "namespace", absent); err != nil {
		t.Fatal(err, out)
	}
	w.eventually("there are keys", logged("sealing keys loaded"))
	if out, err := w.cp.Kubectl(t.Context(), "", "delete", "namespace", absent, "--wait=false"); err != nil {
		t.Fatal(err, out)
	}
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// probed is a replica with an endpoint of probes.
type probed struct {
	*replica
	address string
}

// probe begins a replica of everything that acts as the ServiceAccount "limited", which need not become ready.
func (w *world) probe(kubeconfig string, args ...string) probed {
	w.t.Helper()
	port, err := process.FreePorts(w.t.Context(), 1)
	if err != nil {
		w.t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p := begin(w.t, slices.Concat(quiet(kubeconfig), []string{
		"--namespace=" + w.ns, "--watch-namespaces=" + w.ns, "--controller-class=" + w.class(), "--key-size=2048",
		// Nobody waits for the lease of another, and a machine that is busy is given time to renew it: who cannot ends.
		"--leader-elect", "--leader-election-lease-duration=1m", "--leader-election-renew-deadline=50s",
		"--health-probe-bind-address=" + address,
	}, args)...)
	w.t.Cleanup(func() {
		if text, err := os.ReadFile(p.Log()); err == nil && w.t.Failed() {
			w.t.Logf("%s said:\n%s", address, text)
		}
	})
	return probed{&replica{Process: p, w: w}, address}
}

// asks returns what the endpoint of probes answers; 0 for no answer.
func (p probed) asks(path string) (code int, text string) {
	req, err := http.NewRequestWithContext(p.w.t.Context(), http.MethodGet, "http://"+p.address+path, http.NoBody)
	if err != nil {
		p.w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// reasons counts how often the log says that a check fails.
func (p probed) reasons(check string) int {
	text, err := os.ReadFile(p.Log())
	if err != nil {
		p.w.t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(`"msg":"not ready"`)) && bytes.Contains(line, []byte(`"check":"`+check+`"`)) {
			n++
		}
	}
	return n
}

// TestAReplicaIsReadyWhenItMayReadWhatItServes, whether it leads or not. What it misses it says by name, with the
// cure, and waits for: it needs no restart.
func TestAReplicaIsReadyWhenItMayReadWhatItServes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kubeconfig, allow := w.limited()
	allow("bitnami.com", "*")
	allow("external-secrets.io", "secretstores", "secretstores/status", "externalsecrets/status", "externalsecrets/finalizers")
	replicas := []probed{w.probe(kubeconfig), w.probe(kubeconfig)}
	misses := func(resource string) {
		t.Helper()
		for _, p := range replicas {
			w.eventually("a replica says that it misses "+resource, func() bool {
				code, text := p.asks("/readyz?verbose")
				return code == http.StatusInternalServerError && strings.Contains(text, "[-]"+resource+" failed") && strings.Contains(text, "[+]secretstores.external-secrets.io ok")
			})
			want := "the controller may not list " + resource + " in namespace " + w.ns + ": give its ServiceAccount the roles of config/rbac (kubectl apply -k config/default, or config/namespaced with --watch-namespaces), or leave out what needs it: "
			if code, text := p.asks("/readyz/" + resource); code != http.StatusInternalServerError || !strings.Contains(text, want) {
				t.Errorf("%s: %d %s", resource, code, text)
			}
			if n := p.reasons(resource); n != 1 {
				t.Errorf("the log says %d times that %s is missing", n, resource)
			}
			if code, _ := p.asks("/healthz"); code != http.StatusOK {
				t.Errorf("a replica that waits is not alive: %d", code)
			}
		}
	}
	misses("externalsecrets.external-secrets.io")
	misses("gitsyncs.sealbridge.dev")
	if code, text := replicas[0].asks("/readyz/caches"); code != http.StatusInternalServerError || !strings.Contains(text, "was not read yet") {
		t.Errorf("caches that cannot be filled are full: %d %s", code, text)
	}

	allow("external-secrets.io", "externalsecrets")
	w.eventually("what may be read is not missed any more", func() bool {
		code, _ := replicas[0].asks("/readyz/externalsecrets.external-secrets.io")
		return code == http.StatusOK
	})
	misses("gitsyncs.sealbridge.dev")

	w.store("1", named("es", 1))
	w.externalSecret("es-000")
	w.must(w.client.Create(t.Context(), &sbv1.GitSync{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "sync"}, Spec: sbv1.GitSyncSpec{URL: "https://127.0.0.1:1/none", Interval: metav1.Duration{Duration: time.Minute}}}))
	allow("sealbridge.dev", "*")
	for _, p := range replicas {
		w.eventually("a replica is ready", func() bool {
			code, text := p.asks("/readyz?verbose")
			return code == http.StatusOK && strings.Contains(text, "[+]sealing-keys ok") && strings.Contains(text, "[+]caches ok")
		})
	}
	w.eventually("all is served", func() bool {
		var sync sbv1.GitSync
		w.must(w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "sync"}, &sync))
		return len(sync.Status.Conditions) > 0 && len(w.secrets()["es-000"].Data) == len(keys())
	})
	w.leader(replicas[0].replica, replicas[1].replica)
	for _, p := range replicas {
		if !process.Runs(fmt.Sprint(p.PID())) {
			t.Error("a replica has ended")
		}
	}
}

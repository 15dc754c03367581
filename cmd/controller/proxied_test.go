package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// service makes what the API server proxies to a replica by: a Service, its Endpoints and the Pod that these name, whose status
// a kubelet would write.
func (w *world) service(r *replica) {
	w.t.Helper()
	address, port, err := net.SplitHostPort(r.url)
	if err != nil {
		w.t.Fatal(err)
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: sealbridge-controller, namespace: %[1]s}
spec: {ports: [{name: http, port: 8082}]}
---
apiVersion: v1
kind: Pod
metadata: {name: controller, namespace: %[1]s}
spec: {containers: [{name: controller, image: none}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: sealbridge-controller, namespace: %[1]s}
subsets: [{addresses: [{ip: %[2]s, targetRef: {kind: Pod, name: controller, namespace: %[1]s}}], ports: [{name: http, port: %[3]s}]}]
`, w.ns, address, port)
	w.eventually("the namespace has its default account, and so takes Pods", func() bool { return w.cp.Apply(w.t.Context(), text) == nil })
	status := fmt.Sprintf(`{"status":{"podIP":%[1]q,"podIPs":[{"ip":%[1]q}]}}`, address)
	if out, err := w.cp.Kubectl(w.t.Context(), "", "patch", "pod", "controller", "-n", w.ns, "--subresource=status", "--type=merge", "-p", status); err != nil {
		w.t.Fatal(err, out)
	}
}

// proxied waits until the API server's proxy reaches the service.
func (w *world) proxied() {
	w.t.Helper()
	w.eventually("the proxy reaches the controller", func() bool {
		text, err := w.cp.Kubectl(w.t.Context(), "", "get", "--raw", "/api/v1/namespaces/"+w.ns+"/services/http:sealbridge-controller:http/proxy/healthz")
		return err == nil && text == "ok\n"
	})
}

// The real controller, the real command line, and the real API server's service proxy between them.
func TestTheCommandLineReachesTheControllerThroughTheAPIServer(t *testing.T) {
	bin := process.Require(t, "sealbridge")
	w := newWorld(t)
	tenant := w.cp.Namespace(t)
	w.planted("tenant", time.Hour, map[string]string{v1alpha1.LabelSealingKey: v1alpha1.SealingKeyNamespaced}, map[string]string{v1alpha1.AnnotationKeyNamespaces: tenant})
	r := w.start("--all-namespaces=false", "--additional-namespaces="+tenant, "--listen-addr="+net.JoinHostPort(controlplane.OwnAddress(t), "0"), "--rate-limit=1000", "--rate-limit-burst=1000")
	w.service(r)
	dir := t.TempDir()
	cli := func(stdin string, args ...string) (stdout, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "KUBECONFIG=" + w.cp.Kubeconfig(), "SEALED_SECRETS_CONTROLLER_NAMESPACE=" + w.ns, "SEALED_SECRETS_CONTROLLER_NAME=sealbridge-controller"}
		var out, errs bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, errs.String())
		}
		return out.String(), errs.String()
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	w.proxied()

	// Certificates, the common one and the tenant's.
	common := r.certificate()
	_, own := r.ask(http.MethodGet, "/v1/cert.pem?namespace="+tenant, "")
	for namespace, want := range map[string]string{"": common, w.ns: common, tenant: own} {
		args := []string{"seal", "--fetch-cert"}
		if namespace != "" {
			args = append(args, "--namespace", namespace)
		}
		if got, _ := cli("", args...); got != want || common == own {
			t.Errorf("namespace %q has another certificate", namespace)
		}
	}

	// Sealed with them, values open: in a tenant's namespace only with its own, which nobody has to ask for.
	secret := func(namespace string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: " + namespace + "}\nstringData: {k: " + canary + "}\n"
	}
	cli(secret(w.ns)+"---\n"+secret(tenant), "seal", "-w", "both.yaml")
	cli(read("both.yaml"), "seal", "--validate")
	cli(secret(w.ns)+"---\n"+secret(tenant), "seal", "-w", "both.yaml", "--update")
	cli(read("both.yaml"), "seal", "--validate")
	for _, namespace := range []string{w.ns, tenant} {
		cli(secret(namespace), "seal", "-w", namespace+".yaml")
		cli(read(namespace+".yaml"), "seal", "--validate")
		before := read(namespace + ".yaml")
		cli("", "seal", "--re-encrypt", "-f", namespace+".yaml")
		if read(namespace+".yaml") == before {
			t.Error("--re-encrypt changed nothing")
		}
		cli(canary, "set", namespace+".yaml", "k")
		cli(strings.ReplaceAll(secret(namespace), "db", "else"), "seal", "--merge-into", namespace+".yaml")
		cli(read(namespace+".yaml"), "seal", "--validate")
	}

	// One value in the native format, set and edited.
	cli(canary, "set", w.ns+".yaml", "native", "--native")
	cli(read(w.ns+".yaml"), "seal", "--validate")
	identity, err := w.cp.Kubectl(t.Context(), "", "get", "secret", "sealed-secrets-key-native-first", "-n", w.ns, "-o", "yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys.yaml"), []byte(identity), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _ := cli("", "edit", w.ns+".yaml", "native", "--open", "--recovery-private-key", "keys.yaml"); got != canary {
		t.Error("edit --open shows another value")
	}
	cli(canary+"-new", "edit", w.ns+".yaml", "native", "--native", "--recovery-private-key", "keys.yaml")
	if got, _ := cli("", "edit", w.ns+".yaml", "native", "--open", "--recovery-private-key", "keys.yaml"); got != canary+"-new" {
		t.Error("edit did not replace the value")
	}

	// What is sealed to the newest keys of both formats stays as it is, though nobody has noted that here; --force seals compat
	// values anew.
	before := read(w.ns+".yaml") + read(tenant+".yaml")
	if out, _ := cli("", "rewrap", w.ns+".yaml", tenant+".yaml"); !strings.Contains(out, "0 sealed anew, 2 unchanged, 0 failed\n") ||
		!strings.Contains(out, "--force: 3\n") || read(w.ns+".yaml")+read(tenant+".yaml") != before {
		t.Errorf("rewrap said of what is sealed to the newest keys: %s", out)
	}
	if out, _ := cli("", "rewrap", "--force", w.ns+".yaml", tenant+".yaml"); !strings.Contains(out, w.ns+"/db: 1 of 2 values") || !strings.Contains(out, "2 sealed anew, 0 unchanged, 0 failed\n") {
		t.Errorf("rewrap --force said: %s", out)
	}

	// Everything is sealed to a new key, applied, and opened by the cluster.
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	w.pair("newer", pair)
	w.eventually("there is a new certificate", func() bool { return r.certificate() == string(pair.CertificatePEM()) })
	out, _ := cli("", "rewrap", w.ns+".yaml", tenant+".yaml")
	if !strings.Contains(out, "2 SealedSecrets in 2 files: 1 sealed anew, 1 unchanged, 0 failed") { // the tenant's key is as it was
		t.Errorf("rewrap said: %s", out)
	}
	if out, _ := cli("", "rewrap", w.ns+".yaml", tenant+".yaml"); !strings.Contains(out, "0 sealed anew, 2 unchanged, 0 failed") {
		t.Errorf("rewrap said the second time: %s", out)
	}
	for _, namespace := range []string{w.ns, tenant} {
		if err := w.cp.Apply(t.Context(), read(namespace+".yaml")); err != nil {
			t.Fatal(err)
		}
		w.eventually("the Secret is there", func() bool {
			text, err := w.cp.Kubectl(t.Context(), "", "get", "secret", "db", "-n", namespace, "-o", "jsonpath={.data}")
			return err == nil && strings.Contains(text, `"k":"Y2FuYXJ5LTBjN2IxMWQ5"`) && (namespace == tenant || strings.Contains(text, `"native":"Y2FuYXJ5LTBjN2IxMWQ5LW5ldw=="`))
		})
	}
}

// A controller that has one replica is away for some seconds when it restarts: its port is closed, or the service has no endpoint
// that is ready. Commands wait for it.
func TestTheCommandLineWaitsForAControllerThatRestarts(t *testing.T) {
	t.Parallel()
	bin := process.Require(t, "sealbridge")
	w := newWorld(t)
	// Of its namespace alone: of the SealedSecrets of tests beside this one it would say that it cannot open them.
	flags := []string{"--all-namespaces=false", "--listen-addr=" + net.JoinHostPort(controlplane.OwnAddress(t), "0")}
	r := w.start(flags...)
	w.service(r)
	w.proxied()
	certificate, dir := r.certificate(), t.TempDir()
	command := func(stdin string, args ...string) *asking {
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "KUBECONFIG=" + w.cp.Kubeconfig(), "SEALED_SECRETS_CONTROLLER_NAMESPACE=" + w.ns, "SEALED_SECRETS_CONTROLLER_NAME=sealbridge-controller"}
		a := &asking{cmd: cmd}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &a.out, &a.errs
		w.must(cmd.Start())
		return a
	}
	sealed := command("{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: "+w.ns+"}, stringData: {k: "+canary+"}}", "seal", "-o", "yaml")
	w.must(sealed.cmd.Wait())

	// A Pod has an address of its own. This one runs already, because the commands wait only so long, and a process is slow to start on
	// a machine that is busy.
	_, port, err := net.SplitHostPort(w.start(flags...).url)
	w.must(err)
	r.Stop(time.Minute)
	note := fmt.Sprintf("nobody serves %s/sealbridge-controller now: waiting for it a quarter of a minute\n", w.ns)
	waits := func(away, back string) {
		t.Helper()
		fetched, validated := command("", "seal", "--fetch-cert"), command(sealed.out.String(), "seal", "--validate")
		w.eventually("both have met nobody while "+away, func() bool { return fetched.errs.String() == note && validated.errs.String() == note })
		w.endpoints(back)
		for _, a := range []*asking{fetched, validated} {
			if err := a.cmd.Wait(); err != nil || a.errs.String() != note {
				t.Errorf("%s: %v: %v: %s", away, a.cmd.Args[1:], err, a.errs.String())
			}
		}
		if fetched.out.String() != certificate {
			t.Errorf("%s: it is another certificate", away)
		}
	}
	waits("its port is closed", `[{"op": "replace", "path": "/subsets/0/ports/0/port", "value": `+port+`}]`)
	w.endpoints(`[{"op": "move", "from": "/subsets/0/addresses", "path": "/subsets/0/notReadyAddresses"}]`)
	waits("it is not ready", `[{"op": "move", "from": "/subsets/0/notReadyAddresses", "path": "/subsets/0/addresses"}]`)
}

// asking is a command that was started, and what it has written so far.
type asking struct {
	cmd       *exec.Cmd
	out, errs capture.Log
}

// endpoints patches those of the service.
func (w *world) endpoints(patch string) {
	w.t.Helper()
	e := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "sealbridge-controller"}}
	e.APIVersion, e.Kind = "v1", "Endpoints"
	w.must(w.client.Patch(w.t.Context(), e, client.RawPatch(types.JSONPatchType, []byte(patch))))
}

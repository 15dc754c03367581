package install_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/gitserver"
	"github.com/sealbridge/sealbridge/test/harness/pki"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

func TestTheImageHoldsTheControllerAndTheAuthoritiesAndNothingElse(t *testing.T) {
	t.Parallel()
	i := unpack(t)
	want := map[string]string{
		"etc/": "drwxr-xr-x", "etc/ssl/": "drwxr-xr-x", "etc/ssl/certs/": "drwxr-xr-x", "etc/ssl/certs/ca-certificates.crt": "-rw-r--r--",
		"sealbridge-controller": "-rwxr-xr-x",
	}
	if diff := cmp.Diff(want, i.modes()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if slices.ContainsFunc(i.Files, func(h *tar.Header) bool { return h.Uid != 0 || h.Gid != 0 }) {
		t.Error("a file is not root's: the controller could write it")
	}
	if i.OS != "linux" || i.Architecture != runtime.GOARCH || i.Config.User != "65532:65532" || i.Config.WorkingDir != "/" ||
		!slices.Equal(i.Config.Entrypoint, []string{"/sealbridge-controller"}) || len(i.Config.Cmd)+len(i.Config.Env) > 0 {
		t.Errorf("it runs %+v", i)
	}
	labels := i.Config.Labels
	if labels["org.opencontainers.image.source"] != "https://github.com/sealbridge/sealbridge" || labels["org.opencontainers.image.version"] == "" {
		t.Errorf("labels %v", labels)
	}
	program, err := elf.Open(filepath.Join(i.Root, "sealbridge-controller"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if needed, err := program.ImportedLibraries(); err != nil || len(needed) > 0 {
		t.Errorf("the program needs %v, which is not there: %v", needed, err)
	}
	raw, err := os.ReadFile(filepath.Join(i.Root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !cert.IsCA || !cert.NotAfter.After(time.Now()) {
			t.Errorf("authority %d: %v, %v", n, cert.Subject, err)
		}
		n++
	}
	if n < 100 {
		t.Errorf("%d authorities are not those of the web", n)
	}
}

// container runs the image as its Deployment says, with what a Pod has besides and no other file.
func (w *world) container(i *image, args ...string) *process.Process {
	w.t.Helper()
	if os.Geteuid() != 0 {
		process.Missing(w.t, fmt.Errorf("%w: a container, which only root can make", process.ErrMissing))
	}
	pod := controlplane.Deployment(w.t).Spec.Template.Spec
	uid := *pod.SecurityContext.RunAsUser
	if i.Config.User != fmt.Sprintf("%d:%d", uid, uid) {
		w.t.Fatalf("the image runs as %s, and config/manager as %d", i.Config.User, uid)
	}
	env, err := w.cp.PodCredentials(w.t.Context(), system, account, filepath.Join(i.Root, "var/run/secrets/kubernetes.io/serviceaccount"))
	if err != nil {
		w.t.Fatal(err)
	}
	running, err := process.Start(w.t.Context(), process.Spec{
		Name: "container", Dir: w.t.TempDir(), Root: i.Root, User: uint32(uid),
		Path: i.Config.Entrypoint[0], Args: append(slices.Clone(pod.Containers[0].Args), args...), Env: env,
	})
	if errors.Is(err, syscall.EPERM) {
		process.Missing(w.t, fmt.Errorf("%w: a container, which this system forbids: %w", process.ErrMissing, err))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { running.Stop(10 * time.Second) })
	return running
}

// backend serves the value over TLS, by a certificate of an authority of its own.
func backend(t *testing.T) (url string, authority []byte) {
	t.Helper()
	ca, err := pki.NewAuthority("public authority")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, value)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // one client refuses it
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, ca.PEM()
}

// webhookStore reads from a backend, whose authority is one of the system's where none is given.
func webhookStore(namespace, name, url string, authority []byte) *esv1.SecretStore {
	return &esv1.SecretStore{ObjectMeta: named(namespace, name), Spec: esv1.SecretStoreSpec{Provider: stores.Provider{Webhook: &stores.Webhook{URL: url, CABundle: authority}}}}
}

// TestTheControllerServesAllThatItServesInItsImage: authorities are those of the image and of the store, a template finds its time zone, and
// Git is read over https and ssh, by a user without a name, a home and a place to write.
func TestTheControllerServesAllThatItServesInItsImage(t *testing.T) {
	w := install(t, "default")
	i, ns, git := unpack(t), w.cp.Namespace(t), gitserver.New(t)
	public, authority := backend(t)
	private, own := backend(t)
	i.trust(t, authority, git.CA())

	zoned := &esv1.ExternalSecret{ObjectMeta: named(ns, "public"), Spec: esSpec(esv1.StoreRef{Name: "public"})}
	zoned.Spec.Target.Template = &esv1.Template{MergePolicy: esv1.TemplateMerge, Data: map[string]string{"at": `{{ dateInZone "15:04 MST" (int64 1577836800) "Asia/Kathmandu" }}`}}
	w.create(webhookStore(ns, "public", public, nil), webhookStore(ns, "private", private, own), webhookStore(ns, "unknown", private, nil), zoned,
		&esv1.ExternalSecret{ObjectMeta: named(ns, "private"), Spec: esSpec(esv1.StoreRef{Name: "private"})},
		&esv1.ExternalSecret{ObjectMeta: named(ns, "unknown"), Spec: esSpec(esv1.StoreRef{Name: "unknown"})})
	w.probes = freeAddress(t)
	running := w.container(i, "--metrics-bind-address=0", "--health-probe-bind-address="+w.probes, "--sealed-secrets-bind-address=127.0.0.1:0", "--key-size=2048")
	w.synced(ns, git)

	w.holds(ns, "private")
	w.holds(ns, "public")
	var s corev1.Secret
	if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "public"}, &s); err != nil || string(s.Data["at"]) != "05:45 +0545" {
		t.Errorf("in Kathmandu it was %q: %v", s.Data["at"], err)
	}
	w.eventually("an authority that nobody has named is refused", func() error {
		var es esv1.ExternalSecret
		if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "unknown"}, &es); err != nil {
			return err
		}
		if c := conditions.Ready(es.Status.Conditions); !strings.Contains(c.Message, "signed by an unknown authority") {
			return fmt.Errorf("it says %q", c.Message)
		}
		return nil
	})
	for _, transport := range []string{"https", "ssh"} {
		w.eventually("what is in Git is applied, over "+transport, func() error {
			return w.c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: transport}, &corev1.ConfigMap{})
		})
	}
	w.sealingKey()
	w.ready()
	raw, err := os.ReadFile(running.Log())
	if err != nil || bytes.Contains(raw, []byte(value)) {
		t.Errorf("the log shows a value, or cannot be read: %v", err)
	}
}

// synced makes a repository and a GitSync of it for each transport.
func (w *world) synced(ns string, git *gitserver.Server) {
	w.t.Helper()
	ctx := w.t.Context()
	repo, err := git.Create(ctx, "apps")
	if err != nil {
		w.t.Fatal(err)
	}
	files, objects := map[string]string{}, fmt.Sprintf("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: deployer, namespace: %s}\n", ns)
	for transport, url := range map[string]string{"https": repo.HTTPS(), "ssh": repo.SSH()} {
		files[transport+"/config.yaml"] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\n", transport, ns)
		objects += fmt.Sprintf("---\napiVersion: sealbridge.dev/v1alpha1\nkind: GitSync\nmetadata: {name: %s, namespace: %s}\n"+
			"spec: {url: %q, ref: {branch: main}, path: ./%s, interval: 1m, prune: true, serviceAccountName: deployer", transport, ns, url, transport)
		if transport == "ssh" {
			objects += ", secretRef: {name: git}"
		}
		objects += "}\n"
	}
	if _, err := repo.Commit(ctx, gitserver.Change{Files: files}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.cp.Bind(ctx, controlplane.ServiceAccount(ns, "deployer"), ns, "ClusterRole", "cluster-admin"); err != nil {
		w.t.Fatal(err)
	}
	w.create(&corev1.Secret{ObjectMeta: named(ns, "git"), Data: map[string][]byte{"identity": git.ClientKey(), "known_hosts": git.KnownHosts()}})
	if err := w.cp.Apply(ctx, objects); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { // while there are the controller, which has put a finalizer on them, and the deployer
		if out, err := w.cp.Kubectl(context.WithoutCancel(ctx), "", "-n", ns, "delete", "gitsync", "--all", "--wait=true", "--timeout=60s"); err != nil {
			w.t.Errorf("%v\n%s", err, out)
		}
	})
}

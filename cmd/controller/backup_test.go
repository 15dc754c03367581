package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// Whoever restores a cluster's database from a backup should restart what runs in it. A controller that goes on all the same makes true
// again what the restored objects say, though it has seen later versions of all of them, and what somebody has changed in them before it
// sees them: the store has a generation then that it had already, and says something else.
func TestAClusterThatIsRestoredFromABackupIsMadeTrueAgain(t *testing.T) {
	t.Parallel()
	cp := controlplane.Own(t)
	w := worldOn(t, cp)
	external, sealed, late, files := named("es", 10), named("ss", 5), named("late", 20), 5
	controller := w.start("--controllers=*", "--watch-namespaces="+w.ns)
	w.store("1", external)
	certificate := controller.certificate()
	for _, name := range external {
		w.externalSecret(name)
	}
	for _, name := range sealed {
		w.must(w.client.Create(t.Context(), w.sealedSecret(name, certificate)))
	}
	repository := w.repository(files)
	saved := w.complete("all are there before the backup", external, sealed, "1")
	w.applied("the GitSync is there before the backup", files, "1")
	w.must(cp.Save(t.Context()))

	w.store("2", external)
	w.commit(repository, files, "2")
	for _, name := range late {
		w.externalSecret(name)
	}
	w.complete("all is new after the backup", external, sealed, "2")
	w.applied("the GitSync is new after the backup", files, "2")
	w.restore(controller, w.revision()+1000, func() { w.store("3", external) })

	w.applied("what Git says is applied to the restored cluster", files, "2")
	got := w.complete("the restored objects are true", external, sealed, "3")
	for name, s := range got {
		if s.UID != saved[name].UID {
			t.Errorf("Secret %s was made anew", name)
		}
	}
	w.edit(got, sealed)
	w.complete("what somebody edits in the restored cluster is repaired", external, sealed, "3")
	w.store("4", external)
	w.complete("the store's next change arrives", external, sealed, "4")
	w.commit(repository, files, "3")
	w.applied("the next commit arrives", files, "3")

	// As somebody restores it who leaves the revision as it was: nobody is told to list anew.
	w.must(cp.Save(t.Context()))
	w.store("5", external)
	w.complete("all is new after the second backup", external, sealed, "5")
	w.restore(controller, 0, func() {})
	w.complete("the objects are true that were restored with their revision", external, sealed, "4")
	w.survived(controller)
}

// restore puts back what the cluster held when it was saved, with a revision or, with 0, with the one that it had. The controller sees
// nothing of the cluster until meanwhile has returned.
func (w *world) restore(controller *replica, revision int64, meanwhile func()) {
	w.t.Helper()
	w.must(syscall.Kill(controller.PID(), syscall.SIGSTOP))
	w.must(w.cp.Restore(w.t.Context(), revision))
	meanwhile()
	w.must(syscall.Kill(controller.PID(), syscall.SIGCONT))
}

// revision returns that of the cluster.
func (w *world) revision() int64 {
	w.t.Helper()
	var list corev1.SecretList
	w.must(w.client.List(w.t.Context(), &list))
	revision, err := strconv.ParseInt(list.ResourceVersion, 10, 64)
	w.must(err)
	return revision
}

// deaf returns a kubeconfig with which nothing is seen of ExternalSecrets and GitSyncs while what is returned with it is set; each is found
// by its name all the same.
func (w *world) deaf() (is *atomic.Bool, kubeconfig string) {
	w.t.Helper()
	target, err := url.Parse(w.cp.URL())
	w.must(err)
	transport, err := rest.TransportFor(w.cp.Config())
	w.must(err)
	is = &atomic.Bool{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		all := strings.HasSuffix(r.URL.Path, "/externalsecrets") || strings.HasSuffix(r.URL.Path, "/gitsyncs")
		if is.Load() && all && r.Method == http.MethodGet && r.URL.Query().Get("fieldSelector") == "" {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	kubeconfig = filepath.Join(w.t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"+
		"clusters: [{name: c, cluster: {server: %q}}]\nusers: [{name: u, user: {}}]\n", server.URL)
	w.must(os.WriteFile(kubeconfig, []byte(text), 0o600))
	return is, kubeconfig
}

// After the API server was away, watches come back within a minute and more, each when its pause is over: the controllers go on meanwhile,
// and what they write before a restore nothing that is watched has shown.
func TestARestoreOfWhatNoWatchHasShownIsNoticed(t *testing.T) {
	t.Parallel()
	cp := controlplane.Own(t)
	w := worldOn(t, cp)
	deaf, kubeconfig := w.deaf()
	external, files := named("es", 3), 2
	controller := w.start("--controllers=*", "--watch-namespaces="+w.ns, "--kubeconfig="+kubeconfig)
	w.store("1", external)
	for _, name := range external {
		w.externalSecret(name)
	}
	repository := w.repository(files)
	w.complete("all are there before the backup", external, nil, "1")
	w.applied("the GitSync is there before the backup", files, "1")
	deaf.Store(true)
	w.must(cp.Save(t.Context()))

	w.store("2", external)
	w.commit(repository, files, "2")
	w.complete("all is new after the backup", external, nil, "2")
	w.applied("the GitSync is new after the backup", files, "2")
	w.restore(controller, w.revision()+1000, func() {
		w.store("3", external)
		deaf.Store(false)
	})

	w.applied("what Git says is applied to the restored cluster", files, "2")
	w.complete("the restored objects are true", external, nil, "3")
	w.survived(controller)
}

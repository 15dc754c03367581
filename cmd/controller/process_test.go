package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

const (
	canary   = "canary-0c7b11d9"
	asMain   = "SEALBRIDGE_TEST_RUNS_MAIN"
	deadline = 4 * time.Minute
)

// TestMain runs the controller itself when a test starts this binary again, so that the tests see real processes.
func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	ctrl.SetLogger(logr.Discard()) // the controllers are processes of their own
	os.Exit(controlplane.Run(m))
}

// world is a namespace on a real API server, with the controllers that run in it.
type world struct {
	t      *testing.T
	cp     *controlplane.ControlPlane
	client client.WithWatch
	ns     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, controlplane.New(t))
}

func worldOn(t *testing.T, cp *controlplane.ControlPlane) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, v1alpha1.AddToScheme, esv1.AddToScheme, sbv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.NewWithWatch(cp.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, cp: cp, client: c, ns: cp.Namespace(t)}
}

// class is that of the namespace's controllers and stores: a store without one is everybody's, also that of another test's
// controller of the whole cluster.
func (w *world) class() string { return "class-" + w.ns }

// replica is a controller in a process of its own.
type replica struct {
	*process.Process
	w *world
	// url is where it serves the sealing certificate.
	url string
}

// start starts a controller of SealedSecrets, and waits until it has sealing keys. Without a flag that says otherwise it serves those of
// every namespace, which no test may have that runs beside others.
func (w *world) start(args ...string) *replica {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := process.Start(w.t.Context(), process.Spec{
		Name: "controller", Path: self, Dir: w.t.TempDir(), Env: []string{asMain + "=1"},
		Args: append([]string{
			"--kubeconfig=" + w.cp.Kubeconfig(), "--namespace=" + w.ns, "--controllers=sealedsecret", "--controller-class=" + w.class(), "--key-size=2048",
			"--listen-addr=127.0.0.1:0", "--listen-metrics-addr=0", "--health-probe-bind-address=0",
		}, args...),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		p.Kill()
		if w.t.Failed() {
			w.t.Log("the controller's log ends with:\n" + p.Tail(100))
		}
	})
	r := &replica{Process: p, w: w}
	w.eventually("the replica serves its certificate", func() bool {
		r.url = r.logged("serving the sealing certificate")["address"]
		return r.url != "" && r.certificate() != ""
	})
	return r
}

// logged returns the fields of the first line of the log with a message.
func (r *replica) logged(message string) map[string]string {
	text, err := os.ReadFile(r.Log())
	if err != nil {
		r.w.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var fields map[string]any
		if json.Unmarshal(line, &fields) != nil || fields["msg"] != message {
			continue
		}
		out := map[string]string{}
		for k, v := range fields {
			out[k], _ = v.(string)
		}
		return out
	}
	return nil
}

// ask sends a request and returns the code and the body; 0 when there is no answer.
func (r *replica) ask(method, path, body string) (int, string) {
	req, err := http.NewRequestWithContext(r.w.t.Context(), method, "http://"+r.url+path, strings.NewReader(body))
	if err != nil {
		r.w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (r *replica) certificate() string {
	if code, text := r.ask(http.MethodGet, "/v1/cert.pem", ""); code == http.StatusOK {
		return text
	}
	return ""
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(deadline); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s", deadline, what)
		}
	}
}

// create makes a SealedSecret of one value, sealed to a certificate.
func (w *world) create(name, certificate string, labels map[string]string) {
	w.t.Helper()
	key, err := keyring.ParseRecipient([]byte(certificate), time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	value, err := seal.Seal(rand.Reader, seal.Compat(key), seal.Strict, w.ns, name, []byte(canary))
	if err != nil {
		w.t.Fatal(err)
	}
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, Labels: labels}}
	obj.Spec.EncryptedData = map[string]string{"k": value}
	if err := w.client.Create(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
}

// secret returns the value of a Secret, "" when there is none.
func (w *world) secret(name string) string {
	w.t.Helper()
	var s corev1.Secret
	err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &s)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return string(s.Data["k"])
}

func (w *world) opened(name string) {
	w.t.Helper()
	w.eventually(name+" is opened", func() bool { return w.secret(name) == canary })
}

// leader returns which of the replicas acts.
func (w *world) leader(replicas ...*replica) int {
	w.t.Helper()
	leader := -1
	w.eventually("a replica leads", func() bool {
		leader = slices.IndexFunc(replicas, func(r *replica) bool {
			text, _ := os.ReadFile(r.Log())
			return bytes.Contains(text, []byte("uccessfully acquired lease"))
		})
		return leader >= 0
	})
	return leader
}

func TestReplicasServeOneKeyAndOneOfThemWrites(t *testing.T) {
	w := newWorld(t)
	replicas := []*replica{w.start("--leader-elect", "--all-namespaces=false"), w.start("--leader-elect", "--all-namespaces=false")}
	leader := replicas[w.leader(replicas...)]
	other := replicas[1-slices.Index(replicas, leader)]
	certificate := other.certificate()
	if certificate != leader.certificate() {
		t.Fatal("the replicas serve different certificates")
	}
	w.create("first", certificate, nil)
	w.opened("first")
	w.eventually("one event", func() bool { return w.unsealed("first") == 1 })

	// Each judges and reseals.
	for _, r := range replicas {
		body := "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: first, namespace: " + w.ns + "}\nspec: {encryptedData: {k: " + w.sealed("first") + "}}\n"
		w.eventually("verify answers", func() bool { code, _ := r.ask(http.MethodPost, "/v1/verify", body); return code == http.StatusOK })
		w.eventually("rotate answers", func() bool { code, _ := r.ask(http.MethodPost, "/v1/rotate", body); return code == http.StatusOK })
	}

	// A key that is asked for on both is made by the leader, and served by both.
	for _, r := range []*replica{other, leader} {
		if err := syscall.Kill(r.PID(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the other says who makes it", func() bool {
		return other.logged("no new sealing key is made: this replica does not lead; ask the one that does") != nil
	})
	for _, r := range replicas {
		w.eventually("the new certificate", func() bool { c := r.certificate(); return c != "" && c != certificate })
	}
	if leader.certificate() != other.certificate() {
		t.Error("the replicas serve different new certificates")
	}

	// When the leader goes, the other one takes over, and does nothing again that is done.
	leader.Stop(30 * time.Second)
	w.create("second", other.certificate(), nil)
	w.opened("second")
	if n := w.unsealed("first"); n != 1 {
		t.Errorf("%d events about an object that did not change", n)
	}
	for _, r := range replicas {
		if text, _ := os.ReadFile(r.Log()); bytes.Contains(text, []byte(canary)) || bytes.Contains(text, []byte("PRIVATE")) {
			t.Error("a log shows a value")
		}
	}
}

// sealed returns the sealed value of an object.
func (w *world) sealed(name string) string {
	w.t.Helper()
	var obj v1alpha1.SealedSecret
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &obj); err != nil {
		w.t.Fatal(err)
	}
	return obj.Spec.EncryptedData["k"]
}

// unsealed counts the events that say that an object was opened.
func (w *world) unsealed(name string) int {
	w.t.Helper()
	var list eventsv1.EventList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, e := range list.Items {
		if e.Regarding.Name == name && e.Reason == v1alpha1.ReasonUnsealed {
			n++
			if e.Series != nil {
				n += int(e.Series.Count) - 1
			}
		}
	}
	return n
}

func TestASealedSecretOutsideOfTheFlagsIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	elsewhere := newWorld(t)
	r := w.start("--all-namespaces=false", "--label-selector=served=yes", "--update-status=false")
	served := map[string]string{"served": "yes"}
	w.create("unlabeled", r.certificate(), nil)
	elsewhere.create("elsewhere", r.certificate(), served)
	w.create("app", r.certificate(), served)
	w.opened("app")
	w.create("last", r.certificate(), served)
	w.opened("last")
	if w.secret("unlabeled") != "" || elsewhere.secret("elsewhere") != "" {
		t.Error("an object outside of the flags was opened")
	}
	var obj v1alpha1.SealedSecret
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "app"}, &obj); err != nil {
		t.Fatal(err)
	}
	if len(obj.Status.Conditions) > 0 {
		t.Errorf("a status was written: %+v", obj.Status)
	}
}

func TestTheVersionHasTheWordsOfSealedSecrets(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(context.WithoutCancel(t.Context()), process.Spec{
		Name: "controller", Path: self, Args: []string{"--version"}, Dir: t.TempDir(), Env: []string{asMain + "=1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	text, err := os.ReadFile(filepath.Clean(p.Log()))
	if err != nil || string(text) != "controller version: "+version+"\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// What packages compute before main begins is in every controller for ever, twice with the garbage that is allowed beside it.
func TestNothingOfOursTakesMuchMemoryBeforeTheProgramBegins(t *testing.T) {
	lines := regexp.MustCompile(`(?m)^init (github\.com/sealbridge/\S+) .* (\d+) bytes`).FindAllStringSubmatch(initialized(t), -1)
	if len(lines) == 0 {
		t.Fatal("nothing of ours is listed: the check would say nothing")
	}
	for _, line := range lines {
		if n, err := strconv.Atoi(line[2]); err != nil || n > 1<<18 {
			t.Errorf("package %s takes %s bytes", line[1], line[2])
		}
	}
}

// What is initialized before the program is divided brings in large parts of it.
func TestTheProgramIsDividedBeforeTheLibrariesThatTouchMostOfIt(t *testing.T) {
	all := initialized(t)
	divided := strings.Index(all, "init github.com/sealbridge/sealbridge/internal/program ")
	if divided < 0 {
		t.Fatal("nothing divides the program")
	}
	for _, library := range []string{"net/http", "k8s.io/api/core/v1", "google.golang.org/protobuf/types/descriptorpb",
		"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb", "github.com/aws/aws-sdk-go-v2/service/ssm", "github.com/Azure/azure-sdk-for-go/sdk/azidentity"} {
		switch at := strings.Index(all, "init "+library+" "); {
		case at < 0:
			t.Errorf("%s is not initialized: name another one", library)
		case at < divided:
			t.Errorf("%s is initialized before the program is divided", library)
		}
	}
}

// initialized returns the packages that are initialized before main begins, in their order, as Go's inittrace prints them.
func initialized(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(context.WithoutCancel(t.Context()), process.Spec{
		Name: "controller", Path: self, Args: []string{"--version"}, Dir: t.TempDir(), Env: []string{asMain + "=1", "GODEBUG=inittrace=1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	text, err := os.ReadFile(filepath.Clean(p.Log()))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

package externalsecrets_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/gcp"
	"github.com/sealbridge/sealbridge/test/harness/moto"
	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// world is a cluster with one controller.
type world struct {
	cp     *controlplane.ControlPlane
	azure  *azurecloud.Cloud
	google *gcp.Cloud
	client client.Client
	// cache is what all cases look at, and only when changes says that there is something new: the servers that the controllers ask
	// are of this process, and must not wait for those who look.
	cache   cache.Cache
	changes changes
	running *process.Process
	// aws is where those cases have their accounts that need one, or why there is none.
	aws   *moto.Server
	noAWS error
	// vault is where those cases have their engines that need one, or why there is none.
	vault    *vault.Server
	noVault  error
	accounts sync.Map // *moto.Account by the case's namespace
}

// besideOurs starts a cluster and our own program.
func besideOurs(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, controlplane.Own(t))
	w.start(t, process.Spec{Path: process.Require(t, "sealbridge-controller"), Env: w.environment(), Args: []string{
		"--kubeconfig=" + w.cp.Kubeconfig(), "--namespace=default", "--controllers=externalsecret,secretstore,clusterexternalsecret",
		"--metrics-bind-address=0", "--health-probe-bind-address=0",
	}})
	return w
}

// besideTheOperator starts a cluster with the operator's definitions, and the operator.
func besideTheOperator(t *testing.T) *world {
	t.Helper()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, *operatorFlag)
	cp, err := controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{program + "-crds.yaml"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cp.Stop() })
	w := newWorld(t, cp)
	port, err := process.FreePorts(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	// The library by which it logs in to Vault asks http://metadata, whatever the environment says.
	env := append(w.environment(), "KUBECONFIG="+cp.Kubeconfig(), "HTTP_PROXY=http://"+w.google.MetadataHost())
	w.start(t, process.Spec{Path: program, Env: env, Args: []string{
		"--metrics-addr=127.0.0.1:" + strconv.Itoa(port), "--live-addr=127.0.0.1:" + strconv.Itoa(port+1), "--client-qps=1000", "--client-burst=2000",
	}})
	return w
}

func newWorld(t *testing.T, cp *controlplane.ControlPlane) *world {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, esv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{cp: cp, azure: newAzure(t, cp)}
	w.google = newGoogle(t, w.azure.Env())
	if w.aws, w.noAWS = moto.Start(t.Context(), moto.Options{}); w.noAWS == nil {
		t.Cleanup(func() { _ = w.aws.Stop() })
	}
	w.startVault(t)
	var err error
	if w.client, err = client.New(cp.Config(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	if w.cache, err = cache.New(cp.Config(), cache.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.cache.Start(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	for _, kind := range []client.Object{
		&esv1.ExternalSecret{}, &esv1.ClusterExternalSecret{}, &esv1.SecretStore{}, &esv1.ClusterSecretStore{}, &corev1.Secret{}, &corev1.Event{},
	} {
		informer, err := w.cache.GetInformer(ctx, kind)
		if err == nil {
			_, err = informer.AddEventHandler(&w.changes)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// values are what stands in the cases for what is known now alone.
func (w *world) values() []string {
	values := []string{"$SERVER", w.cp.URL(), "$CA", base64.StdEncoding.EncodeToString(w.cp.CA())}
	if w.vault != nil {
		values = append(values, "$VAULT", w.vault.Address())
	}
	return values
}

// environment is that of the controllers.
func (w *world) environment() []string {
	env := append(w.azure.Env(), w.google.Env()...) // which leads to Azure, too
	if w.aws == nil {
		return env
	}
	return append(env, w.aws.Environment()...)
}

func (w *world) start(t *testing.T, spec process.Spec) {
	t.Helper()
	spec.Name, spec.Dir = "controller", t.TempDir()
	var err error
	if w.running, err = process.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-w.running.Done():
			text, _ := os.ReadFile(w.running.Log())
			t.Errorf("the controller has ended; its log ends with:\n%s", text[max(0, len(text)-4000):])
		default:
			w.running.Stop(10 * time.Second)
		}
	})
}

// prepare makes the namespace of a case.
func (w *world) prepare(t *testing.T, c *conformanceCase) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.namespace, Labels: map[string]string{"case": c.namespace}}}
	if err := w.client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	if c.Account != "" {
		w.open(t, c)
	}
	if c.Vault != nil {
		w.fillVault(t, c)
	}
}

// open opens the account of a case.
func (w *world) open(t *testing.T, c *conformanceCase) {
	t.Helper()
	if w.noAWS != nil {
		process.Missing(t, w.noAWS)
	}
	account, err := w.aws.NewAccount(t.Context(), c.Account)
	if err != nil {
		t.Fatal(err)
	}
	w.accounts.Store(c.namespace, account)
	for _, role := range c.Roles {
		account.Role(role, moto.Role{Verify: func(context.Context, string) (string, error) { return "somebody", nil }})
	}
	keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: credentialsName}, StringData: map[string]string{
		"id": account.Credentials.AccessKeyID, "key": account.Credentials.SecretAccessKey, "token": account.Credentials.SessionToken,
	}}
	if err := w.client.Create(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
}

// credentialsName is the name of the Secret with the keys of a case's AWS account.
const credentialsName = "aws"

// do does what a step says: first what ExternalSecrets depend on, and when the stores are judged, the ExternalSecrets.
func (w *world) do(t *testing.T, c *conformanceCase, s step) {
	t.Helper()
	for _, call := range s.AWS {
		account, _ := w.accounts.Load(c.namespace)
		service, action, _ := strings.Cut(call.Call, " ")
		if err := account.(*moto.Account).Call(t.Context(), service, action, call.With, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range s.Delete {
		if err := w.client.Delete(t.Context(), o.DeepCopy()); err != nil {
			t.Fatalf("delete %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	for _, last := range []bool{false, true} {
		for _, o := range s.Apply {
			if strings.HasSuffix(o.GetKind(), "ExternalSecret") == last {
				w.apply(t, o.DeepCopy())
			}
		}
		w.judged(t, s)
	}
}

func (w *world) apply(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	if texts, _, _ := unstructured.NestedStringMap(o.Object, "stringData"); texts != nil { // whoever applies stringData owns no key
		for key, text := range texts {
			if err := unstructured.SetNestedField(o.Object, base64.StdEncoding.EncodeToString([]byte(text)), "data", key); err != nil {
				t.Fatal(err)
			}
		}
		delete(o.Object, "stringData")
	}
	if err := w.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("test"), client.ForceOwnership); err != nil {
		t.Fatalf("apply %s %s: %v", o.GetKind(), o.GetName(), err)
	}
}

// judged waits until the stores of a step have a condition; those of another class never have.
func (w *world) judged(t *testing.T, s step) {
	t.Helper()
	const long = time.Minute
	for _, o := range s.Apply {
		class, _, _ := unstructured.NestedString(o.Object, "spec", "controller")
		if !strings.HasSuffix(o.GetKind(), "SecretStore") || class != "" {
			continue
		}
		for begin := time.Now(); time.Since(begin) < long && !w.hasCondition(t, o); time.Sleep(50 * time.Millisecond) {
		}
	}
}

// hasCondition reports whether a store has one.
func (w *world) hasCondition(t *testing.T, o *unstructured.Unstructured) bool {
	t.Helper()
	var one esv1.SecretStore
	var all esv1.ClusterSecretStore
	var store client.Object = &one
	if o.GetKind() == "ClusterSecretStore" {
		store = &all
	}
	if err := w.cache.Get(t.Context(), client.ObjectKeyFromObject(o), store); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return len(one.Status.Conditions)+len(all.Status.Conditions) > 0
}

// messages are what the conditions and events of the case say, for a failure.
func (w *world) messages(t *testing.T, l *looker) string {
	t.Helper()
	var b strings.Builder
	for _, namespace := range l.namespaces {
		var all esv1.ExternalSecretList
		if err := w.cache.List(t.Context(), &all, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		for _, es := range all.Items {
			for _, c := range es.Status.Conditions {
				fmt.Fprintf(&b, "%s: %s: %s\n", es.Name, c.Status, c.Message)
			}
		}
		var events corev1.EventList
		if err := w.cache.List(t.Context(), &events, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Items {
			fmt.Fprintf(&b, "%s: %s %s: %s\n", e.InvolvedObject.Name, e.Type, e.Reason, e.Message)
		}
	}
	return b.String()
}

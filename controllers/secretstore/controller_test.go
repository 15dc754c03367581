package secretstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/secretstore"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/builtin"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

const canary = "canary-91cd04"

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(controlplane.Run(m))
}

// locked stands in for the provider vault: it is open to those who know the password.
type locked struct {
	mu     sync.Mutex
	checks int
	// writable lets its sessions write.
	writable bool
	// slow holds up logins with the token "slow" until it is closed, and held counts them.
	slow chan struct{}
	held int
	// closed counts the sessions that were closed.
	closed int
}

// pusher is a session that can write, and wrapper one that hides that it can.
type pusher struct{ providers.Session }

func (pusher) Push(context.Context, providers.Ref, providers.Value) error { return nil }

type wrapper struct{ inner providers.Session }

func (w wrapper) Unwrap() providers.Session { return w.inner }

func (w wrapper) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	return w.inner.Fetch(ctx, refs) //nolint:wrapcheck // it is the session's own
}

func (*locked) Name() string { return "vault" }

func (*locked) Validate(cfg providers.Config) []providers.Problem {
	if cfg.Spec.(*stores.Vault).Path == "" {
		return []providers.Problem{{Field: "path", Message: "is required"}}
	}
	return nil
}

func (*locked) Ambient(cfg providers.Config) *providers.Ambient {
	if auth := cfg.Spec.(*stores.Vault).Auth; auth != nil && auth.IAM != nil {
		return &providers.Ambient{Field: "auth.iam", Instead: "set auth.tokenSecretRef"}
	}
	return nil
}

func (l *locked) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	ref := cfg.Spec.(*stores.Vault).Auth.TokenSecretRef
	token, err := env.Secret(ctx, providers.ObjectRef{Namespace: ref.Namespace, Name: ref.Name, Key: ref.Key})
	if err != nil {
		return nil, err
	}
	if string(token) == "slow" {
		return l, l.hold(ctx)
	}
	if string(token) != "right" {
		return nil, providers.Errorf(providers.ErrDenied, "%s: the token was refused: put a valid one into the Secret", cfg.Store)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writable {
		return wrapper{pusher{l}}, nil
	}
	return l, nil
}

func (l *locked) hold(ctx context.Context) error {
	l.mu.Lock()
	l.held++
	l.mu.Unlock()
	select {
	case <-l.slow:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // it stands for a provider's
	}
}

func (*locked) Fetch(_ context.Context, refs []providers.Ref) ([]providers.Result, error) {
	out := make([]providers.Result, len(refs))
	for i := range out {
		out[i].Document = sessions.Found{}
	}
	return out, nil
}

func (l *locked) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed++
	return nil
}

func (l *locked) Check(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checks++
	return nil
}

type world struct {
	t      *testing.T
	ns     string
	class  string
	cfg    *rest.Config
	c      client.Client
	vault  *locked
	pool   *sessions.Pool
	logs   *capture.Log
	mu     sync.Mutex
	writes []string
	// fault stands in the way of writes, when there is one.
	fault   func(req *http.Request, next http.RoundTripper) (*http.Response, error)
	stop    func()
	restart func()
	// noAmbient is what the controller is told when it starts.
	noAmbient sessions.NoAmbient
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cp := controlplane.New(t)
	w := &world{t: t, ns: cp.Namespace(t), cfg: cp.Config(), vault: &locked{slow: make(chan struct{})}, logs: &capture.Log{}}
	w.class = "class-" + w.ns
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), esv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.c, err = client.New(w.cfg, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	w.restart = func() { w.stop = w.start(scheme) }
	w.restart()
	t.Cleanup(func() {
		w.stop()
		if strings.Contains(w.logs.String(), canary) {
			t.Error("a value was found in the log")
		}
	})
	return w
}

func (w *world) start(scheme *runtime.Scheme) (stop func()) {
	w.t.Helper()
	cfg := rest.CopyConfig(w.cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method != http.MethodGet {
				w.mu.Lock()
				w.writes = append(w.writes, req.Method+" "+req.URL.Path)
				fault := w.fault
				w.mu.Unlock()
				if fault != nil {
					return fault(req, next)
				}
			}
			return next.RoundTrip(req)
		})
	})
	skip := true
	options := ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Logger: logr.FromSlogHandler(slog.NewTextHandler(w.logs, nil))}
	options.Controller.SkipNameValidation = &skip
	mgr, err := ctrl.NewManager(cfg, options)
	if err != nil {
		w.t.Fatal(err)
	}
	all := slices.DeleteFunc(builtin.All(), func(p providers.Provider) bool {
		return !slices.Contains([]string{"fake", "kubernetes", "webhook"}, p.Name())
	})
	w.pool = sessions.New(sessions.Deps{Providers: append(all, w.vault), Reader: mgr.GetAPIReader(), Tokens: mgr.GetClient(),
		NoAmbient: w.noAmbient, Limits: sessions.Limits{Timeout: 5 * time.Minute}})
	r := secretstore.New(secretstore.Deps{
		Client: mgr.GetClient(), Status: flow.NewStatuses(mgr), Sessions: w.pool, Events: mgr.GetEventRecorder("external-secrets"), Class: w.class,
	})
	if err := errors.Join(mgr.Add(w.pool), r.SetupWithManager(mgr)); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("manager: %v", err)
		}
	})
}

func (w *world) create(obj client.Object) {
	w.t.Helper()
	if err := w.c.Create(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.c.Delete(context.WithoutCancel(w.t.Context()), obj) })
}

// reports waits until the store's condition is as wanted, and returns the status.
func (w *world) reports(obj client.Object, status metav1.ConditionStatus, reason, text string) *esv1.SecretStoreStatus {
	w.t.Helper()
	var got error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err := w.c.Get(w.t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			w.t.Fatal(err)
		}
		_, _, s := sessions.Parts(obj)
		c := conditions.Ready(s.Conditions)
		if c.Status == status && c.Reason == reason && strings.Contains(c.Message, text) && s.ObservedGeneration == obj.GetGeneration() {
			if raw, _ := json.Marshal(obj); strings.Contains(string(raw), canary) {
				w.t.Error("a value was found in the object")
			}
			return s
		}
		got = fmt.Errorf("%+v", c)
	}
	w.t.Fatalf("the store reports %v, want %s, %s, %q", got, status, reason, text)
	return nil
}

func vaultSpec(class, secret, namespace string) esv1.SecretStoreSpec {
	return esv1.SecretStoreSpec{Controller: class, Provider: stores.Provider{Vault: &stores.Vault{Server: "https://vault", Path: "kv",
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: secret, Namespace: namespace, Key: "token"}}}}}
}

func TestAStoreSaysWhetherItCanBeUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "right"}, StringData: map[string]string{"token": "right"}})
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "wrong"}, StringData: map[string]string{"token": canary}})
	tests := map[string]struct {
		spec         esv1.SecretStoreSpec
		cluster      bool
		status       metav1.ConditionStatus
		reason, says string
		capabilities esv1.StoreCapabilities
	}{
		"right":           {vaultSpec(w.class, "right", ""), false, "True", "Valid", "store validated", "ReadOnly"},
		"wrong":           {vaultSpec(w.class, "wrong", ""), false, "False", "ValidationFailed", "the token was refused: put a valid one", "ReadOnly"},
		"missing":         {vaultSpec(w.class, "nowhere", ""), false, "False", "ValidationFailed", "Secret " + w.ns + "/nowhere does not exist", "ReadOnly"},
		"foreign":         {vaultSpec(w.class, "right", "kube-system"), false, "False", "InvalidProviderConfig", "may not use Secret kube-system/right", "ReadOnly"},
		"cluster":         {vaultSpec(w.class, "right", w.ns), true, "True", "Valid", "store validated", "ReadOnly"},
		"referent":        {vaultSpec(w.class, "right", ""), true, "True", "ValidationUnknown", "takes its credentials from the namespace that uses it", "ReadOnly"},
		"invalid":         {esv1.SecretStoreSpec{Controller: w.class, Provider: stores.Provider{Vault: &stores.Vault{Server: "x"}}}, false, "False", "InvalidProviderConfig", "spec.provider.vault: path: is required", "ReadOnly"},
		"not-built-in":    {esv1.SecretStoreSpec{Controller: w.class, Provider: stores.Provider{GCPSM: &stores.GCPSM{}}}, false, "False", "InvalidStoreConfiguration", `provider "gcpsm" is not built into this controller: use one of fake, kubernetes, vault`, ""},
		"bad-conditions":  {esv1.SecretStoreSpec{Controller: w.class, Provider: stores.Provider{Fake: &stores.Fake{Data: []stores.FakeData{}}}, Conditions: []esv1.StoreCondition{{NamespaceRegexes: []string{"("}}}}, true, "False", "InvalidStoreConfiguration", "namespaceRegexes[0] is not a regular expression", "ReadOnly"},
		"bad-retry":       {esv1.SecretStoreSpec{Controller: w.class, Provider: stores.Provider{Fake: &stores.Fake{Data: []stores.FakeData{}}}, RetrySettings: &esv1.RetrySettings{RetryInterval: "often"}}, false, "False", "InvalidStoreConfiguration", "retryInterval is not a duration", ""},
		"fake-unknown":    {esv1.SecretStoreSpec{Controller: w.class, Provider: stores.Provider{Fake: &stores.Fake{Data: []stores.FakeData{}, ValidationResult: new(int32(1))}}}, false, "True", "ValidationUnknown", "state is unknown", "ReadOnly"},
		"fake-says-error": {esv1.SecretStoreSpec{Controller: w.class, Provider: stores.Provider{Fake: &stores.Fake{Data: []stores.FakeData{}, ValidationResult: new(int32(2))}}}, false, "False", "InvalidProviderConfig", "validationResult", "ReadOnly"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var obj client.Object = &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: tt.spec}
			if tt.cluster {
				obj = &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns + "-" + name}, Spec: tt.spec}
			}
			w.create(obj)
			if got := w.reports(obj, tt.status, tt.reason, tt.says); got.Capabilities != tt.capabilities {
				t.Errorf("capabilities %q, want %q", got.Capabilities, tt.capabilities)
			}
		})
	}
}

func TestWhatCanBeDoneWithAStoreIsFoundOutFromItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "cred"}, StringData: map[string]string{"token": "right"}})
	store := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "s"}, Spec: vaultSpec(w.class, "cred", "")}
	w.create(store)
	expect := func(status metav1.ConditionStatus, reason string, want esv1.StoreCapabilities) {
		t.Helper()
		if got := w.reports(store, status, reason, ""); got.Capabilities != want {
			t.Errorf("Ready=%s and capabilities %q, want %q", status, got.Capabilities, want)
		}
	}
	reconfigure := func(change func(*esv1.SecretStoreSpec)) {
		t.Helper()
		change(&store.Spec)
		if err := w.c.Update(t.Context(), store); err != nil {
			t.Fatal(err)
		}
	}
	expect("True", "Valid", esv1.StoreReadOnly)
	w.vault.mu.Lock()
	w.vault.writable = true
	w.vault.mu.Unlock()
	reconfigure(func(s *esv1.SecretStoreSpec) { s.Provider.Vault.Server = "https://other" })
	expect("True", "Valid", esv1.StoreReadWrite)
	// While it cannot be asked, what was found out holds.
	reconfigure(func(s *esv1.SecretStoreSpec) { s.Provider.Vault.Auth.TokenSecretRef.Name = "missing" })
	expect("False", "ValidationFailed", esv1.StoreReadWrite)
	reconfigure(func(s *esv1.SecretStoreSpec) { s.Provider = stores.Provider{GCPSM: &stores.GCPSM{}} })
	expect("False", "InvalidStoreConfiguration", "")
}

func TestAProviderOfTheOperatorThatIsNotOursIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
		"metadata": map[string]any{"namespace": w.ns, "name": "akeyless"},
		"spec":     map[string]any{"controller": w.class, "provider": map[string]any{"akeyless": map[string]any{"akeylessGWApiURL": "https://x"}}},
	}}
	w.create(raw)
	w.reports(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "akeyless"}}, "False", "InvalidStoreConfiguration", `provider "akeyless" is not built into`)
}

func TestACredentialThatIsPutRightMakesTheStoreReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "cred"}, StringData: map[string]string{"token": canary}}
	w.create(secret)
	store := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "s"}, Spec: vaultSpec(w.class, "cred", "")}
	w.create(store)
	w.reports(store, "False", "ValidationFailed", "refused")
	secret.StringData = map[string]string{"token": "right"}
	if err := w.c.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.reports(store, "True", "Valid", "")
}

func TestAStoreOfAnotherClassIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	theirs := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "theirs"}, Spec: vaultSpec("somebody-else", "x", "")}
	ours := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "ours"}, Spec: vaultSpec(w.class, "x", "")}
	w.create(theirs)
	w.create(ours)
	w.reports(ours, "False", "ValidationFailed", "")
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil {
		t.Fatal(err)
	}
	if len(theirs.Status.Conditions) != 0 {
		t.Errorf("it was reported on: %+v", theirs.Status)
	}
}

func TestAStoreThatIsReadyIsQuiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "right"}, StringData: map[string]string{"token": "right"}})
	store := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "s"}, Spec: vaultSpec(w.class, "right", "")}
	store.Spec.RefreshInterval = nil
	w.create(store)
	w.reports(store, "True", "Valid", "")
	events := func() (reasons []string) {
		var list eventsv1.EventList
		if err := w.c.List(t.Context(), &list, client.InNamespace(w.ns)); err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			reasons = append(reasons, e.Reason)
		}
		return reasons
	}
	for deadline := time.Now().Add(time.Minute); len(events()) == 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	w.stop()
	w.mu.Lock()
	w.writes = nil
	w.mu.Unlock()
	before := store.ResourceVersion
	w.restart()
	time.Sleep(2 * time.Second)
	w.reports(store, "True", "Valid", "")
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.writes) > 0 || store.ResourceVersion != before {
		t.Errorf("a restart wrote %v", w.writes)
	}
	if got := events(); !slices.Equal(got, []string{"Valid"}) {
		t.Errorf("events %v, want one: Valid", got)
	}
}

// TestStoresThatAreSlowHoldUpNoOthers with one worker and two such stores.
func TestStoresThatAreSlowHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, token := range []string{"slow", "right"} {
		w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: token}, StringData: map[string]string{"token": token}})
	}
	store := func(name, secret string) *esv1.SecretStore {
		s := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: vaultSpec(w.class, secret, "")}
		w.create(s)
		return s
	}
	held := func() int {
		w.vault.mu.Lock()
		defer w.vault.mu.Unlock()
		return w.vault.held
	}
	slow := []*esv1.SecretStore{store("one", "slow"), store("two", "slow")}
	for deadline := time.Now().Add(time.Minute); held() < len(slow); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d logins are under way", held())
		}
	}
	w.reports(store("other", "right"), "True", "Valid", "")
	for _, s := range slow {
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil || len(s.Status.Conditions) > 0 {
			t.Errorf("%s is known already: %+v, %v", s.Name, s.Status, err)
		}
	}
	close(w.vault.slow)
	for _, s := range slow {
		w.reports(s, "True", "Valid", "")
	}
	if n := held(); n != len(slow) {
		t.Errorf("%d logins, want one of each", n)
	}
}

func TestAStoreIsCheckedAsOftenAsItAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "right"}, StringData: map[string]string{"token": "right"}})
	checks := func() int {
		w.vault.mu.Lock()
		defer w.vault.mu.Unlock()
		return w.vault.checks
	}
	for name, interval := range map[string]intstr.IntOrString{"seconds": intstr.FromInt32(1), "duration": intstr.FromString("900ms")} {
		store := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: vaultSpec(w.class, "right", "")}
		store.Spec.RefreshInterval = &interval
		w.create(store)
		w.reports(store, "True", "Valid", "")
		began := checks()
		for deadline := time.Now().Add(time.Minute); checks() < began+3; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: checked %d times more", name, checks()-began)
			}
		}
		if err := w.c.Delete(t.Context(), store); err != nil {
			t.Fatal(err)
		}
	}
}

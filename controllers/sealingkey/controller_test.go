package sealingkey_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientscheme.AddToScheme(s))
	return s
}

func newClient(t *testing.T, cfg *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(cfg, client.Options{Scheme: scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// replica runs a controller until the test ends or stop is called.
func replica(t *testing.T, cfg *rest.Config, ns string, elect bool, change ...func(*sealingkey.Deps)) (keeper *sealingkey.Keeper, stop func()) {
	t.Helper()
	skip := true
	// Nobody here dies without giving its lease back: long enough for a machine that is busy.
	lease, renew, retry := time.Minute, 50*time.Second, 500*time.Millisecond
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme(), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller:     config.Controller{SkipNameValidation: &skip},
		LeaderElection: elect, LeaderElectionID: "test", LeaderElectionNamespace: ns, LeaderElectionReleaseOnCancel: true,
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
		Logger: logr.FromSlogHandler(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	keeper = sealingkey.NewKeeper()
	deps := sealingkey.Deps{
		Namespace: ns, Keeper: keeper, Events: mgr.GetEventRecorder("test"), Now: time.Now, Generate: keyring.Options{Bits: 2048},
	}
	for _, c := range change {
		c(&deps)
	}
	if err := sealingkey.New(deps).SetupWithManager(mgr); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return keeper, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func size(k *sealingkey.Keeper) int { ring, _ := k.Ring(); return ring.Len() }

func keySecrets(t *testing.T, c client.Client, ns string) []corev1.Secret {
	t.Helper()
	var list corev1.SecretList
	if err := c.List(t.Context(), &list, client.InNamespace(ns), client.HasLabels{v1alpha1.LabelSealingKey}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestReplicasThatStartTogetherMakeOneKeyAndAllHaveIt(t *testing.T) {
	t.Parallel()
	for name, elect := range map[string]bool{"with leader election": true, "when each takes itself for the leader": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cp := controlplane.New(t)
			ns, c := cp.Namespace(t), newClient(t, cp.Config())
			var keepers []*sealingkey.Keeper
			for range 3 {
				k, _ := replica(t, cp.Config(), ns, elect)
				keepers = append(keepers, k)
			}
			for _, k := range keepers {
				eventually(t, "every replica has the key", func() bool { return size(k) == 1 })
			}
			secrets := keySecrets(t, c, ns)
			if len(secrets) != 1 || secrets[0].Type != corev1.SecretTypeTLS {
				t.Errorf("%d key Secrets", len(secrets))
			}
		})
	}
}

func TestKeysThatAreThereAreUsedAndNoneIsMade(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	generate := func(age time.Duration) *keyring.Pair {
		pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-age)})
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	create := func(name string, labels map[string]string, pair *keyring.Pair) *corev1.Secret {
		s := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: labels},
			Data:       map[string][]byte{"tls.crt": pair.CertificatePEM(), "tls.key": pair.PrivateKeyPEM()},
		}
		if err := c.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	legacy, retired := generate(48*time.Hour), generate(time.Hour)
	create("sealed-secrets-key", nil, legacy)
	create("retired", map[string]string{v1alpha1.LabelSealingKey: v1alpha1.SealingKeyCompromised}, retired)
	create("unrelated", nil, generate(0))
	keeper, _ := replica(t, cp.Config(), ns, false)
	eventually(t, "the legacy key", func() bool { return size(keeper) == 1 })
	ring, _ := keeper.Ring()
	if newest, _ := ring.Newest(); newest.Fingerprint() != legacy.Fingerprint() {
		t.Error("another key than the legacy one")
	}

	// A key of one's own counts without a restart, and stops to count when it is retired.
	own := generate(0)
	secret := create("own", map[string]string{v1alpha1.LabelSealingKey: v1alpha1.SealingKeyActive}, own)
	eventually(t, "the added key", func() bool { return size(keeper) == 2 })
	ring, _ = keeper.Ring()
	if newest, _ := ring.Newest(); newest.Fingerprint() != own.Fingerprint() {
		t.Error("the newest key is not the newest")
	}
	secret.Labels[v1alpha1.LabelSealingKey] = v1alpha1.SealingKeyCompromised
	if err := c.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the retired key is gone", func() bool { return size(keeper) == 1 })
	if n := len(keySecrets(t, c, ns)); n != 2 {
		t.Errorf("%d labeled Secrets; a key was made although there was one", n)
	}
}

func TestAFirstKeyThatWasRetiredIsReplaced(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	keeper, _ := replica(t, cp.Config(), ns, false)
	eventually(t, "the first key", func() bool { return size(keeper) == 1 })
	first, _ := keeper.Ring()
	secret := keySecrets(t, c, ns)[0]
	secret.Labels[v1alpha1.LabelSealingKey] = v1alpha1.SealingKeyCompromised
	if err := c.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another key", func() bool { ring, _ := keeper.Ring(); return ring.Len() == 1 && ring != first })
	names := map[string]bool{}
	for _, s := range keySecrets(t, c, ns) {
		names[s.Name] = true
		if s.Name != "sealed-secrets-key-first" && !strings.HasPrefix(s.Name, "sealed-secrets-key") {
			t.Errorf("a key is called %s", s.Name)
		}
	}
	if len(names) != 2 || !names["sealed-secrets-key-first"] {
		t.Errorf("keys: %v", names)
	}
}

func TestAKeyThatWasRetiredIsGivenToNobodyWhileAnotherIsMade(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	var retired atomic.Bool
	made := make(chan struct{})
	cfg := cp.Config()
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
			if retired.Load() && req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/secrets") {
				select {
				case <-made:
				case <-req.Context().Done():
					return nil, req.Context().Err()
				}
			}
			return next.RoundTrip(req)
		})
	})
	keeper, _ := replica(t, cfg, ns, false)
	eventually(t, "the first key", func() bool { return size(keeper) == 1 })
	retired.Store(true)
	secret := keySecrets(t, c, ns)[0]
	secret.Labels[v1alpha1.LabelSealingKey] = v1alpha1.SealingKeyCompromised
	if err := c.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no key", func() bool { return size(keeper) == 0 })
	close(made)
	eventually(t, "another key", func() bool { return size(keeper) == 1 })
}

func TestTheRoleInItsOwnNamespaceIsEnough(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	cfg, err := cp.ServiceAccountConfig(t.Context(), ns, "controller")
	if err != nil {
		t.Fatal(err)
	}
	// The rule of the kubebuilder marker, and events.
	err = cp.Allow(t.Context(), controlplane.ServiceAccount(ns, "controller"), ns,
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch", "create"}},
		rbacv1.PolicyRule{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}})
	if err != nil {
		t.Fatal(err)
	}
	keeper, _ := replica(t, cfg, ns, false)
	eventually(t, "the first key", func() bool { return size(keeper) == 1 })
}

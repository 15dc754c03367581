package controlplane_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// starterEnv makes this test binary start a control plane, print what it started, and wait to be killed.
const starterEnv = "SEALBRIDGE_TEST_STARTER"

func TestMain(m *testing.M) {
	if os.Getenv(starterEnv) != "" {
		os.Exit(starter())
	}
	os.Exit(controlplane.Run(m))
}

func starter() int {
	cp, err := controlplane.Start(context.Background(), controlplane.Options{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, pid := range cp.PIDs() {
		fmt.Print(pid, " ")
	}
	fmt.Println(cp.Dir())
	select {}
}

func TestNothingIsLeftWhenTheStarterIsKilled(t *testing.T) {
	t.Parallel()
	process.Require(t, "controlplane")
	process.LeavesNothing(t, starterEnv, 3)
}

func TestControlPlaneIsReadyInSeconds(t *testing.T) {
	process.Require(t, "controlplane")
	began := time.Now()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	if err := cp.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cp.Dir()); !os.IsNotExist(err) {
		t.Errorf("data folder %s is left: %v", cp.Dir(), err)
	}
}

func TestTokensOfServiceAccountsAreForTheirAudience(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	token, err := cp.ServiceAccountToken(t.Context(), ns, "app", "vault")
	if err != nil {
		t.Fatal(err)
	}
	clients := clientsFor(t, cp)
	for audience, want := range map[string]bool{"vault": true, "other": false} {
		review, err := clients.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if review.Status.Authenticated != want {
			t.Errorf("token for vault is authenticated for %s: %t, want %t", audience, review.Status.Authenticated, want)
		}
	}
}

func TestUsersMayOnlyDoWhatIsAllowed(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	cfg, err := cp.ServiceAccountConfig(t.Context(), ns, "reader")
	if err != nil {
		t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("list without a role: %v, want forbidden", err)
	}
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}}
	if err := cp.Allow(t.Context(), controlplane.ServiceAccount(ns, "reader"), ns, rule); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the role counts", func() error {
		_, err := clients.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{})
		return err
	})
}

func TestGarbageCollectorDeletesWhatAnOwnerLeft(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	clients := clientsFor(t, cp)
	owner, err := clients.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owned := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "owned", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID},
	}}}
	if _, err := clients.CoreV1().Secrets(ns).Create(t.Context(), owned, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := clients.CoreV1().ConfigMaps(ns).Delete(t.Context(), owner.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the owned Secret is gone", func() error {
		_, err := clients.CoreV1().Secrets(ns).Get(t.Context(), "owned", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("get: %w", err)
	})
}

const widgetCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.sealbridge.dev}
spec:
  group: test.sealbridge.dev
  names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

func TestKindsAreServedWhenInstallCRDsReturns(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "crd.yaml"), []byte(widgetCRD), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cp.InstallCRDs(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	widget := "apiVersion: test.sealbridge.dev/v1\nkind: Widget\nmetadata: {name: a, namespace: " + ns + "}\n"
	if err := cp.Apply(t.Context(), widget); err != nil {
		t.Fatal(err)
	}
	out, err := cp.Kubectl(t.Context(), "", "get", "widgets", "-n", ns, "-o", "name")
	if err != nil || strings.TrimSpace(out) != "widget.test.sealbridge.dev/a" {
		t.Errorf("kubectl get widgets: %q, %v", out, err)
	}
}

func TestRequestsAreCountedByTheAPIServer(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	clients := clientsFor(t, cp)
	request := controlplane.Request{Verb: "POST", Resource: "pods", Subresource: "binding", Code: "404"}
	before, err := cp.Requests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = clients.CoreV1().Pods(ns).Bind(t.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Target: corev1.ObjectReference{Name: "node"}}, metav1.CreateOptions{})
	if !apierrors.IsNotFound(err) {
		t.Fatalf("bind a pod that is not there: %v", err)
	}
	after, err := cp.Requests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after[request]-before[request] != 1 {
		t.Errorf("count of %+v went from %d to %d, want one more", request, before[request], after[request])
	}
}

func TestMissingProgramNamesTheTargetThatBuildsIt(t *testing.T) {
	t.Setenv("SEALBRIDGE_BIN", t.TempDir())
	_, err := controlplane.Start(t.Context(), controlplane.Options{})
	if !errors.Is(err, process.ErrMissing) || !strings.Contains(err.Error(), "make bin/controlplane") {
		t.Errorf("Start without the program: %v", err)
	}
}

func clientsFor(t *testing.T, cp *controlplane.ControlPlane) *kubernetes.Clientset {
	t.Helper()
	clients, err := kubernetes.NewForConfig(cp.Config())
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not after 30 s: %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

func TestWhoeverIsLoggedInReachesTheCertificateAndNoOtherService(t *testing.T) {
	w := newWorld(t)
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(root, "config", "manager", "service_proxier.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cp.Apply(t.Context(), strings.ReplaceAll(string(manifest), "namespace: sealbridge-system", "namespace: "+w.ns)); err != nil {
		t.Fatal(err)
	}
	cfg, err := w.cp.UserConfig("somebody")
	if err != nil {
		t.Fatal(err)
	}
	user, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	may := func(verb, resource, subresource, name string) bool {
		t.Helper()
		review, err := user.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: w.ns, Verb: verb, Resource: resource, Subresource: subresource, Name: name,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return review.Status.Allowed
	}
	const ours = "sealbridge-controller"
	w.eventually("the certificate can be fetched", func() bool { return may("get", "services", "proxy", "http:"+ours+":http") })
	if !may("get", "services", "", ours) || !may("create", "services", "proxy", "http:"+ours+":http") || !may("create", "services", "proxy", "http:"+ours+":") {
		t.Error("kubeseal lacks a right")
	}
	for what, allowed := range map[string]bool{
		"another service":         may("get", "services", "proxy", "http:other:http"),
		"another port":            may("get", "services", "proxy", "http:"+ours+":metrics"),
		"deleting by the service": may("delete", "services", "proxy", "http:"+ours+":http"),
		"listing services":        may("list", "services", "", ""),
		"a key Secret":            may("get", "secrets", "", "sealed-secrets-key-first"),
	} {
		if allowed {
			t.Errorf("somebody who is logged in may use %s", what)
		}
	}
}

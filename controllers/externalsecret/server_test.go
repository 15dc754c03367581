package externalsecret

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/watches"
)

func TestAStoreOfThisClusterIsRecognizedByItsAddress(t *testing.T) {
	t.Parallel()
	const ours = "https://10.0.0.1:6443"
	for address, same := range map[string]bool{
		"": true, "kubernetes.default": true, "https://kubernetes.default.svc": true, "https://kubernetes.default.svc.cluster.local:443": true,
		"kubernetes": true, "https://10.0.0.1:6443": true, "10.0.0.1:6443": true, "https://10.0.0.1:6443/": true,
		"https://10.0.0.1": false, "https://10.0.0.2:6443": false, "https://kubernetes.default.example.org": false, "https://example.org": false,
		"::": false, "https://": false,
	} {
		if got := sameServer(address, ours); got != same {
			t.Errorf("%q: %t", address, got)
		}
	}
	if !sameServer("https://example.org:443/x", "example.org") {
		t.Error("the port of https is not said by everybody")
	}
}

func TestAStoreWithAKubeconfigIsNotTakenForThisCluster(t *testing.T) {
	t.Parallel()
	r := New(Deps{APIServer: "https://10.0.0.1:6443"})
	store := &esv1.SecretStore{Spec: esv1.SecretStoreSpec{Provider: stores.Provider{Kubernetes: &stores.Kubernetes{RemoteNamespace: "platform"}}}}
	if namespace, ok := r.readsThisCluster(store); !ok || namespace != "platform" {
		t.Errorf("without an address it reads %q, %t", namespace, ok)
	}
	store.Spec.Provider.Kubernetes.AuthRef = &stores.SecretKeySelector{Name: "kubeconfig", Key: "config"}
	if namespace, ok := r.readsThisCluster(store); ok {
		t.Errorf("its server is taken for ours, namespace %s", namespace)
	}
}

func TestAStartFollowsWhatASearchFoundUnlessItIsMuch(t *testing.T) {
	t.Parallel()
	r := New(Deps{APIServer: "https://10.0.0.1:6443"})
	for found, follows := range map[int]bool{0: true, maxFollowed: true, maxFollowed + 1: false} {
		s := synced()
		ref := esv1.StoreRef{Name: "store", Kind: esv1.KindSecretStore}
		s.stores = map[esv1.StoreRef]client.Object{ref: &esv1.SecretStore{Spec: esv1.SecretStoreSpec{Provider: stores.Provider{Kubernetes: &stores.Kubernetes{RemoteNamespace: "platform"}}}}}
		s.es.Spec.Data, s.es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: &esv1.Find{}}}
		s.es.Status.Conditions = conditions.Set(nil, esv1.Condition{Type: esv1.ConditionReady, Status: metav1.ConditionTrue}, start)
		want := map[watches.Object]watches.Version{}
		for i := range found {
			name := fmt.Sprint("found-", i)
			s.es.Status.Sources = append(s.es.Status.Sources, esv1.Source{StoreRef: ref, Key: name, Version: "7"},
				esv1.Source{StoreRef: esv1.StoreRef{Name: "other", Kind: esv1.KindSecretStore}, Key: name + "-elsewhere", Version: "7"})
			if follows {
				want[watches.Object{Kind: watches.Secret, Namespace: "platform", Name: name}] = "7"
			}
		}
		if diff := cmp.Diff(want, r.expectedInputs(s)); diff != "" {
			t.Errorf("%d found: what is followed (-want +got):\n%s", found, diff)
		}
	}
}

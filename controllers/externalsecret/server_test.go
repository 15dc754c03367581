package externalsecret

import (
	"testing"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
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

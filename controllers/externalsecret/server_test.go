package externalsecret

import (
	"regexp"
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
		"::": false, "https://": false, "https://10.0.0.1:6443/k8s/clusters/other": false, "https://kubernetes.default/k8s/clusters/other": false,
	} {
		if got := sameServer(address, ours); got != same {
			t.Errorf("%q: %t", address, got)
		}
	}
	if !sameServer("https://example.org:443/", "example.org") {
		t.Error("the port of https is not said by everybody")
	}
	const behind = "https://proxy.example.org/k8s/clusters/ours"
	if !sameServer(behind+"/", behind) || sameServer("https://proxy.example.org/k8s/clusters/other", behind) || !sameServer("kubernetes.default", behind) {
		t.Error("a proxy has several clusters below one host")
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

func TestAStartFollowsASearchFromWhatItHasFoundAsFarAsTheStatusTells(t *testing.T) {
	t.Parallel()
	r := New(Deps{APIServer: "https://10.0.0.1:6443"})
	ref := esv1.StoreRef{Name: "store", Kind: esv1.KindSecretStore}
	byName, byTags := esv1.DataFrom{Find: &esv1.Find{Name: &esv1.FindName{RegExp: "^app-"}}}, esv1.DataFrom{Find: &esv1.Find{Tags: map[string]string{"team": "a"}}}
	sources := func(keys ...string) (out []esv1.Source) {
		for _, key := range keys {
			out = append(out, esv1.Source{StoreRef: ref, Key: key, Version: "7"}, esv1.Source{StoreRef: esv1.StoreRef{Name: "other", Kind: esv1.KindSecretStore}, Key: "app-elsewhere", Version: "7"})
		}
		return out
	}
	names, tags := watches.Search("platform", nil, regexp.MustCompile("^app-")), watches.Search("platform", map[string]string{"team": "a"}, nil)
	version := func(names ...string) watches.Version {
		found := map[string]string{}
		for _, name := range names {
			found[name] = "7"
		}
		return watches.SearchVersion(found)
	}
	for name, tt := range map[string]struct {
		dataFrom []esv1.DataFrom
		sources  []esv1.Source
		more     int32
		want     map[watches.Object]watches.Version
	}{
		"one by name":                {[]esv1.DataFrom{byName}, sources("app-a", "app-b"), 0, map[watches.Object]watches.Version{names: version("app-a", "app-b")}},
		"it found nothing":           {[]esv1.DataFrom{byName}, nil, 0, map[watches.Object]watches.Version{names: version()}},
		"much":                       {[]esv1.DataFrom{byName}, sources("app-a"), 1, map[watches.Object]watches.Version{names: ""}},
		"one by labels":              {[]esv1.DataFrom{byTags}, sources("a", "b"), 0, map[watches.Object]watches.Version{tags: version("a", "b")}},
		"labels beside another":      {[]esv1.DataFrom{byTags, byName}, sources("app-a", "b"), 0, map[watches.Object]watches.Version{tags: "", names: version("app-a")}},
		"the same twice, rewritten":  {[]esv1.DataFrom{byTags, byTags}, sources("a"), 0, map[watches.Object]watches.Version{tags: version("a")}},
		"a name beside its own keys": {[]esv1.DataFrom{byName, {Extract: &esv1.RemoteRef{Key: "db"}}}, sources("app-a", "db"), 0, map[watches.Object]watches.Version{names: version("app-a"), {Kind: watches.Secret, Namespace: "platform", Name: "db"}: "7"}},
	} {
		s := synced()
		s.stores = map[esv1.StoreRef]client.Object{ref: &esv1.SecretStore{Spec: esv1.SecretStoreSpec{Provider: stores.Provider{Kubernetes: &stores.Kubernetes{RemoteNamespace: "platform"}}}}}
		s.es.Spec.Data, s.es.Spec.DataFrom = nil, tt.dataFrom
		s.es.Status.Conditions = conditions.Set(nil, esv1.Condition{Type: esv1.ConditionReady, Status: metav1.ConditionTrue}, start)
		s.es.Status.Sources, s.es.Status.MoreSources = tt.sources, tt.more
		if diff := cmp.Diff(tt.want, r.expectedInputs(s)); diff != "" {
			t.Errorf("%s: what is followed (-want +got):\n%s", name, diff)
		}
	}
}

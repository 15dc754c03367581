package sessions

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

type named struct {
	providers.Provider
	name string
}

func (n named) Name() string { return n.name }

func TestAStoreIsTranslatedOrRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := New(Deps{Providers: []providers.Provider{named{name: "fake"}, named{name: "vault"}}})
	spec := func(provider stores.Provider, retry *esv1.RetrySettings) client.Object {
		return &esv1.SecretStore{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "s", UID: "u", Generation: 3},
			Spec:       esv1.SecretStoreSpec{Provider: provider, RetrySettings: retry},
		}
	}
	fake := &stores.Fake{Data: []stores.FakeData{{Key: "k", Value: "v"}}}
	tests := map[string]struct {
		obj  client.Object
		want Store
		err  string
	}{
		"a namespaced store": {
			obj: spec(stores.Provider{Fake: fake}, &esv1.RetrySettings{MaxRetries: ptr.To[int32](4), RetryInterval: "3s"}),
			want: Store{Namespace: "team-a", Name: "s", UID: "u", Generation: 3, Retries: 4, RetryInterval: 3 * time.Second,
				Config: providers.Config{Store: "SecretStore team-a/s", Spec: fake}},
		},
		"a cluster store": {
			obj: &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: "s"},
				Spec: esv1.SecretStoreSpec{Provider: stores.Provider{Vault: &stores.Vault{}}}},
			want: Store{Name: "s", Config: providers.Config{Store: "ClusterSecretStore s", Spec: &stores.Vault{}}},
		},
		"no provider":   {obj: spec(stores.Provider{}, nil), err: "names no provider: set one of fake, vault"},
		"two providers": {obj: spec(stores.Provider{Fake: fake, Vault: &stores.Vault{}}, nil), err: "names fake and vault"},
		"a known one and another": {
			obj: spec(stores.Provider{Fake: fake, Other: map[string]json.RawMessage{"akeyless": nil}}, nil), err: "names akeyless and fake"},
		"one of the schema that is not built in": {obj: spec(stores.Provider{AWS: &stores.AWS{}}, nil), err: `provider "aws" is not built into`},
		"one that nobody knows": {
			obj: spec(stores.Provider{Other: map[string]json.RawMessage{"akeyless": []byte(`{"secret":"canary"}`)}}, nil),
			err: `provider "akeyless" is not built into`},
		"retry settings that are no duration": {
			obj: spec(stores.Provider{Fake: fake}, &esv1.RetrySettings{RetryInterval: "often"}), err: "retryInterval is not a duration"},
		"an object that is no store": {obj: &esv1.ExternalSecret{}, err: "is not a store"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := p.Translate(tt.obj)
			if tt.err != "" {
				if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "canary") {
					t.Fatalf("error %v, want one of class invalid with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got.Provider = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConditionsSayWhichNamespacesMayUseAStore(t *testing.T) {
	t.Parallel()
	ns := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "team-a", Labels: map[string]string{"tier": "gold"}}}
	label := func(k, v string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{k: v}}
	}
	tests := map[string]struct {
		conditions []esv1.StoreCondition
		want, bad  bool
	}{
		"none at all":              {want: true},
		"by name":                  {conditions: []esv1.StoreCondition{{Namespaces: []string{"x", "team-a"}}}, want: true},
		"by another name":          {conditions: []esv1.StoreCondition{{Namespaces: []string{"team"}}}},
		"by part of the name":      {conditions: []esv1.StoreCondition{{NamespaceRegexes: []string{"^x", "am-"}}}, want: true},
		"by another part":          {conditions: []esv1.StoreCondition{{NamespaceRegexes: []string{"^am"}}}},
		"by label":                 {conditions: []esv1.StoreCondition{{NamespaceSelector: label("tier", "gold")}}, want: true},
		"by another label":         {conditions: []esv1.StoreCondition{{NamespaceSelector: label("tier", "lead")}}},
		"by the label of its name": {conditions: []esv1.StoreCondition{{NamespaceSelector: label("kubernetes.io/metadata.name", "team-a")}}, want: true},
		"by the last of several":   {conditions: []esv1.StoreCondition{{Namespaces: []string{"x"}}, {NamespaceSelector: label("tier", "gold")}}, want: true},
		"an empty condition":       {conditions: []esv1.StoreCondition{{}}},
		"a bad expression":         {conditions: []esv1.StoreCondition{{NamespaceRegexes: []string{"("}}}, bad: true},
		"a bad selector":           {conditions: []esv1.StoreCondition{{NamespaceSelector: label("a b", "c")}}, bad: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Admits(tt.conditions, ns)
			if got != tt.want || errors.Is(err, providers.ErrInvalid) != tt.bad {
				t.Errorf("Admits = %v, %v; want %v, an error: %v", got, err, tt.want, tt.bad)
			}
		})
	}
}

func TestAStoreIsServedByItsClass(t *testing.T) {
	t.Parallel()
	for class, want := range map[string]bool{"": true, "default": true, "other": false} {
		if got := Serves("default", &esv1.SecretStoreSpec{Controller: class}); got != want {
			t.Errorf("a store of class %q is served: %v, want %v", class, got, want)
		}
	}
}

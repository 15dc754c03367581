package stores_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sealbridge/sealbridge/api/stores"
)

func TestAProviderSurvivesTheWayThroughOurTypes(t *testing.T) {
	t.Parallel()
	for name, manifest := range map[string]string{
		"built in":            `{"vault":{"server":"https://vault.example.com","version":"v2"}}`,
		"not built in":        `{"akeyless":{"n":12345678901234567890,"f":1.50,"null":null,"list":[1,[true]]}}`,
		"several of both":     `{"doppler":"text","fake":{"data":[]},"ibm":{}}`,
		"none":                `{}`,
		"in capitals":         `{"Vault":{"server":"x"}}`,
		"without a name":      `{"":{}}`,
		"the name of a field": `{"-":{"b":2},"Other":{"a":1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p stores.Provider
			if err := json.Unmarshal([]byte(manifest), &p); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(manifest, string(got)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
			var copied stores.Provider
			p.DeepCopyInto(&copied)
			if diff := cmp.Diff(p, copied); diff != "" {
				t.Errorf("copy (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyProvidersThatAreNotBuiltInAreOther(t *testing.T) {
	t.Parallel()
	all := `{"aws":{},"azurekv":{},"fake":{},"gcpsm":{},"kubernetes":{},"vault":{},"webhook":null,"akeyless":{}}`
	var p stores.Provider
	if err := json.Unmarshal([]byte(all), &p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]json.RawMessage{"akeyless": json.RawMessage("{}")}, p.Other); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p.AWS == nil || p.AzureKV == nil || p.Fake == nil || p.GCPSM == nil || p.Kubernetes == nil || p.Vault == nil || p.Webhook != nil {
		t.Errorf("the fields do not say what was written: %+v", p)
	}
}

func TestNothingOfAnEarlierProviderIsLeft(t *testing.T) {
	t.Parallel()
	p := stores.Provider{Vault: &stores.Vault{Server: "old"}, Other: map[string]json.RawMessage{"ibm": json.RawMessage("{}")}}
	if err := json.Unmarshal([]byte(`{"fake":{"data":[]}}`), &p); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stores.Provider{Fake: &stores.Fake{Data: []stores.FakeData{}}}, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAProviderThatIsNoObjectIsAnError(t *testing.T) {
	t.Parallel()
	for _, manifest := range []string{`[]`, `"vault"`, `1`, `{"vault":[]}`} {
		var p stores.Provider
		if err := json.Unmarshal([]byte(manifest), &p); err == nil {
			t.Errorf("%s was read as %+v", manifest, p)
		}
	}
}

// Unstructured objects are converted to our types by field, not by way of JSON.
func TestAProviderIsConvertedFromAndToUnstructured(t *testing.T) {
	t.Parallel()
	want := map[string]any{"provider": map[string]any{"akeyless": map[string]any{"n": int64(1)}}}
	var got struct {
		Provider stores.Provider `json:"provider"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(want, &got); err != nil {
		t.Fatal(err)
	}
	if string(got.Provider.Other["akeyless"]) != `{"n":1}` {
		t.Errorf("read as %+v", got.Provider)
	}
	back, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, back); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func FuzzProvider(f *testing.F) {
	f.Add([]byte(`{"vault":{"server":"a"},"akeyless":{"a":[null,1.5]}}`))
	f.Add([]byte(`{"vault":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second stores.Provider
		if json.Unmarshal(data, &first) != nil {
			return
		}
		raw, err := json.Marshal(first)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if err := json.Unmarshal(raw, &second); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		again, err := json.Marshal(second)
		if err != nil || string(again) != string(raw) {
			t.Fatalf("%s became %s (%v)", raw, again, err)
		}
	})
}

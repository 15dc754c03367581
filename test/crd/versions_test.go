package crd_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sealed "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// everything is an ExternalSecret with every field of v1, also those that v1beta1 did not have.
const everything = `
metadata: {name: everything}
spec:
  secretStoreRef: {name: vault, kind: ClusterSecretStore}
  refreshPolicy: Periodic
  refreshInterval: 90m
  syncWindows:
    kind: deny
    windows: [{schedule: "0 22 * * 1-5", duration: 8h}, {schedule: "@every 6h", duration: 30m}]
  target:
    name: target
    creationPolicy: Orphan
    deletionPolicy: Delete
    immutable: true
    manifest: {apiVersion: v1, kind: ConfigMap}
    template:
      type: Opaque
      engineVersion: v2
      mergePolicy: Merge
      metadata: {labels: {a: b}, annotations: {c: d}, finalizers: [example.com/keep]}
      data: {url: "https://{{ .host }}"}
      templateFrom:
      - {configMap: {name: templates, items: [{key: a, templateAs: KeysAndValues}]}, target: spec.config}
      - {secret: {name: templates, items: [{key: b, templateAs: Values}]}, target: Labels}
      - {literal: "x: {{ .y }}", valuesDecodingStrategy: Base64}
  data:
  - secretKey: one
    remoteRef:
      key: a
      property: b.c
      version: "3"
      metadataPolicy: Fetch
      conversionStrategy: Unicode
      decodingStrategy: Auto
      nullBytePolicy: Fail
    sourceRef: {storeRef: {name: other, kind: SecretStore}}
  - secretKey: two
    remoteRef: {key: a}
    sourceRef: {generatorRef: {apiVersion: generators.external-secrets.io/v1alpha1, kind: Password, name: p}}
  dataFrom:
  - extract: {key: a, decodingStrategy: Base64URL}
    rewrite:
    - merge: {into: all, priority: [a, b], priorityPolicy: IgnoreNotFound, conflictPolicy: Ignore, strategy: JSON}
    - regexp: {source: "^a", target: b}
    - transform: {template: "{{ .value | upper }}"}
  - find: {path: /a, name: {regexp: "^x"}, tags: {team: a}, conversionStrategy: Default, decodingStrategy: None, nullBytePolicy: Ignore}
    sourceRef: {storeRef: {name: other}}
  - sourceRef: {generatorRef: {kind: ClusterGenerator, name: p}}
`

// otherProvider is a store whose provider is not built in, with a member that no schema knows.
const otherProvider = `
metadata: {name: other}
spec:
  controller: default
  refreshInterval: 3600
  provider:
    akeyless:
      akeylessGWApiURL: https://api.akeyless.io
      authSecretRef: {secretRef: {accessID: {name: creds, key: id}, weights: [1, 2.5, null, true]}}
      9: {}
`

func TestAnObjectReadsTheSameInTheVersionThatItWasNotWrittenIn(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	manifests := map[string]string{"ExternalSecret": everything, "SecretStore": otherProvider}
	for kind, manifest := range manifests {
		for _, written := range served(t, kind) {
			t.Run(kind+" of "+written, func(t *testing.T) {
				t.Parallel()
				want := parse(t, "apiVersion: external-secrets.io/"+written+"\nkind: "+kind+manifest)
				want.SetNamespace(cp.Namespace(t))
				if err := c.Create(t.Context(), want.DeepCopy(), client.FieldValidation("Strict")); err != nil {
					t.Fatal(err)
				}
				for _, read := range served(t, kind) {
					got := readAs(t, c, want, read)
					if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
						t.Errorf("spec as %s (-written +read):\n%s", read, diff)
					}
				}
			})
		}
	}
}

func TestAClientOfOneVersionKeepsTheFieldsOfTheOther(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	want := parse(t, "apiVersion: external-secrets.io/v1\nkind: ExternalSecret"+everything)
	want.SetNamespace(cp.Namespace(t))
	if err := c.Create(t.Context(), want.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	old := readAs(t, c, want, "v1beta1")
	old.SetLabels(map[string]string{"touched": "true"})
	if err := c.Update(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	got := readAs(t, c, want, "v1")
	if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
		t.Errorf("spec after an update through v1beta1 (-before +after):\n%s", diff)
	}
}

func TestAProviderThatIsNotBuiltInIsNamedAndKept(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	want := parse(t, "apiVersion: external-secrets.io/v1\nkind: SecretStore"+otherProvider)
	want.SetNamespace(cp.Namespace(t))
	if err := c.Create(t.Context(), want.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	var store esv1.SecretStore
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(want), &store); err != nil {
		t.Fatal(err)
	}
	if _, ok := store.Spec.Provider.Other["akeyless"]; !ok || len(store.Spec.Provider.Other) != 1 {
		t.Errorf("our type sees the providers %v, want akeyless", store.Spec.Provider.Other)
	}
	store.Labels = map[string]string{"touched": "true"}
	if err := c.Update(t.Context(), &store); err != nil {
		t.Fatal(err)
	}
	got := readAs(t, c, want, "v1")
	if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
		t.Errorf("spec after an update through our type (-before +after):\n%s", diff)
	}
}

func TestAGitSyncIsInProgressFromBirth(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	obj := parse(t, files(t, "samples")["sealbridge.dev_v1alpha1_gitsync"])
	obj.SetNamespace(cp.Namespace(t))
	if err := c.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	got := &unstructured.Unstructured{}
	got.SetGroupVersionKind(obj.GroupVersionKind())
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(obj), got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"observedGeneration": int64(-1)}, got.Object["status"]); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// kubeseal writes nulls, and a null in template.data says something. Client-side kubectl apply drops them all; the other
// ways to write an object do not.
func TestNullsOfASealedSecretAreKept(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	want := parse(t, `
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: nulls}
spec:
  encryptedData: {a: AgA=, b: AgA=}
  template:
    metadata: {creationTimestamp: null, name: nulls, managedFields: [{manager: x}]}
    data: {a: null, c: "{{ .a }}"}
`)
	want.SetNamespace(cp.Namespace(t))
	if err := c.Create(t.Context(), want.DeepCopy(), client.FieldValidation("Strict")); err != nil {
		t.Fatal(err)
	}
	got := readAs(t, c, want, "v1alpha1")
	if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
		t.Errorf("spec (-written +read):\n%s", diff)
	}
	var ss sealed.SealedSecret
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(want), &ss); err != nil {
		t.Fatal(err)
	}
	if value, ok := ss.Spec.Template.Data["a"]; !ok || value != nil {
		t.Errorf("our type sees %v for the null (present: %t)", value, ok)
	}
}

// readAs reads obj in another version of its group.
func readAs(t *testing.T, c client.Client, obj client.Object, version string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	gvk := obj.GetObjectKind().GroupVersionKind()
	out.SetGroupVersionKind(schema.GroupVersionKind{Group: gvk.Group, Version: version, Kind: gvk.Kind})
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(obj), out); err != nil {
		t.Fatalf("read as %s: %v", version, err)
	}
	return out
}

// fromJSON reads raw as an API client does, with whole numbers as int64.
func fromJSON(raw string, into any) error {
	if m, ok := into.(*map[string]any); ok {
		return utiljson.Unmarshal([]byte(raw), m)
	}
	return json.Unmarshal([]byte(raw), into)
}

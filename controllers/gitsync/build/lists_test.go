package build_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/controllers/gitsync/build"
)

func TestTheObjectsOfListsAreBuiltAlsoOfListsInLists(t *testing.T) {
	t.Parallel()
	const lists = "apiVersion: v1\nkind: List\nitems:\n" +
		"- {apiVersion: v1, kind: ConfigMap, metadata: {name: outer}}\n" +
		"- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: inner}}]}\n" +
		"- {apiVersion: v1, kind: SecretList, items: [{apiVersion: v1, kind: Secret, metadata: {name: plain}, stringData: {k: v}}]}\n" +
		"- apiVersion: bitnami.com/v1alpha1\n  kind: SealedSecretList\n  items: [{apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, metadata: {name: sealed}}]\n"
	const bare = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecretList\nitems: [{metadata: {name: bare}}]\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"of a folder": {map[string]string{"x.yaml": lists + "---\n" + bare}, []string{
			"ConfigMap inner (x.yaml)", "ConfigMap outer (x.yaml)", "SealedSecret bare (x.yaml)", "SealedSecret sealed (x.yaml)", "Secret plain (x.yaml)"}},
		"of a kustomization": {map[string]string{"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": lists}, []string{
			"ConfigMap inner (x.yaml)", "ConfigMap outer (x.yaml)", "SealedSecret sealed (x.yaml)", "Secret plain (x.yaml)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := build.Build(t.Context(), newTree(c.files), build.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := list(r)
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if want := []build.Finding{{File: "x.yaml", Object: "Secret plain", Keys: []string{"k"}}}; !cmp.Equal(want, r.Plaintext) {
				t.Errorf("plaintext %+v, want %+v", r.Plaintext, want)
			}
		})
	}
}

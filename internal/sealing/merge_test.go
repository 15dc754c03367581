package sealing_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

var ciphertext = regexp.MustCompile(`AQ[A-Za-z0-9+/=]{100,}`)

func merge(existing []byte, s sealing.Secret, o sealing.Options, format sealing.Format) ([]byte, error) {
	target, err := sealing.ReadTarget(existing)
	if err != nil {
		return nil, err
	}
	return target.Merge(s, o, format)
}

func TestMergingKeepsCommentsOrderAndWhatItDoesNotReplace(t *testing.T) {
	t.Parallel()
	existing := `---
# Owned by the payments team.
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata:
  name: db
  namespace: payments
  labels:
    team: payments # of the object itself
spec:
  template:
    metadata:
      labels:
        app: pay
    type: Opaque
    data:
      url: pg://{{ .user }}
  encryptedData:
    user: old # rotated by hand
    zebra: stays
`
	s := readOne(t, "metadata: {name: other, namespace: elsewhere, labels: {tier: db}, annotations: {note: new}}\nstringData: {user: u, alpha: a}\n")
	merged, err := merge([]byte(existing), s, in(t, "", false), "")
	if err != nil {
		t.Fatal(err)
	}
	want := `---
# Owned by the payments team.
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata:
  name: db
  namespace: payments
  labels:
    team: payments # of the object itself
spec:
  template:
    metadata:
      annotations:
        note: new
      labels:
        app: pay
        tier: db
    type: Opaque
    data:
      url: pg://{{ .user }}
  encryptedData:
    alpha: SEALED
    user: SEALED # rotated by hand
    zebra: stays
`
	if diff := cmp.Diff(want, ciphertext.ReplaceAllString(string(merged), "SEALED")); diff != "" {
		t.Error(diff)
	}
}

func TestMergedValuesOpenWhereTheSealedSecretIs(t *testing.T) {
	t.Parallel()
	for name, annotations := range map[string]string{
		"strict":         "{}",
		"namespace-wide": "{" + seal.AnnotationNamespaceWide + `: "true"}`,
		"cluster-wide":   "{" + seal.AnnotationClusterWide + `: "true"}`,
	} {
		for _, format := range []sealing.Format{sealing.YAML, sealing.JSON} {
			t.Run(name+" "+string(format), func(t *testing.T) {
				t.Parallel()
				existing := sealed(t, "metadata: {name: db, namespace: payments, annotations: "+annotations+"}\nstringData: {a: one, b: two}\n")
				if format == sealing.JSON {
					text, err := yaml.YAMLToJSON([]byte(existing))
					if err != nil {
						t.Fatal(err)
					}
					existing = string(text)
				}
				merged, err := merge([]byte(existing), readOne(t, "metadata: {name: x}\nstringData: {b: three, c: four}\n"), in(t, "", false), "")
				if err != nil {
					t.Fatal(err)
				}
				if got := json.Valid(merged); got != (format == sealing.JSON) {
					t.Errorf("the format changed:\n%s", merged)
				}
				got, err := sealing.Unseal(t.Context(), bytes.NewReader(merged), keys(t))
				if err != nil {
					t.Fatal(err)
				}
				want := map[string][]byte{"a": []byte("one"), "b": []byte("three"), "c": []byte("four")}
				if diff := cmp.Diff(want, got[0].Data); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestMergingFillsWhatIsMissingOrNull(t *testing.T) {
	t.Parallel()
	// kubeseal panics on these (a nil map).
	for name, spec := range map[string]string{
		"no spec":          "",
		"a null spec":      "spec: null\n",
		"an empty one":     "spec: {}\n",
		"null maps":        "spec:\n  template: null\n  encryptedData: null\n",
		"empty maps":       "spec:\n  template: {metadata: {labels: {}}}\n  encryptedData: {}\n",
		"a null metadata":  "spec:\n  template:\n    metadata: null\n  encryptedData: {}\n",
		"without template": "spec:\n  encryptedData: {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			existing := "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: payments}\n" + spec
			s := readOne(t, "metadata: {name: x, labels: {a: b}, annotations: {c: d}}\nstringData: {k: v}\n")
			merged, err := merge([]byte(existing), s, in(t, "", false), "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := sealing.Unseal(t.Context(), bytes.NewReader(merged), keys(t))
			if err != nil {
				t.Fatalf("%v\n%s", err, merged)
			}
			if string(got[0].Data["k"]) != "v" || got[0].Metadata.Labels["a"] != "b" || got[0].Metadata.Annotations["c"] != "d" {
				t.Errorf("something was lost:\n%s", merged)
			}
		})
	}
}

func TestMergingRefusesWhatItWouldDamage(t *testing.T) {
	t.Parallel()
	good := sealed(t, "metadata: {name: db, namespace: payments}\nstringData: {a: b}\n")
	for name, c := range map[string]struct {
		existing string
		scope    seal.Scope
		want     string
	}{
		"two documents":    {good + good, "", "expected one SealedSecret to merge into, found 2 documents"},
		"nothing":          {"", "", "expected one SealedSecret to merge into, found 0 documents"},
		"a Secret":         {secret("stringData: {a: " + canary + "}"), "", "document 1, line 1: is a Secret, not a SealedSecret"},
		"another scope":    {good, seal.ClusterWide, "the SealedSecret has the scope strict, but cluster-wide was asked for"},
		"broken YAML":      {"a: [" + canary, "", "document 1, line 1: not valid YAML: did not find expected ',' or ']'"},
		"a list for a map": {strings.Replace(good, "  template:", "  template: []\n  x:", 1), "", "document 1, line 2: spec.template is not a plain map"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := in(t, "", false)
			options.Scope = c.scope
			_, err := merge([]byte(c.existing), readOne(t, "metadata: {name: x, labels: {a: b}}\nstringData: {k: "+canary+"}\n"), options, "")
			wantProblem(t, err, c.want)
		})
	}
}

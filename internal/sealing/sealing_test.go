package sealing_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

const canary = "canary-7f3e5b"

func readPair(t testing.TB) *keyring.Pair {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("../../crypto/seal/testdata/kubeseal-v0.40.0", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	pair, err := keyring.ParsePair(read("rsa2048.crt"), read("rsa2048.key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// secret returns a Secret manifest around some lines of fields.
func secret(fields string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: payments}\n" + fields + "\n"
}

// in returns Options for a run in a namespace; explicit as with --namespace.
func in(t testing.TB, namespace string, explicit bool) sealing.Options {
	return sealing.Options{
		To:        func(string) (seal.Recipient, error) { return seal.Compat(readPair(t).Public()), nil },
		Random:    rand.Reader,
		Namespace: func(bool) (string, bool, error) { return namespace, explicit, nil },
	}
}

func readOne(t testing.TB, text string) sealing.Secret {
	t.Helper()
	secrets, err := sealing.ReadSecrets(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(secrets) != 1 {
		t.Fatalf("got %d Secrets", len(secrets))
	}
	return secrets[0]
}

func wantProblem(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted; want %q", want)
	}
	if err.Error() != want {
		t.Errorf("\n got %s\nwant %s", err, want)
	}
	var known *sealing.Error
	if !errors.As(err, &known) {
		t.Fatalf("got %T, which has no hint", err)
	}
	if known.Hint == "" {
		t.Errorf("%s: nothing says what to do", err)
	}
	if strings.Contains(err.Error()+known.Hint, canary) {
		t.Errorf("the error quotes its input: %s / %s", err, known.Hint)
	}
}

func TestSecretsAreReadFromEveryForm(t *testing.T) {
	t.Parallel()
	one := `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"k":"dg=="}}`
	two := `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"b"},"stringData":{"k":"w"}}`
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"one in JSON":           {one, []string{"a=v"}},
		"two in JSON":           {one + two, []string{"a=v", "b=w"}},
		"two in YAML":           {"---\n" + one + "\n---\n# nothing\n---\n" + two + "\n---\n", []string{"a=v", "b=w"}},
		"a List":                {`{"apiVersion":"v1","kind":"List","items":[` + one + "," + two + `]}`, []string{"a=v", "b=w"}},
		"without a kind":        {"metadata: {name: a}\nstringData: {k: v}\n", []string{"a=v"}},
		"stringData over data":  {"metadata: {name: a}\ndata: {k: eA==}\nstringData: {k: v}\n", []string{"a=v"}},
		"a null value is empty": {"metadata: {name: a}\ndata: {k: null}\n", []string{"a="}},
		"base64 over two lines": {"metadata: {name: a}\ndata:\n  k: |\n    dg\n    ==\n", []string{"a=v"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets, err := sealing.ReadSecrets(strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range secrets {
				got = append(got, s.Metadata.Name+"="+string(s.Data["k"]))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNoSecretIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                     {"", "no secrets found. Ensure the input is valid and UTF-8 encoded"},
		"only comments":               {"# " + canary + "\n---\n", "no secrets found. Ensure the input is valid and UTF-8 encoded"},
		"an empty List":               {"{apiVersion: v1, kind: List, items: []}", "no secrets found. Ensure the input is valid and UTF-8 encoded"},
		"a ConfigMap after a Secret":  {secret("stringData: {a: b}") + "---\nkind: ConfigMap\ndata: {a: " + canary + "}\n", "document 2, line 6: is a ConfigMap, not a Secret"},
		"a value in place of a kind":  {"kind: " + canary + "\n", "document 1, line 1: is a document of another kind, not a Secret"},
		"another version of a Secret": {"apiVersion: v2\nkind: Secret\n", "document 1, line 1: the apiVersion is not v1"},
		"broken YAML":                 {secret("stringData:\n\tpassword: " + canary), "document 1, line 5: not valid YAML: found character that cannot start any token"},
		"a field misspelled":          {secret("stringdata: {password: " + canary + "}"), "document 1, line 1: has a field that a Secret does not have, and which would be lost"},
		"a value in place of a field": {secret("stringData: {a: b}\n" + canary + ": x"), "document 1, line 1: has a field that a Secret does not have, and which would be lost"},
		"a value that is a number":    {secret("stringData: {port: 5432}"), `document 1, line 1: stringData["port"] is not a string`},
		"a value that YAML misreads":  {secret("stringData: {enabled: yes}"), `document 1, line 1: stringData["enabled"] is not a string`},
		"a value that is a map":       {secret("stringData: {db: {password: " + canary + "}}"), `document 1, line 1: stringData["db"] is not a string`},
		"data that is not base64":     {secret("data: {password: " + canary + "}"), `document 1, line 1: data["password"] is not base64`},
		"data that is a list":         {secret("data: [" + canary + "]"), "document 1, line 1: data is not a map"},
		"a key with a slash":          {secret("stringData: {a/b: " + canary + "}"), `document 1, line 1: "a/b" is not a key for a Secret: letters, digits, - _ and . are allowed`},
		"a namespace that is false":   {"metadata: {name: a, namespace: n}\nstringData: {a: " + canary + "}", "document 1, line 1: metadata.namespace is not a string"},
		"labels that are a list":      {"metadata: {name: a, labels: [" + canary + "]}", "document 1, line 1: metadata.labels is not a map"},
		"metadata that is text":       {"metadata: " + canary, "document 1, line 1: metadata is not a map"},
		"a type that is a number":     {secret("type: 1"), "document 1, line 1: type is not a string"},
		"immutable as text":           {secret("immutable: '" + canary + "'"), "document 1, line 1: immutable is not true or false"},
		"finalizers as text":          {"metadata: {name: a, finalizers: " + canary + "}", "document 1, line 1: metadata.finalizers is not a list"},
		"a List of text":              {"{apiVersion: v1, kind: List, items: [" + canary + "]}", "document 1, line 1: an item of the list is not an object with fields"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sealing.ReadSecrets(strings.NewReader(c.text))
			wantProblem(t, err, c.want)
		})
	}
}

// shape returns a SealedSecret without its ciphertexts, of which only the keys are kept.
func shape(t testing.TB, s *sealing.SealedSecret) map[string]any {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	for key := range s.Spec.EncryptedData {
		out["spec"].(map[string]any)["encryptedData"].(map[string]any)[key] = "sealed"
	}
	return out
}

func TestWhatAServerOrAToolAddedDoesNotReachGit(t *testing.T) {
	t.Parallel()
	s := readOne(t, `
apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: payments
  labels: {app: pay}
  annotations:
    note: kept
    kubectl.kubernetes.io/last-applied-configuration: '{"data":{"password":"`+canary+`"}}'
    kubecfg.ksonnet.io/last-applied-configuration: `+canary+`
  finalizers: [example.com/f]
  uid: u
  resourceVersion: "1"
  generation: 3
  creationTimestamp: "2026-01-01T00:00:00Z"
  deletionTimestamp: "2026-01-01T00:00:00Z"
  deletionGracePeriodSeconds: 3
  selfLink: /x
  ownerReferences: [{kind: X}]
  managedFields: [{manager: `+canary+`}]
type: kubernetes.io/basic-auth
immutable: true
stringData: {password: `+canary+`}
`)
	sealed, err := sealing.Seal(s, in(t, "", false))
	if err != nil {
		t.Fatal(err)
	}
	got := shape(t, sealed)
	want := map[string]any{
		"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
		"metadata": map[string]any{"name": "db", "namespace": "payments"},
		"spec": map[string]any{
			"encryptedData": map[string]any{"password": "sealed"},
			"template": map[string]any{
				"type": "kubernetes.io/basic-auth", "immutable": true,
				"metadata": map[string]any{
					"name": "db", "namespace": "payments", "labels": map[string]any{"app": "pay"},
					"annotations": map[string]any{"note": "kept"}, "finalizers": []any{"example.com/f"},
				},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, format := range []sealing.Format{sealing.JSON, sealing.YAML} {
		text, err := sealing.Encode(format, sealed)
		if err != nil || strings.Contains(string(text), canary) {
			t.Errorf("%s: the output holds plaintext (%v)", format, err)
		}
	}
}

func TestTheScopeComesFromTheFlagThenTheAnnotations(t *testing.T) {
	t.Parallel()
	const ns, cluster = seal.AnnotationNamespaceWide, seal.AnnotationClusterWide
	for name, c := range map[string]struct {
		annotations string
		flag        seal.Scope
		want        seal.Scope
		kept        map[string]string // annotations of the template
	}{
		"nothing":                       {"", "", seal.Strict, nil},
		"an annotation":                 {ns + `: "true"`, "", seal.NamespaceWide, map[string]string{ns: "true"}},
		"the other annotation":          {cluster + `: "true"`, "", seal.ClusterWide, map[string]string{cluster: "true"}},
		"an annotation that is no true": {cluster + `: "yes"`, "", seal.Strict, map[string]string{cluster: "yes"}},
		"a flag":                        {"", seal.ClusterWide, seal.ClusterWide, map[string]string{cluster: "true"}},
		"a flag over an annotation":     {cluster + `: "true", a: b`, seal.NamespaceWide, seal.NamespaceWide, map[string]string{ns: "true", "a": "b"}},
		"strict over an annotation":     {cluster + `: "true"`, seal.Strict, seal.Strict, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := readOne(t, "metadata: {name: db, namespace: payments, annotations: {"+c.annotations+"}}\nstringData: {k: v}\n")
			options := in(t, "", false)
			options.Scope = c.flag
			sealed, err := sealing.Seal(s, options)
			if err != nil {
				t.Fatal(err)
			}
			if got := seal.ScopeOf(sealed.Metadata.Annotations); got != c.want {
				t.Errorf("the SealedSecret is %s, want %s", got, c.want)
			}
			if diff := cmp.Diff(c.kept, sealed.Spec.Template.Metadata.Annotations); diff != "" && len(c.kept)+len(sealed.Spec.Template.Metadata.Annotations) > 0 {
				t.Error(diff)
			}
			opener := seal.NewOpener(keyring.New(readPair(t)), "", 0)
			if value, err := opener.Open(t.Context(), c.want, "payments", "db", sealed.Spec.EncryptedData["k"]); err != nil || string(value) != "v" {
				t.Errorf("the value does not open under that scope: %v", err)
			}
		})
	}
}

func TestTheNamespaceAndNameAreThoseOfTheSecretOrTheFlags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meta      string
		scope     seal.Scope
		name      string
		namespace string
		explicit  bool
		want      string
		problem   string
	}{
		"the Secret's own":                  {"name: db, namespace: a", "", "", "default", false, "a/db", ""},
		"the context's":                     {"name: db", "", "", "default", false, "default/db", ""},
		"the flag's":                        {"name: db", "", "", "b", true, "b/db", ""},
		"the flag's, the same":              {"name: db, namespace: a", "", "", "a", true, "a/db", ""},
		"the flag's, another":               {"name: db, namespace: a", "", "", "b", true, "", `namespace mismatch: input secret is in namespace "a" but "b" was specified`},
		"the flag's, another, cluster-wide": {"name: db, namespace: a", seal.ClusterWide, "", "b", true, "a/db", ""},
		"none":                              {"name: db", "", "", "", false, "", "secret must declare a namespace"},
		"none, namespace-wide":              {"name: db", seal.NamespaceWide, "", "", false, "", "secret must declare a namespace"},
		"none, cluster-wide":                {"name: db", seal.ClusterWide, "", "", false, "/db", ""},
		"another name":                      {"name: db, namespace: a", "", "web", "", false, "a/web", ""},
		"no name":                           {"namespace: a", "", "", "", false, "", "missing metadata.name in input Secret"},
		"only the flag's name":              {"namespace: a, generateName: db-", "", "web", "", false, "a/web", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := in(t, c.namespace, c.explicit)
			options.Scope, options.Name = c.scope, c.name
			sealed, err := sealing.Seal(readOne(t, "metadata: {"+c.meta+"}\nstringData: {k: "+canary+"}\n"), options)
			if c.problem != "" {
				wantProblem(t, err, c.problem)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for what, m := range map[string]sealing.Metadata{"SealedSecret": sealed.Metadata, "template": sealed.Spec.Template.Metadata} {
				if got := m.Namespace + "/" + m.Name; got != c.want {
					t.Errorf("%s: got %s, want %s", what, got, c.want)
				}
			}
		})
	}
}

func TestASecretWithoutDataIsSealedOnlyOnRequest(t *testing.T) {
	t.Parallel()
	s, options := readOne(t, secret("")), in(t, "", false)
	_, err := sealing.Seal(s, options)
	wantProblem(t, err, "secret.data is empty in input Secret, assuming this is an error and aborting. To work with empty data, --allow-empty-data can be used")
	options.AllowEmpty = true
	sealed, err := sealing.Seal(s, options)
	if err != nil || sealed.Spec.EncryptedData == nil {
		t.Errorf("got %v, %v; the CRD wants encryptedData", sealed, err)
	}
}

func TestAValueThatFitsNoSecretIsNamed(t *testing.T) {
	t.Parallel()
	_, err := sealing.Seal(readOne(t, secret("stringData: {big: "+strings.Repeat("x", seal.MaxValue+1)+"}")), in(t, "", false))
	wantProblem(t, err, "document 1, line 1: seal big: the value is over 1048576 bytes, more than a Secret can hold")
}

func TestAManifestInYAMLIsThatOfKubernetesLibrary(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("Ab0+/", 40)
	for name, text := range map[string]string{
		"a sealed value":             "AgB" + long + "==",
		"nothing":                    "",
		"a word of YAML":             "yes",
		"digits":                     strings.Repeat("1234567890", 20),
		"a large number":             strings.Repeat("9", 80) + "e10",
		"a sign before":              "+" + long,
		"padding before":             "=" + long,
		"lines":                      "AgB" + long + "\n" + long + "\n",
		"more than base64":           "AgB" + long + ": " + long,
		"a comment":                  "AgB" + long + " #" + long,
		"letters of other languages": "AgB" + long + "ä",
		"a template":                 "sealed-{{ .a }}-0-" + long,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &sealing.SealedSecret{Kind: sealing.Kind, APIVersion: sealing.APIVersion}
			s.Spec.Template.Metadata.Annotations = map[string]string{"note": text}
			s.Spec.EncryptedData = map[string]string{"a": text, "b": "AgB" + long, "no": "AgC" + long, "1": text, "10": "AgD" + long, "2": "AgE" + long}
			want, err := yaml.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sealing.Encode(sealing.YAML, s)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("---\n"+string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOfSeveralValuesThatCannotBeSealedTheFirstIsNamed(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", seal.MaxValue+1)
	_, err := sealing.Seal(readOne(t, secret("stringData: {a: x, b: "+big+", c: z, d: "+big+", e: "+big+"}")), in(t, "", false))
	wantProblem(t, err, "document 1, line 1: seal b: the value is over 1048576 bytes, more than a Secret can hold")
}

package sealing_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// sealed returns a SealedSecret manifest in YAML of a Secret in YAML.
func sealed(t testing.TB, text string) string {
	t.Helper()
	s, err := sealing.Seal(readOne(t, text), in(t, "", false))
	if err != nil {
		t.Fatal(err)
	}
	out, err := sealing.Encode(sealing.YAML, s)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func keys(t testing.TB) sealing.PrivateKeys {
	t.Helper()
	keys, err := sealing.ReadPrivateKeys(readPair(t).PrivateKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestASealedSecretIsRecoveredWithItsTemplate(t *testing.T) {
	t.Parallel()
	text := sealed(t, "metadata: {name: db, namespace: ns, labels: {a: b}}\ntype: Opaque\nimmutable: true\nstringData: {password: hunter2, user: app, both: sealed}\n") +
		"    data:\n      url: pg://{{ .user }}:{{ .password }}@{{ .host }}\n      host: db.example\n      both: from the template\n      user: null\n"
	got, err := sealing.Unseal(t.Context(), strings.NewReader(text), keys(t))
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	want := []sealing.Recovered{{
		Kind: "Secret", APIVersion: "v1", Type: "Opaque", Immutable: &yes,
		Metadata: sealing.Metadata{Name: "db", Namespace: "ns", Labels: map[string]string{"a": "b"}},
		Data: map[string][]byte{
			"password": []byte("hunter2"), "host": []byte("db.example"), "both": []byte("sealed"), "url": []byte("pg://app:hunter2@db.example"),
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestASealedSecretThatIsWrongIsNotRecovered(t *testing.T) {
	t.Parallel()
	good := sealed(t, "metadata: {name: db, namespace: ns}\nstringData: {a: "+canary+", b: "+canary+"}\n")
	other, err := keyring.Generate(keyring.Options{Bits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	otherKeys, err := sealing.ReadPrivateKeys(other.PrivateKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		keys sealing.PrivateKeys
		want string
	}{
		"another name":           {strings.Replace(good, "name: db", "name: web", 1), nil, "no key could decrypt secret (a, b)"},
		"another namespace":      {strings.Replace(good, "namespace: ns", "namespace: other", 1), nil, "no key could decrypt secret (a, b)"},
		"a wider scope":          {strings.Replace(good, "  name: db", "  annotations: {sealedsecrets.bitnami.com/cluster-wide: 'true'}\n  name: db", 1), nil, "no key could decrypt secret (a, b)"},
		"another key":            {good, otherKeys, "no key could decrypt secret (a, b)"},
		"no keys":                {good, sealing.PrivateKeys{}, "no key could decrypt secret (a, b)"},
		"no namespace":           {strings.Replace(good, "  namespace: ns\n", "", 1), nil, "the scope needs a namespace, and the strict scope a name too (a, b)"},
		"one value of rubbish":   {strings.Replace(good, "    b: AQ", "    b: "+canary, 1), nil, "the sealed value is not base64 (b)"},
		"one value cut off":      {strings.Replace(good, "    b: AQ", "    c: AQAA\n    b: AQ", 1), nil, "sealed value is too short; it was cut off (c)"},
		"a failing template":     {good + "    data: {x: '{{ fail .a }}'}\n", nil, `document 1, line 2: template "x" at line 1, column 3: the template called fail (its message is withheld, it may hold a value)`},
		"a plain Secret":         {secret("stringData: {a: " + canary + "}"), nil, "document 1, line 1: is a Secret, not a SealedSecret"},
		"another version":        {strings.Replace(good, "v1alpha1", "v2", 1), nil, "document 1, line 2: the apiVersion is not bitnami.com/v1alpha1"},
		"the deprecated format":  {strings.Replace(good, "spec:", "spec:\n  data: AAAA", 1), nil, "document 1, line 2: using deprecated 'data' field, use 'encryptedData'"},
		"nothing":                {"", nil, "no sealed secrets found. Ensure the input is valid and UTF-8 encoded"},
		"a value that is a list": {strings.Replace(good, "    b: AQ", "    c: ["+canary+"]\n    b: AQ", 1), nil, `document 1, line 2: spec.encryptedData["c"] is not a string`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.keys == nil {
				c.keys = keys(t)
			}
			got, err := sealing.Unseal(t.Context(), strings.NewReader(c.text), c.keys)
			if got != nil {
				t.Error("something was recovered")
			}
			wantProblem(t, err, c.want)
		})
	}
}

func TestPrivateKeysAreReadFromEveryFormOfBackup(t *testing.T) {
	t.Parallel()
	pair := readPair(t)
	tls := func(key []byte) string {
		text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
			"metadata": map[string]any{"name": "k"}, "data": map[string]any{"tls.crt": pair.CertificatePEM(), "tls.key": key}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	inList, err := yaml.YAMLToJSON([]byte(tls(pair.PrivateKeyPEM())))
	if err != nil {
		t.Fatal(err)
	}
	without := strings.NewReplacer(`"apiVersion":"v1",`, "", `"kind":"Secret",`, "").Replace(string(inList))
	list := `{"apiVersion":"v1","kind":"List","items":[` + string(inList) + "," + string(inList) + `]}`
	for name, c := range map[string]struct {
		text string
		want int
		fail string
	}{
		"PEM":                      {string(pair.PrivateKeyPEM()), 1, ""},
		"many keys in PEM":         {string(pair.CertificatePEM()) + string(pair.PrivateKeyPEM()) + "text\n" + string(pair.PrivateKeyPEM()), 2, ""},
		"a Secret":                 {tls(pair.PrivateKeyPEM()), 1, ""},
		"two Secrets":              {tls(pair.PrivateKeyPEM()) + "---\n" + tls(pair.PrivateKeyPEM()), 2, ""},
		"a List in JSON":           {list, 2, ""},
		"a list without a kind":    {`{"metadata":{"resourceVersion":"1"},"items":[` + string(inList) + "," + without + `]}`, 2, ""},
		"an empty list of no kind": {`{"metadata":{},"items":[]}`, 0, "no private key found"},
		"items that are no list":   {`{"items":"` + canary + `"}`, 0, "document 1, line 1: has a field that a Secret does not have, and which would be lost"},
		"a list of something else": {`{"items":[{"kind":"ConfigMap"}]}`, 0, "document 1, line 1, items.0: is a ConfigMap, not a Secret"},
		"nothing":                  {"", 0, "no private key found"},
		"text":                     {canary, 0, "neither a private key in PEM, an age identity nor Secrets in YAML or JSON"},
		"PEM that is cut off":      {string(pair.PrivateKeyPEM()[:500]), 0, "neither a private key in PEM, an age identity nor Secrets in YAML or JSON"},
		"a Secret without a key":   {secret("stringData: {a: " + canary + "}"), 0, "document 1, line 1: secret must contain a 'tls.key' key"},
		"a Secret with a bad key":  {tls([]byte(canary)), 0, "document 1, line 1: tls.key: no RSA private key in PEM (PKCS#1 or PKCS#8)"},
		"a certificate, not a key": {string(pair.CertificatePEM()), 0, "neither a private key in PEM, an age identity nor Secrets in YAML or JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := sealing.ReadPrivateKeys([]byte(c.text))
			if c.fail != "" {
				wantProblem(t, err, c.fail)
				var known *sealing.Error
				if errors.As(err, &known) && !strings.HasPrefix(known.Hint, "give a PEM file, an identity file of age, or the sealing-key Secrets: ") {
					t.Errorf("the hint is %q", known.Hint)
				}
				return
			}
			if err != nil || len(got) != c.want {
				t.Errorf("got %d keys, want %d: %v", len(got), c.want, err)
			}
		})
	}
}

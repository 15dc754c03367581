package lint_test

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/internal/lint"
)

const canary = "canary-7f3e5b"

func checks(findings []lint.Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Check)
	}
	return strings.Join(out, " ")
}

func TestACertificateIsJudgedByItsEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]lint.Severity{-time.Hour: lint.Error, time.Hour: lint.Warning, 365 * 24 * time.Hour: ""} {
		found := lint.CheckCertificate("cert.pem", lint.Options{Now: now, Certificate: &lint.Certificate{Key: rsaKey(4096), NotAfter: now.Add(left)}})
		if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || found[0].Severity != want) {
			t.Errorf("%s left: %v", left, found)
		}
	}
}

func TestWhatIsNoSecretHasNoFindings(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a.yaml": "kind: ConfigMap\ndata: {password: " + canary + "}\n", "b.yaml": "- a\n- b\n", "c.json": "[1]", "d.env": "A=b\n", "e.txt": canary, "f.yaml": "a: [\n",
		"g.yaml": "", "h.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "i.yaml": "apiVersion: example.com/v1\nkind: Secret\ndata: {a: b}\n",
	} {
		if found := lint.File(name, []byte(text), lint.Options{}); len(found) > 0 {
			t.Errorf("%s: %s", name, checks(found))
		}
	}
}

func TestPlaintextIsFoundWhereASecretHasNoPlaceForIt(t *testing.T) {
	t.Parallel()
	utf16 := []byte{0xff, 0xfe}
	for _, c := range "apiVersion: v1\nkind: Secret\nstringData:\n  a: " + canary + "\n" {
		utf16 = append(utf16, byte(c), 0)
	}
	for what, c := range map[string]struct{ text, want string }{
		"no apiVersion":        {"kind: Secret\nstringData: {a: " + canary + "}\n", "2 plaintext"},
		"binaryData":           {"apiVersion: v1\nkind: Secret\nbinaryData:\n  a: " + canary + "\n", "4 plaintext"},
		"data that is a list":  {"apiVersion: v1\nkind: Secret\ndata: [" + canary + "]\n", "3 plaintext"},
		"data that is a text":  {"apiVersion: v1\nkind: Secret\nstringData: " + canary + "\n", "3 plaintext"},
		"slipped indentation":  {"apiVersion: v1\nkind: Secret\nstringData:\npassword: " + canary + "\n", "4 plaintext"},
		"a patch of Kustomize": {"apiVersion: v1\nkind: Secret\n$patch: delete\nmetadata: {name: a}\n", ""},
		"UTF-16":               {string(utf16), "1 unreadable, 4 plaintext"},
		"a broken list":        {"apiVersion: v1\nkind: List\nitems: [x, {apiVersion: v1, kind: Secret, data: {a: " + canary + "}}]\n", "1 unreadable, 3 plaintext"},
		"JSON that is cut off": {`{"apiVersion":"v1","kind":"Secret","data":{"a":"` + canary, "1 unreadable"},
	} {
		var got []string
		for _, f := range lint.File("a.yaml", []byte(c.text), lint.Options{}) {
			got = append(got, fmt.Sprintf("%d %s", f.Line, f.Check))
			if strings.Contains(f.Problem+f.Hint+f.Object, canary) || strings.Contains(f.Problem, "password") {
				t.Errorf("%s: a value is shown: %+v", what, f)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}

func FuzzEveryFileIsLintedInLinesOfOneLine(f *testing.F) {
	f.Add("a.yaml", "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, data: {a: "+canary+"}}, 1, null]\n")
	f.Add("a.yaml", "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {annotations: [x]}\nspec: {encryptedData: {a: AgA=, b: 3, \"\\n\": x}, data: {}, template: x}\n")
	f.Add("a.yaml", "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: &a {name: *a}\n")
	f.Add("a.json", `{"apiVersion":"v1","kind":"SecretList","items":[{"data":{"a":"`+canary+`"}}]}`)
	f.Add("a.env", "A="+canary+"\nsops_mac=x\n")
	f.Add("a.ini", "[sops]\nmac=x\nencrypted_regex=[\n")
	f.Add("a.yaml", "kind: Secret\nstringData: {a: "+canary+"}\nsops: {mac: x, age: [{recipient: age1pq1x}, {recipient: age1x}], key_groups: [[{}]]}\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		for _, found := range lint.File(name, []byte(text), lint.Options{Certificate: &lint.Certificate{Key: rsaKey(2048)}}) {
			if found.Line < 1 || found.Check == "" || found.Hint == "" || strings.ContainsAny(found.File+found.Object, "\n\x1b") {
				t.Errorf("%+v", found)
			}
		}
	})
}

// rsaKey is the largest modulus of a size; it is no key that anybody has.
func rsaKey(bits uint) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits)
	return &rsa.PublicKey{N: n.Sub(n, big.NewInt(1)), E: 65537}
}

// The session key is wrapped as a number below the modulus of the key that it was sealed to.
func TestAValueAboveTheCertificatesModulusIsAnothers(t *testing.T) {
	t.Parallel()
	n := new(big.Int).Lsh(big.NewInt(3), 1022)
	for name, c := range map[string]struct {
		wrapped *big.Int
		found   bool
	}{
		"the modulus itself": {n, true},
		"one above":          {new(big.Int).Add(n, big.NewInt(1)), true},
		"one below":          {new(big.Int).Sub(n, big.NewInt(1)), false},
		"a small number":     {big.NewInt(5), false},
	} {
		value := append([]byte{0, 128}, c.wrapped.FillBytes(make([]byte, 128))...)
		text := "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: ns}\nspec:\n  encryptedData:\n    k: " +
			base64.StdEncoding.EncodeToString(append(value, make([]byte, 20)...)) + "\n"
		found := lint.File("a.yaml", []byte(text), lint.Options{Certificate: &lint.Certificate{Key: &rsa.PublicKey{N: n, E: 65537}}})
		if (len(found) == 1 && found[0].Check == "certificate" && found[0].Line == 6) != c.found || len(found) > 1 {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestANameThatYAMLReadsAsSomethingElseIsNotCalledMissing(t *testing.T) {
	t.Parallel()
	found := lint.File("a.yaml", []byte("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: 123\n  namespace: n\nspec: {template: {data: {a: b}}}\n"), lint.Options{})
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%d %s: %s", f.Line, f.Severity, f.Problem))
	}
	want := []string{"4 error: metadata.name is not a string", "5 error: metadata.namespace is not a string"}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%q is not in %q", w, got)
		}
	}
	if strings.Contains(strings.Join(got, ""), "it has no name") {
		t.Errorf("got %q", got)
	}
}

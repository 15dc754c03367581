package template_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/internal/template"
)

// sampled is the data over which External Secrets Operator rendered what testdata/answers.jsonl holds.
func sampled() map[string]string {
	return map[string]string{
		"user": "app", "empty": "", "num": "42", "neg": "-3", "dec": "1.5", "oct": "010", "big": "9223372036854775808",
		"key-dash": "dash", "key.dot": "dot", "bin": "\x00\xff\xfe\x80abc", "multi": "l1\nl2\n\nl3\n", "uni": "héllo wörld", "tab": "a\tb", "sp": "  x y  ",
		"html": `<a href="x">&'</a>`, "b64": "aGVsbG8=", "list": "a,b,,c", "url": "https://u:p%40w@h.example:8443/p/a?q=1&r=2#f",
		"json": `{"a":1,"b":"x<y>&z","c":[1,2.5,null,true],"d":{"e":"f"},"n":12345678901234567890,"f":1e21,"g":0.1}`,
		"yaml": "a: 1\nb: x\nc: [1, 2.5, ~, true]\nd: {e: f}\nn: 12345678901234567890\n1: one\ny: yes\noct: 010\n",
	}
}

// The answers are what the engine of External Secrets Operator 2.9 itself printed.
func TestTemplatesPrintWhatExternalSecretsOperatorPrints(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/answers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, lines := 0, bufio.NewScanner(f)
	for lines.Scan() {
		var row struct {
			Template, Prints string
			Fails            bool
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		rows++
		got, err := apply(t, row.Template, sampled())
		switch {
		case (err != nil) != row.Fails:
			t.Errorf("%s: got %v", row.Template, err)
		case row.Prints != got:
			t.Errorf("%s: -External Secrets Operator +ours:\n%s", row.Template, cmp.Diff(row.Prints, got))
		}
	}
	if err := lines.Err(); err != nil || rows < 100 {
		t.Errorf("%d rows were read, %v", rows, err)
	}
}

func TestADefinitionHasAnyName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // as External Secrets Operator 2.9 answers
		`{{ define "template" }}x{{ end }}{{ template "template" }}`: "x", `{{ define "template" }}x{{ end }}`: "", `{{ define "key" }}x{{ end }}`: "",
		`{{ block "template" .user }}{{ . }}{{ end }}`: "app", `{{ define "root" }}x{{ end }}a`: "a", `{{ define "" }}x{{ end }}{{ template "" }}`: "x",
	} {
		if got, err := apply(t, text, sampled()); err != nil || got != want {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
}

func TestADictionaryIsFilledInALoop(t *testing.T) {
	t.Parallel()
	// With the two large entries it would be too large for a function that looks at all of it.
	text := `{{ $d := dict }}{{ range list "a" "b" }}{{ $_ := set $d . (repeat 3000000 "x") }}{{ end }}{{ range $i := until 20000 }}{{ $_ := set $d (print "key" $i) $i }}{{ end }}{{ get $d "key7" }}{{ hasKey $d "key19999" }}{{ $_ := unset $d "key7" }}{{ len $d }}`
	if got := must(t, text, nil); got != "7true20001" {
		t.Errorf("got %q", got)
	}
}

func TestWhatHasNoYAMLIsAnErrorAndNotNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{{ .bin | toYaml }}`, `{{ . | toYaml }}`, `{{ dict "key" .bin | toYaml }}`} {
		functionFails(t, text, map[string]string{"bin": "a\x7f"})
	}
}

func TestALineForHtpasswdIsMadeWithBcryptUnlessTheTemplateAsksForSHA(t *testing.T) {
	t.Parallel()
	bcrypted := regexp.MustCompile(`^u:\$2a\$10\$[./A-Za-z0-9]{53}$`)
	for _, text := range []string{`{{ htpasswd "u" .p }}`, `{{ htpasswd "u" .p "bcrypt" }}`} {
		if got := must(t, text, map[string]string{"p": canary}); !bcrypted.MatchString(got) {
			t.Errorf("%s: got %q", text, got)
		}
	}
	if got := must(t, `{{ htpasswd "u" "pw" .algorithm }}`, map[string]string{"algorithm": "sha"}); got != "u:{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM=" {
		t.Errorf("got %q", got)
	}
	if _, err := apply(t, `{{ htpasswd "u" .p "sha" "x" }}`, map[string]string{"p": canary}); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v", err)
	}
}

func TestWhatFollowsACertificateIsNotLookedAt(t *testing.T) {
	t.Parallel()
	chain, a := file(t, "pkcs12/chain.pem"), newAuthority(t)
	data := map[string]string{
		"junk": chain + "# the end\n", "key": chain + a.key, "leaf": a.leaf + a.key, "k": a.key,
		"pair": a.leaf + a.between + a.root + "junk\n", "inline": "certificate: " + a.leaf + "issuer: " + a.between,
	}
	for text, want := range map[string]string{
		`{{ certSANs .junk | first }}`:                                       "www.example.com",
		`{{ certSANs .key | first }}`:                                        "www.example.com",
		`{{ filterCertChain "leaf" .pair }}`:                                 a.leaf,
		`{{ filterCertChain "intermediate" .pair }}`:                         a.between,
		`{{ filterCertChain "leaf" .inline }}`:                               a.leaf,
		`{{ filterCertChain "root" .pair }}`:                                 a.root,
		`{{ pemToPkcs12 .leaf .k | b64dec | pkcs12cert }}`:                   a.leaf,
		`{{ pemToPkcs12Pass .pair .k "pw" | b64dec | pkcs12certPass "pw" }}`: a.leaf,
	} {
		if diff := cmp.Diff(want, must(t, text, data)); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
	for _, text := range []string{`{{ filterCertChain "leaf" .key }}`, `{{ fullPemToPkcs12 .leaf .k }}`, `{{ fullPemToPkcs12 .pair .k }}`, `{{ pemTruststoreToPKCS12 .pair }}`} {
		functionFails(t, text, data)
	}
}

func TestAChainEndsWithItsFirstRoot(t *testing.T) {
	t.Parallel()
	key := newEC(t)
	certificate := func(name string, tmpl x509.Certificate) string {
		tmpl.SerialNumber, tmpl.Subject, tmpl.IsCA, tmpl.BasicConstraintsValid = big.NewInt(1), pkix.Name{CommonName: name}, true, true
		tmpl.NotBefore, tmpl.NotAfter = time.Unix(0, 0), time.Unix(1<<33, 0)
		der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	of := []byte("root")
	issued := certificate("issued", x509.Certificate{SubjectKeyId: []byte("issued"), AuthorityKeyId: of})
	root, again := certificate("root", x509.Certificate{SubjectKeyId: of, AuthorityKeyId: of}), certificate("root", x509.Certificate{SubjectKeyId: of})
	data := map[string]string{"chain": issued + root + again}
	// Two that issue each other are no chain, with somebody whom they have issued and without.
	first := certificate("first", x509.Certificate{SubjectKeyId: []byte("first"), AuthorityKeyId: []byte("second")})
	second := certificate("second", x509.Certificate{SubjectKeyId: []byte("second"), AuthorityKeyId: []byte("first")})
	theirs := certificate("leaf", x509.Certificate{SubjectKeyId: []byte("leaf"), AuthorityKeyId: []byte("first")})
	functionFails(t, `{{ filterCertChain "intermediate" .chain }}`, map[string]string{"chain": first + second})
	functionFails(t, `{{ filterCertChain "intermediate" .chain }}`, map[string]string{"chain": first + theirs + second})
	for kind, want := range map[string]string{"leaf": issued, "intermediate": "", "root": again} { // as External Secrets Operator 2.9 answers
		if got := must(t, `{{ filterCertChain "`+kind+`" .chain }}`, data); got != want {
			t.Errorf("%s: %s", kind, cmp.Diff(want, got))
		}
	}
}

// encodings are those in which the number of a JWK is read, as External Secrets Operator does.
func encodings(number []byte) []string {
	return []string{
		base64.RawURLEncoding.EncodeToString(number), base64.URLEncoding.EncodeToString(number),
		base64.RawStdEncoding.EncodeToString(number), base64.StdEncoding.EncodeToString(number),
	}
}

func jwk(t *testing.T, members map[string]any) string {
	t.Helper()
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAJWKIsReadInAnyBase64AndWithAnyOtherMembers(t *testing.T) {
	t.Parallel()
	key := newEC(t)
	for x := ""; !strings.Contains(x, "+") || !strings.Contains(x, "/"); x = encodings(key.X.Bytes())[3] { // the two in which the alphabets differ
		key = newEC(t)
	}
	x, y := key.X.FillBytes(make([]byte, 32)), key.Y.FillBytes(make([]byte, 32))
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for i := range encodings(nil) {
		members := map[string]any{"kty": "EC", "crv": "P-256", "x": encodings(x)[i], "y": encodings(append([]byte{0}, y...))[i]}
		for name, other := range map[string]any{"n": "?", "x5c": []string{"AAAA"}, "x5t": "AAAA", "x5u": "::", "kid": 5, "key_ops": "verify", "d": nil} {
			members[name] = other
			public := must(t, `{{ jwkPublicKeyPem .jwk }}`, map[string]string{"jwk": jwk(t, members) + " and so on"})
			if want := "-----BEGIN PUBLIC KEY-----\n"; !strings.HasPrefix(public, want) || !strings.Contains(strings.ReplaceAll(public, "\n", ""), base64.StdEncoding.EncodeToString(der)) {
				t.Errorf("encoding %d, %s: the public key is another", i, name)
			}
		}
		members["d"] = encodings(d)[i]
		if got := keyOf(t, must(t, `{{ jwkPrivateKeyPem .jwk }}`, map[string]string{"jwk": jwk(t, members)})); !key.PublicKey.Equal(got.Public()) {
			t.Errorf("encoding %d: the private key is another", i)
		}
	}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		x, y := curve.ScalarBaseMult([]byte{5}) //nolint:staticcheck // a key whose number is short
		members := map[string]any{"kty": "EC", "crv": name, "x": encodings(x.Bytes())[0], "y": encodings(y.Bytes())[0], "d": "BQ"}
		got, ok := keyOf(t, must(t, `{{ jwkPrivateKeyPem .jwk }}`, map[string]string{"jwk": jwk(t, members)})).(*ecdsa.PrivateKey)
		if !ok || !got.PublicKey.Equal(&ecdsa.PublicKey{Curve: curve, X: x, Y: y}) { //nolint:staticcheck // as above
			t.Errorf("%s: a short private key is another one", name)
		}
	}
}

func TestAJWKThatIsTwoKeysOrNoneIsRefused(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	okp := func(x, d []byte) map[string]any {
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encodings(x)[0], "d": encodings(d)[0]}
	}
	for name, members := range map[string]map[string]any{
		"two keys": okp(other, private.Seed()), "a short public key": okp(other[:3], private.Seed()), "a short private key": okp(other, private.Seed()[:3]),
		"no base64": {"kty": "EC", "crv": "P-256", "x": "?", "y": "?"}, "no type": {"n": "AQAB"}, "another curve": {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"},
		"a short public key alone": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
		"no numbers":               {"kty": "RSA", "n": 5, "e": "AQAB"},
	} {
		for _, text := range []string{`{{ jwkPublicKeyPem .jwk }}`, `{{ jwkPrivateKeyPem .jwk }}`} {
			var fault *template.Error
			if _, err := apply(t, text, map[string]string{"jwk": jwk(t, members)}); !errors.As(err, &fault) || fault.Kind != template.KindFunction {
				t.Errorf("%s: %s: got %v", name, text, err)
			}
		}
	}
	if !regexp.MustCompile(`^-----BEGIN PRIVATE KEY-----\n`).MatchString(must(t, `{{ jwkPrivateKeyPem .jwk }}`, map[string]string{
		"jwk": jwk(t, okp(private.Public().(ed25519.PublicKey), private.Seed())),
	})) {
		t.Error("one key is refused")
	}
}

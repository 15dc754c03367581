package template_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"hash"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/test/harness/effort"
)

// apply renders text over data of its own, in as much time as a machine takes that has much else to do.
func apply(t *testing.T, text string, data map[string]string) (string, error) {
	t.Helper()
	out, err := template.New(template.Options{MaxTime: 10 * time.Minute}).Render(t.Context(), "key", text, data)
	return string(out), err
}

// must renders a text that is right.
func must(t *testing.T, text string, data map[string]string) string {
	t.Helper()
	out, err := apply(t, text, data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func file(t *testing.T, name string) string {
	t.Helper()
	out, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func keyOf(t *testing.T, text string) crypto.Signer {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
		t.Fatalf("not one PKCS#8 key in PEM, but %d bytes", len(text))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

func TestTheFunctionsOfExternalSecretsOperatorExist(t *testing.T) {
	t.Parallel()
	names := strings.Fields(file(t, "functions-eso.txt"))
	if len(names) != 18 {
		t.Errorf("there are %d names", len(names))
	}
	for _, name := range names {
		// Without arguments none of them works, but one that does not exist fails in another way.
		_, err := apply(t, "{{ "+name+" }}", nil)
		var fault *template.Error
		if !errors.As(err, &fault) || fault.Kind == template.KindUnknownFunction {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The files of testdata/pkcs12 were made by openssl 3.0, with -legacy and -descert where their names say so:
//
//	openssl pkcs12 -export -inkey leaf.key -in leaf.crt -certfile root-and-intermediate.pem -passout pass:changeit
func TestPKCS12FilesOfOpensslAreOpened(t *testing.T) {
	t.Parallel()
	chain := file(t, "pkcs12/chain.pem")
	block, _ := pem.Decode([]byte(chain))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for name, password := range map[string]string{
		"modern": "changeit", "legacy-rc2": "changeit", "legacy-des": "changeit", "modern-empty": "", "legacy-empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := map[string]string{"file": file(t, "pkcs12/"+name+".p12"), "password": password}
			data["text"] = base64.StdEncoding.EncodeToString([]byte(data["file"]))
			certs := must(t, `{{ .file | pkcs12certPass .password }}`, data)
			if diff := cmp.Diff(chain, certs); diff != "" {
				t.Errorf("the certificates are not the chain in order:\n%s", diff)
			}
			key := must(t, `{{ .text | b64dec | pkcs12keyPass .password }}`, data)
			if !keyOf(t, key).Public().(*ecdsa.PublicKey).Equal(leaf.PublicKey) {
				t.Error("the key is not that of the leaf")
			}
			if password == "" {
				if got := must(t, `{{ pkcs12key .file }}{{ pkcs12cert .file }}`, data); got != key+chain {
					t.Error("without a password there is something else")
				}
			}
			data["password"] = "wrong"
			for _, text := range []string{
				`{{ pkcs12keyPass .password .file }}`, `{{ pkcs12certPass .password .file }}`,
				`{{ pkcs12keyPass "changeit" (trunc 1000 .file) }}`, `{{ pkcs12key (print .file "a") }}`,
			} {
				functionFails(t, text, data)
			}
		})
	}
}

// authority is a chain that the test made, and the leaf's key, as PEM.
type authority struct {
	leaf, between, root, key string
	leafCert                 *x509.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(name string, number int64, public crypto.PublicKey, parent *x509.Certificate, by crypto.Signer) *x509.Certificate {
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(number), Subject: pkix.Name{CommonName: name}, IsCA: name != "leaf", BasicConstraintsValid: true,
			NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		}
		if tmpl.IsCA { // the leaf has no identifier of its own, the root names no issuer
			tmpl.SubjectKeyId = []byte(name)
		}
		if parent == nil {
			parent = tmpl
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	rootKey, betweenKey := newEC(t), newEC(t)
	root := certificate("root", 1, rootKey.Public(), nil, rootKey)
	between := certificate("between", 2, betweenKey.Public(), root, rootKey)
	leaf := certificate("leaf", 3, rsaKey.Public(), between, betweenKey)
	asPEM := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return authority{
		leaf: asPEM("CERTIFICATE", leaf.Raw), between: asPEM("CERTIFICATE", between.Raw), root: asPEM("CERTIFICATE", root.Raw),
		key: asPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), leafCert: leaf,
	}
}

func newEC(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPKCS12FilesAreMadeAndStayTheSameForTheSameContent(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	ec, err := x509.MarshalECPrivateKey(newEC(t))
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]string{
		"leaf": a.leaf, "all": a.leaf + a.between + "\n" + a.root + "\n", "cas": a.root + a.between, "key": a.key, "password": canary,
		"ec": "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" +
			string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec})),
	}
	for text, want := range map[string]struct {
		password string
		others   int
	}{
		`{{ pemToPkcs12 .leaf .key }}`:                    {},
		`{{ pemToPkcs12 .leaf .ec }}`:                     {},
		`{{ pemToPkcs12Pass .leaf .key .password }}`:      {password: canary},
		`{{ pemToPkcs12Pass .all .key .password }}`:       {password: canary},
		`{{ fullPemToPkcs12 .all .key }}`:                 {others: 2},
		`{{ fullPemToPkcs12Pass .all .key .password }}`:   {password: canary, others: 2},
		`{{ .password | fullPemToPkcs12Pass .leaf .ec }}`: {password: canary},
	} {
		encoded := must(t, text, data)
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		_, cert, others, err := pkcs12.DecodeChain(raw, want.password)
		if err != nil || !cert.Equal(a.leafCert) || len(others) != want.others {
			t.Errorf("%s: got %d others, %v", text, len(others), err)
		}
		if again := must(t, text, data); again != encoded {
			t.Errorf("%s: the second rendering differs", text)
		}
	}
	made := map[string]string{}
	for _, text := range []string{
		`{{ pemToPkcs12 .leaf .key }}`, `{{ pemToPkcs12Pass .leaf .key "a" }}`, `{{ pemToPkcs12Pass .leaf .key "b" }}`,
		`{{ pemToPkcs12 .leaf .ec }}`, `{{ fullPemToPkcs12 .all .key }}`, `{{ pemTruststoreToPKCS12 .cas }}`, `{{ pemTruststoreToPKCS12 .leaf }}`,
	} {
		raw, _ := base64.StdEncoding.DecodeString(must(t, text, data))
		salt := string(raw[len(raw)-20 : len(raw)-4]) // the MAC's, followed by the count
		if made[salt] != "" {
			t.Errorf("%s has the salt of %s", text, made[salt])
		}
		made[salt] = text
	}
	for text, password := range map[string]string{
		`{{ pemTruststoreToPKCS12 .cas }}`: "", `{{ pemTruststoreToPKCS12Pass .cas .password }}`: canary,
	} {
		raw, err := base64.StdEncoding.DecodeString(must(t, text, data))
		if err != nil {
			t.Fatal(err)
		}
		certs, err := pkcs12.DecodeTrustStore(raw, password)
		if err != nil || len(certs) != 2 {
			t.Errorf("%s: got %d certificates, %v", text, len(certs), err)
		}
	}
}

func TestCertificatesAreToldApart(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t), newAuthority(t)
	data := map[string]string{
		"mixed": a.root + a.leaf + a.between, "bag": "Bag Attributes\n    friendlyName: x\n" + a.leaf + a.between, "root": a.root, "key": a.key,
		"pair": a.leaf + a.between, "sans": file(t, "pkcs12/chain.pem"), "two": a.leaf + other.root, "twice": a.leaf + a.between + a.root + a.root,
	}
	for text, want := range map[string]string{
		`{{ filterCertChain "leaf" .mixed }}`:                   a.leaf,
		`{{ filterCertChain "intermediate" .mixed }}`:           a.between,
		`{{ filterCertChain "root" .mixed }}`:                   a.root,
		`{{ filterCertChain "root" .pair }}`:                    "",
		`{{ filterCertChain "intermediate" .pair }}`:            a.between,
		`{{ filterCertChain "leaf" .bag }}`:                     a.leaf,
		`{{ filterCertChain "leaf" .root }}`:                    "",
		`{{ filterCertChain "root" .root }}`:                    a.root,
		`{{ filterCertChain "intermediate" .root }}`:            "",
		`{{ filterCertChain "other" .mixed }}`:                  "",
		`{{ filterPEM "certificate" .bag }}`:                    a.leaf + a.between,
		`{{ print .key .root | filterPEM "RSA PRIVATE KEY" }}`:  a.key,
		`{{ filterPEM "X509 CRL" .root }}`:                      "",
		`{{ filterPEM "CERTIFICATE" (print .root "junk") }}`:    a.root,
		`{{ fullPemToPkcs12 .two .key | b64dec | pkcs12cert }}`: a.leaf + other.root, // as in the file: it is no chain
		`{{ filterPEM "CERTIFICATE" "" }}`:                      "",
		`{{ certSANs .sans | join " " }}`:                       "www.example.com *.example.com 192.0.2.7 2001:db8::7 ops@example.com spiffe://example.com/app",
		`{{ certSANs .root | len }}`:                            "0",
	} {
		if diff := cmp.Diff(want, must(t, text, data)); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
	for _, text := range []string{
		`{{ filterCertChain "leaf" .two }}`, `{{ filterCertChain "leaf" .twice }}`, `{{ filterCertChain "leaf" "" }}`,
		`{{ filterCertChain "leaf" .key }}`, `{{ filterPEM "CERTIFICATE" "junk" }}`, `{{ certSANs "" }}`, `{{ certSANs .key }}`,
	} {
		functionFails(t, text, data)
	}
}

func TestJWKsBecomePEM(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := newEC(t)
	for name, key := range map[string]struct{ private, public any }{
		"RSA": {rsaKey, rsaKey.Public()}, "EC": {ec, ec.Public()}, "OKP": {private, public},
	} {
		asJWK := func(key any) string {
			text, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "1", Use: "sig"})
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		data := map[string]string{"private": asJWK(key.private), "public": asJWK(key.public)}
		der, err := x509.MarshalPKIXPublicKey(key.public)
		if err != nil {
			t.Fatal(err)
		}
		want := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		if diff := cmp.Diff(want, must(t, `{{ jwkPublicKeyPem .public }}`, data)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		got := keyOf(t, must(t, `{{ jwkPrivateKeyPem .private }}`, data))
		if !got.(interface {
			Equal(x crypto.PrivateKey) bool
		}).Equal(key.private) {
			t.Errorf("%s: the private key is another", name)
		}
		for _, text := range []string{
			`{{ jwkPublicKeyPem .private }}`, `{{ jwkPrivateKeyPem .public }}`, `{{ jwkPrivateKeyPem (trunc 60 .private) }}`,
			`{{ jwkPublicKeyPem "{\"kty\":\"oct\",\"k\":\"AAAA\"}" }}`, `{{ jwkPublicKeyPem "" }}`, `{{ jwkPublicKeyPem "[]" }}`,
		} {
			var fault *template.Error
			if _, err := apply(t, text, data); !errors.As(err, &fault) || fault.Kind != template.KindFunction {
				t.Errorf("%s: %s: got %v", name, text, err)
			}
		}
	}
}

func TestRSACiphertextsAreOpened(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalECPrivateKey(newEC(t))
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]string{
		"pkcs1": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		"pkcs8": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
		"ec":    string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec})),
	}
	for name, h := range map[string]hash.Hash{"SHA1": sha1.New(), "SHA256": sha256.New(), "SHA512": sha512.New(), "None": sha256.New()} {
		sealed, err := rsa.EncryptOAEP(h, rand.Reader, &key.PublicKey, []byte(canary), nil)
		if err != nil {
			t.Fatal(err)
		}
		data["sealed"], data["hash"] = base64.StdEncoding.EncodeToString(sealed), name
		for _, key := range []string{".pkcs1", ".pkcs8"} {
			if got := must(t, `{{ rsaDecrypt "RSA-OAEP" .hash (.sealed | b64dec) `+key+` }}`, data); got != canary {
				t.Errorf("%s, %s: it is something else", name, key)
			}
		}
	}
	if got := must(t, `{{ rsaDecrypt "None" "" "as it is" "" }}`, data); got != "as it is" {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{
		`{{ rsaDecrypt "RSA-OAEP" "SHA512" "short" .pkcs1 }}`, `{{ rsaDecrypt "RSA-PKCS1" "None" "x" .pkcs1 }}`,
		`{{ rsaDecrypt "RSA-OAEP" "None" (.sealed | b64dec) .ec }}`, `{{ rsaDecrypt "RSA-OAEP" "None" (.sealed | b64dec) "none" }}`,
		`{{ rsaDecrypt "RSA-OAEP" "None" .sealed .pkcs8 }}`,
	} {
		functionFails(t, text, data)
	}
}

// functionFails checks that a function of a template says that it failed, and nothing else does.
func functionFails(t *testing.T, text string, data map[string]string) {
	t.Helper()
	var fault *template.Error
	if _, err := apply(t, text, data); !errors.As(err, &fault) || fault.Kind != template.KindFunction {
		t.Errorf("%s: got %v", text, err)
	}
}

func TestCertificateFunctionsShowNoValueWhenTheyFail(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(canary)}))
	data := map[string]string{"secret": canary, "pem": secret, "cert": a.leaf, "key": a.key, "jwk": `{"kty":"` + canary + `"}`, "p12": file(t, "pkcs12/modern.p12")}
	for _, text := range []string{
		`{{ pkcs12key .secret }}`, `{{ pkcs12keyPass .secret .p12 }}`, `{{ pkcs12cert .secret }}`, `{{ pkcs12certPass .secret .p12 }}`,
		`{{ pkcs12certPass (print .secret "😀") .p12 }}`, `{{ pkcs12certPass "" .p12 }}`,
		`{{ pemToPkcs12 .secret .key }}`, `{{ pemToPkcs12 .cert .secret }}`, `{{ pemToPkcs12 .pem .key }}`, `{{ pemToPkcs12 .cert .pem }}`,
		`{{ pemToPkcs12Pass .cert .key (print .secret "😀") }}`, `{{ pemToPkcs12 "" .key }}`, `{{ pemToPkcs12 .cert "" }}`,
		`{{ fullPemToPkcs12 (print .cert .pem) .key }}`, `{{ fullPemToPkcs12 (print .cert .secret) .key }}`, `{{ fullPemToPkcs12Pass .secret .key "" }}`,
		`{{ pemTruststoreToPKCS12 .pem }}`, `{{ pemTruststoreToPKCS12Pass (print .cert .secret) "" }}`,
		`{{ filterPEM "X" .secret }}`, `{{ filterCertChain "leaf" .pem }}`, `{{ certSANs .pem }}`,
		`{{ jwkPublicKeyPem .jwk }}`, `{{ jwkPrivateKeyPem .secret }}`, `{{ rsaDecrypt .secret "" "" "" }}`, `{{ rsaDecrypt "RSA-OAEP" "" .secret .key }}`,
	} {
		_, err := apply(t, text, data)
		var fault *template.Error
		if !errors.As(err, &fault) || fault.Kind != template.KindFunction {
			t.Errorf("%s: got %v", text, err)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error quotes a value", text)
		}
	}
}

func TestDocumentsAndKeysThatAreTooLargeAreNotLookedAt(t *testing.T) {
	t.Parallel()
	data := map[string]string{"document": strings.Repeat("a", 1<<20+1), "key": strings.Repeat("a", 16<<10+1), "p12": file(t, "pkcs12/modern.p12")}
	for _, text := range []string{
		`{{ pkcs12key .document }}`, `{{ pkcs12keyPass .document .p12 }}`, `{{ pkcs12cert .document }}`, `{{ pkcs12certPass "" .document }}`,
		`{{ pemToPkcs12 .document "" }}`, `{{ pemToPkcs12 "" .key }}`, `{{ pemToPkcs12Pass "" .key "" }}`, `{{ pemToPkcs12Pass "" "" .document }}`,
		`{{ fullPemToPkcs12 .document "" }}`, `{{ fullPemToPkcs12 "" .key }}`, `{{ fullPemToPkcs12Pass "" .key "" }}`,
		`{{ pemTruststoreToPKCS12 .document }}`, `{{ pemTruststoreToPKCS12Pass .document "" }}`, `{{ pemTruststoreToPKCS12Pass "" .document }}`,
		`{{ filterPEM "" .document }}`, `{{ filterCertChain "" .document }}`, `{{ certSANs .document }}`,
		`{{ genCAWithKey "a" 1 .key }}`, `{{ genSelfSignedCertWithKey "a" nil nil 1 .key }}`, `{{ genSignedCertWithKey "a" nil nil 1 (genCA "a" 1) .key }}`,
		`{{ buildCustomCert .document "" }}`, `{{ buildCustomCert "" (b64enc (print "aaaa" .key)) }}`,
		`{{ $c := genCA "a" 1 }}{{ $x := buildCustomCert (b64enc $c.Cert) (b64enc (print $c.Key .key)) }}`, // that would be read, as would the next: more follows a key
		`{{ $c := genCA "a" 1 }}{{ $x := pemToPkcs12 $c.Cert (print $c.Key .key) }}`,
		`{{ jwkPublicKeyPem .key }}`, `{{ jwkPrivateKeyPem .key }}`, `{{ rsaDecrypt "" "" .document "" }}`, `{{ rsaDecrypt "" "" "" .key }}`,
	} {
		var fault *template.Error
		if _, err := apply(t, text, data); !errors.As(err, &fault) || fault.Kind != template.KindLimit {
			t.Errorf("%s: got %v", text, err)
		}
	}
	many := strings.Repeat(file(t, "pkcs12/chain.pem"), 400)
	took := effort.Of(func() {
		if _, err := apply(t, `{{ filterCertChain "leaf" .many }}`, map[string]string{"many": many}); err == nil {
			t.Error("a chain of which every certificate comes 400 times is ordered")
		}
	})
	if took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

func FuzzCertificateFunctions(f *testing.F) {
	for _, name := range []string{"modern", "legacy-rc2", "legacy-empty"} {
		raw, err := os.ReadFile("testdata/pkcs12/" + name + ".p12")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
		f.Add(string(bytes.ReplaceAll(raw, []byte{2, 2, 8, 0}, []byte{2, 2, 127, 255})))
	}
	f.Add("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
	f.Add(`{"kty":"RSA","n":"AQAB","e":"AQAB"}`)
	f.Fuzz(func(t *testing.T, text string) {
		data := map[string]string{"x": text}
		for _, call := range []string{
			`{{ pkcs12key .x }}`, `{{ pkcs12certPass "changeit" .x }}`, `{{ filterCertChain "leaf" .x }}`, `{{ filterPEM "CERTIFICATE" .x }}`,
			`{{ certSANs .x }}`, `{{ jwkPublicKeyPem .x }}`, `{{ jwkPrivateKeyPem .x }}`, `{{ rsaDecrypt "RSA-OAEP" "" "x" .x }}`,
			`{{ pemTruststoreToPKCS12 .x }}`, `{{ fullPemToPkcs12 .x .x }}`,
		} {
			var err error
			if took := effort.Of(func() { _, err = apply(t, call, data) }); took > 30*time.Second {
				t.Errorf("%s: it took %s", call, took)
			}
			var fault *template.Error
			if err != nil && !errors.As(err, &fault) {
				t.Errorf("%s: not an *Error: %v", call, err)
			}
		}
	})
}

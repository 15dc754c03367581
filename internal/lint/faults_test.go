package lint_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/lint"
)

// found is what lint says of a text: lines, severities and checks.
func found(name, text string) string {
	var out []string
	for _, f := range lint.File(name, []byte(text), lint.Options{}) {
		out = append(out, fmt.Sprintf("%d %s %s", f.Line, f.Severity, f.Check))
	}
	return strings.Join(out, ", ")
}

// compat looks like a value that is sealed to an RSA key of a size.
func compat(bits int) string {
	value := append([]byte{byte(bits / 8 >> 8), byte(bits / 8)}, make([]byte, bits/8+20)...)
	return base64.StdEncoding.EncodeToString(value)
}

func native(t *testing.T, to ...*agebox.Recipient) string {
	t.Helper()
	text, err := seal.Seal(rand.Reader, seal.Native(to...), seal.Strict, "ns", "db", []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func recipient(t *testing.T) *agebox.Recipient {
	t.Helper()
	identity, err := agebox.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return identity.Recipient()
}

func TestWhatASealedSecretSaysWithoutAKeyIsJudged(t *testing.T) {
	t.Parallel()
	one, two := recipient(t), recipient(t)
	held, err := agebox.NewHeld("transit/payments", "1", rsaKey(2048))
	if err != nil {
		t.Fatal(err)
	}
	const head, meta = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\n", "metadata: {name: db, namespace: ns}\n"
	values := func(texts ...string) string {
		var b strings.Builder
		b.WriteString(head + meta + "spec:\n  encryptedData:\n")
		for i, text := range texts {
			fmt.Fprintf(&b, "    k%d: %s\n", i, text)
		}
		return b.String()
	}
	scoped := func(own, template string) string {
		return head + "metadata:\n  name: db\n  namespace: ns\n  annotations: {" + own + "}\nspec:\n  encryptedData: {k: " + compat(2048) + "}\n  template: {metadata: {annotations: {" + template + "}}}\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"one of another group":             {"apiVersion: example.com/v1\nkind: SealedSecret\nspec: {data: a}\n", ""},
		"another kind of the group":        {"apiVersion: bitnami.com/v1alpha1\nkind: Other\nspec: {data: a}\n", ""},
		"a version that nobody serves":     {"apiVersion: bitnami.com/v1\nkind: SealedSecret\n" + meta + "spec: {encryptedData: {k: " + compat(2048) + "}}\n", "1 error format"},
		"values of one key":                {values(compat(2048), compat(2048)), ""},
		"values of keys of two sizes":      {values(compat(2048), compat(4096)), "5 warning mixed"},
		"values to the same recipients":    {values(native(t, one, two), native(t, two, one)), ""},
		"values to different recipients":   {values(native(t, one, two), native(t, one)), "5 warning mixed"},
		"post-quantum and RSA":             {values(native(t, one), compat(2048)), "5 warning mixed"},
		"post-quantum and a held key":      {values(native(t, one), native(t, held)), "5 warning mixed, 5 warning mixed"},
		"RSA and a held key":               {values(compat(2048), native(t, held)), "5 warning mixed"},
		"a held key alone":                 {values(native(t, held), native(t, held)), ""},
		"a value that is none":             {values(canary), "6 error format"},
		"a value that is no text":          {values("3"), "6 error format"},
		"a key that is none":               {head + meta + "spec:\n  encryptedData:\n    a/b: " + compat(2048) + "\n", "6 error key"},
		"the old format":                   {head + meta + "spec:\n  data: AgA=\n", "5 warning deprecated"},
		"both formats":                     {head + meta + "spec:\n  data: AgA=\n  encryptedData: {k: " + compat(2048) + "}\n", "5 error format"},
		"nothing":                          {head + meta + "spec: {}\n", "4 warning empty"},
		"a template alone":                 {head + meta + "spec: {template: {data: {a: b}}}\n", ""},
		"a list that is refused":           {head + "metadata: {name: db, namespace: ns, annotations: [x]}\nspec: {encryptedData: {k: " + compat(2048) + "}}\n", ""},
		"the scope of both":                {scoped(`sealedsecrets.bitnami.com/cluster-wide: "true"`, `sealedsecrets.bitnami.com/cluster-wide: "true"`), ""},
		"a scope of the template":          {scoped("", `sealedsecrets.bitnami.com/cluster-wide: "true"`), "9 error scope"},
		"a scope that is true for YAML":    {scoped("sealedsecrets.bitnami.com/cluster-wide: true", ""), "6 error scope"},
		"a scope that is switched off":     {scoped(`sealedsecrets.bitnami.com/cluster-wide: "false"`, ""), ""},
		"two scopes":                       {scoped(`sealedsecrets.bitnami.com/cluster-wide: "true", sealedsecrets.bitnami.com/namespace-wide: "true"`, ""), "6 warning scope"},
		"no name":                          {head + "metadata: {namespace: ns}\nspec: {encryptedData: {k: " + compat(2048) + "}}\n", "3 error scope"},
		"no name where none is needed":     {head + "metadata: {namespace: ns, annotations: {sealedsecrets.bitnami.com/namespace-wide: \"true\"}}\nspec: {encryptedData: {k: " + compat(2048) + "}}\n", ""},
		"no namespace":                     {head + "metadata: {name: db}\nspec: {encryptedData: {k: " + compat(2048) + "}}\n", "3 warning scope"},
		"no namespace and no name":         {head + "metadata: {annotations: {sealedsecrets.bitnami.com/cluster-wide: \"true\"}}\nspec: {encryptedData: {k: " + compat(2048) + "}}\n", ""},
		"a template of another place":      {head + meta + "spec:\n  encryptedData: {k: " + compat(2048) + "}\n  template:\n    metadata: {name: other, namespace: elsewhere}\n", "7 warning scope, 7 warning scope"},
		"a template of the same place":     {head + meta + "spec:\n  encryptedData: {k: " + compat(2048) + "}\n  template:\n    metadata: {name: db, namespace: ns}\n", ""},
		"what kubectl applied":             {head + "metadata: {name: db, namespace: ns, annotations: {kubectl.kubernetes.io/last-applied-configuration: x}}\nspec: {encryptedData: {k: " + compat(2048) + "}}\n", "3 error last-applied"},
		"what kubecfg applied":             {scoped("", "kubecfg.ksonnet.io/last-applied-configuration: x"), "9 error last-applied"},
		"a Secret that kubectl applied":    {"apiVersion: v1\nkind: Secret\nmetadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: x}}\n", "3 error last-applied"},
		"a Secret without values":          {"apiVersion: v1\nkind: Secret\nstringData: {a: \"\", b: null, c: }\n", ""},
		"a Secret with a value of no text": {"apiVersion: v1\nkind: Secret\nstringData: {a: 1}\n", "3 error plaintext"},
		"a template that is no YAML yet":   {"{{ if .x }}\nkind: Secret\n{{ end }}\n", "1 warning unreadable"},
		"a merge that was not finished":    {head + meta + "spec:\n  template:\n    data: {a: \"{{ .k }}\"}\n  encryptedData:\n<<<<<<< ours\n    k: A\n=======\n    k: B\n>>>>>>> theirs\n", "8 error unreadable"},
		"one of a template":                {"{{ if .x }}\nkind: Secret\n<<<<<<< ours\n{{ end }}\n", "3 error unreadable"},
		"a key that is set twice":          {"kind: ConfigMap\n---\nkind: Secret\nstringData: {a: b}\nkind: Secret\n", "5 error unreadable"},
		"other templates":                  {"{{ if .x }}\nkind: ConfigMap\n{{ end }}\n", ""},
		"a list without a secret":          {"apiVersion: v1\nkind: List\nitems: [x]\n", ""},
		"a private key":                    {"a: b\nkey: |\n  -----BEGIN EC PRIVATE KEY-----\n", "3 error private-key"},
		"findings come in their order":     {"apiVersion: v1\nkind: Secret\nmetadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: x}}\nstringData: {a: b}\ndata: {a: b}\n", "3 error last-applied, 4 error plaintext, 5 error plaintext"},
	} {
		if got := found("a.yaml", c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestWhatASOPSFileSaysWithoutAKeyIsJudged(t *testing.T) {
	t.Parallel()
	const mac, sealed = "  mac: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n", "a: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n"
	age := func(recipients ...string) string {
		text := "  age:\n"
		for _, r := range recipients {
			text += "  - {recipient: " + r + ", enc: x}\n"
		}
		return text
	}
	const aws = "  kms: [{arn: x, enc: x}]\n"
	for name, c := range map[string]struct{ text, want string }{
		"post-quantum alone":               {sealed + "sops:\n" + mac + age("age1pq1qq", "age1pq1pp"), ""},
		"classic alone":                    {sealed + "sops:\n" + mac + age("age1qqqq"), ""},
		"a KMS alone":                      {sealed + "sops:\n" + mac + aws, ""},
		"classic and a KMS":                {sealed + "sops:\n" + mac + age("age1qqqq") + aws, ""},
		"post-quantum and classic":         {sealed + "sops:\n" + mac + age("age1pq1qq", "age1qqqq"), "2 error sops-recipients"},
		"post-quantum and a KMS":           {sealed + "sops:\n" + mac + age("age1pq1qq") + aws, "2 error sops-recipients"},
		"a plugin":                         {sealed + "sops:\n" + mac + age("age1yubikey1qqqq"), "2 warning sops-recipients"},
		"an SSH key":                       {sealed + "sops:\n" + mac + age("ssh-ed25519"), ""},
		"nobody":                           {sealed + "sops:\n" + mac, "2 error sops-recipients"},
		"no mac":                           {sealed + "sops:\n  lastmodified: x\n" + age("age1qqqq"), "2 error sops-mac"},
		"a value that should be encrypted": {sealed + "b: c\nsops:\n" + mac + age("age1qqqq"), "2 error sops-plaintext"},
		"no encrypted value":               {"a_unencrypted: b\nsops:\n" + mac + age("age1qqqq"), "2 error sops-plaintext"},
		"no value":                         {"sops:\n" + mac + age("age1qqqq"), ""},
		"a Secret whose values are not": {"kind: Secret\ndata: {a: b}\nmetadata: {name: x}\nspec: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\nsops:\n" + mac + "  encrypted_regex: ^spec$\n" + age("age1qqqq"),
			"2 error sops-plaintext"},
		"a number in a Secret": {"kind: Secret\nstringData:\n  a: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n  b: ENC[AES256_GCM,data:x,iv:x,tag:x,type:int]\n  c: ENC[AES256_GCM,data:x,iv:x,tag:x,type:bool]\nsops:\n" + mac + "  encrypted_regex: ^stringData$\n" + age("age1qqqq"),
			"4 error format, 5 error format"},
		"a number in another kind":        {"kind: ConfigMap\ndata:\n  b: ENC[AES256_GCM,data:x,iv:x,tag:x,type:float]\nsops:\n" + mac + "  encrypted_regex: ^data$\n" + age("age1qqqq"), ""},
		"another kind whose data are not": {"kind: ConfigMap\ndata: {a: b}\nspec: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\nsops:\n" + mac + "  encrypted_regex: ^spec$\n" + age("age1qqqq"), ""},
	} {
		if got := found("a.yaml", c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestTheNameOfAFileSaysWhatItIs(t *testing.T) {
	t.Parallel()
	const secret = `{"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"}}`
	for name, c := range map[string]struct{ file, text, want string }{
		"JSON":                      {"a.json", secret, "1 error plaintext"},
		"YAML":                      {"a.yml", secret, "1 error plaintext"},
		"what is no manifest":       {"a.md", secret, ""},
		"a key in whatever file":    {"id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "1 error private-key"},
		"UTF-16 of something else":  {"a.yaml", "\xff\xfek\x00:\x00v\x00", ""},
		"a SOPS file that is none":  {"a.env", "A=b\nsops_mac=x\nsops_encrypted_regex=[\n", "1 error sops"},
		"a SOPS file that is JSON":  {"a.json", `{"a": "b", "sops": {"mac": "x", "age": [{"recipient": "age1q", "enc": "x"}]}}`, "1 error sops-plaintext, 1 error sops-plaintext"},
		"a SOPS file of one value":  {"a.yaml", "kind: Secret\ndata: x\nsops:\n  mac: x\n  encrypted_regex: ^x$\n  age: [{recipient: age1q, enc: x}]\n", "3 error sops-plaintext"},
		"values that it leaves out": {"a.yaml", "kind: Secret\nstringData: {a: x}\nx: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\nsops:\n  mac: x\n  encrypted_regex: ^x$\n  age: [{recipient: age1q, enc: x}]\n", "2 error sops-plaintext"},
	} {
		if got := found(c.file, c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestAnObjectIsNamedInOneLineWhateverItIsCalled(t *testing.T) {
	t.Parallel()
	for metadata, want := range map[string]string{
		`{name: db, namespace: ns}`:          "Secret ns/db",
		`{name: db}`:                         "Secret db",
		`{namespace: ns}`:                    "Secret",
		`{name: "\x1b[2J \n\x7f\u00e4\0 b"}`: "Secret ?[2J ??ä? b",
	} {
		got := lint.File("a\x1b\xff.yaml", []byte("apiVersion: v1\nkind: Secret\nmetadata: "+metadata+"\nstringData: {a: b}\n"), lint.Options{})
		if len(got) != 1 || got[0].Object != want || got[0].File != "a??.yaml" {
			t.Errorf("%s: %+v", metadata, got)
		}
	}
}

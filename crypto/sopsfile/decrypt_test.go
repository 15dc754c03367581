package sopsfile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/pgp"
	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/crypto/sopsdoc"
	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
)

const canary = "canary-7f3e91"

const secretYAML = `apiVersion: v1
kind: Secret
metadata:
    name: payment
data:
    note: aGVsbG8=
stringData:
    # the token of the payment provider
    token: canary-7f3e91
    other: second-value
    empty: ""
    list:
        - one
        # inside
        - two
`

func mustIdentities(t *testing.T, text string) []age.Identity {
	t.Helper()
	ids, err := sopsfile.ParseIdentities([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func onlyData(m *sops.Metadata) { m.EncryptedRegex = "^(data|stringData)$" }

func TestEveryFormatOpensToWhatWasEncrypted(t *testing.T) {
	t.Parallel()
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	secret, recipient := sopstest.Identity(t)
	_, stranger := sopstest.Identity(t)
	cases := map[string]struct {
		file    sopstest.File
		secret  string
		want    string
		sealed  []string
		inClear []string
	}{
		"yaml, everything": {file: sopstest.File{Format: sopsfile.YAML, Plain: secretYAML}, want: secretYAML,
			sealed: []string{canary, "second-value", "Secret", "two"}},
		"yaml, only data": {file: sopstest.File{Format: sopsfile.YAML, Plain: secretYAML, Rules: onlyData}, want: secretYAML,
			sealed: []string{canary, "aGVsbG8="}, inClear: []string{"Secret", "payment", ""}},
		"yaml, mac_only_encrypted": {file: sopstest.File{Format: sopsfile.YAML, Plain: secretYAML, Rules: func(m *sops.Metadata) {
			onlyData(m)
			m.MACOnlyEncrypted = true
		}}, want: secretYAML, sealed: []string{canary}},
		"yaml, a rule about comments": {file: sopstest.File{Format: sopsfile.YAML, Plain: secretYAML, Rules: func(m *sops.Metadata) {
			m.EncryptedCommentRegex = "the token"
		}}, want: secretYAML, sealed: []string{canary}, inClear: []string{"second-value"}},
		"yaml, two documents": {file: sopstest.File{Format: sopsfile.YAML, Plain: "a: x1\n---\nb: x2\n"}, want: "a: x1\n---\nb: x2\n",
			sealed: []string{"x1", "x2"}},
		"yaml, all types": {file: sopstest.File{Format: sopsfile.YAML, Plain: "f: 1.5\ni: 12\nb: true\nz: null\nt: 2026-01-02T03:04:05Z\n"},
			want: "f: 1.5\ni: 12\nb: true\nz: null\nt: 2026-01-02T03:04:05Z\n"},
		"yaml, post-quantum recipient": {file: sopstest.File{Format: sopsfile.YAML, Plain: secretYAML,
			Recipients: []string{hybrid.Recipient().String()}}, secret: hybrid.String(), want: secretYAML, sealed: []string{canary}},
		"yaml, one of several recipients": {file: sopstest.File{Format: sopsfile.YAML, Plain: secretYAML,
			Recipients: []string{stranger, recipient}}, want: secretYAML},
		"json": {file: sopstest.File{Format: sopsfile.JSON, Plain: "{\n\t\"a\": \"canary-7f3e91\",\n\t\"b\": [1, {\"c\": 2.5}]\n}\n"},
			want: "{\n\t\"a\": \"canary-7f3e91\",\n\t\"b\": [\n\t\t1,\n\t\t{\n\t\t\t\"c\": 2.5\n\t\t}\n\t]\n}\n", sealed: []string{canary}},
		"dotenv": {file: sopstest.File{Format: sopsfile.Dotenv, Plain: "# comment\nTOKEN=canary-7f3e91\nX=a\\nb\n"},
			want: "# comment\nTOKEN=canary-7f3e91\nX=a\\nb\n", sealed: []string{canary, "a\nb"}},
		"ini": {file: sopstest.File{Format: sopsfile.INI, Plain: "[db]\npassword = canary-7f3e91\n"},
			want: "[db]\npassword = canary-7f3e91\n", sealed: []string{canary}},
		"binary": {file: sopstest.File{Format: sopsfile.Binary, Plain: "\x00\x01 canary-7f3e91\n"}, want: "\x00\x01 canary-7f3e91\n",
			sealed: []string{"\x00\x01 canary-7f3e91\n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.file.Recipients == nil {
				c.file.Recipients = []string{recipient}
			}
			if c.secret == "" {
				c.secret = secret
			}
			doc := sopstest.Encrypt(t, c.file)
			if !sopsdoc.Detect(c.file.Format, doc) {
				t.Error("the document is not detected")
			}
			plain, err := sopsfile.Decrypt(t.Context(), c.file.Format, doc, mustIdentities(t, "# key\n\n"+c.secret+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(plain.Document)); diff != "" {
				t.Errorf("plain document (-want +got):\n%s", diff)
			}
			for _, v := range c.sealed {
				if !plain.Sealed([]byte(v)) {
					t.Errorf("%q was encrypted and is not known as sealed", v)
				}
			}
			for _, v := range c.inClear {
				if plain.Sealed([]byte(v)) {
					t.Errorf("%q was in clear and counts as sealed", v)
				}
			}
		})
	}
}

// item finds a value of the first document by its path.
func item(tree *sops.Tree, path ...string) *any {
	branch := tree.Branches[0]
	for i, key := range path {
		for j := range branch {
			if branch[j].Key != key {
				continue
			}
			if i == len(path)-1 {
				return &branch[j].Value
			}
			branch, _ = branch[j].Value.(sops.TreeBranch)
			break
		}
	}
	panic("no such item")
}

func TestADamagedDocumentIsRefused(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	macOnly := func(m *sops.Metadata) { onlyData(m); m.MACOnlyEncrypted = true }
	swap := func(a, b *any) { *a, *b = *b, *a }
	cases := map[string]struct {
		rules  func(*sops.Metadata)
		damage func(*sops.Tree)
		text   func(string) string
		want   error
		says   string
	}{
		"a plain value was edited": {rules: onlyData, want: sopsfile.ErrIntegrity, says: "mac does not match",
			damage: func(tree *sops.Tree) { *item(tree, "metadata", "name") = "other" }},
		"a value was swapped with another": {want: sopsfile.ErrIntegrity, says: "the value of stringData.token cannot be decrypted",
			damage: func(tree *sops.Tree) { swap(item(tree, "stringData", "token"), item(tree, "stringData", "other")) }},
		"list items were swapped": {want: sopsfile.ErrIntegrity, says: "mac does not match",
			damage: func(tree *sops.Tree) {
				list := (*item(tree, "stringData", "list")).([]any)
				list[0], list[2] = list[2], list[0]
			}},
		"a value was removed": {want: sopsfile.ErrIntegrity, says: "mac does not match",
			damage: func(tree *sops.Tree) { *item(tree, "stringData", "token") = nil }},
		"a value was removed, mac_only_encrypted": {rules: macOnly, want: sopsfile.ErrIntegrity, says: "mac does not match",
			damage: func(tree *sops.Tree) { *item(tree, "stringData", "token") = nil }},
		"list items were swapped, mac_only_encrypted": {rules: macOnly, want: sopsfile.ErrIntegrity, says: "mac does not match",
			damage: func(tree *sops.Tree) {
				list := (*item(tree, "stringData", "list")).([]any)
				list[0], list[2] = list[2], list[0]
			}},
		"an encrypted value was replaced by a plain one": {want: sopsfile.ErrIntegrity, says: "the value of stringData.token",
			damage: func(tree *sops.Tree) { *item(tree, "stringData", "token") = "canary-7f3e91-plain" }},
		"a value became a comment": {want: sopsfile.ErrIntegrity, says: "mac does not match",
			damage: func(tree *sops.Tree) {
				v := item(tree, "stringData", "token")
				*v = strings.Replace((*v).(string), "type:str", "type:comment", 1)
			}},
		"the mac was removed": {want: sopsfile.ErrIntegrity, says: "mac is missing",
			damage: func(tree *sops.Tree) { tree.Metadata.MessageAuthenticationCode = "" }},
		"the mac line was removed": {want: sopsfile.ErrIntegrity, says: "mac is missing", text: func(s string) string {
			at := strings.Index(s, "    mac: ")
			return s[:at] + s[at+strings.Index(s[at:], "\n")+1:]
		}},
		"the mac is another value of the document": {want: sopsfile.ErrIntegrity, says: "mac or lastmodified",
			damage: func(tree *sops.Tree) {
				tree.Metadata.MessageAuthenticationCode = (*item(tree, "stringData", "token")).(string)
			}},
		"lastmodified was changed": {want: sopsfile.ErrIntegrity, says: "mac or lastmodified",
			damage: func(tree *sops.Tree) { tree.Metadata.LastModified = tree.Metadata.LastModified.Add(1e9) }},
		"mac_only_encrypted was switched on": {rules: onlyData, want: sopsfile.ErrIntegrity, says: "mac does not match",
			damage: func(tree *sops.Tree) { tree.Metadata.MACOnlyEncrypted = true }},
		"the rule was changed": {rules: onlyData, want: sopsfile.ErrIntegrity,
			damage: func(tree *sops.Tree) { tree.Metadata.EncryptedRegex = "^stringData$" }},
		"the rule is not a pattern": {rules: onlyData, want: sopsfile.ErrMalformed, says: "pattern",
			damage: func(tree *sops.Tree) { tree.Metadata.EncryptedRegex = "(" }},
		"a document was appended": {want: sopsfile.ErrIntegrity, text: func(s string) string { return s + "---\nkind: Secret\n" }},
		"the metadata is only in a later document": {want: sopsfile.ErrMalformed, says: "first document",
			text: func(s string) string { return "kind: Secret\n---\n" + s }},
		"aliases were added": {want: sopsfile.ErrMalformed, says: "aliases",
			text: func(s string) string { return s + "---\na: &a [*a]\n" }},
		"a key occurs twice in a later document": {want: sopsfile.ErrMalformed, says: "twice",
			text: func(s string) string { return s + "---\na: x\na: y\n" }},
		"the metadata is not a mapping": {want: sopsfile.ErrMalformed,
			text: func(string) string { return "a: canary-7f3e91\nsops: canary-7f3e91\n" }},
		"nested too deep": {want: sopsfile.ErrMalformed, says: "nested deeper", damage: func(tree *sops.Tree) {
			var v any = "x"
			for range 200 {
				v = []any{v}
			}
			*item(tree, "stringData", "list") = v
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: secretYAML,
				Recipients: []string{recipient}, Rules: c.rules, Damage: c.damage})
			if c.text != nil {
				doc = []byte(c.text(string(doc)))
			}
			plain, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, doc, mustIdentities(t, secret))
			if plain != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %v saying %q", err, c.want, c.says)
			}
			if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "ENC[") {
				t.Errorf("the error quotes a value: %v", err)
			}
		})
	}
}

func TestWithoutItsKeyADocumentStaysClosedAndTheErrorNamesWhoseKeyIsNeeded(t *testing.T) {
	t.Parallel()
	_, recipient := sopstest.Identity(t)
	other, _ := sopstest.Identity(t)
	const fingerprint = "FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4"
	cases := map[string]struct {
		ids   []age.Identity
		rules func(*sops.Metadata)
		says  []string
	}{
		"no key at all": {says: []string{"age " + recipient}},
		"another key":   {ids: mustIdentities(t, other), says: []string{"age " + recipient}},
		"pgp only": {ids: mustIdentities(t, other), says: []string{"pgp " + fingerprint, "give one of their age keys"}, rules: func(m *sops.Metadata) {
			m.KeyGroups = []sops.KeyGroup{m.KeyGroups[0], {pgpKey(fingerprint)}}
		}},
		"a key group short of its threshold": {ids: mustIdentities(t, other), says: []string{"age " + recipient}, rules: func(m *sops.Metadata) {
			second, err := sopsage.MasterKeyFromRecipient(recipient)
			if err != nil {
				t.Error(err)
			}
			m.KeyGroups = append(m.KeyGroups, sops.KeyGroup{second})
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := sopstest.File{Format: sopsfile.YAML, Plain: secretYAML, Recipients: []string{recipient}}
			if name == "pgp only" {
				file.Damage = func(tree *sops.Tree) { tree.Metadata.KeyGroups = []sops.KeyGroup{{pgpKey(fingerprint)}} }
			} else {
				file.Rules = c.rules
			}
			_, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, sopstest.Encrypt(t, file), c.ids)
			if !errors.Is(err, sopsfile.ErrNoKey) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
		})
	}
}

func pgpKey(fingerprint string) *pgp.MasterKey {
	key := pgp.NewMasterKeyFromFingerprint(fingerprint)
	key.EncryptedKey = "-----BEGIN PGP MESSAGE-----"
	return key
}

func TestKeyGroupsOpenWhenEnoughOfThemDo(t *testing.T) {
	t.Parallel()
	first, r1 := sopstest.Identity(t)
	second, r2 := sopstest.Identity(t)
	_, r3 := sopstest.Identity(t)
	doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: secretYAML, Recipients: []string{r1}, Rules: func(m *sops.Metadata) {
		for _, r := range []string{r2, r3} {
			key, err := sopsage.MasterKeyFromRecipient(r)
			if err != nil {
				t.Fatal(err)
			}
			m.KeyGroups = append(m.KeyGroups, sops.KeyGroup{key})
		}
		m.ShamirThreshold = 2
	}})
	if _, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, doc, mustIdentities(t, first+"\n"+second)); err != nil {
		t.Errorf("two of three groups: %v", err)
	}
	if _, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, doc, mustIdentities(t, first)); !errors.Is(err, sopsfile.ErrNoKey) {
		t.Errorf("one of three groups: got %v", err)
	}
}

func TestTheEnvironmentGivesNoKey(t *testing.T) {
	secret, recipient := sopstest.Identity(t)
	doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: secretYAML, Recipients: []string{recipient}})
	file := t.TempDir() + "/keys.txt"
	ran := t.TempDir() + "/ran"
	t.Setenv("SOPS_AGE_KEY", secret)
	t.Setenv("SOPS_AGE_KEY_FILE", file)
	t.Setenv("SOPS_AGE_KEY_CMD", "touch "+ran)
	t.Setenv("SOPS_AGE_SSH_PRIVATE_KEY_CMD", "touch "+ran)
	other, _ := sopstest.Identity(t)
	for name, ids := range map[string][]age.Identity{"none": nil, "another": mustIdentities(t, other)} {
		if _, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, doc, ids); !errors.Is(err, sopsfile.ErrNoKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a command from the environment ran")
	}
}

func TestACancelledContextEndsIt(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: secretYAML, Recipients: []string{recipient}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sopsfile.Decrypt(ctx, sopsfile.YAML, doc, mustIdentities(t, secret)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOversizedDocumentsAreRefusedBeforeTheyCostAnything(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	ids := mustIdentities(t, secret)
	head := string(sopstest.Encrypt(t, sopstest.File{Format: sopsfile.JSON, Plain: `{"a":"x"}`, Recipients: []string{recipient}}))
	cases := map[string]struct {
		format sopsfile.Format
		doc    string
	}{
		"more than 5 MiB":          {sopsfile.YAML, strings.Repeat("#", sopsfile.MaxSize) + "\na: 1\n"},
		"a million opening braces": {sopsfile.JSON, strings.Repeat(`{"a":`, 1_000_000)},
		"a million brackets":       {sopsfile.JSON, `{"sops":{"mac":"x"},"a":` + strings.Repeat(`[`, 1_000_000) + strings.Repeat(`]`, 1_000_000) + `}`},
		"a truncated document":     {sopsfile.JSON, head[:len(head)-4]},
		"two documents":            {sopsfile.JSON, head + head},
		"YAML that unfolds": {sopsfile.YAML, "a: 1\nsops: {mac: x}\n---\n" +
			"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n"},
		"many values": {sopsfile.JSON, `{"a":[` + strings.Repeat(`"",`, 200_000) + `""],` + head[strings.Index(head, `"sops"`):]},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := sopsfile.Decrypt(t.Context(), c.format, []byte(c.doc), ids); !errors.Is(err, sopsfile.ErrMalformed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFiveMegabyteFileOpensInTime(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	large := strings.Repeat("x", 3<<20) // base64 makes it a third larger
	doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.Binary, Plain: large, Recipients: []string{recipient}})
	plain, err := sopsfile.Decrypt(t.Context(), sopsfile.Binary, doc, mustIdentities(t, secret))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain.Document, []byte(large)) {
		t.Error("the content differs")
	}
	keys := map[string]string{}
	for i := range 20_000 {
		keys["key"+strconv.Itoa(i)] = "v"
	}
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	doc = sopstest.Encrypt(t, sopstest.File{Format: sopsfile.JSON, Plain: string(text), Recipients: []string{recipient},
		Rules: func(m *sops.Metadata) { m.EncryptedRegex = "^nothing$" }})
	if _, err := sopsfile.Decrypt(t.Context(), sopsfile.JSON, doc, mustIdentities(t, secret)); err != nil {
		t.Errorf("twenty thousand keys: %v", err)
	}
}

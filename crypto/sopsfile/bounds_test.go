package sopsfile_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"

	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
)

func TestADocumentCostsAsMuchAsItMayAndNoMore(t *testing.T) {
	t.Parallel()
	_, recipient := sopstest.Identity(t)
	write := func(plain string, rules func(*sops.Metadata)) string {
		return string(sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: plain, Recipients: []string{recipient}, Rules: rules}))
	}
	nothing := func(m *sops.Metadata) { m.EncryptedRegex = "^nothing$" }
	comments := func(m *sops.Metadata) { m.EncryptedCommentRegex = "^nothing$" }
	nested := func(n int) string { return strings.Repeat("{a: ", n) + "x" + strings.Repeat("}", n) + "\n" }
	lists := func(n int) string { return "a: " + strings.Repeat("[", n-1) + "x" + strings.Repeat("]", n-1) + "\n" }
	values := func(n int) string { return "a: [" + strings.Repeat("x,", n) + "]\n" }
	commented := func(n int) string { return "a: x\nb:\n" + strings.Repeat("    # c\n", n) + "    c: x\n" }
	chosen := write("b: x\n", nothing)
	small := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.JSON, Plain: `{"a":"x"}`, Recipients: []string{recipient}})
	most := append(small, bytes.Repeat([]byte(" "), sopsfile.MaxSize-len(small))...)
	if _, err := sopsfile.Decrypt(t.Context(), sopsfile.JSON, most, nil); !errors.Is(err, sopsfile.ErrNoKey) {
		t.Errorf("5 MiB: %v", err)
	}
	if _, err := sopsfile.Decrypt(t.Context(), sopsfile.JSON, append(most, ' '), nil); !errors.Is(err, sopsfile.ErrMalformed) || !strings.Contains(err.Error(), "larger than 5 MiB") {
		t.Errorf("a byte more: %v", err)
	}
	for name, c := range map[string]struct {
		doc  string
		says string // "" when nothing but a key is missing
	}{
		"a hundred mappings":             {write(nested(100), nil), ""},
		"a mapping more":                 {write(nested(101), nil), "nested deeper than 100 levels"},
		"a hundred lists":                {write(lists(100), nothing), ""},
		"lists that go deeper":           {write(lists(103), nothing), "nested deeper than 100 levels"},
		"values under a pattern":         {values(49_999) + chosen, ""},
		"a value more":                   {values(50_000) + chosen, "too many values for a pattern"},
		"comments under a pattern":       {write(commented(300), comments), ""},
		"a comment more":                 {write(commented(301), comments), "too many comments for a pattern of comments"},
		"comments without a pattern":     {write(commented(400), nil), ""},
		"a pattern of 256 characters":    {write("a: x\n", func(m *sops.Metadata) { m.EncryptedRegex = strings.Repeat("a", 256) }), ""},
		"a character more":               {write("a: x\n", func(m *sops.Metadata) { m.EncryptedRegex = strings.Repeat("a", 257) }), "longer than 256 characters"},
		"a longer pattern of comments":   {write("a: x\n", func(m *sops.Metadata) { m.UnencryptedCommentRegex = strings.Repeat("a", 257) }), "longer than 256 characters"},
		"a longer pattern of plain ones": {write("a: x\n", func(m *sops.Metadata) { m.UnencryptedRegex = strings.Repeat("a", 257) }), "longer than 256 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := sopsfile.ErrMalformed
			if c.says == "" {
				want = sopsfile.ErrNoKey
			}
			if _, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, []byte(c.doc), nil); !errors.Is(err, want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestAFileNamesAtMostAHundredKeysAndAnErrorFourOfThem(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	ids := mustIdentities(t, secret)
	_, second := sopstest.Identity(t)
	quantum, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	long := quantum.Recipient().String()
	write := func(recipients []string, change func(*sops.Tree)) []byte {
		return sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: "a: x\n", Recipients: recipients, Damage: change})
	}
	repeated := func(n int) (out []string) {
		for range n {
			out = append(out, recipient)
		}
		return out
	}
	if _, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, write(repeated(100), nil), ids); err != nil {
		t.Errorf("a hundred keys: %v", err)
	}
	if _, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, write(repeated(101), nil), ids); !errors.Is(err, sopsfile.ErrMalformed) || !strings.Contains(err.Error(), "more than 100 keys") {
		t.Errorf("a key more: %v", err)
	}
	named := func(names ...string) func(*sops.Tree) {
		return func(tree *sops.Tree) {
			for i, name := range names {
				tree.Metadata.KeyGroups[0][i].(*sopsage.MasterKey).Recipient = name
			}
		}
	}
	for name, c := range map[string]struct {
		doc  []byte
		says string
	}{
		"a post-quantum one is cut":  {write([]string{long}, nil), "encrypted for age " + long[:64] + "...;"},
		"four are named":             {write([]string{recipient, second, recipient, second}, nil), "age " + recipient + ", age " + second + ", age " + recipient + ", age " + second + ";"},
		"the others are counted":     {write([]string{recipient, second, recipient, second, second, recipient}, nil), "age " + second + " and 2 more;"},
		"what is no name is counted": {write([]string{recipient, second}, named("age1\n"+canary)), "encrypted for age " + second + " and 1 more;"},
		"a name of 80":               {write([]string{recipient}, named(strings.Repeat("n", 80))), "age " + strings.Repeat("n", 80) + ";"},
		"a longer one":               {write([]string{recipient}, named(strings.Repeat("n", 81))), "age " + strings.Repeat("n", 64) + "...;"},
		"one of 4096":                {write([]string{recipient}, named(strings.Repeat("n", 4096))), "age " + strings.Repeat("n", 64) + "...;"},
		"one of 4097":                {write([]string{recipient}, named(strings.Repeat("n", 4097))), "encrypted for 1 more;"},
	} {
		_, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, c.doc, nil)
		if !errors.Is(err, sopsfile.ErrNoKey) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A shorter key would be one of AES-128.
func TestADataKeyHas32Bytes(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 16, 31, 33, 2 << 10} {
		var out bytes.Buffer
		a := armor.NewWriter(&out)
		w, err := age.Encrypt(a, to)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(make([]byte, size))
		if err := errors.Join(w.Close(), a.Close()); err != nil {
			t.Fatal(err)
		}
		doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: "a: x\n", Recipients: []string{recipient},
			Damage: func(tree *sops.Tree) { tree.Metadata.KeyGroups[0][0].SetEncryptedDataKey(out.Bytes()) }})
		if _, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, doc, mustIdentities(t, secret)); !errors.Is(err, sopsfile.ErrMalformed) || !strings.Contains(err.Error(), "has not 32 bytes") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// The whole of a document counts as sealed, so that who takes it for one value is not told that it stood there as plaintext.
func TestTheWholeOfADocumentIsSealedWhenAnyOfItIs(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	for name, c := range map[string]struct {
		rules func(*sops.Metadata)
		want  bool
	}{"a value is": {nil, true}, "none is": {func(m *sops.Metadata) { m.EncryptedRegex = "^nothing$" }, false}} {
		doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: "a: x\nempty: \"\"\n", Recipients: []string{recipient}, Rules: c.rules})
		plain, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, doc, mustIdentities(t, secret))
		if err != nil {
			t.Fatal(err)
		}
		if plain.Sealed(plain.Document) != c.want || plain.Sealed([]byte("x")) != c.want || plain.Sealed(nil) || plain.Sealed([]byte("a")) {
			t.Errorf("%s: the whole %v, the value %v, nothing %v", name, plain.Sealed(plain.Document), plain.Sealed([]byte("x")), plain.Sealed(nil))
		}
	}
}

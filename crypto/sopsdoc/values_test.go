package sopsdoc_test

import (
	"strings"
	"testing"

	"github.com/getsops/sops/v3"

	"github.com/sealbridge/sealbridge/crypto/sopsdoc"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
)

func TestWhatSOPSWroteIsReadWithoutAKey(t *testing.T) {
	t.Parallel()
	_, one := sopstest.Identity(t)
	_, two := sopstest.Identity(t)
	const tree = "a: x\nlist: [y, {b: z}]\nn: 3\nempty: \"\"\nnone: null\nopen_unencrypted: w\n"
	for name, c := range map[string]struct {
		file  sopstest.File
		plain string // paths of values that are not encrypted
	}{
		"yaml":             {sopstest.File{Format: sopsdoc.YAML, Plain: tree}, "open_unencrypted"},
		"a regex":          {sopstest.File{Format: sopsdoc.YAML, Plain: tree, Rules: func(m *sops.Metadata) { m.UnencryptedSuffix, m.EncryptedRegex = "", "^(list)$" }}, "a n open_unencrypted"},
		"a suffix":         {sopstest.File{Format: sopsdoc.YAML, Plain: tree, Rules: func(m *sops.Metadata) { m.UnencryptedSuffix, m.EncryptedSuffix = "", "st" }}, "a n open_unencrypted"},
		"what is left out": {sopstest.File{Format: sopsdoc.YAML, Plain: tree, Rules: func(m *sops.Metadata) { m.UnencryptedSuffix, m.UnencryptedRegex = "", "^n$" }}, "n"},
		"json":             {sopstest.File{Format: sopsdoc.JSON, Plain: `{"a":"x","b":{"c":1}}`}, ""},
		"dotenv":           {sopstest.File{Format: sopsdoc.Dotenv, Plain: "A=x\nB_unencrypted=y\n"}, "B_unencrypted"},
		"ini":              {sopstest.File{Format: sopsdoc.INI, Plain: "[s]\na = x\nb_unencrypted = y\n"}, "s.b_unencrypted"},
		"binary":           {sopstest.File{Format: sopsdoc.Binary, Plain: "x"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.file.Recipients = []string{one, two}
			doc := sopstest.Encrypt(t, c.file)
			d, err := sopsdoc.Read(c.file.Format, doc)
			if err != nil {
				t.Fatal(err)
			}
			if !d.MAC || d.Others || d.Line == 0 || strings.Join(d.Age, " ") != one+" "+two {
				t.Errorf("metadata: mac %v, others %v, line %d, age %v", d.MAC, d.Others, d.Line, d.Age)
			}
			var plain []string
			for _, v := range d.Values {
				if v.Encrypted != v.Meant {
					t.Errorf("%v: encrypted %v, meant %v", v.Path, v.Encrypted, v.Meant)
				}
				if !v.Encrypted {
					plain = append(plain, strings.Join(v.Path, "."))
				}
			}
			if strings.Join(plain, " ") != c.plain {
				t.Errorf("plain: %v", plain)
			}
		})
	}
}

func FuzzADocumentIsReadOrRefused(f *testing.F) {
	f.Add("yaml", []byte("a: ENC[AES256_GCM,x]\nsops: {mac: x, age: [{recipient: age1x}], key_groups: [{pgp: [{fp: x}]}]}\n"))
	f.Add("dotenv", []byte("A=x\nsops_mac=y\nsops_age__list_0__map_recipient=age1\nsops_key_groups__list_0__map_pgp__list_0__map_fp=z\n"))
	f.Add("ini", []byte("[a]\nb=c\n[sops]\nmac=x\nencrypted_regex=(\n"))
	f.Fuzz(func(t *testing.T, format string, doc []byte) {
		if d, err := sopsdoc.Read(sopsdoc.Format(format), doc); (d == nil) == (err == nil) {
			t.Errorf("%v, %v", d, err)
		}
	})
}

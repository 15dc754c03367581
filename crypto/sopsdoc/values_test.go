package sopsdoc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/getsops/sops/v3"
	"github.com/google/go-cmp/cmp"

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
				if name := v.Path[len(v.Path)-1]; v.Number != (v.Encrypted && (name == "n" || name == "c")) {
					t.Errorf("%v: a number %v", v.Path, v.Number)
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

func TestWhatADocumentShowsIsNoMoreAndNoLessThanItHolds(t *testing.T) {
	t.Parallel()
	type values = []sopsdoc.Value
	path := func(names ...string) []string { return names }
	yaml := func(doc string) [2]string { return [2]string{"yaml", doc} }
	others := func(kind string) [2]string { return yaml("sops: {lastmodified: t, " + kind + ": [{x: y}]}\n") }
	for name, c := range map[string]struct {
		doc  [2]string
		want sopsdoc.Document
	}{
		"values, and where they stand": {
			yaml("a: ENC[AES256_GCM,1]\nb:\n  c: plain\n  l:\n  - ENC[AES256_GCM,2]\n  - d: plain\nnone: null\nempty: ''\nsops:\n  mac: m\n  age:\n  - recipient: age1a\n  - recipient: age1b\n"),
			sopsdoc.Document{Line: 9, MAC: true, Age: path("age1a", "age1b"), Values: values{
				{Path: path("a"), Line: 1, Encrypted: true, Meant: true}, {Path: path("b", "c"), Line: 3, Meant: true},
				{Path: path("b", "l"), Line: 5, Encrypted: true, Meant: true}, {Path: path("b", "l", "d"), Line: 6, Meant: true},
			}},
		},
		"without a rule, names may say that they are open": {
			yaml("a_unencrypted: x\nb: {c_unencrypted: {d: y}}\nsops: {mac: m}\n"),
			sopsdoc.Document{Line: 3, MAC: true, Values: values{{Path: path("a_unencrypted"), Line: 1}, {Path: path("b", "c_unencrypted", "d"), Line: 2}}},
		},
		"with a rule, that one says it": {
			yaml("a_unencrypted: x\nsops: {mac: m, unencrypted_suffix: _open}\n"),
			sopsdoc.Document{Line: 2, MAC: true, Values: values{{Path: path("a_unencrypted"), Line: 1, Meant: true}}},
		},
		"a rule about comments leaves it open": {
			yaml("a: x\nsops: {mac: m, encrypted_comment_regex: sec}\n"),
			sopsdoc.Document{Line: 2, MAC: true, Values: values{{Path: path("a"), Line: 1}}},
		},
		"so does one about comments that are plain": {
			yaml("a: x\nsops: {mac: m, unencrypted_comment_regex: pub}\n"),
			sopsdoc.Document{Line: 2, MAC: true, Values: values{{Path: path("a"), Line: 1}}},
		},
		"a later document, and metadata in it again": {
			yaml("- a\n- list\n---\ntext\n---\na: x\nsops: {mac: m}\n---\nb: y\nsops: {mac: n, pgp: [{fp: z}]}\n"),
			sopsdoc.Document{Line: 7, MAC: true, Values: values{{Path: path("a"), Line: 6, Meant: true}, {Path: path("b"), Line: 9, Meant: true}}},
		},
		"no mac":        {yaml("sops: {mac: '', lastmodified: t}\n"), sopsdoc.Document{Line: 1}},
		"empty lists":   {yaml("sops: {mac: m, kms: [], pgp: []}\n"), sopsdoc.Document{Line: 1, MAC: true}},
		"groups":        {yaml("sops: {mac: m, key_groups: [{age: [{recipient: age1a}]}, {hc_vault: [{engine_path: z}]}]}\n"), sopsdoc.Document{Line: 1, MAC: true, Age: path("age1a"), Others: true}},
		"groups of age": {yaml("sops: {mac: m, key_groups: [{age: [{recipient: age1a}]}]}\n"), sopsdoc.Document{Line: 1, MAC: true, Age: path("age1a")}},
		"pgp":           {others("pgp"), sopsdoc.Document{Line: 1, Others: true}},
		"kms":           {others("kms"), sopsdoc.Document{Line: 1, Others: true}},
		"gcp_kms":       {others("gcp_kms"), sopsdoc.Document{Line: 1, Others: true}},
		"azure_kv":      {others("azure_kv"), sopsdoc.Document{Line: 1, Others: true}},
		"hckms":         {others("hckms"), sopsdoc.Document{Line: 1, Others: true}},
		"lines": {
			[2]string{"dotenv", "# c=1\n;d=2\n\nA=ENC[AES256_GCM,1]\nB = \"plain\"\nEMPTY=\nbare\n[x]=y\nsops_mac=m\nsops_age__list_0__map_recipient=age1a\n"},
			sopsdoc.Document{Line: 9, MAC: true, Age: path("age1a"), Values: values{
				{Path: path("A"), Line: 4, Encrypted: true, Meant: true}, {Path: path("B"), Line: 5, Meant: true}, {Path: path("[x]"), Line: 8, Meant: true},
			}},
		},
		"lines with groups": {
			[2]string{"dotenv", "sops_key_groups__list_0__map_age__list_0__map_recipient=age1a\nsops_key_groups__list_0__map_pgp__list_0__map_fp=z\n"},
			sopsdoc.Document{Line: 1, Age: path("age1a"), Others: true},
		},
		"a bare name of metadata": {[2]string{"dotenv", "A=x\nsops_mac\n"}, sopsdoc.Document{Line: 1, Values: values{{Path: path("A"), Line: 1, Meant: true}}}},
		"sections": {
			[2]string{"ini", "; c=1\n[s]\na = ENC[AES256_GCM,1]\nsops_mac = no\n[sops]\nmac = m\npgp__list_0__map_fp = z\n[t]\nb = plain\n"},
			sopsdoc.Document{Line: 6, MAC: true, Others: true, Values: values{
				{Path: path("s", "a"), Line: 3, Encrypted: true, Meant: true}, {Path: path("s", "sops_mac"), Line: 4, Meant: true}, {Path: path("t", "b"), Line: 9, Meant: true},
			}},
		},
	} {
		got, err := sopsdoc.Read(sopsdoc.Format(c.doc[0]), []byte(c.doc[1]))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(&c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestADocumentThatCannotBeJudgedIsNotRead(t *testing.T) {
	t.Parallel()
	list := func(n int) string { return "a: [" + strings.Repeat("x,", n) + "]\nsops: {mac: m}\n" }
	lines := func(n int) string { return strings.Repeat("A=x\n", n) + "sops_mac=m\n" }
	const most = 100_000
	for name, c := range map[string]struct {
		format sopsdoc.Format
		doc    string
		values int // below nought: it is not read
	}{
		"no YAML":                  {sopsdoc.YAML, "a: [canary\n", -1},
		"broken in a later one":    {sopsdoc.YAML, "a: x\nsops: {mac: m}\n---\nb: [canary\n", -1},
		"no pattern":               {sopsdoc.YAML, "a: x\nsops: {mac: m, encrypted_regex: '('}\n", -1},
		"as many values as may be": {sopsdoc.YAML, list(most), most},
		"one more":                 {sopsdoc.YAML, list(most + 1), -1},
		"as many lines as may be":  {sopsdoc.Dotenv, lines(most), most},
		"a line more":              {sopsdoc.Dotenv, lines(most + 1), -1},
	} {
		d, err := sopsdoc.Read(c.format, []byte(c.doc))
		if c.values < 0 && (!errors.Is(err, sopsdoc.ErrUnreadable) || d != nil || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: %v", name, err)
		}
		if c.values >= 0 && (err != nil || len(d.Values) != c.values) {
			t.Errorf("%s: %v", name, err)
		}
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

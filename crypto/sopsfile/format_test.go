package sopsfile_test

import (
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/crypto/sopsdoc"
	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
)

func TestOnlyDocumentsWithSOPSMetadataAreDetected(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		format sopsdoc.Format
		doc    string
		want   bool
	}{
		"a key named sops":             {sopsdoc.YAML, "sops: true\n", false},
		"a mapping named sops":         {sopsdoc.YAML, "sops:\n  enabled: true\n", false},
		"a value that looks encrypted": {sopsdoc.YAML, "a: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n", false},
		"metadata below the top":       {sopsdoc.YAML, "a:\n  sops:\n    mac: x\n", false},
		"metadata":                     {sopsdoc.YAML, "a: x\nsops:\n  mac: x\n", true},
		"metadata without mac":         {sopsdoc.YAML, "a: x\nsops:\n  lastmodified: x\n", true},
		"only recipients left":         {sopsdoc.YAML, "a: x\nsops:\n  age: []\n", true},
		"metadata in a later document": {sopsdoc.YAML, "a: x\n---\nb: x\nsops:\n  mac: x\n", true},
		"not YAML":                     {sopsdoc.YAML, "sops: {mac: [\n", false},
		"json with metadata":           {sopsdoc.JSON, `{"data":"x","sops":{"mac":"x"}}`, true},
		"json with sops text":          {sopsdoc.JSON, `{"data":"x","sops":"mac"}`, false},
		"binary that is not json":      {sopsdoc.Binary, "sops mac", false},
		"dotenv with metadata":         {sopsdoc.Dotenv, "A=x\nsops_mac=x\n", true},
		"dotenv with recipients":       {sopsdoc.Dotenv, "A=x\nsops_age__list_0__map_recipient=x\n", true},
		"dotenv that mentions it":      {sopsdoc.Dotenv, "A=sops_mac\nsops_other=x\n", false},
		"ini with metadata":            {sopsdoc.INI, "[a]\nb=c\n[sops]\nmac = x\n", true},
		"ini without":                  {sopsdoc.INI, "[sops]\nenabled = x\n", false},
		"empty":                        {sopsdoc.YAML, "", false},
		"unknown format":               {"toml", "sops.mac = 1", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := sopsdoc.Detect(c.format, []byte(c.doc)); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestTheFormatFollowsTheName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]sopsdoc.Format{
		"a/b.yaml": sopsdoc.YAML, "b.yml": sopsdoc.YAML, "b.json": sopsdoc.JSON, ".env": sopsdoc.Dotenv,
		"prod.env": sopsdoc.Dotenv, "x.ini": sopsdoc.INI, "tls.key": sopsdoc.Binary, "yaml": sopsdoc.Binary,
	} {
		if got := sopsdoc.FormatOf(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestOnlyNativeAgeIdentitiesAreTaken(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	body, last := secret[:len(secret)-1], secret[len(secret)-1:]
	damaged := body + "Q"
	if last == "Q" { // as the last character of every 32nd is
		damaged = body + "P"
	}
	cases := map[string]struct{ text, says string }{
		"a plugin":         {"AGE-PLUGIN-YUBIKEY-1Q2W3E4R5T6Y", "line 1: age plugin identities are refused"},
		"an ssh key":       {"-----BEGIN OPENSSH PRIVATE KEY-----\n", "not an age identity"},
		"a recipient":      {recipient, "not an age identity"},
		"a damaged key":    {"# x\n" + damaged, "line 2: the age identity is damaged"},
		"damaged hybrid":   {"AGE-SECRET-KEY-PQ-1QQQQ", "damaged"},
		"nothing":          {"# only a comment\n", "holds no age identity"},
		"one endless line": {strings.Repeat("A", 1<<20), "too long"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ids, err := sopsfile.ParseIdentities([]byte(c.text))
			if ids != nil || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, %v", ids, err)
			}
			if strings.Contains(err.Error(), secret[20:40]) {
				t.Error("the error quotes the key")
			}
		})
	}
}

func FuzzDecryptNeverPanicsNorQuotes(f *testing.F) {
	secret, recipient := sopstest.Identity(f)
	ids, err := sopsfile.ParseIdentities([]byte(secret))
	if err != nil {
		f.Fatal(err)
	}
	formats := []sopsdoc.Format{sopsdoc.YAML, sopsdoc.JSON, sopsdoc.Dotenv, sopsdoc.INI, sopsdoc.Binary}
	plains := []string{secretYAML, `{"a":"canary-7f3e91"}`, "A=canary-7f3e91\n", "[a]\nb=canary-7f3e91\n", canary}
	for i, format := range formats {
		f.Add(uint8(i), sopstest.Encrypt(f, sopstest.File{Format: format, Plain: plains[i], Recipients: []string{recipient}}))
	}
	f.Add(uint8(0), []byte("a: ENC[AES256_GCM,data:,iv:,tag:,type:]\nsops: {mac: ENC[], age: [{recipient: age1, enc: x}], lastmodified: x}\n"))
	f.Add(uint8(0), []byte("? [a]\n: b\nsops: {mac: x, lastmodified: \"2026-01-01T00:00:00Z\", age: [{enc: x}]}\n"))
	f.Fuzz(func(t *testing.T, format uint8, doc []byte) {
		kind := formats[int(format)%len(formats)]
		sopsdoc.Detect(kind, doc)
		plain, err := sopsfile.Decrypt(t.Context(), kind, doc, ids)
		if (plain == nil) == (err == nil) {
			t.Fatalf("plain %v, error %v", plain, err)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Fatalf("the error quotes a value: %v", err)
		}
	})
}

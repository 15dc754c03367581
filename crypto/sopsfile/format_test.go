package sopsfile_test

import (
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
)

func TestOnlyDocumentsWithSOPSMetadataAreDetected(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		format sopsfile.Format
		doc    string
		want   bool
	}{
		"a key named sops":             {sopsfile.YAML, "sops: true\n", false},
		"a mapping named sops":         {sopsfile.YAML, "sops:\n  enabled: true\n", false},
		"a value that looks encrypted": {sopsfile.YAML, "a: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n", false},
		"metadata below the top":       {sopsfile.YAML, "a:\n  sops:\n    mac: x\n", false},
		"metadata":                     {sopsfile.YAML, "a: x\nsops:\n  mac: x\n", true},
		"metadata without mac":         {sopsfile.YAML, "a: x\nsops:\n  lastmodified: x\n", true},
		"only recipients left":         {sopsfile.YAML, "a: x\nsops:\n  age: []\n", true},
		"metadata in a later document": {sopsfile.YAML, "a: x\n---\nb: x\nsops:\n  mac: x\n", true},
		"not YAML":                     {sopsfile.YAML, "sops: {mac: [\n", false},
		"json with metadata":           {sopsfile.JSON, `{"data":"x","sops":{"mac":"x"}}`, true},
		"json with sops text":          {sopsfile.JSON, `{"data":"x","sops":"mac"}`, false},
		"binary that is not json":      {sopsfile.Binary, "sops mac", false},
		"dotenv with metadata":         {sopsfile.Dotenv, "A=x\nsops_mac=x\n", true},
		"dotenv with recipients":       {sopsfile.Dotenv, "A=x\nsops_age__list_0__map_recipient=x\n", true},
		"dotenv that mentions it":      {sopsfile.Dotenv, "A=sops_mac\nsops_other=x\n", false},
		"ini with metadata":            {sopsfile.INI, "[a]\nb=c\n[sops]\nmac = x\n", true},
		"ini without":                  {sopsfile.INI, "[sops]\nenabled = x\n", false},
		"empty":                        {sopsfile.YAML, "", false},
		"unknown format":               {"toml", "sops.mac = 1", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := sopsfile.Detect(c.format, []byte(c.doc)); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestTheFormatFollowsTheName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]sopsfile.Format{
		"a/b.yaml": sopsfile.YAML, "b.yml": sopsfile.YAML, "b.json": sopsfile.JSON, ".env": sopsfile.Dotenv,
		"prod.env": sopsfile.Dotenv, "x.ini": sopsfile.INI, "tls.key": sopsfile.Binary, "yaml": sopsfile.Binary,
	} {
		if got := sopsfile.FormatOf(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestOnlyNativeAgeIdentitiesAreTaken(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	cases := map[string]struct{ text, says string }{
		"a plugin":         {"AGE-PLUGIN-YUBIKEY-1Q2W3E4R5T6Y", "line 1: age plugin identities are refused"},
		"an ssh key":       {"-----BEGIN OPENSSH PRIVATE KEY-----\n", "not an age identity"},
		"a recipient":      {recipient, "not an age identity"},
		"a damaged key":    {"# x\n" + secret[:len(secret)-3] + "QQQ", "line 2: the age identity is damaged"},
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
	formats := []sopsfile.Format{sopsfile.YAML, sopsfile.JSON, sopsfile.Dotenv, sopsfile.INI, sopsfile.Binary}
	plains := []string{secretYAML, `{"a":"canary-7f3e91"}`, "A=canary-7f3e91\n", "[a]\nb=canary-7f3e91\n", canary}
	for i, format := range formats {
		f.Add(uint8(i), sopstest.Encrypt(f, sopstest.File{Format: format, Plain: plains[i], Recipients: []string{recipient}}))
	}
	f.Add(uint8(0), []byte("a: ENC[AES256_GCM,data:,iv:,tag:,type:]\nsops: {mac: ENC[], age: [{recipient: age1, enc: x}], lastmodified: x}\n"))
	f.Add(uint8(0), []byte("? [a]\n: b\nsops: {mac: x, lastmodified: \"2026-01-01T00:00:00Z\", age: [{enc: x}]}\n"))
	f.Fuzz(func(t *testing.T, format uint8, doc []byte) {
		kind := formats[int(format)%len(formats)]
		sopsfile.Detect(kind, doc)
		plain, err := sopsfile.Decrypt(t.Context(), kind, doc, ids)
		if (plain == nil) == (err == nil) {
			t.Fatalf("plain %v, error %v", plain, err)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Fatalf("the error quotes a value: %v", err)
		}
	})
}

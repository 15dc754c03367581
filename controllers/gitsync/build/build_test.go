package build_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/getsops/sops/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/controllers/gitsync/build"
	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
	"github.com/sealbridge/sealbridge/plugins/decrypt"
	"github.com/sealbridge/sealbridge/providers"
)

const canary = "canary-7f3e21"

// tree is a repository without symbolic links; those are tested with package source.
type tree struct{ fstest.MapFS }

func newTree(files map[string]string) tree {
	t := tree{fstest.MapFS{}}
	for name, content := range files {
		t.MapFS[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return t
}

func (t tree) RealPath(name string) (string, error) {
	_, err := t.Stat(name)
	return name, err
}

func (t tree) Digest(name string) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(t, name, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := t.ReadFile(p)
		_, _ = fmt.Fprintf(h, "%q %q", p, data)
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// keys are a team's age key and the decryptor that has it.
type keys struct {
	recipient string
	options   []decrypt.Decryptor
}

func newKeys(t testing.TB) keys {
	t.Helper()
	secret, recipient := sopstest.Identity(t)
	d, err := decrypt.SOPS(map[string][]byte{"x.agekey": []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	return keys{recipient, []decrypt.Decryptor{d}}
}

func (k keys) seal(t testing.TB, format sopsfile.Format, plain string) string {
	t.Helper()
	return string(sopstest.Encrypt(t, sopstest.File{Format: format, Plain: plain, Recipients: []string{k.recipient},
		Rules: func(m *sops.Metadata) {
			if format == sopsfile.YAML && strings.Contains(plain, "kind: Secret") {
				m.EncryptedRegex = "^(data|stringData)$"
			}
		}}))
}

const (
	deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1, template: {spec: {containers: [{name: web, image: nginx}]}}}\n"
	configMap  = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"
	secret     = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: payment\nstringData:\n  token: " + canary + "\n"
)

func list(r *build.Result) []string {
	var out []string
	for _, o := range r.Objects {
		out = append(out, fmt.Sprintf("%s %s (%s)", o.GetKind(), o.GetName(), o.Source))
	}
	return out
}

func TestAPlainFolderIsReadWithEverythingBelow(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	r, err := build.Build(t.Context(), newTree(map[string]string{
		"apps/web.yaml":                 deployment + "---\n# only a comment\n---\n" + configMap,
		"apps/deep/er/x.yml":            strings.ReplaceAll(configMap, "settings", "deep"),
		"apps/list.json":                `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}},{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"two"}}]}`,
		"apps/secret.yaml":              k.seal(t, sopsfile.YAML, secret),
		"apps/README.md":                "not read",
		"apps/.hidden.yaml":             "not: read",
		"apps/.github/ci.yaml":          "not: read",
		"apps/sub/kustomization.yaml":   "resources: [cm.yaml]\nnamePrefix: k-\n",
		"apps/sub/cm.yaml":              configMap,
		"apps/sub/not-in-the-list.yaml": "not: read",
		"elsewhere/x.yaml":              "not: read",
	}), build.Options{Path: "./apps/", Decryptors: k.options})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ConfigMap deep (apps/deep/er/x.yml)", "ConfigMap one (apps/list.json)", "ConfigMap two (apps/list.json)",
		"Secret payment (apps/secret.yaml)", "ConfigMap k-settings (apps/sub/cm.yaml)",
		"Deployment web (apps/web.yaml)", "ConfigMap settings (apps/web.yaml)",
	}
	if diff := cmp.Diff(want, list(r)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	for _, o := range r.Objects {
		_ = o.DeepCopy() // panics on numbers that the API machinery does not know
		if o.Sensitive != (o.GetKind() == "Secret") {
			t.Errorf("%s sensitive: %v", o.GetName(), o.Sensitive)
		}
		if o.GetKind() == "Secret" {
			if got, _, _ := unstructuredString(o, "stringData", "token"); got != canary {
				t.Errorf("token %q", got)
			}
			if _, left := o.Object["sops"]; left {
				t.Error("the metadata of SOPS is left")
			}
		}
		if o.GetAnnotations() != nil {
			t.Errorf("%s has annotations %v", o.GetName(), o.GetAnnotations())
		}
	}
	if len(r.Plaintext) > 0 {
		t.Errorf("plaintext %v", r.Plaintext)
	}
}

func unstructuredString(o build.Object, fields ...string) (string, bool, error) {
	var v any = o.Object
	for _, f := range fields {
		m, ok := v.(map[string]any)
		if !ok {
			return "", false, nil
		}
		v = m[f]
	}
	s, ok := v.(string)
	return s, ok, nil
}

func TestAKustomizationIsBuiltFromDecryptedFiles(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	env := k.seal(t, sopsfile.Dotenv, "TOKEN="+canary+"\nLINES=a\\nb\n")
	files := map[string]string{
		"base/kustomization.yaml": "resources: [web.yaml]\n",
		"base/web.yaml":           deployment,
		"apps/prod/kustomization.yaml": `resources: [../../base, secret.yaml, ../../shared/cm.yaml]
namespace: shop
patches:
- target: {kind: Deployment}
  patch: |
    - {op: replace, path: /spec/replicas, value: 3}
- path: patch.yaml
secretGenerator:
- name: generated
  files: [tls.key, conf=app.yaml]
  envs: [prod.env]
generatorOptions: {labels: {a: b}}
`,
		"apps/prod/secret.yaml": k.seal(t, sopsfile.YAML, secret),
		"apps/prod/patch.yaml":  k.seal(t, sopsfile.YAML, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: payment\nstringData:\n  more: second-"+canary+"\n"),
		"apps/prod/tls.key":     k.seal(t, sopsfile.Binary, "-----BEGIN "+canary+"\n"+strings.Repeat("long", 100)),
		"apps/prod/app.yaml":    k.seal(t, sopsfile.YAML, "password: "+canary+"\n"),
		"apps/prod/prod.env":    env,
		"shared/cm.yaml":        configMap,
	}
	r, err := build.Build(t.Context(), newTree(files), build.Options{Path: "apps/prod", Decryptors: k.options})
	if err != nil {
		t.Fatal(err)
	}
	var generated build.Object
	for _, o := range r.Objects {
		_ = o.DeepCopy() // panics on numbers that the API machinery does not know
		if o.GetNamespace() != "shop" || !o.Sensitive {
			t.Errorf("%s in %q, sensitive %v", o.GetName(), o.GetNamespace(), o.Sensitive)
		}
		if strings.HasPrefix(o.GetName(), "generated-") {
			generated = o
		}
	}
	want := []string{"Deployment web (base/web.yaml)", "Secret payment (apps/prod/secret.yaml)", "ConfigMap settings (shared/cm.yaml)",
		"Secret " + generated.GetName() + " (apps/prod/kustomization.yaml)"}
	got := list(r)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("objects (-want +got):\n%s", diff)
	}
	for key, value := range map[string]string{"TOKEN": canary, "conf": "password: " + canary + "\n", "LINES": `a\nb`,
		"tls.key": "-----BEGIN " + canary + "\n" + strings.Repeat("long", 100)} {
		text, _, _ := unstructuredString(generated, "data", key)
		if decoded, err := base64.StdEncoding.DecodeString(text); string(decoded) != value || err != nil {
			t.Errorf("%s: %q, %v", key, decoded, err)
		}
	}
	if len(r.Plaintext) > 0 {
		t.Errorf("plaintext: %+v", r.Plaintext)
	}
	// The hash of a generated name follows what is encrypted, not the ciphertext, which differs each time.
	files["apps/prod/prod.env"] = k.seal(t, sopsfile.Dotenv, "TOKEN="+canary+"\nLINES=a\\nb\n")
	again, err := build.Build(t.Context(), newTree(files), build.Options{Path: "apps/prod", Decryptors: k.options})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(list(again), "Secret "+generated.GetName()+" (apps/prod/kustomization.yaml)") {
		t.Errorf("the generated name changed with the ciphertext: %v", list(again))
	}
}

func TestPlaintextSecretsAreNamedByFileAndKeyHoweverTheyAreMade(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	sealed := k.seal(t, sopsfile.YAML, secret)
	plain := strings.ReplaceAll(secret, "payment", "plain")
	kustomization := func(text string) map[string]string {
		return map[string]string{"kustomization.yaml": text, "sealed.yaml": sealed, "plain.yaml": plain, "file.txt": canary,
			"cm.yaml":   strings.ReplaceAll(configMap, "a: b", "value: "+canary+"-cm"),
			"plain.env": "A=" + canary + "-env\n"}
	}
	cases := map[string]struct {
		files map[string]string
		want  []build.Finding
	}{
		"a plain file": {map[string]string{"a/plain.yaml": plain}, []build.Finding{{File: "a/plain.yaml", Object: "Secret plain", Keys: []string{"token"}}}},
		"base64 data":  {map[string]string{"x.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: shop}\ndata: {k1: eA==, k2: '', k3: null}\n"}, []build.Finding{{File: "x.yaml", Object: "Secret shop/x", Keys: []string{"k1"}}}},
		"a key that cannot be one": {map[string]string{"x.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {'" + canary + " x': v, " + strings.Repeat("k", 254) + ": v}\n"},
			[]build.Finding{{File: "x.yaml", Object: "Secret x", Keys: []string{"a key that is not valid"}}}},
		"a value that is no text": {map[string]string{"x.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {k: 5, l: {m: " + canary + "}}\n"},
			[]build.Finding{{File: "x.yaml", Object: "Secret x", Keys: []string{"k", "l"}}}},
		"another kind of that name":           {map[string]string{"x.yaml": "apiVersion: example.com/v1\nkind: Secret\nmetadata: {name: x}\nstringData: {k: v}\n"}, nil},
		"an encrypted value with a backslash": {map[string]string{"x.yaml": k.seal(t, sopsfile.YAML, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\nstringData:\n  k: '"+canary+`\nx`+"'\n")}, nil},
		"no values":                           {map[string]string{"x.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {k: ''}\n"}, nil},
		"in a list": {map[string]string{"x.yaml": "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: x}\n  stringData: {k: v}\n"},
			[]build.Finding{{File: "x.yaml", Object: "Secret x", Keys: []string{"k"}}}},
		"a key that the rule left plain": {map[string]string{"x.yaml": string(sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Recipients: []string{k.recipient},
			Plain: "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\nstringData:\n  a: sealed-value\n  b_unencrypted: " + canary + "\n",
			Rules: func(m *sops.Metadata) { m.UnencryptedRegex = "^(apiVersion|kind|metadata|b_unencrypted)$" }}))},
			[]build.Finding{{File: "x.yaml", Object: "Secret x", Keys: []string{"b_unencrypted"}}}},
		"a resource of a kustomization": {kustomization("resources: [sealed.yaml, plain.yaml]\n"), nil},
		"literals":                      {kustomization("secretGenerator:\n- {name: g, literals: [k=v]}\ngeneratorOptions: {disableNameSuffixHash: true}\n"), []build.Finding{{File: "kustomization.yaml", Object: "Secret g", Keys: []string{"k"}}}},
		"a generator's plain file":      {kustomization("secretGenerator:\n- {name: g, files: [file.txt], envs: [plain.env]}\ngeneratorOptions: {disableNameSuffixHash: true}\n"), []build.Finding{{File: "kustomization.yaml", Object: "Secret g", Keys: []string{"A", "file.txt"}}}},
		"a patch": {kustomization("resources: [sealed.yaml]\npatches:\n- target: {kind: Secret}\n  patch: |\n    - {op: add, path: /stringData/added, value: " + canary + "-added}\n"),
			[]build.Finding{{File: "sealed.yaml", Object: "Secret payment", Keys: []string{"added"}}}},
		"a replacement": {kustomization("resources: [sealed.yaml, cm.yaml]\nreplacements:\n- source: {kind: ConfigMap, fieldPath: data.value}\n  targets:\n  - select: {kind: Secret}\n    fieldPaths: [stringData.copied]\n    options: {create: true}\n"),
			[]build.Finding{{File: "sealed.yaml", Object: "Secret payment", Keys: []string{"copied"}}}},
	}
	// A plain Secret whose value is also in an encrypted file of the same kustomization passes: see docs/design/0006-gitsync-source-and-build.md.
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := build.Build(t.Context(), newTree(c.files), build.Options{Decryptors: k.options})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, r.Plaintext); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			err = build.DenyPlaintext(r.Plaintext)
			if (err != nil) != (len(c.want) > 0) || (err != nil && !errors.Is(err, providers.ErrInvalid)) {
				t.Fatalf("policy: %v", err)
			}
			for _, f := range c.want {
				if !strings.Contains(err.Error(), f.File+": "+f.Object+" has "+strings.Join(f.Keys, ", ")) || strings.Contains(err.Error(), canary) {
					t.Errorf("policy: %v", err)
				}
			}
		})
	}
}

func TestWhatIsSaidOfPlaintextHasABound(t *testing.T) {
	t.Parallel()
	keys := make([]string, 13)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%02d", i)
	}
	findings := make([]build.Finding, 12)
	for i := range findings {
		findings[i] = build.Finding{File: fmt.Sprintf("f%02d.yaml", i), Object: "Secret x", Keys: keys[:10]}
	}
	findings[0].Keys = keys
	text := build.DenyPlaintext(findings).Error()
	for _, want := range []string{"(f00.yaml: Secret x has k00, ", "k09, 3 more keys; f01.yaml: ", "k08, k09; f02.yaml", "; f09.yaml: ", "k09; and 2 more); encrypt them"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	if strings.Contains(text, "k10") || strings.Contains(text, "f10.yaml") {
		t.Errorf("it names more: %q", text)
	}
	if len(keys) != 13 || keys[10] != "k10" {
		t.Errorf("the keys were changed: %v", keys)
	}
}

// A character that is not seen, or that turns those after it around, would show another name than that of the file.
func TestANameIsShownByItsVisibleCharacters(t *testing.T) {
	t.Parallel()
	tree := newTree(map[string]string{"kustomization.yaml": "resources: [\"a\\u202Eb\\u200Bc\\u00E9\\u4E2D d.yaml\"]"})
	if _, err := build.Build(t.Context(), tree, build.Options{}); err == nil || !strings.Contains(err.Error(), "names a?b?cé中 d.yaml, which does not exist") {
		t.Errorf("it says %q", err)
	}
}

func TestAsMuchAsIsAllowedIsBuilt(t *testing.T) {
	t.Parallel()
	r, err := build.Build(t.Context(), newTree(map[string]string{"x.yaml": configMap}), build.Options{Limits: build.Limits{Objects: 1, Reads: 1, Bytes: int64(len(configMap))}})
	if err != nil || len(r.Objects) != 1 {
		t.Errorf("got %v", err)
	}
	_, err = build.Build(t.Context(), newTree(map[string]string{"x.yaml": configMap}), build.Options{Limits: build.Limits{Bytes: int64(len(configMap)) - 1}})
	if !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("a byte more: %v", err)
	}
}

// counting counts what is decrypted.
type counting struct {
	decrypt.Decryptor
	n *int
}

func (c counting) Decrypt(ctx context.Context, name string, doc []byte) (*decrypt.Document, error) {
	*c.n++
	return c.Decryptor.Decrypt(ctx, name, doc)
}

func TestAFileIsDecryptedOnceHoweverOftenItIsNamed(t *testing.T) {
	t.Parallel()
	k, n := newKeys(t), 0
	sealed := k.seal(t, sopsfile.Binary, canary)
	_, err := build.Build(t.Context(), newTree(map[string]string{
		"kustomization.yaml": "secretGenerator:\n- {name: a, files: [x.key]}\n- {name: b, files: [x.key, y=x.key]}\n", "x.key": sealed,
	}), build.Options{Decryptors: []decrypt.Decryptor{counting{k.options[0], &n}}})
	if err != nil || n != 1 {
		t.Errorf("decrypted %d times: %v", n, err)
	}
}

func TestAnUnchangedTreeIsRecognised(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	files := map[string]string{
		"apps/kustomization.yaml": "resources: [web.yaml, ../base]\n", "apps/web.yaml": deployment,
		"base/kustomization.yaml": "resources: [cm.yaml]\n", "base/cm.yaml": configMap, "base/unused.yaml": "x",
		"plain/a.yaml": configMap, "README": "x",
	}
	cases := map[string]struct {
		path    string
		change  map[string]string
		changed bool
	}{
		"nothing changed":                      {"apps", nil, false},
		"another file changed":                 {"apps", map[string]string{"README": "y", "base/unused.yaml": "y", "new": "x"}, false},
		"a resource changed":                   {"apps", map[string]string{"apps/web.yaml": deployment + "# x\n"}, true},
		"a base changed":                       {"apps", map[string]string{"base/cm.yaml": configMap + "# x\n"}, true},
		"a second kustomization file appeared": {"apps", map[string]string{"base/kustomization.yml": "x"}, true},
		"a plain folder got a file":            {"plain", map[string]string{"plain/b.yaml": "x"}, true},
		"a plain folder got a kustomization":   {"plain", map[string]string{"plain/kustomization.yaml": "x"}, true},
		"something beside a plain folder":      {"plain", map[string]string{"apps/web.yaml": "x"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := newTree(files)
			r, err := build.Build(t.Context(), before, build.Options{Path: c.path, Decryptors: k.options})
			if err != nil {
				t.Fatal(err)
			}
			after := newTree(files)
			for name, content := range c.change {
				after.MapFS[name] = &fstest.MapFile{Data: []byte(content)}
			}
			if r.Reads.Unchanged(after) == c.changed {
				t.Errorf("changed: %v, want %v; read %v", !c.changed, c.changed, r.Reads.Names())
			}
			if !r.Reads.Unchanged(before) || !strings.HasPrefix(r.Reads.Digest(), "sha256:") {
				t.Error("the same tree counts as changed")
			}
		})
	}
}

func TestBuildsDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 5 {
				files := map[string]string{
					"kustomization.yaml": fmt.Sprintf("resources: [web.yaml]\nnamePrefix: p%d-\nconfigMapGenerator:\n- {name: c, literals: [a=%d]}\npatches:\n- path: patch.yaml\n", i, i),
					"web.yaml":           deployment,
					"patch.yaml":         fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, args: ['%d']}]}}}\n", i),
				}
				r, err := build.Build(t.Context(), newTree(files), build.Options{})
				if err != nil || len(r.Objects) != 2 {
					t.Errorf("build %d: %v", i, err)
					return
				}
				containers := r.Objects[0].Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)
				if len(containers) != 1 || containers[0].(map[string]any)["image"] != "nginx" {
					t.Errorf("build %d merged containers into %v", i, containers)
				}
			}
		})
	}
	group.Wait()
}

func TestACancelledBuildSaysWhy(t *testing.T) {
	t.Parallel()
	why := errors.New("another commit has come")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	k := newKeys(t)
	for name, files := range map[string]map[string]string{
		"plain": {"a.yaml": configMap}, "kustomize": {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": configMap},
		"plain, encrypted": {"a.yaml": k.seal(t, sopsfile.YAML, secret)},
	} {
		r, err := build.Build(ctx, newTree(files), build.Options{Decryptors: k.options})
		if r != nil || !errors.Is(err, why) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What becomes a value as it is need not be a document, whatever its name says.
func TestTheFilesOfGeneratorsMayHoldAnything(t *testing.T) {
	t.Parallel()
	const templated = "a: {{ .Values.a }}\n"
	r, err := build.Build(t.Context(), newTree(map[string]string{
		"kustomization.yaml": "configMapGenerator:\n- {name: files, files: [values.yaml, other=more.json]}\n- {name: envs, envs: [plain.properties, lines.yaml]}\n" +
			"generatorOptions: {disableNameSuffixHash: true}\n",
		"values.yaml": templated, "more.json": "{", "plain.properties": "A=1\n", "lines.yaml": "B={{2}}\n",
	}), build.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, o := range r.Objects {
		got[o.GetName()] = o.Object["data"]
	}
	want := map[string]any{"files": map[string]any{"values.yaml": templated, "other": "{"}, "envs": map[string]any{"A": "1", "B": "{{2}}"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

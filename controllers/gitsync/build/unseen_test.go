package build_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/controllers/gitsync/build"
	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// replace is a kustomization that puts the value of an encrypted Secret, s.yaml, into other objects.
func replace(resources, kind, field, options string) string {
	return "resources: [s.yaml, " + resources + "]\nreplacements:\n- source: {kind: Secret, name: payment, fieldPath: stringData.token}\n" +
		"  targets:\n  - select: {kind: " + kind + "}\n    fieldPaths: ['" + field + "']\n    options: {" + options + "}\n"
}

// What somebody writes who may commit, has no key, and wants to read the value of an encrypted file in what is said of a build.
func TestNobodyWhoMayCommitReadsADecryptedValueInWhatABuildSays(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	sealed := k.seal(t, sopsfile.YAML, secret)
	other := strings.ReplaceAll(configMap, "settings", "other")
	plain := "apiVersion: v1\nkind: Secret\nmetadata: {name: plain}\nstringData: {k: plain}\n"
	whole := k.seal(t, sopsfile.Binary, canary+"==")
	based := func(top, base, cm string, more ...string) map[string]string {
		files := map[string]string{"kustomization.yaml": top, "a/kustomization.yaml": base, "a/s.yaml": sealed, "a/cm.yaml": cm}
		for i := 0; i+1 < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	named := replace("cm.yaml, other.yaml", "ConfigMap", "metadata.name", "")
	inserted := replace("cm.yaml", "ConfigMap", "data.a", "delimiter: ' ', index: 4")
	tooDeep := "resources: [a]\nreplacements:\n- source: {kind: ConfigMap, fieldPath: data.a}\n  targets:\n  - select: {kind: ConfigMap}\n    fieldPaths: [data.a.b]\n    options: {create: true}\n"
	origin := "buildMetadata: [originAnnotations]\n" + replace("plain.yaml", "Secret", "metadata.annotations.[config.kubernetes.io/origin]", "delimiter: ' ', index: 1")
	const unnamed = "run kustomize build there to see which"
	cases := map[string]struct {
		files map[string]string
		says  string
	}{
		"two names made of it":                         {based("resources: [a]\n", named, configMap, "a/other.yaml", other), "two resources have the same id; " + unnamed},
		"a text like that of a lost patch":             {based(tooDeep, inserted, strings.ReplaceAll(configMap, "a: b", "a: no matches for Id X")), "a patch has no target; " + unnamed},
		"a text like that of an ambiguous patch":       {based(tooDeep, inserted, strings.ReplaceAll(configMap, "a: b", "a: multiple matches for Id X")), "a patch has several targets; " + unnamed},
		"a name made of it, and a generator's":         {based("resources: [a]\nconfigMapGenerator:\n- {name: "+canary+", literals: [a=b]}\n", replace("cm.yaml", "ConfigMap", "metadata.name", ""), configMap), "two generators make the same name"},
		"a file that it is said to come from":          {map[string]string{"kustomization.yaml": origin, "s.yaml": sealed, "plain.yaml": plain}, "kustomization.yaml: Secret plain has k"},
		"a key made of the beginning of it":            {map[string]string{"kustomization.yaml": "secretGenerator:\n- {name: g, envs: [x.txt]}\n", "x.txt": whole}, "secretGenerator[0].envs[0] names x.txt, whose keys are encrypted too; name it .env"},
		"the same, as env was written":                 {map[string]string{"kustomization.yaml": "configMapGenerator:\n- {name: g, env: x.txt}\n", "x.txt": whole}, "configMapGenerator[0].env names x.txt, whose keys"},
		"the same, of a plugin":                        {map[string]string{"kustomization.yaml": "generators:\n- |\n  {apiVersion: builtin, kind: SecretGenerator, metadata: {name: g}, envs: [a=x.txt]}\n", "a=x.txt": whole}, "generators[0].envs names a=x.txt, whose keys"},
		"the same, of a value with several lines":      {map[string]string{"kustomization.yaml": "secretGenerator:\n- {name: g, envs: [x.ini]}\n", "x.ini": k.seal(t, sopsfile.INI, "[a]\nb = \"\"\"x\n"+canary+"=\"\"\"\n")}, "names x.ini, whose keys"},
		"a path of an encrypted kustomization, copied": {map[string]string{"kustomization.yaml": k.seal(t, sopsfile.YAML, "resources:\n- "+canary+"\n")}, "kustomization.yaml is encrypted; a kustomization is never decrypted"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := build.Build(t.Context(), newTree(c.files), build.Options{Decryptors: k.options})
			if r != nil {
				for _, o := range r.Objects {
					if strings.Contains(o.Source, canary) {
						t.Errorf("%s is said to come from %s", o.GetName(), o.Source)
					}
				}
				err = build.DenyPlaintext(r.Plaintext)
			}
			if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want it to say %q", err, c.says)
			}
			if strings.Contains(fmt.Sprint(err), canary) {
				t.Errorf("it quotes: %v", err)
			}
		})
	}
}

// What no file was decrypted for holds what everybody sees in Git.
func TestAnIDIsNamedWhereNothingWasDecrypted(t *testing.T) {
	t.Parallel()
	r, err := build.Build(t.Context(), newTree(map[string]string{
		"kustomization.yaml": "resources: [cm.yaml, again.yaml]\n", "cm.yaml": configMap, "again.yaml": configMap,
	}), build.Options{})
	if r != nil || err == nil || !strings.HasSuffix(err.Error(), "two resources have the same id, ConfigMap.v1.[noGrp]/settings.[noNs]") {
		t.Errorf("got %v", err)
	}
}

// kustomize ends its process when it cannot write an object down that it wants to complain about. Not in parallel, as below.
func TestAKustomizationDoesNotEndTheProcess(t *testing.T) {
	var shown bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(redact.Log(&shown))
	files := map[string]string{
		"kustomization.yaml": "resources: [a, b, pod.yaml]\n",
		"pod.yaml":           "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {x: {1: " + canary + "}, volumes: [{name: v, configMap: {name: settings}}]}\n",
	}
	for _, base := range []string{"a", "b"} { // two of which either can be the one that the Pod names
		files[base+"/cm.yaml"] = configMap
		files[base+"/kustomization.yaml"] = "resources: [cm.yaml]\npatches:\n- target: {kind: ConfigMap}\n  options: {allowNameChange: true}\n" +
			"  patch: |\n    - {op: replace, path: /metadata/name, value: " + base + "}\n"
	}
	const cure = "; put keys such as 1, true and null in quotes, use no .nan or .inf, and see whether kustomize builds the folder by itself"
	_, err := build.Build(t.Context(), newTree(files), build.Options{})
	if err == nil || err.Error() != "the kustomization in . cannot be built: kustomize failed on it"+cure {
		t.Errorf("got %v", err)
	}
	files["kustomization.yaml"] = "resources: [pod.yaml]\n"
	_, err = build.Build(t.Context(), newTree(files), build.Options{})
	if err == nil || err.Error() != "the kustomization in . makes something that cannot be written as JSON"+cure {
		t.Errorf("got %v", err)
	}
	if shown.Len() > 0 {
		t.Errorf("logged %q", shown.String())
	}
}

// kustomize writes values to the log of the standard library. Not in parallel: there is one such log.
func TestWhatKustomizeLogsIsNotShown(t *testing.T) {
	var raw, shown bytes.Buffer
	defer log.SetOutput(log.Writer())
	k := newKeys(t)
	sealed := k.seal(t, sopsfile.YAML, secret)
	for name, files := range map[string]map[string]string{
		"a variable that is a map": {
			"kustomization.yaml": "resources: [s.yaml, cm.yaml]\nconfigurations: [c.yaml]\nvars:\n- {name: X, objref: {apiVersion: v1, kind: Secret, name: payment}, fieldref: {fieldpath: stringData}}\n",
			"c.yaml":             "varReference: [{path: data/a, kind: ConfigMap}]\n", "s.yaml": sealed, "cm.yaml": strings.ReplaceAll(configMap, "a: b", "a: $(X)")},
		"a label that is compared as a number": {
			"kustomization.yaml":   "resources: [a]\npatches:\n- target: {kind: ConfigMap, labelSelector: 'x>1'}\n  patch: |\n    - {op: add, path: /data/x, value: y}\n",
			"a/kustomization.yaml": replace("cm.yaml", "ConfigMap", "metadata.labels.x", "create: true"), "a/s.yaml": sealed, "a/cm.yaml": configMap},
	} {
		raw.Reset()
		shown.Reset()
		for _, to := range []func(){func() { log.SetOutput(&raw) }, func() { log.SetOutput(redact.Log(&shown)) }} {
			to()
			if _, err := build.Build(t.Context(), newTree(files), build.Options{Decryptors: k.options}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if !strings.Contains(raw.String(), canary) {
			t.Errorf("%s: kustomize logs no value any more: %q", name, raw.String())
		}
		if strings.Contains(shown.String(), canary) {
			t.Errorf("%s: the log shows %q", name, shown.String())
		}
	}
}

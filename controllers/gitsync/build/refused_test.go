package build_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/controllers/gitsync/build"
	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/plugins/decrypt"
	"github.com/sealbridge/sealbridge/providers"
)

func TestWhatCannotBeBuiltIsRefusedByFile(t *testing.T) {
	t.Parallel()
	k, stranger := newKeys(t), newKeys(t)
	sealed := k.seal(t, sopsfile.YAML, secret)
	strangers := stranger.seal(t, sopsfile.YAML, secret)
	none, err := decrypt.SOPS(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'k'; i++ {
		bomb += string(i) + ": &" + string(i) + " [" + strings.Repeat("*"+string(i-1)+",", 10) + "]\n"
	}
	long := "- &a " + strings.Repeat("x", 400_000) + "\n" + strings.Repeat("- *a\n", 20_000)
	kustomization := func(text string, more ...string) map[string]string {
		files := map[string]string{"apps/kustomization.yaml": text, "apps/cm.yaml": configMap, "outside.yaml": configMap}
		for i := 0; i+1 < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	const remote = "remote resources are never fetched"
	cases := map[string]struct {
		files  map[string]string
		opts   build.Options
		says   string
		kind   error
		unopen bool
	}{
		"no such path":                 {files: map[string]string{"a/x.yaml": configMap}, opts: build.Options{Path: "nope"}, says: "spec.path nope does not exist", kind: build.ErrPathNotFound},
		"a path outside":               {files: map[string]string{"a/x.yaml": configMap}, opts: build.Options{Path: "../etc"}, says: "spec.path leads out of the repository"},
		"a path that is a file":        {files: map[string]string{"apps/x.yaml": configMap}, opts: build.Options{Path: "apps/x.yaml"}, says: "is not a folder"},
		"not YAML":                     {files: map[string]string{"apps/x.yaml": "a: b\n c: [" + canary}, says: "apps/x.yaml: document 1"},
		"templated YAML":               {files: map[string]string{"apps/x.yaml": "a: {{ .Values." + canary + " }}\n"}, says: "apps/x.yaml: document 1"},
		"a key twice":                  {files: map[string]string{"apps/x.yaml": configMap + "kind: " + canary + "\n"}, says: "apps/x.yaml: document 1, line"},
		"no object":                    {files: map[string]string{"apps/x.yaml": "password: " + canary + "\n"}, says: "apps/x.yaml holds something that is not a Kubernetes object"},
		"no apiVersion":                {files: map[string]string{"apps/x.yaml": "kind: ConfigMap\nmetadata: {name: x}\n"}, says: "apps/x.yaml holds something that is not a Kubernetes object: it has no apiVersion or no kind"},
		"no kind":                      {files: map[string]string{"apps/x.yaml": "apiVersion: v1\nmetadata: {name: x}\n"}, says: "apps/x.yaml holds something that is not a Kubernetes object: it has no apiVersion or no kind"},
		"a name of several lines":      {files: map[string]string{"apps/a\nb\x7fc.yaml": "x: y\n"}, says: "apps/a?b?c.yaml holds something"},
		"a long name":                  {files: map[string]string{"apps/" + strings.Repeat("é", 120) + ".yaml": "x: y\n"}, says: "apps/" + strings.Repeat("é", 97) + "... holds something"},
		"no name":                      {files: map[string]string{"apps/x.yaml": "apiVersion: v1\nkind: ConfigMap\ndata: {a: " + canary + "}\n"}, says: "apps/x.yaml holds a ConfigMap without metadata.name"},
		"an object twice":              {files: map[string]string{"apps/x.yaml": configMap, "apps/y.yaml": configMap}, says: "ConfigMap settings stands twice, in apps/x.yaml and in apps/y.yaml"},
		"YAML that unfolds":            {files: map[string]string{"apps/x.yaml": bomb}, says: "aliases expand to more"},
		"too many objects":             {files: map[string]string{"apps/x.yaml": configMap, "apps/y.yaml": strings.ReplaceAll(configMap, "settings", "two")}, opts: build.Options{Limits: build.Limits{Objects: 1}}, says: "more than 1 objects"},
		"too many in a file":           {files: map[string]string{"apps/x.yaml": configMap + "---\n" + strings.ReplaceAll(configMap, "settings", "two")}, opts: build.Options{Limits: build.Limits{Objects: 1}}, says: "apps/x.yaml: document 2, line 6: more than 1 documents"},
		"a list of something else":     {files: map[string]string{"apps/x.yaml": "apiVersion: v1\nkind: List\nitems: [" + canary + "]\n"}, says: "apps/x.yaml: document 1"},
		"a value left in a list":       {files: map[string]string{"apps/x.yaml": "apiVersion: x/v1\nkind: X\nmetadata: {name: x}\nspec:\n- {a: 'ENC[AES256_GCM,data:eA==,iv:eA==]'}\n"}, says: "apps/x.yaml is still encrypted with SOPS (spec.a of X x)", kind: build.ErrDecryption},
		"an encrypted number":          {files: map[string]string{"apps/x.yaml": k.seal(t, sopsfile.YAML, "apiVersion: v1\nkind: Secret\nmetadata:\n    name: x\nstringData:\n    port: 5432\n    text: "+canary+"\n    list: ["+canary+"]\n")}, says: "apps/x.yaml: stringData.list, stringData.port of Secret x is no text, as every value of a Secret has to be; write it in quotes before the file is encrypted"},
		"too many bytes":               {files: map[string]string{"apps/x.yaml": configMap}, opts: build.Options{Limits: build.Limits{Bytes: 10}}, says: "reads more than"},
		"too many reads":               {files: kustomization("resources: [cm.yaml]\n"), opts: build.Options{Limits: build.Limits{Reads: 1}}, says: "reads more than"},
		"another's key":                {files: map[string]string{"apps/x.yaml": strangers}, says: "decrypt apps/x.yaml (SOPS): no usable key: this file is encrypted for age " + stranger.recipient, kind: build.ErrDecryption},
		"no keys":                      {files: map[string]string{"apps/x.yaml": sealed}, opts: build.Options{Decryptors: []decrypt.Decryptor{none}}, says: "no usable key", kind: build.ErrDecryption},
		"no decryptors":                {files: map[string]string{"apps/x.yaml": sealed}, unopen: true, says: "apps/x.yaml is still encrypted with SOPS (sops of Secret payment); set spec.decryption", kind: build.ErrDecryption},
		"no decryptors, kustomization": {files: kustomization("resources: [s.yaml]\n", "apps/s.yaml", sealed), unopen: true, says: "is still encrypted with SOPS", kind: build.ErrDecryption},
		"a tampered file":              {files: map[string]string{"apps/x.yaml": strings.Replace(sealed, "name: payment", "name: other", 1)}, says: "decrypt apps/x.yaml (SOPS): the document was changed after it was encrypted", kind: build.ErrDecryption},
		"metadata stripped":            {files: map[string]string{"apps/x.yaml": sealed[:strings.Index(sealed, "sops:")]}, says: "apps/x.yaml is still encrypted with SOPS (stringData.token of Secret payment)", kind: build.ErrDecryption},
		"an encrypted file under a name of another format": {files: kustomization("secretGenerator:\n- {name: g, files: [x.txt]}\n", "apps/x.txt", k.seal(t, sopsfile.Dotenv, "A="+canary+"\n")), says: "is still encrypted with SOPS (data.x.txt", kind: build.ErrDecryption},

		"a missing resource":                {files: kustomization("resources: [nope.yaml]\n"), says: "apps/kustomization.yaml: resources[0] names apps/nope.yaml, which does not exist"},
		"a resource outside":                {files: kustomization("resources: [../../outside.yaml]\n"), says: "apps/kustomization.yaml: resources[0] leads out of the repository"},
		"outside and back":                  {files: kustomization("resources: [../../repository/apps/cm.yaml]\n"), says: "leads out of the repository"},
		"an absolute resource":              {files: kustomization("resources: [/etc/passwd]\n"), says: "resources[0] is an absolute path"},
		"an absolute resource of the mount": {files: kustomization("resources: [/repository/outside.yaml]\n"), says: "resources[0] is an absolute path"},
		"a generator outside":               {files: kustomization("secretGenerator:\n- {name: g, files: [k=../../etc/passwd]}\n"), says: "secretGenerator[0].files[0] leads out"},
		"an absolute env file":              {files: kustomization("configMapGenerator:\n- {name: g, env: /etc/passwd}\n"), says: "configMapGenerator[0].env is an absolute path"},
		"a patch outside":                   {files: kustomization("resources: [cm.yaml]\npatches: [{path: ../../x}]\n"), says: "patches[0].path leads out"},
		"a strategic merge outside":         {files: kustomization("resources: [cm.yaml]\npatchesStrategicMerge: [../../x]\n"), says: "patchesStrategicMerge[0].path leads out"},
		"a replacement outside":             {files: kustomization("resources: [cm.yaml]\nreplacements: [{path: ../../x}]\n"), says: "replacements[0].path leads out"},
		"a component outside":               {files: kustomization("resources: [cm.yaml]\ncomponents: [../../x]\n"), says: "components[0] leads out"},
		"configurations outside":            {files: kustomization("resources: [cm.yaml]\nconfigurations: [../../x]\n"), says: "configurations[0] leads out"},
		"a plugin's file outside":           {files: kustomization("resources: [cm.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, path: ../../../etc/passwd}\n"), says: "transformers[0].path leads out"},

		"an https base":             {files: kustomization("resources: ['https://" + canary + "@example.com/x.yaml']\n"), says: remote},
		"a GitHub base":             {files: kustomization("resources: [github.com/org/repo]\n"), says: remote},
		"a GitHub base in capitals": {files: kustomization("resources: ['GitHub.com/org/repo/x?ref=main']\n"), says: remote},
		"an scp base":               {files: kustomization("resources: ['git@example.com:org/repo']\n"), says: remote},
		"an ssh base":               {files: kustomization("bases: ['ssh://git@example.com/org/repo']\n"), says: remote},
		"a file base":               {files: kustomization("resources: ['file:///etc']\n"), says: remote},
		"a forced base":             {files: kustomization("resources: ['git::https://example.com/x']\n"), says: remote},
		"an Azure base":             {files: kustomization("resources: [org/_git/repo]\n"), says: remote},
		"a remote component":        {files: kustomization("components: ['https://example.com/x']\n"), says: remote},
		"a remote patch":            {files: kustomization("resources: [cm.yaml]\npatches: [{path: 'https://example.com/x'}]\n"), says: remote},
		"a remote env file":         {files: kustomization("secretGenerator:\n- {name: g, envs: ['https://example.com/x']}\n"), says: remote},
		"a remote generator file":   {files: kustomization("configMapGenerator:\n- {name: g, files: ['k=http://example.com/x']}\n"), says: remote},
		"a remote generator":        {files: kustomization("generators: ['https://example.com/x']\n"), says: remote},
		"a remote validator":        {files: kustomization("resources: [cm.yaml]\nvalidators: ['https://example.com/x']\n"), says: remote},
		"a remote in capitals":      {files: kustomization("RESOURCES: ['HTTPS://example.com/x']\n"), says: remote},
		"a remote base of a base":   {files: kustomization("resources: [../base]\n", "base/kustomization.yaml", "resources: ['https://example.com/x']\n"), says: "base/kustomization.yaml: resources[0] is not a path"},
		"a plugin's remote file": {files: kustomization("resources: [cm.yaml]\ntransformers: [t.yaml]\n", "apps/t.yaml",
			"apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: https://example.com/x\n"), says: remote},
		"a plugin's remote file, inline": {files: kustomization("generators:\n- |\n  {apiVersion: builtin, kind: SecretGenerator, metadata: {name: x}, files: ['k=https://example.com/x']}\n"), says: remote},

		"an exec plugin":                     {files: kustomization("generators:\n- |\n  apiVersion: x/v1\n  kind: Y\n  metadata:\n    name: z\n    annotations: {config.kubernetes.io/function: 'exec: {path: /bin/sh}'}\n"), says: "plugins are programs and are never run"},
		"a plugin from a folder":             {files: kustomization("transformers: [t]\n", "apps/t/kustomization.yaml", "resources: [x.yaml]\n"), says: "transformers[0] names a folder"},
		"a helm chart":                       {files: kustomization("helmCharts: [{name: x}]\n"), says: "helmCharts is refused"},
		"what helm charts share":             {files: kustomization("resources: [cm.yaml]\nhelmGlobals: {chartHome: x}\n"), says: "helmCharts is refused"},
		"an old helm chart":                  {files: kustomization("helmChartInflationGenerator: [{chartName: x}]\n"), says: "refused"},
		"a plugin of a list":                 {files: kustomization("transformers:\n- |\n  {apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, items: [{apiVersion: x/v1, kind: Y}]}\n"), says: "of a kind that is refused"},
		"a helm plugin":                      {files: kustomization("generators:\n- |\n  {apiVersion: builtin, kind: HelmChartInflationGenerator, metadata: {name: x}, name: y}\n"), says: "of a kind that is refused"},
		"openapi":                            {files: kustomization("resources: [cm.yaml]\nopenapi: {path: cm.yaml}\n"), says: "openapi is refused"},
		"crds":                               {files: kustomization("resources: [cm.yaml]\ncrds: [cm.yaml]\n"), says: "crds is refused"},
		"a copying patch":                    {files: kustomization("resources: [cm.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |\n    [{\"op\":\"copy\",\"from\":\"/data\",\"path\":\"/data/x\"}]\n"), says: "operation copy"},
		"a copying patch as it was written":  {files: kustomization("resources: [cm.yaml]\npatchesJson6902:\n- target: {version: v1, kind: ConfigMap, name: settings}\n  patch: '[{\"op\":\"copy\",\"from\":\"/data\",\"path\":\"/data/x\"}]'\n"), says: "patchesJson6902[0] uses the JSON patch operation copy"},
		"a patch outside, as it was written": {files: kustomization("resources: [cm.yaml]\npatchesJson6902:\n- target: {version: v1, kind: ConfigMap, name: settings}\n  path: ../../p\n"), says: "patchesJson6902[0].path leads out"},
		"a patch of another's key":           {files: kustomization("resources: [cm.yaml]\npatches: [{path: p.yaml}]\n", "apps/p.yaml", strangers), says: "decrypt apps/p.yaml (SOPS): no usable key", kind: build.ErrDecryption},
		"an env file of another's key":       {files: kustomization("secretGenerator:\n- {name: g, envs: [x.env]}\n", "apps/x.env", stranger.seal(t, sopsfile.Dotenv, "A="+canary+"\n")), says: "decrypt apps/x.env (SOPS): no usable key", kind: build.ErrDecryption},
		"a generator of another's key":       {files: kustomization("generators: [g.yaml]\n", "apps/g.yaml", strangers), says: "decrypt apps/g.yaml (SOPS): no usable key", kind: build.ErrDecryption},
		"a copying patch in a file":          {files: kustomization("resources: [cm.yaml]\npatches:\n- target: {kind: ConfigMap}\n  path: p.yaml\n", "apps/p.yaml", "- op: copy\n  from: /data\n  path: /data/x\n"), says: "operation copy"},
		"a patch that unfolds":               {files: kustomization("resources: [cm.yaml]\npatches:\n- target: {kind: ConfigMap}\n  path: p.yaml\n", "apps/p.yaml", long), says: "patches[0].path is YAML whose aliases expand to more than is allowed; write out what they name"},
		"one that is a second text":          {files: kustomization("resources: [cm.yaml]\npatches:\n- target: {kind: ConfigMap}\n  path: p.yaml\n", "apps/p.yaml", long+"...\n- x\n"), says: "patches[0].path is not valid YAML"},
		"a plugin's that unfolds":            {files: kustomization("resources: [cm.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: PatchJson6902Transformer, metadata: {name: x}, target: {kind: ConfigMap, name: settings}, path: p.yaml}\n", "apps/p.yaml", long), says: "transformers[0].path is YAML whose aliases expand"},
		"files of a plugin that unfold and are no YAML there": {files: kustomization("generators:\n- |\n  {apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: x}, files: [p.txt], path: ../../p}\n", "apps/p.txt", long), says: "path leads out"},
		"a copying patch of a plugin":                         {files: kustomization("resources: [cm.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: PatchJson6902Transformer, metadata: {name: x}, target: {kind: ConfigMap, name: settings}, jsonOp: '[{\"op\":\"copy\"}]'}\n"), says: "operation copy"},
		"a path deep in a plugin":                             {files: kustomization("resources: [cm.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: ReplacementTransformer, metadata: {name: x}, replacements: [{path: ../../../etc/passwd}]}\n"), says: "transformers[0].path leads out"},
		"a plugin's file outside, with a key":                 {files: kustomization("generators:\n- |\n  {apiVersion: builtin, kind: SecretGenerator, metadata: {name: x}, files: ['k=../../etc/passwd']}\n"), says: "generators[0].files leads out"},
		"a plugin's patch of another's key":                   {files: kustomization("resources: [cm.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, path: p.yaml}\n", "apps/p.yaml", strangers), says: "decrypt apps/p.yaml (SOPS): no usable key", kind: build.ErrDecryption},
		"a copying patch among a plugin's files":              {files: kustomization("generators:\n- |\n  {apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: x}, files: [p.json]}\n", "apps/p.json", "[{\"op\":\"copy\"}]"), says: "operation copy, which is refused"},
		"an unfolding resource":                               {files: kustomization("resources: [b.yaml]\n", "apps/b.yaml", bomb), says: "apps/b.yaml: document 1"},
		"an unfolding kustomization":                          {files: kustomization(bomb), says: "apps/kustomization.yaml: document 1"},
		"an anchor in itself":                                 {files: kustomization("resources: [b.yaml]\n", "apps/b.yaml", "apiVersion: v1\nkind: X\nmetadata: {name: a}\na: &a [*a]\n"), says: "apps/b.yaml: document 1"},
		"an unknown field":                                    {files: kustomization("resource: [cm.yaml]\n"), says: "apps/kustomization.yaml is not a kustomization: it has the unknown field resource"},
		"a wrong type":                                        {files: kustomization("resources: " + canary + "\n"), says: "a field has a value of the wrong type"},
		"a cycle":                                             {files: kustomization("resources: [../base]\n", "base/kustomization.yaml", "resources: [../apps]\n"), says: "its bases lead back to it"},
		"two kustomizations":                                  {files: kustomization("resources: [cm.yaml]\n", "apps/kustomization.yml", "resources: [cm.yaml]\n"), says: "several kustomization files"},
		"two of a name":                                       {files: kustomization("resources: [cm.yaml, cm2.yaml]\n", "apps/cm2.yaml", configMap), says: "two resources have the same id"},
		"no target":                                           {files: kustomization("resources: [cm.yaml]\npatches:\n- path: p.yaml\n", "apps/p.yaml", strings.ReplaceAll(secret, "payment", "nobody")), says: "no resource Secret.v1.[noGrp]/nobody"},
		"a broken generator":                                  {files: kustomization("secretGenerator:\n- {name: g, literals: ['" + canary + "']}\n"), says: "run kustomize build there to see why"},
		"an empty one":                                        {files: kustomization("# nothing\n"), says: "apps/kustomization.yaml is empty"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.opts.Path == "" {
				c.opts.Path = "apps"
			}
			if c.opts.Decryptors == nil && !c.unopen {
				c.opts.Decryptors = k.options
			}
			r, err := build.Build(t.Context(), newTree(c.files), c.opts)
			if r != nil || !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want it to say %q", err, c.says)
			}
			if c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("%v is not %v", err, c.kind)
			}
			if says := strings.Contains(c.says, "no usable key"); says != errors.Is(err, decrypt.ErrNoKey) {
				t.Errorf("%v lacks a key: %v", err, !says)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error quotes: %v", err)
			}
		})
	}
}

// A listener that fails the test when anybody comes, and a git that leaves a mark when it is run.
func TestNothingRemoteIsTouchedBeforeItIsRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	came := make(chan struct{}, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_ = conn.Close()
			came <- struct{}{}
		}
	}()
	bin, mark := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\ntouch "+mark+"\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	host := listener.Addr().String()
	for _, text := range []string{
		"resources: ['http://" + host + "/x.yaml']", "resources: ['https://" + host + "/org/repo?ref=x']",
		"resources: ['ssh://git@" + host + "/org/repo']", "resources: ['git@" + host + ":org/repo.git']",
		"components: ['http://" + host + "/org/repo']", "patches: [{path: 'http://" + host + "/x'}]",
		"secretGenerator: [{name: x, files: ['http://" + host + "/x']}]", "openapi: {path: 'http://" + host + "/x'}",
		"generators: ['http://" + host + "/x']", "configurations: ['http://" + host + "/x']", "crds: ['http://" + host + "/x']",
		"resources: ['file:///tmp/x']", "resources: [github.com/org/repo]",
	} {
		if _, err := build.Build(t.Context(), newTree(map[string]string{"kustomization.yaml": text + "\n"}), build.Options{}); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	select {
	case <-came:
		t.Error("somebody connected")
	default:
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("git was run")
	}
}

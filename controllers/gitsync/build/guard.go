package build

import (
	"bytes"
	"encoding/json"
	"errors"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/internal/aliases"
	"github.com/sealbridge/sealbridge/internal/manifest"
)

// checked reads a kustomization file, refuses what a build must not do, and returns the file as it was understood: what
// was checked is what kustomize gets.
func (t *treeFS) checked(f *file) ([]byte, error) {
	if f.sealed != nil { // messages name what stands in it
		return nil, invalid("%s is encrypted; a kustomization is never decrypted: encrypt the files that it names", show(f.name))
	}
	if err := checkYAML(f.name, f.data); err != nil {
		return nil, err
	}
	var k types.Kustomization
	if err := k.Unmarshal(f.data); err != nil {
		return nil, invalid("%s is not a kustomization: %s", show(f.name), unknownField(err))
	}
	if k.CheckEmpty() != nil {
		return nil, invalid("%s is empty", show(f.name))
	}
	g := guard{fs: t, file: f.name, dir: path.Dir(f.name)}
	g.kustomization(&k)
	if g.err != nil {
		return nil, g.err
	}
	if path.Dir(f.name) == t.root && !slices.Contains(k.BuildMetadata, types.OriginAnnotations) {
		k.BuildMetadata = append(k.BuildMetadata, types.OriginAnnotations)
	}
	return yaml.Marshal(k)
}

var fieldName = regexp.MustCompile(`unknown field "([A-Za-z0-9_.-]{1,64})"`)

func unknownField(err error) string {
	if m := fieldName.FindStringSubmatch(err.Error()); m != nil {
		return "it has the unknown field " + m[1]
	}
	return "a field has a value of the wrong type"
}

// guard checks one kustomization file and what it names directly.
type guard struct {
	fs   *treeFS
	file string
	dir  string
	err  error
}

func (g *guard) refuse(field, problem string) {
	g.keep(invalid("%s: %s %s", show(g.file), field, problem))
}

// keep keeps the first error.
func (g *guard) keep(err error) {
	if g.err == nil {
		g.err = err
	}
}

func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func (g *guard) kustomization(k *types.Kustomization) {
	const helm = "is refused: charts are not inflated inside of a kustomization; render the chart and commit the result"
	switch {
	case len(k.HelmCharts) > 0 || k.HelmGlobals != nil:
		g.refuse("helmCharts", helm)
	case len(k.HelmChartInflationGenerator) > 0:
		g.refuse("helmChartInflationGenerator", helm)
	case len(k.OpenAPI) > 0:
		g.refuse("openapi", "is refused: kustomize keeps it for the whole process, where it would change what others build")
	case len(k.Crds) > 0:
		g.refuse("crds", "is refused: a schema that refers to itself ends the process; use configurations with nameReference")
	}
	g.paths("resources", k.Resources)
	g.paths("bases", k.Bases) //nolint:staticcheck // deprecated by kustomize, and still what people have
	g.paths("components", k.Components)
	g.paths("configurations", k.Configurations)
	for i, p := range k.PatchesStrategicMerge { //nolint:staticcheck // deprecated by kustomize, and still what people have
		g.patch(at("patchesStrategicMerge", i), string(p), "", true)
	}
	for i, p := range k.PatchesJson6902 { //nolint:staticcheck // deprecated by kustomize, and still what people have
		g.patch(at("patchesJson6902", i), p.Patch, p.Path, false)
	}
	for i, p := range k.Patches {
		g.patch(at("patches", i), p.Patch, p.Path, false)
	}
	for i, r := range k.Replacements {
		if r.Path != "" {
			g.path(at("replacements", i)+".path", r.Path)
		}
	}
	for i, c := range k.ConfigMapGenerator {
		g.sources(at("configMapGenerator", i), c.KvPairSources)
	}
	for i, s := range k.SecretGenerator {
		g.sources(at("secretGenerator", i), s.KvPairSources)
	}
	g.plugins("generators", k.Generators)
	g.plugins("transformers", k.Transformers)
	g.plugins("validators", k.Validators)
}

// path checks that a field names something in the tree, and returns its name there.
func (g *guard) path(field, p string) (name string, ok bool) {
	name, problem := localPath(g.dir, p)
	if problem != "" {
		g.refuse(field, problem)
		return "", false
	}
	exists, err := g.fs.reader.exists(name)
	switch {
	case err != nil:
		g.keep(invalid("%s: %s: %w", show(g.file), field, err))
		return "", false
	case !exists:
		g.refuse(field, "names "+show(name)+", which does not exist in the repository")
		return "", false
	}
	return name, true
}

func (g *guard) paths(field string, paths []string) {
	for i, p := range paths {
		g.path(at(field, i), p)
	}
}

// sources checks the files of a generator.
func (g *guard) sources(field string, s types.KvPairSources) {
	for i, source := range s.FileSources {
		p := source
		if _, after, found := strings.Cut(source, "="); found {
			p = after
		}
		g.asData(at(field+".files", i), p)
	}
	for i, p := range s.EnvSources {
		g.env(at(field+".envs", i), p)
	}
	if s.EnvSource != "" {
		g.env(field+".env", s.EnvSource)
	}
}

// env checks a file whose lines become keys and values. Keys are named in messages, so they have to stand in Git: in
// any other encrypted file than a .env the start of a value can become one.
func (g *guard) env(field, p string) {
	name, ok := g.path(field, p)
	if !ok || g.fs.reader.isFolder(name) {
		return
	}
	g.fs.data[name] = true
	f, err := g.fs.reader.read(name)
	if err != nil {
		g.keep(err)
		return
	}
	g.envKeys(field, f)
}

func (g *guard) envKeys(field string, f *file) {
	if f.sealed != nil && path.Ext(f.name) != ".env" {
		g.refuse(field, "names "+show(f.name)+", whose keys are encrypted too; name it .env and encrypt it again, as dotenv")
	}
}

func (g *guard) asData(field, p string) {
	if name, ok := g.path(field, p); ok {
		g.fs.data[name] = true
	}
}

// patch checks a patch that stands in the kustomization itself, or in the file that it names.
func (g *guard) patch(field, inline, p string, either bool) {
	if either && !strings.Contains(inline, "\n") && !strings.HasPrefix(strings.TrimSpace(inline), "{") {
		inline, p = "", inline
	}
	if inline != "" {
		g.patchText(field, []byte(inline))
	}
	if p == "" {
		return
	}
	name, ok := g.path(field+".path", p)
	if !ok || g.fs.reader.isFolder(name) {
		return
	}
	f, err := g.fs.reader.read(name)
	if err != nil {
		g.keep(err)
		return
	}
	g.patchText(field+".path", f.data)
}

func (g *guard) patchText(field string, text []byte) {
	if err := checkYAML("", text); errors.Is(err, manifest.ErrTooLarge) {
		g.refuse(field, "is YAML whose aliases expand to more than is allowed; write out what they name")
		return
	} else if err != nil {
		g.refuse(field, "is not valid YAML")
		return
	}
	if copies(text) {
		g.refuse(field, "uses the JSON patch operation copy, which is refused because a few of them can fill the memory; use replacements")
	}
}

// copies says whether a JSON patch (RFC 6902) copies: each copy can double the object, and nothing bounds it.
func copies(text []byte) bool {
	data := bytes.TrimSpace(text)
	if len(data) > 0 && data[0] != '[' {
		if !aliases.Fit(data, maxUnfolded) {
			return false // it is refused where kustomize reads it as YAML
		}
		var err error
		if data, err = yaml.YAMLToJSON(data); err != nil {
			return false
		}
	}
	var operations []struct {
		Op string `json:"op"`
	}
	if json.Unmarshal(data, &operations) != nil {
		return false
	}
	for _, o := range operations {
		if strings.EqualFold(o.Op, "copy") {
			return true
		}
	}
	return false
}

// plugins checks generators, transformers and validators: kustomize's built-in ones, given in the kustomization or in a
// file. One that comes out of another kustomization could be changed after it was checked.
func (g *guard) plugins(field string, entries []string) {
	for i, entry := range entries {
		where := at(field, i)
		text := []byte(entry)
		if !strings.Contains(entry, "\n") && !strings.HasPrefix(strings.TrimSpace(entry), "{") {
			name, ok := g.path(where, entry)
			if !ok {
				return
			}
			if g.fs.reader.isFolder(name) {
				g.refuse(where, "names a folder; name the file of the plugin's configuration")
				return
			}
			f, err := g.fs.reader.read(name)
			if err != nil {
				g.keep(err)
				return
			}
			text = f.data
		}
		documents, err := manifest.Read(bytes.NewReader(text), manifest.Limits{})
		if err != nil {
			g.refuse(where, "is not valid YAML")
			return
		}
		for _, d := range documents {
			g.plugin(where, d.Object)
		}
	}
}

func (g *guard) plugin(field string, config map[string]any) {
	kind, _ := config["kind"].(string)
	switch {
	case config["apiVersion"] != "builtin":
		g.refuse(field, "is a plugin that is not built into kustomize; plugins are programs and are never run")
	case kind == "HelmChartInflationGenerator" || config["items"] != nil:
		g.refuse(field, "is of a kind that is refused")
	}
	g.pluginFields(field, config)
}

// pluginFields checks every field of a plugin's configuration that can name a file, at any depth.
func (g *guard) pluginFields(field string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			text, isText := item.(string)
			switch strings.ToLower(key) {
			case "path", "paths":
				g.pluginPath(field+"."+key, item, patchFile)
			case "file", "files", "targetfilepath":
				g.pluginPath(field+"."+key, item, dataFile)
			case "env", "envs":
				g.pluginPath(field+"."+key, item, envFile)
			case "patch", "patches", "jsonop":
				if isText {
					g.patchText(field+"."+key, []byte(text))
				}
			}
			g.pluginFields(field, item)
		}
	case []any:
		for _, item := range value {
			g.pluginFields(field, item)
		}
	}
}

// use is what kustomize does with the file of a plugin's path: it reads a patch as YAML, and lines of keys and values.
type use int

const (
	dataFile use = iota
	patchFile
	envFile
)

// pluginPath checks a path.
func (g *guard) pluginPath(field string, value any, as use) {
	switch value := value.(type) {
	case string:
		p := value
		if _, after, found := strings.Cut(value, "="); found && as != envFile {
			p = after
		}
		// The same spelling can be the path of a field in an object, which need not exist as a file.
		name, problem := localPath(g.dir, p)
		if problem != "" {
			g.refuse(field, problem)
			return
		}
		if ok, err := g.fs.reader.exists(name); err != nil || !ok || g.fs.reader.isFolder(name) {
			return
		}
		f, err := g.fs.reader.read(name)
		switch {
		case err != nil:
		case as == patchFile:
			g.patchText(field, f.data)
		case as == envFile:
			g.envKeys(field, f)
		case copies(f.data):
			g.refuse(field, "uses the JSON patch operation copy, which is refused")
		}
	case []any:
		for _, item := range value {
			g.pluginPath(field, item, as)
		}
	}
}

// maxUnfolded is how large a list may be once its aliases are copied: as large as a stream of manifests.
const maxUnfolded = 16 << 20

// checkYAML refuses YAML that cannot be read or that unfolds beyond the limits, before kustomize sees it: kustomize
// copies what aliases name without a bound. A list, which a JSON patch is, is not an object and yet fine.
func checkYAML(name string, data []byte) error {
	_, err := manifest.Read(bytes.NewReader(data), manifest.Limits{})
	if err == nil {
		return nil
	}
	if !bytes.Contains(data, []byte("\n---")) && aliases.Fit(data, maxUnfolded) {
		var list []any
		if yaml.Unmarshal(data, &list) == nil && list != nil {
			return nil
		}
	}
	return manifestError(name, err)
}

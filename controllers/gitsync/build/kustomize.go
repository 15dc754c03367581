package build

import (
	"context"
	"errors"
	"path"
	"regexp"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

const originAnnotation = "config.kubernetes.io/origin"

// kustomize adds what the kustomization in a folder makes.
//
// kustomize keeps the OpenAPI schema that it merges by in variables of its process. No kustomization that passes the guard
// changes it, so that builds need no lock between them and the schema is parsed once.
func (b *builder) kustomize(dir string) error {
	dir, err := b.reader.tree.RealPath(dir)
	if err != nil {
		return fileError(dir, err)
	}
	fs := &treeFS{reader: b.reader, root: dir, opened: map[string]*file{}, data: map[string]bool{}}
	resources, err := run(fs, dir)
	switch {
	case b.reader.ctx.Err() != nil:
		return context.Cause(b.reader.ctx)
	case fs.err != nil:
		return fs.err
	case err != nil:
		return invalid("the kustomization in %s cannot be built: %s", show(dir), reason(err, len(fs.opened) > 0))
	}
	sealed := func(value []byte) bool {
		for _, f := range fs.opened {
			if f.sealed(value) {
				return true
			}
		}
		return false
	}
	for _, resource := range resources.Resources() {
		object, err := objectOf(resource)
		if err != nil {
			return invalid("the kustomization in %s makes something that cannot be written as JSON; %s", show(dir), notJSON)
		}
		source := takeOrigin(object, dir)
		if b.reader.files[source] == nil { // a replacement can have put a decrypted value there
			source = path.Join(dir, "kustomization.yaml")
		}
		if err := b.add(object, source, len(fs.opened) > 0, sealed); err != nil {
			return err
		}
	}
	return nil
}

// objectOf returns a resource with the number types of the API machinery; kustomize's own map has those of a YAML library,
// which unstructured objects cannot be copied with.
func objectOf(resource *resource.Resource) (map[string]any, error) {
	text, err := resource.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, &object); err != nil {
		return nil, err
	}
	return object, nil
}

// notJSON is the most frequent cause of what kustomize does not say well.
const notJSON = "put keys such as 1, true and null in quotes, use no .nan or .inf, and see whether kustomize builds the folder by itself"

// run calls kustomize and contains its panics, which the end of the process is where the standard library's logger writes to
// redact.Log.
func run(fs *treeFS, dir string) (resources resmap.ResMap, err error) {
	defer func() {
		if recover() != nil {
			// What it panicked with can hold values.
			resources, err = nil, errPanicked
		}
	}()
	options := krusty.MakeDefaultOptions()
	// The file system is the jail, and it is the whole repository: bases beside the folder are usual.
	options.LoadRestrictions = types.LoadRestrictionsNone
	options.PluginConfig = types.DisabledPluginConfig()
	return krusty.MakeKustomizer(options).Run(fs, path.Join(mount, dir))
}

var errPanicked = errors.New("kustomize panicked")

// takeOrigin removes the annotation by which kustomize says where a resource comes from, and returns that file's name.
func takeOrigin(object map[string]any, dir string) string {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	text, _ := annotations[originAnnotation].(string)
	delete(annotations, originAnnotation)
	if annotations != nil && len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	var origin struct{ Path, ConfiguredIn string }
	if yaml.Unmarshal([]byte(text), &origin) != nil || origin.Path+origin.ConfiguredIn == "" {
		return path.Join(dir, "kustomization.yaml")
	}
	if origin.Path == "" {
		origin.Path = origin.ConfiguredIn
	}
	return path.Join(dir, origin.Path)
}

// reasons are what kustomize can say against a kustomization. Its own texts quote whole resources and generators, so that
// of them nothing is shown but the id of a resource, and that only where no decrypted value can be in it: replacements make
// names of values, and texts that read like one of these.
//
//nolint:gochecknoglobals // a constant table
var reasons = []struct {
	pattern *regexp.Regexp
	text    string
	named   string // what is added where the id may be shown, as $1
}{
	{regexp.MustCompile(`kustomize panicked`), "kustomize failed on it; " + notJSON, ""},
	{regexp.MustCompile(`may not add resource with an already registered id: ([\w./~\[\]-]+)`), "two resources have the same id", ", $1"},
	{regexp.MustCompile(`no matches for Id ([\w./~\[\]-]+)`), "a patch has no target", "; there is no resource $1"},
	{regexp.MustCompile(`multiple matches for Id ([\w./~\[\]-]+)`), "a patch has several targets", ", $1"},
	{regexp.MustCompile(`cycle detected`), "its bases lead back to it", ""},
	{regexp.MustCompile(`[Mm]issing metadata.name in object`), "a resource has no metadata.name", ""},
	{regexp.MustCompile(`(missing|unable to find) (Resource )?metadata`), "a resource has no metadata", ""},
	{regexp.MustCompile(`Found multiple kustomization files`), "a folder has several kustomization files", ""},
	{regexp.MustCompile(`unable to find one of 'kustomization.yaml'`), "it names a folder without a kustomization file", ""},
	{regexp.MustCompile(`kustomization.yaml is empty`), "a kustomization file is empty", ""},
	{regexp.MustCompile(`invalid Kustomization`), "a kustomization file has a field of the wrong type", ""},
	{regexp.MustCompile(`(apiVersion|kind) (for \w+ )?should be`), "a kustomization file has the wrong apiVersion or kind", ""},
	{regexp.MustCompile(`expected kind (!= )?'Component'`), "a component is named under resources, or something else under components", ""},
	{regexp.MustCompile(`behavior must be merge or replace`), "two generators make the same name; set behavior to merge or replace", ""},
	{regexp.MustCompile(`unable to find target|does not match any|no target`), "a patch or replacement has no target", ""},
	{regexp.MustCompile(`MalformedYAMLError|yaml: `), "a file is not valid YAML", ""},
}

// maxID is how much is shown of the id of a resource. Expressions that count so far would take half a megabyte.
const maxID = 300

// reason says why kustomize refused a kustomization. decrypted says that it had files which were encrypted.
func reason(err error, decrypted bool) string {
	text := err.Error()
	for _, r := range reasons {
		m := r.pattern.FindStringSubmatch(text)
		switch {
		case m == nil:
			continue
		case len(m) == 1:
			return r.text
		case decrypted:
			return r.text + "; run kustomize build there to see which: it is not named, because what is decrypted can be in its name"
		default:
			return r.text + strings.ReplaceAll(r.named, "$1", m[1][:min(len(m[1]), maxID)])
		}
	}
	return "run kustomize build there to see why; its own text is not shown, because it can quote values"
}

package sealing

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/manifest"
)

// Merge seals a Secret's values into a SealedSecret that exists and returns the whole manifest. The values are sealed for
// the name, namespace and scope of that SealedSecret, because they would not open under others. What is not replaced
// stays as it is; in YAML so do comments and order. format "" keeps the format of the file.
func Merge(existing []byte, s Secret, o Options, format Format) ([]byte, error) {
	documents, err := manifest.Read(bytes.NewReader(existing), manifest.Limits{})
	if err != nil {
		return nil, inputError(err)
	}
	if len(documents) != 1 {
		return nil, problem("give a file with one SealedSecret", "expected one SealedSecret to merge into, found %d documents", len(documents))
	}
	target := newObject(documents[0])
	requireSealedSecret(target, documents[0])
	meta := target.metadata("metadata")
	if target.err != nil {
		return nil, target.err
	}
	scope := seal.ScopeOf(meta.Annotations)
	if o.Scope != "" && o.Scope != scope {
		return nil, problem("leave --scope out, or seal the Secret anew", "the SealedSecret has the scope %s, but %s was asked for", scope, o.Scope)
	}
	o.Scope, o.Name = scope, meta.Name
	if meta.Namespace != "" {
		s.Metadata.Namespace = meta.Namespace
	}
	update, err := Seal(s, o)
	if err != nil {
		return nil, err
	}
	changes := changesOf(update)
	before := formatOf(existing)
	if before == YAML && (format == "" || format == YAML) {
		return mergeYAML(existing, changes)
	}
	if format == "" {
		format = before
	}
	for _, c := range changes {
		fields := documents[0].Object
		for _, name := range c.path {
			child, ok := fields[name].(map[string]any)
			if !ok && fields[name] != nil {
				return nil, problem("", "%s is not a map", dotted(c.path))
			}
			if !ok {
				child = map[string]any{}
				fields[name] = child
			}
			fields = child
		}
		fields[c.key] = c.value
	}
	return Encode(format, documents[0].Object)
}

// change sets one key of a map of strings, which is made when it is not there.
type change struct {
	path       []string
	key, value string
}

func changesOf(update *SealedSecret) []change {
	var out []change
	add := func(values map[string]string, path ...string) {
		for _, key := range sortedKeys(values) {
			out = append(out, change{path, key, values[key]})
		}
	}
	add(update.Spec.EncryptedData, "spec", "encryptedData")
	add(update.Spec.Template.Metadata.Annotations, "spec", "template", "metadata", "annotations")
	add(update.Spec.Template.Metadata.Labels, "spec", "template", "metadata", "labels")
	return out
}

// formatOf says how a manifest is written.
func formatOf(text []byte) Format {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return JSON
	}
	return YAML
}

// mergeYAML makes changes in a YAML text of one document, whose comments and order it keeps.
func mergeYAML(text []byte, changes []change) ([]byte, error) {
	var root yaml.Node
	// The text was read before, so that a failure here has no new cause; the parser's error is not shown.
	if err := yaml.Unmarshal(text, &root); err != nil || len(root.Content) != 1 {
		return nil, problem("", "the SealedSecret to merge into is not valid YAML")
	}
	for _, c := range changes {
		if err := setNode(root.Content[0], c); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("---")) {
		out.WriteString("---\n")
	}
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if err := e.Encode(&root); err != nil {
		return nil, fmt.Errorf("write the merged SealedSecret: %w", err)
	}
	return out.Bytes(), e.Close()
}

func setNode(node *yaml.Node, c change) error {
	for _, name := range c.path {
		node = child(node, name)
		if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
			*node = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", HeadComment: node.HeadComment, LineComment: node.LineComment, FootComment: node.FootComment}
		}
		if node.Kind != yaml.MappingNode {
			return problem("write the map out where it stands", "%s is not a plain map", dotted(c.path))
		}
		if len(node.Content) == 0 {
			node.Style = 0 // {} would put all that is added into one line
		}
	}
	value := child(node, c.key)
	*value = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: c.value, HeadComment: value.HeadComment, LineComment: value.LineComment, FootComment: value.FootComment}
	return nil
}

// child returns the value of a key of a map, which is added as null when it is not there.
func child(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
	return value
}

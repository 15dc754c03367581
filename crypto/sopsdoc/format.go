package sopsdoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Format is one of the file formats of SOPS.
type Format string

// The formats that SOPS has.
const (
	YAML   Format = "yaml"
	JSON   Format = "json"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
	// Binary is anything else: the whole content is one value in a JSON envelope.
	Binary Format = "binary"
)

// FormatOf returns the format that the sops command assumes for a file of this name: by its extension, else Binary.
func FormatOf(name string) Format {
	switch path.Ext(name) {
	case ".yaml", ".yml":
		return YAML
	case ".json":
		return JSON
	case ".env":
		return Dotenv
	case ".ini":
		return INI
	default:
		return Binary
	}
}

// Detect says whether doc carries SOPS metadata. It looks at nothing but the metadata: values that look encrypted, and
// documents that only have a key named "sops", do not count. A document that SOPS wrote and somebody damaged (its mac
// removed, say) is still detected, so that Decrypt can refuse it by name.
func Detect(format Format, doc []byte) bool {
	if !bytes.Contains(doc, []byte("sops")) {
		return false
	}
	switch format {
	case YAML:
		return detectYAML(doc)
	case JSON, Binary:
		return detectJSON(doc)
	case Dotenv:
		return detectDotenv(doc)
	case INI:
		return detectINI(doc)
	default:
		return false
	}
}

// isMetadata says whether a mapping with these keys is what SOPS writes.
func isMetadata(has func(key string) bool) bool {
	for _, key := range []string{
		"mac", "lastmodified", "key_groups", "age", "pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms",
	} {
		if has(key) {
			return true
		}
	}
	return false
}

// detectYAML looks at every document of the stream: SOPS writes its metadata into each, and a file that has it only in
// a later one must not pass as plain.
func detectYAML(doc []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(doc))
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); err != nil {
			return false
		}
		if node.Kind != yaml.DocumentNode || len(node.Content) == 0 {
			continue
		}
		sops := mapValue(node.Content[0], "sops")
		if sops != nil && isMetadata(func(key string) bool { return mapValue(sops, key) != nil }) {
			return true
		}
	}
}

func mapValue(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func detectJSON(doc []byte) bool {
	var top struct {
		SOPS map[string]json.RawMessage `json:"sops"`
	}
	err := json.NewDecoder(bytes.NewReader(doc)).Decode(&top)
	var wrongType *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &wrongType) && !errors.Is(err, io.EOF) {
		return false
	}
	return isMetadata(func(key string) bool { _, ok := top.SOPS[key]; return ok })
}

// detectDotenv knows the flattened metadata: sops_mac, sops_lastmodified, sops_age__list_0__map_recipient.
func detectDotenv(doc []byte) bool {
	keys := map[string]bool{}
	for line := range bytes.Lines(doc) {
		if rest, ok := bytes.CutPrefix(line, []byte("sops_")); ok {
			name, _, _ := strings.Cut(string(rest), "=")
			name, _, _ = strings.Cut(name, "__")
			keys[name] = true
		}
	}
	return isMetadata(func(key string) bool { return keys[key] })
}

// detectINI knows the flattened metadata below the section [sops].
func detectINI(doc []byte) bool {
	inside, keys := false, map[string]bool{}
	for line := range bytes.Lines(doc) {
		text := strings.TrimSpace(string(line))
		if strings.HasPrefix(text, "[") {
			inside = text == "[sops]"
			continue
		}
		if inside {
			name, _, _ := strings.Cut(text, "=")
			name, _, _ = strings.Cut(strings.TrimSpace(name), "__")
			keys[name] = true
		}
	}
	return isMetadata(func(key string) bool { return keys[key] })
}

package sopsdoc

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is what can be seen of a SOPS document without a key.
type Document struct {
	// Line of the metadata, from 1.
	Line int
	// MAC says whether the document has one.
	MAC bool
	// Age are the age recipients.
	Age []string
	// Others says whether there are keys of other kinds: PGP, cloud services, Vault.
	Others bool
	// Values are all that could be encrypted, in their order; empty and null ones cannot.
	Values []Value
}

// Value is one value of a document.
type Value struct {
	// Path holds the names of the fields that lead to it, without the indexes of lists.
	Path []string
	// Line of the file, from 1.
	Line int
	// Encrypted says whether it has the form of an encrypted value.
	Encrypted bool
	// Number says whether it is encrypted, and what is encrypted is a number or a truth value, as its type shows.
	Number bool
	// Meant says whether the document's own rule wants it encrypted.
	Meant bool
}

func newValue(path []string, line int, text string) Value {
	v := Value{Path: path, Line: line, Encrypted: strings.HasPrefix(text, cipherPrefix)}
	_, kind, _ := strings.Cut(text, ",type:")
	switch strings.TrimSuffix(kind, "]") {
	case "int", "float", "bool":
		v.Number = v.Encrypted
	}
	return v
}

// ErrUnreadable says that the text is not of its format. It says nothing of the text.
var ErrUnreadable = errors.New("cannot be read as its format")

const cipherPrefix = "ENC[AES256_GCM,"

// maxValues bounds the work for one document.
const maxValues = 100_000

// Read returns what a document for which Detect is true shows. It returns ErrUnreadable, also for more values than a
// document that SealBridge decrypts may have.
func Read(format Format, doc []byte) (*Document, error) {
	d := &Document{}
	meta := map[string][]string{}
	var err error
	switch format {
	case Dotenv, INI:
		d.readLines(format, doc, meta)
	default:
		err = d.readTree(doc, meta)
	}
	if err != nil || len(d.Values) > maxValues {
		return nil, ErrUnreadable
	}
	d.Line = max(d.Line, 1) // what Detect took for metadata may be a bare name
	d.MAC = strings.Join(meta["mac"], "") != ""
	d.Age = meta["age.recipient"]
	for _, kind := range []string{"pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms"} {
		d.Others = d.Others || len(meta[kind]) > 0
	}
	meant, err := rule(meta)
	if err != nil {
		return nil, err
	}
	for i, v := range d.Values {
		d.Values[i].Meant = meant(v.Path)
	}
	return d, nil
}

// rule returns which values the metadata wants encrypted. Without a rule SOPS leaves out names that end in _unencrypted.
// A rule about comments leaves it open.
func rule(meta map[string][]string) (func(path []string) bool, error) {
	one := func(name string) string { return strings.Join(meta[name], "") }
	if one("encrypted_comment_regex")+one("unencrypted_comment_regex") != "" {
		return func([]string) bool { return false }, nil
	}
	suffix := one("unencrypted_suffix")
	if suffix+one("encrypted_suffix")+one("unencrypted_regex")+one("encrypted_regex") == "" {
		suffix = "_unencrypted"
	}
	some := func(path []string, is func(string) bool) bool {
		for _, name := range path {
			if is(name) {
				return true
			}
		}
		return false
	}
	pattern := one("encrypted_regex") + one("unencrypted_regex")
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return nil, ErrUnreadable
	}
	return func(path []string) bool {
		switch {
		case one("encrypted_regex") != "":
			return some(path, expression.MatchString)
		case one("unencrypted_regex") != "":
			return !some(path, expression.MatchString)
		case one("encrypted_suffix") != "":
			return some(path, func(name string) bool { return strings.HasSuffix(name, one("encrypted_suffix")) })
		default:
			return !some(path, func(name string) bool { return strings.HasSuffix(name, suffix) })
		}
	}, nil
}

func (d *Document) readTree(doc []byte, meta map[string][]string) error {
	decoder := yaml.NewDecoder(bytes.NewReader(doc))
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return ErrUnreadable
		}
		if root.Kind != yaml.DocumentNode || len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
			continue
		}
		top := root.Content[0]
		for i := 0; i+1 < len(top.Content); i += 2 {
			name, value := top.Content[i], top.Content[i+1]
			if name.Value != "sops" {
				d.walk([]string{name.Value}, value)
			} else if d.Line == 0 {
				d.Line = name.Line
				metadata("", value, meta)
			}
		}
	}
}

// walk takes down the values below a node. Aliases are not followed: SOPS writes none.
func (d *Document) walk(path []string, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			d.walk(append(path[:len(path):len(path)], n.Content[i].Value), n.Content[i+1])
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			d.walk(path, item)
		}
	case yaml.ScalarNode:
		if n.Tag != "!!null" && n.Value != "" && len(d.Values) <= maxValues {
			d.Values = append(d.Values, newValue(path, n.Line, n.Value))
		}
	}
}

// metadata takes down the metadata, of key groups too: a field of a list's items under "age.recipient".
func metadata(prefix string, n *yaml.Node, into map[string][]string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if prefix != "" {
				name = prefix + "." + name
			}
			metadata(strings.TrimPrefix(name, "key_groups."), n.Content[i+1], into)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind == yaml.MappingNode && prefix != "key_groups" {
				into[prefix] = append(into[prefix], "x")
			}
			metadata(prefix, item, into)
		}
	case yaml.ScalarNode:
		into[prefix] = append(into[prefix], n.Value)
	}
}

// readLines reads the formats of one value a line, where the metadata is flattened.
func (d *Document) readLines(format Format, doc []byte, meta map[string][]string) {
	section, number := "", 0
	for line := range strings.Lines(string(doc)) {
		number++
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "[") && format == INI {
			section = strings.Trim(text, "[]")
			continue
		}
		name, value, ok := strings.Cut(text, "=")
		if !ok || strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") {
			continue
		}
		name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
		own, isMeta := strings.CutPrefix(name, "sops_")
		if format == INI {
			own, isMeta = name, section == "sops"
		}
		switch {
		case isMeta:
			if d.Line == 0 {
				d.Line = number
			}
			flat(own, value, meta)
		case value != "" && len(d.Values) <= maxValues:
			path := []string{name}
			if format == INI {
				path = []string{section, name}
			}
			d.Values = append(d.Values, newValue(path, number, value))
		}
	}
}

var steps = regexp.MustCompile(`__list_[0-9]+__map_|__list_[0-9]+|__map_`)

// flat takes down one line of flattened metadata: age__list_0__map_recipient.
func flat(name, value string, into map[string][]string) {
	parts := strings.FieldsFunc(steps.ReplaceAllString(name, "\x00"), func(r rune) bool { return r == 0 })
	if len(parts) > 1 && parts[0] == "key_groups" {
		parts = parts[1:]
	}
	if len(parts) > 1 {
		into[parts[0]] = append(into[parts[0]], "x")
	}
	key := strings.Join(parts, ".")
	into[key] = append(into[key], value)
}

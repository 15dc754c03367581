package azure

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// text is a secret, or a key as JSON.
type text struct {
	// name is what messages call it.
	name  string
	whole []byte
	// fields is whether it can be extracted: keys cannot.
	fields bool
}

// Value implements providers.Document. A property is a gjson path, and when there is nothing at it, the name of a field in
// which dots are dots.
func (t text) Value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(t.whole), nil
	}
	part, ok := lookUp(t.whole, path)
	if !ok {
		return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no property %q", t.name, path)
	}
	return providers.NewValue(part), nil
}

func lookUp(doc []byte, path string) ([]byte, bool) {
	part, ok := property.Get(doc, path)
	if !ok && strings.Contains(path, ".") {
		part, ok = property.Get(doc, strings.ReplaceAll(path, ".", `\.`))
	}
	return part, ok
}

// Fields implements providers.Document.
func (t text) Fields(path string) (map[string]providers.Value, error) {
	if !t.fields {
		return nil, providers.Errorf(providers.ErrInvalid, "%s cannot be extracted: read it, or parts of it, with data", t.name)
	}
	return reading.Fields(t, t.name, path)
}

// Size implements providers.Document.
func (t text) Size() int { return len(t.whole) }

// certificate is a certificate in DER. It has no parts: a property has no meaning.
type certificate struct {
	name string
	der  []byte
}

// Value implements providers.Document.
func (c certificate) Value(string) (providers.Value, error) { return providers.NewValue(c.der), nil }

// Fields implements providers.Document.
func (c certificate) Fields(string) (map[string]providers.Value, error) {
	return nil, providers.Errorf(providers.ErrInvalid, "%s cannot be extracted: read it with data", c.name)
}

// Size implements providers.Document.
func (c certificate) Size() int { return len(c.der) }

// metadata is what a vault records about an object: its tags, and its times as if they were tags.
type metadata struct {
	// name is what messages call it, and key what the reference does.
	name, key string
	of        object
	tags      map[string]string
	// missing are the tags without a value.
	missing map[string]bool
	whole   []byte
}

func newMetadata(name, key string, of object, tags map[string]*string, times attributes) metadata {
	m := metadata{name: name, key: key, of: of, tags: map[string]string{}, missing: map[string]bool{}}
	for tag, v := range tags {
		if v == nil {
			m.missing[tag] = true
		} else {
			m.tags[tag] = *v
		}
	}
	for attribute, at := range map[string]*time.Time{"expires": times.expires, "created": times.created, "updated": times.updated, "notBefore": times.notBefore} {
		if at != nil {
			m.tags["attribute."+attribute] = at.UTC().Format(time.RFC3339)
		}
	}
	m.whole, _ = json.Marshal(m.tags) // a map of strings can always be encoded
	return m
}

// Value implements providers.Document. A property is a tag, or a part of the JSON in the tag before its first dot.
func (m metadata) Value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(m.whole), nil
	}
	if v, ok := m.tags[path]; ok {
		return providers.NewValue([]byte(v)), nil
	}
	tag, rest, _ := strings.Cut(path, ".")
	if m.missing[path] || m.missing[tag] && tag != "" && tag != path {
		return providers.NewValue([]byte{}), nil
	}
	if v, ok := m.tags[tag]; ok && tag != "" && tag != path {
		if rest == "" {
			return providers.NewValue([]byte(v)), nil
		}
		if part, ok := lookUp([]byte(v), rest); ok {
			return providers.NewValue(part), nil
		}
	}
	return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no tag %q", m.name, path)
}

// Fields implements providers.Document. Names begin with that of the secret, and a tag that holds a JSON object of texts is one
// field for each of these. A property is one field, named after the key and the property.
func (m metadata) Fields(path string) (map[string]providers.Value, error) {
	if m.of.kind != kindSecret {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: its metadata cannot be extracted: read them with data", m.name)
	}
	if path != "" {
		v, err := m.Value(path)
		if err != nil {
			return nil, err
		}
		return map[string]providers.Value{m.key + "_" + path: v}, nil
	}
	out := map[string]providers.Value{}
	for _, tag := range slices.Sorted(maps.Keys(m.tags)) { // in order: a part of one tag can have the name of another
		name, v := m.of.name+"_"+tag, m.tags[tag]
		var parts map[string]string
		if json.Unmarshal([]byte(v), &parts) != nil {
			out[name] = providers.NewValue([]byte(v))
			continue
		}
		for part, v := range parts {
			out[name+"_"+part] = providers.NewValue([]byte(v))
		}
	}
	return out, nil
}

// Size implements providers.Document.
func (m metadata) Size() int { return providers.SizeOf(m.tags) + len(m.whole) }

// legacyKey is a JSON Web Key with its fields in the order in which External Secrets Operator writes them unless it is asked for
// the current SDK, which sorts them.
type legacyKey struct {
	KeyID      string   `json:"kid,omitempty"`
	Type       string   `json:"kty,omitempty"`
	Operations []string `json:"key_ops,omitempty"`
	N          string   `json:"n,omitempty"`
	E          string   `json:"e,omitempty"`
	D          string   `json:"d,omitempty"`
	DP         string   `json:"dp,omitempty"`
	DQ         string   `json:"dq,omitempty"`
	QI         string   `json:"qi,omitempty"`
	P          string   `json:"p,omitempty"`
	Q          string   `json:"q,omitempty"`
	K          string   `json:"k,omitempty"`
	T          string   `json:"key_hsm,omitempty"`
	Curve      string   `json:"crv,omitempty"`
	X          string   `json:"x,omitempty"`
	Y          string   `json:"y,omitempty"`
}

// webKey returns a key as JSON.
func webKey(k *azkeys.JSONWebKey, sorted bool) ([]byte, error) {
	if sorted {
		return json.Marshal(k)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	l := legacyKey{
		N: b64(k.N), E: b64(k.E), D: b64(k.D), DP: b64(k.DP), DQ: b64(k.DQ), QI: b64(k.QI), P: b64(k.P), Q: b64(k.Q), K: b64(k.K),
		T: b64(k.T), X: b64(k.X), Y: b64(k.Y), KeyID: plainText(k.KID), Type: plainText(k.Kty), Curve: plainText(k.Crv),
	}
	for _, op := range k.KeyOps {
		l.Operations = append(l.Operations, plainText(op))
	}
	return json.Marshal(l)
}

func plainText[T ~string](v *T) string {
	if v == nil {
		return ""
	}
	return string(*v)
}

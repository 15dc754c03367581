package aws

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// document is the content of a secret or parameter, or its tags as JSON.
type document struct {
	// name is what messages call it.
	name    string
	content []byte
}

// newTags makes a document of tags: a JSON object.
func newTags(name string, tags map[string]string) (document, error) {
	content, err := json.Marshal(tags)
	if err != nil {
		return document{}, fmt.Errorf("encode tags: %w", err)
	}
	return document{name: name, content: content}, nil
}

// Value implements providers.Document. A field whose name has dots comes before the path that it could also be.
func (d document) Value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(d.content), nil
	}
	if strings.Contains(path, ".") {
		if part, ok := property.Get(d.content, strings.ReplaceAll(path, ".", `\.`)); ok {
			return providers.NewValue(part), nil
		}
	}
	part, ok := property.Get(d.content, path)
	if !ok {
		return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no property %q", d.name, path)
	}
	return providers.NewValue(part), nil
}

// Fields implements providers.Document.
func (d document) Fields(path string) (map[string]providers.Value, error) {
	return reading.Fields(d, d.name, path)
}

// Size implements providers.Document.
func (d document) Size() int { return len(d.content) }

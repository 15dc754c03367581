package reading

import (
	"fmt"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// Fields returns the fields of the JSON object that a document is, or its part at a property, for documents whose fields are as
// they were written (Document.Fields). The name is what messages call the document.
func Fields(doc providers.Document, name, path string) (map[string]providers.Value, error) {
	part, err := doc.Value(path)
	if err != nil {
		return nil, err
	}
	raw, ok := property.RawFields(part.Bytes())
	if !ok {
		at := ""
		if path != "" {
			at = fmt.Sprintf(" at property %q", path)
		}
		return nil, providers.Errorf(providers.ErrInvalid, "%s has no fields to extract%s: it is not a JSON object", name, at)
	}
	fields := make(map[string]providers.Value, len(raw))
	for field, value := range raw {
		fields[field] = providers.NewValue(value)
	}
	return fields, nil
}

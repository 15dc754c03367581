// Package aliases bounds what the aliases of a YAML text make of it. The parser shares what an alias names; JSON, to which
// sigs.k8s.io/yaml converts on its way, holds a copy of it in each place, and so a kilobyte can name a gigabyte. It also tells about how
// many values a text has, each of which takes a hundred times the memory of the two bytes that it can be written in.
package aliases

import (
	"bytes"

	"go.yaml.in/yaml/v2"
)

// Fit reports whether the first document of a text, as sigs.k8s.io/yaml reads it, stays within most bytes once what its aliases
// name is copied, as JSON, to where they name it. Of a text that cannot be read it reports true: whoever reads it refuses it.
func Fit(text []byte, most int) bool {
	var value any
	if !bytes.Contains(text, []byte("*")) || yaml.Unmarshal(text, &value) != nil {
		return true
	}
	return rest(value, most) >= 0
}

// MaxNodes is how many values a document of a tenant may have: some tens of megabytes.
const MaxNodes = 1 << 17

// Nodes returns about how many values a text has, and rather more than it has: what begins or separates them is counted, also where it
// is in a text.
func Nodes(text []byte) int {
	n := 1
	for _, begins := range []string{"\n", "[", "{", ",", ":", "- ", "? "} {
		n += bytes.Count(text, []byte(begins))
	}
	return n
}

// rest returns what a value leaves of what is left. It looks at no more of the value than uses that up.
func rest(value any, left int) int {
	if left < 0 {
		return left
	}
	left--
	switch v := value.(type) {
	case string:
		left -= inJSON(v)
	case []any:
		for _, element := range v {
			left = rest(element, left)
		}
	case map[any]any:
		for key, element := range v {
			left = rest(element, rest(key, left))
		}
	}
	return left
}

// inJSON returns about how many bytes a text takes as JSON, which has six for a character of HTML, and for a control character that ends
// no line.
func inJSON(text string) int {
	size := len(text)
	for i := range len(text) {
		if c := text[i]; c == '<' || c == '>' || c == '&' || c < ' ' && c != '\n' && c != '\t' && c != '\r' {
			size += len(`\u0000`) - 1
		}
	}
	return size
}

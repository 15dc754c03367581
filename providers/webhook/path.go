package webhook

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"
)

// The bounds of a path, whose text may come from whoever uses the store. What the walk below does is counted; filters are
// evaluated by the library, which nobody can stop, so they may not multiply what they look at.
const (
	maxPath     = 4096
	maxSteps    = 2_000_000
	maxDescents = 2
	maxUnions   = 8
	maxFilters  = 3
)

var (
	errNothing = errors.New("finds nothing")
	errPath    = errors.New("makes no JSONPath as in RFC 9535")
	errComplex = errors.New("makes a JSONPath that is too complex")
)

// follow returns what a JSONPath selects in a decoded JSON value: the value for a path that can only lead to one, else the
// list of all, in the order of arrays and of the sorted names of objects, so that the same answer gives the same result.
// It fails with errNothing, errPath or errComplex.
func follow(path string, root any) (any, error) {
	if path = rooted(path); tooComplex(path) {
		return nil, errComplex
	}
	parsed, err := jsonpath.Parse(path)
	if err != nil {
		return nil, errPath // the parser's own error quotes the path, which may come from a Secret
	}
	w := walk{root: root}
	if w.instructions, err = expressions(parsed.String()); err != nil {
		return nil, err
	}
	nodes := []any{root}
	for _, segment := range parsed.Query().Segments() {
		if nodes, err = w.segment(nodes, segment); err != nil {
			return nil, err
		}
	}
	if parsed.Query().Singular() == nil {
		return nodes, nil
	}
	if len(nodes) == 0 {
		return nil, errNothing
	}
	return nodes[0], nil
}

// rooted puts the root before a path that begins with a name ("data.password"), which External Secrets Operator follows as well.
func rooted(path string) string {
	first, _ := utf8.DecodeRuneInString(path)
	if first == '_' || unicode.IsLetter(first) {
		return "$." + path
	}
	return path
}

// tooComplex counts in the text what multiplies the work of filters.
func tooComplex(path string) bool {
	var quote rune
	var roots, descents, unions, filters int
	var last rune
	escaped := false
	for _, c := range path {
		switch {
		case escaped:
			escaped = false
		case quote != 0:
			escaped = c == '\\'
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '$':
			roots++
		case c == ',':
			unions++
		case c == '?':
			filters++
		case c == '.' && last == '.':
			descents++
		}
		last = c
	}
	return len(path) > maxPath || roots > 1 || descents > maxDescents || unions > maxUnions || filters > maxFilters
}

// walk follows the segments of a path and counts what it looks at.
type walk struct {
	root  any
	steps int
	// instructions are those of the regular expressions in filters.
	instructions int
}

func (w *walk) segment(nodes []any, segment *spec.Segment) ([]any, error) {
	selectors := slices.Clone(segment.Selectors())
	for i, selector := range selectors {
		if filter, ok := selector.(*spec.FilterSelector); ok {
			selectors[i] = strict(filter)
		}
	}
	var out []any
	for _, node := range nodes {
		var err error
		if segment.IsDescendant() {
			out, err = w.descend(out, node, selectors)
		} else {
			before := len(out)
			if out, err = w.children(out, node, selectors); len(out) == before && len(selectors) == 1 {
				out = append(out, otherwise(node, selectors[0])...)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// otherwise returns the element of an object that is named by an index, or that of an array whose index is a name in quotes,
// which External Secrets Operator selects as well.
func otherwise(node any, selector spec.Selector) []any {
	switch s := selector.(type) {
	case spec.Index:
		if object, ok := node.(map[string]any); ok {
			if value, ok := object[strconv.Itoa(int(s))]; ok {
				return []any{value}
			}
		}
	case spec.Name:
		if list, ok := node.([]any); ok {
			if i, err := strconv.Atoi(string(s)); err == nil && i >= 0 && i < len(list) {
				return []any{list[i]}
			}
		}
	}
	return nil
}

// descend appends what the selectors find in the node and in all below it.
func (w *walk) descend(out []any, node any, selectors []spec.Selector) ([]any, error) {
	out, err := w.children(out, node, selectors)
	if err != nil {
		return nil, err
	}
	for _, child := range below(node) {
		if out, err = w.descend(out, child, selectors); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// children appends what the selectors find in the node.
func (w *walk) children(out []any, node any, selectors []spec.Selector) ([]any, error) {
	for _, selector := range selectors {
		before := len(out)
		switch s := selector.(type) {
		case spec.WildcardSelector:
			out = append(out, below(node)...)
		case *spec.FilterSelector:
			for _, child := range below(node) {
				if w.steps++; w.instructions > 0 {
					if err := w.searched(child); err != nil {
						return nil, err
					}
				}
				if s.Eval(child, w.root) {
					out = append(out, child)
				}
			}
		default:
			out = append(out, selector.Select(node, w.root)...)
		}
		if w.steps += 1 + len(out) - before; w.steps > maxSteps {
			return nil, errComplex
		}
	}
	return out, nil
}

// below returns the elements of an array, or the values of an object in the order of their names.
func below(node any) []any {
	switch n := node.(type) {
	case []any:
		return n
	case map[string]any:
		out := make([]any, 0, len(n))
		for _, name := range slices.Sorted(maps.Keys(n)) {
			out = append(out, n[name])
		}
		return out
	default:
		return nil
	}
}

// pathProblem says what is wrong with the text of a path that holds no template; empty when nothing is.
func pathProblem(path string) string {
	if path = strings.TrimSpace(path); path == "" || strings.Contains(path, "{{") {
		return ""
	}
	if _, err := follow(path, nil); errors.Is(err, errPath) || errors.Is(err, errComplex) {
		return err.Error()
	}
	return ""
}

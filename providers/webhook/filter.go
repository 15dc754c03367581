package webhook

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"

	"github.com/sealbridge/sealbridge/internal/expression"
)

// strict returns a filter that passes over elements without a field that it compares, when f is one comparison by == or !=.
// So does External Secrets Operator, which knows no other filters; by RFC 9535 a field that is not there differs from every
// value, and is like any other that is not there.
func strict(f *spec.FilterSelector) *spec.FilterSelector {
	comparison := onlyComparison(f.LogicalOr)
	if comparison == nil {
		return f
	}
	all := spec.And()
	for _, side := range comparedFields(comparison.String()) {
		// What the library has written it can read again.
		if parsed, err := jsonpath.Parse("$[?" + side + "]"); err == nil {
			if exists, ok := parsed.Query().Segments()[0].Selectors()[0].(*spec.FilterSelector); ok && len(exists.LogicalOr) == 1 {
				all = append(all, exists.LogicalOr[0]...)
			}
		}
	}
	return spec.Filter(append(all, comparison))
}

// onlyComparison returns the comparison that is all of an expression, in parentheses or not, else nil.
func onlyComparison(or spec.LogicalOr) *spec.CompExpr {
	if len(or) != 1 || len(or[0]) != 1 {
		return nil
	}
	switch e := or[0][0].(type) {
	case *spec.CompExpr:
		return e
	case *spec.ParenExpr:
		return onlyComparison(e.LogicalOr)
	default:
		return nil
	}
}

// comparedFields returns the sides of a comparison by == or != that are fields of the element.
func comparedFields(comparison string) []string {
	var fields []string
	quoted := false
	for i := 0; i < len(comparison); i++ {
		switch rest := comparison[i:]; {
		case comparison[i] == '"':
			quoted = !quoted
		case quoted && comparison[i] == '\\':
			i++
		case !quoted && (strings.HasPrefix(rest, " == ") || strings.HasPrefix(rest, " != ")):
			for _, side := range []string{comparison[:i], rest[4:]} {
				if strings.HasPrefix(side, "@") {
					fields = append(fields, side)
				}
			}
			return fields
		}
	}
	return nil
}

// expressions returns how many instructions the regular expressions have that match and search take in a path, as the library
// writes it. It fails with errComplex for one that is not in the path itself: an element may hold anything, and for an element
// that holds none the library panics (v0.12).
func expressions(path string) (instructions int, err error) {
	bare := quotedText.ReplaceAllStringFunc(path, func(quoted string) string { return strings.Repeat(" ", len(quoted)) })
	for _, at := range matching.FindAllStringIndex(bare, -1) {
		argument := at[1] + second(bare[at[1]:])
		quoted := quotedText.FindString(path[argument:])
		if quoted == "" || !strings.HasPrefix(path[argument:], quoted) {
			return 0, errComplex
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return 0, errComplex
		}
		instructions += expression.Size(text) // one that is none matches nothing
	}
	return instructions, nil
}

var (
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	matching   = regexp.MustCompile(`\b(?:match|search)\(`)
)

// second returns where the second argument of a call begins, or the end of it.
func second(arguments string) int {
	depth := 0
	for i, c := range arguments {
		switch c {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case ',':
			if depth == 0 {
				return i + len(", ")
			}
		}
	}
	return len(arguments)
}

// searched counts what it takes to look for the expressions in an element and all below it: for each of them they are compiled anew,
// and each byte of a text takes up to as many steps as they have instructions, of which 64 count as one.
func (w *walk) searched(node any) error {
	text, _ := node.(string)
	if w.steps += w.instructions*(16+len(text))/64 + 1; w.steps > maxSteps {
		return errComplex
	}
	for _, child := range below(node) {
		if err := w.searched(child); err != nil {
			return err
		}
	}
	return nil
}

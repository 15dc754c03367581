package webhook

import (
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"
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

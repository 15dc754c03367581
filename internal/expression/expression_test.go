package expression_test

import (
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/internal/expression"
)

func TestAnExpressionIsCountedWithItsRepetitions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ weight, size int }{
		"":             {1, 3},
		"a":            {2, 3},
		"abc":          {4, 5},
		"(?:ab){10}":   {40, 22},
		"[a-z]{1,253}": {506, 507},
		"(?:.?){2}":    {6, 6},
		"(?:ab){1}":    {4, 4},
		"(a|b)*c":      {6, 7},
	} {
		weight, err := expression.Weigh(text)
		if size := expression.Size(text); err != nil || weight != want.weight || size != want.size {
			t.Errorf("%s: about %d, %d in fact, %v", text, weight, size, err)
		}
	}
	// What would take hundreds of megabytes is not compiled: its size is its weight, which of these is smaller by a few instructions.
	for text, compiled := range map[string]bool{"(?:" + strings.Repeat("a", 48) + "){1000}": true, "(?:" + strings.Repeat("a", 50) + "){1000}": false} {
		weight, err := expression.Weigh(text)
		if size := expression.Size(text); err != nil || (size != weight) != compiled {
			t.Errorf("%d, and by weight %d, %v", size, weight, err)
		}
	}
	for _, text := range []string{"(", "a{1001}", "(?:a{100}){100}"} {
		if _, err := expression.Weigh(text); err == nil || expression.Size(text) != 0 {
			t.Errorf("%s is taken for an expression", text)
		}
	}
}

package expression_test

import (
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
		"(a|b)*c":      {6, 7},
	} {
		weight, err := expression.Weigh(text)
		if size := expression.Size(text); err != nil || weight != want.weight || size != want.size {
			t.Errorf("%s: about %d, %d in fact, %v", text, weight, size, err)
		}
	}
	for _, text := range []string{"(", "a{1001}", "(?:a{100}){100}"} {
		if _, err := expression.Weigh(text); err == nil || expression.Size(text) != 0 {
			t.Errorf("%s is taken for an expression", text)
		}
	}
}

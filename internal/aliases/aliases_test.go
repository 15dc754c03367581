package aliases_test

import (
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/internal/aliases"
)

func TestATextFitsWhenAllThatItsAliasesNameDoes(t *testing.T) {
	t.Parallel()
	const most = 1000
	long := strings.Repeat("x", 100)
	for text, want := range map[string]bool{
		"":                            true,
		"a: &a " + long + "\nb: *a\n": true,
		"a: &a " + long + "\nb: &b [*a, *a, *a]\nc: [*b]\n":                true,
		"a: &a " + long + "\nb: &b [*a, *a, *a]\nc: [*b, *b]\n":            false,
		"a: &a " + long + "\nb: [" + strings.Repeat("*a,", 10) + "]\n":     false,
		"a: &a {k: " + long + "}\nb: [" + strings.Repeat("*a,", 10) + "]":  false,
		"- &a " + long + "\n" + strings.Repeat("- {*a : 1}\n", 10):         false, // as a key
		"a: &a {k: " + long + "}\nb: {<<: *a}\nc: '*'\n":                   true,
		"a: &a [" + strings.Repeat("1,", 200) + "]\nb: [*a, *a, *a, *a]\n": false,
		strings.Repeat(long, 20):                                           true, // without an alias nothing grows
		"a: &a \"" + strings.Repeat("<>&", 20) + "\"\nb: [*a]\n":           true, // six bytes for each
		"a: &a \"" + strings.Repeat("<>&", 20) + "\"\nb: [*a, *a]\n":       false,
		"a: &a \"" + strings.Repeat(`\x01`, 80) + "\"\nb: [*a, *a]\n":      false,
		"a: &a \"" + strings.Repeat(`\n\t`, 80) + "\"\nb: [*a, *a]\n":      true,
		"a: *none\n":   true, // whoever reads it refuses it
		"a: &a [*a]\n": true,
	} {
		if got := aliases.Fit([]byte(text), most); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

func TestABoundIsTheLastSizeThatFits(t *testing.T) {
	t.Parallel()
	// A list, two texts of three bytes and one that takes six, and one for each of the three.
	text := []byte("[&a f <r, *a]")
	if aliases.Fit(text, 20) || !aliases.Fit(text, 21) {
		t.Error("21 bytes are counted otherwise")
	}
}

func TestValuesAreCountedRatherTooOftenThanTooRarely(t *testing.T) {
	t.Parallel()
	for text, least := range map[string]int{
		"": 1, "a": 1, "[]": 2, "[1,2,3]": 4, "{a: 1, b: 2}": 5, `{"a":1,"b":[]}`: 6, "a: 1\nb: 2\n": 5, "- 1\n- 2\n": 3, "- - - 1\n": 4, "? a\n? b\n": 3, "-\n  - 1\n": 3,
	} {
		if got := aliases.Nodes([]byte(text)); got < least || got > 2*least+1 {
			t.Errorf("%q: %d are counted", text, got)
		}
	}
}

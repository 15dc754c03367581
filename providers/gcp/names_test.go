package gcp

import (
	"strings"
	"testing"
)

func TestANameHasAsManyCharactersOfItsKindAsAreAllowed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what      string
		is        func(string) bool
		good, bad []string
	}{
		{"secret", isSecretName, []string{"a", "z", "0", "A", "9-_Z", strings.Repeat("x", 255)}, []string{"", "a/b", "a.b", "ä", "a\n", strings.Repeat("x", 256)}},
		{"version", isVersionName, []string{"7", "latest", "Blue-1_2"}, []string{"", "a/b", "1.2", strings.Repeat("1", 64)}},
		{"label", isLabelName, []string{"team", "équipe", "名", "a-_1", strings.Repeat("é", 63)}, []string{"", "1a", "_a", "Team", "a.b", "a\xff", strings.Repeat("é", 64)}},
		{"label value", isLabelValue, []string{"", "1", "_", "名-²", strings.Repeat("é", 63)}, []string{"A", "a b", "\xff", strings.Repeat("a", 64)}},
	} {
		for _, name := range tc.good {
			if !tc.is(name) {
				t.Errorf("%q is no name of a %s", name, tc.what)
			}
		}
		for _, name := range tc.bad {
			if tc.is(name) {
				t.Errorf("%q is a name of a %s", name, tc.what)
			}
		}
	}
}

// Only a number can be compared with a number, and only a name with a name.
func TestAnAnswerIsOfTheProjectThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for asked, answered := range map[string]map[string]bool{
		"payments-prod": {"payments-prod": true, "123456": true, "payments-test": false, "": false},
		"123456":        {"123456": true, "payments-prod": true, "123457": false},
	} {
		for project, want := range answered {
			if got := answers("projects/"+project+"/secrets/a", "projects/"+asked+"/secrets/a"); got != want {
				t.Errorf("%q for %q: %v", project, asked, got)
			}
		}
	}
}

package googleidentity

import (
	"strings"
	"testing"
)

func TestANameCanBePartOfAnAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what      string
		is        func(string) bool
		good, bad []string
	}{
		{"project", IsProjectName, []string{"p", "example.com:my-project", "123"}, []string{"", "-p", ":p", "P", "a/b", strings.Repeat("p", 129)}},
		{"location", IsLocation, []string{"a", "europe-west3", "europe-west3-a", strings.Repeat("x", 63)}, []string{"", "-a", "a-", "a/b", "a.b", "A", "a\n", strings.Repeat("x", 64)}},
		{"service account", IsEmail, []string{"a@p.iam.gserviceaccount.com", "1-compute@developer.gserviceaccount.com"},
			[]string{"", "a@example.com", "a@p.iam.gserviceaccount.com:signBlob", "a/b@p.iam.gserviceaccount.com", "a@gserviceaccount.com", "a@p.iam.gserviceaccount.com\n"}},
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

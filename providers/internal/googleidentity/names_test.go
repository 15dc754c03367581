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
		{"project", IsProjectName, []string{"p", "example.com:my-project", "1239", strings.Repeat("p", 128)}, []string{"", "-p", ":p", "P", "a/b", strings.Repeat("p", 129)}},
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

func TestAKeyIsShownToGoogleAlone(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://oauth2.googleapis.com/token": true, "https://oauth2.googleapis.com:443/token": true, "https://accounts.google.com/o/oauth2/token": true,
		"": false, "http://oauth2.googleapis.com/token": false, "https://oauth2.googleapis.com:8443/token": false, "https://u:p@oauth2.googleapis.com/token": false,
		"https://oauth2.googleapis.com@example.com/token": false, "https://oauth2.googleapis.com.example.com/token": false, "https://evilgoogleapis.com/token": false,
		"https://www.google.com/token": false, "https://[oauth2.googleapis.com/token": false,
	} {
		if ofGoogle(address) != want {
			t.Errorf("%q is Google's: %t", address, !want)
		}
	}
}

package setup_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/controllers/setup"
)

func TestControllersAreSwitchedByName(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		list []string
		want []string
		err  string
	}{
		"all":                       {list: []string{"*"}, want: setup.Names()},
		"one":                       {list: []string{"gitsync"}, want: []string{"gitsync"}},
		"all but one":               {list: []string{"*", "-gitsync"}, want: []string{"externalsecret", "clusterexternalsecret", "secretstore", "sealedsecret"}},
		"spaces do not matter":      {list: []string{" gitsync ", "sealedsecret"}, want: []string{"gitsync", "sealedsecret"}},
		"a wrong name is refused":   {list: []string{"flux"}, err: `"flux" is not known`},
		"nothing at all is refused": {list: []string{"gitsync", "-gitsync"}, err: "switches everything off"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on, err := setup.Enabled(tc.list)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(on, func(_ string, v bool) bool { return !v })
			got := slices.Sorted(maps.Keys(on))
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("enabled (-want +got):\n%s", diff)
			}
		})
	}
}

package vault_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

// TestAnAnswerInAnotherVersionIsNotUsed: also not when it says that the version is gone, because deletion policies act on that.
func TestAnAnswerInAnotherVersionIsNotUsed(t *testing.T) {
	t.Parallel()
	there := `{"data":{"data":{"k":"` + canary + `"},"metadata":{"version":%d}}}`
	const gone = `{"data":{"data":null,"metadata":{"version":%d,"deletion_time":"2026-01-01T00:00:00Z"}}}`
	for what, tc := range map[string]struct {
		asked    string
		status   int
		body     string
		answered int
		class    error
	}{
		"the version":                 {"3", 200, there, 3, nil},
		"the current one":             {"", 200, there, 3, nil},
		"the current one by its name": {"0", 200, there, 3, nil},
		"a number of another base":    {"0x10", 200, there, 16, nil},
		"no version at all":           {"3", 200, there, 0, nil},
		"another version":             {"3", 200, there, 4, providers.ErrUnavailable},
		"a deleted version":           {"3", 404, gone, 3, providers.ErrNotFound},
		"another that is deleted":     {"3", 404, gone, 2, providers.ErrUnavailable},
		"another, which came with OK": {"3", 200, gone, 2, providers.ErrUnavailable},
	} {
		cfg, env := reads(func(w http.ResponseWriter, _ *http.Request) { answer(w, tc.status, fmt.Sprintf(tc.body, tc.answered)) })(t)
		r := fetchOne(t, open(t, cfg.Spec.(*stores.Vault), env), providers.Ref{Key: "app", Version: tc.asked}) //nolint:forcetypeassert // it is one
		if !errors.Is(r.Err, tc.class) {
			t.Errorf("%s: %v", what, r.Err)
		}
		want := fmt.Sprintf(`asked for version "3" of kv/data/app, it answers "%d", which is not used`, tc.answered)
		if tc.class == providers.ErrUnavailable && !strings.Contains(r.Err.Error(), want) { //nolint:errorlint // the class of the case
			t.Errorf("%s: %v", what, r.Err)
		}
	}
}

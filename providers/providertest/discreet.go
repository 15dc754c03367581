package providertest

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
)

// asked is part of all that discreet asks for.
const asked = "asked-for-4be1"

// discreet checks that an error that says that the backend is down, which everybody is told who uses the store, does not tell
// them what somebody has asked for.
func (s suite) discreet(ctx context.Context, t *testing.T, session providers.Session) {
	t.Helper()
	_, err := session.Fetch(ctx, []providers.Ref{{Key: asked, Property: asked}, {Key: asked + "-too", Version: "7"}})
	wantDiscreet(t, "Fetch", err)
	if f, ok := providers.As[providers.Finder](session); ok {
		_, err = f.Find(ctx, providers.Query{Path: new(asked), Name: regexp.MustCompile(asked)})
		if throttled := new(providers.ThrottledError); errors.Is(err, providers.ErrUnavailable) || errors.As(err, &throttled) {
			wantDiscreet(t, "Find", err)
		}
	}
}

func wantDiscreet(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), asked) {
		t.Errorf("%s tells everybody what was asked for: %v", what, err)
	}
}

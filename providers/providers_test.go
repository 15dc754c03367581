package providers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

const canary = "canary-7f3e91c4"

func TestAValueShowsItselfToNobodyByAccident(t *testing.T) {
	t.Parallel()
	v := providers.NewValue([]byte(canary))
	holder := struct {
		V providers.Value
		P *providers.Value
		L []providers.Value
	}{v, &v, []providers.Value{v}}
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
		_, _ = fmt.Fprintf(&text, verb+verb+verb, v, &v, holder)
	}
	log := slog.New(slog.NewJSONHandler(&text, nil))
	log.Info("x", "v", v, "holder", holder)
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "v", v, "holder", holder)
	if strings.Contains(text.String(), canary) || strings.Contains(text.String(), fmt.Sprintf("%x", canary)) {
		t.Errorf("the value shows: %s", text.String())
	}
	if !strings.Contains(text.String(), "[redacted]") {
		t.Error("nothing says that a value was there")
	}
	if _, err := json.Marshal(v); err == nil {
		t.Error("a value was marshaled")
	}
	if string(v.Bytes()) != canary || v.Len() != len(canary) {
		t.Error("the value is not the value")
	}
}

func TestAnErrorHasItsClassAndItsOwnText(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := providers.Errorf(providers.ErrDenied, "read %s: %w", "x", cause)
	if err.Error() != "read x: cause" {
		t.Errorf("text is %q", err)
	}
	if !errors.Is(err, providers.ErrDenied) || !errors.Is(err, cause) || errors.Is(err, providers.ErrInvalid) {
		t.Error("classes are wrong")
	}
	if errors.Is(providers.Errorf(providers.ErrPropertyNotFound, "x"), providers.ErrNotFound) {
		t.Error("a missing property is taken for a missing document")
	}
	if a, b := (&providers.ThrottledError{After: 3 * time.Second}).Error(), (&providers.ThrottledError{}).Error(); a != b {
		t.Errorf("%q and %q, for one cause", a, b)
	}
}

// inner has a capability that a decorator hides unless As unwraps it.
type inner struct{ providers.Session }

func (inner) Expires() time.Time { return time.Unix(1, 0) }

type decorator struct {
	providers.Session
	wrapped providers.Session
}

func (d decorator) Unwrap() providers.Session { return d.wrapped }

func TestACapabilityIsFoundBehindDecorators(t *testing.T) {
	t.Parallel()
	s := decorator{wrapped: decorator{wrapped: inner{}}}
	if e, ok := providers.As[providers.Expirer](s); !ok || e.Expires() != time.Unix(1, 0) {
		t.Error("the capability is hidden")
	}
	if _, ok := providers.As[providers.Checker](s); ok {
		t.Error("a capability was found that nobody has")
	}
	if _, ok := providers.As[providers.Checker](nil); ok {
		t.Error("nothing has a capability")
	}
}

package providertest

import (
	"context"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// said is what a session says about itself.
type said struct {
	expires   time.Time
	selective bool
}

func sayings(session providers.Session) said {
	var s said
	if e, ok := providers.As[providers.Expirer](session); ok {
		s.expires = e.Expires()
	}
	if e, ok := providers.As[providers.Selective](session); ok {
		s.selective = e.Selective()
	}
	return s
}

func (s suite) steady(t *testing.T) {
	ref := s.Put(t, 0, "steady", map[string]string{"k": Canary})
	session := s.open(t, 0)
	before := sayings(session)
	if !before.expires.IsZero() && before.expires.Before(time.Now()) {
		t.Errorf("a session that was just opened has expired at %s", before.expires)
	}
	ref.Property = "k"
	wantValue(t, s.fetch(t, session, ref)[0].Document, "k", Canary)
	if checker, ok := providers.As[providers.Checker](session); ok {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := checker.Check(ctx); err != nil {
			clean(t, err)
			t.Errorf("the store works, and its check says: %v", err)
		}
	}
	s.foretold(t, session, before)
	if after := sayings(session); !after.expires.Equal(before.expires) || after.selective != before.selective {
		t.Errorf("the session says %+v, and later %+v", before, after)
	}
}

// foretold checks that the provider says before there is a session whether it reads documents together.
func (s suite) foretold(t *testing.T, session providers.Session, of said) {
	t.Helper()
	cfg, _ := s.Configs[0](t)
	batching, says := s.Provider.(providers.Batching)
	batcher, is := providers.As[providers.Batcher](session)
	together, want := says && batching.Batches(cfg), is && batcher.Batch() > 1
	if together != want || together && of.selective {
		t.Errorf("the provider says that sessions read documents together: %t; they do: %t, and are asked for properties: %t", together, want, of.selective)
	}
}

func (s suite) checkEnds(t *testing.T) {
	session := s.hanging(t)
	checker, ok := providers.As[providers.Checker](session)
	if !ok {
		t.Skip("the provider has no check")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	endsSoon(ctx, t, "Check", func() {
		if err := checker.Check(ctx); err != nil { // a check may need no answer of a backend that accepts connections
			clean(t, err)
		}
	})
}

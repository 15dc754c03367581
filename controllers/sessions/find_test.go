package sessions

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// searchable is a backend whose sessions find what a test says, under the identity that they were opened with.
type searchable struct {
	*backend
	find  func(ctx context.Context, identity string, q providers.Query) ([]providers.Found, error)
	calls atomic.Int64
}

func (s *searchable) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	session, err := s.backend.Open(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	return &searchableSession{session.(*backendSession), s}, nil
}

type searchableSession struct {
	*backendSession
	of *searchable
}

func (s *searchableSession) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	s.of.calls.Add(1)
	if s.of.find != nil {
		return s.of.find(ctx, s.identity, q)
	}
	return []providers.Found{{Name: "by", Value: providers.NewValue([]byte(s.identity))}, {Name: "query", Value: providers.NewValue([]byte(Canonical(q)))}}, nil
}

func finding(b *searchable, namespace, from string, q providers.Query) Finding {
	s := storeOf(b.backend, namespace, "s", 1)
	s.Provider = b
	return Finding{Store: s, Namespace: from, Query: q, MaxAge: time.Minute}
}

func foundBy(t *testing.T, p *Pool, f Finding) map[string]string {
	t.Helper()
	doc, err := p.Find(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := doc.Fields("")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, v := range fields {
		out[name] = string(v.Bytes())
	}
	clear(fields) // the map is ours
	return out
}

func TestEqualSearchesAreOneAndNeverAcrossIdentities(t *testing.T) {
	t.Parallel()
	b := &searchable{backend: &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}}
	p := running(t, cluster(credentialSecret("a", "cred", "of-a"), credentialSecret("b", "cred", "of-b")))
	query := func(expr, tag string) providers.Query {
		return providers.Query{Path: "p", Name: regexp.MustCompile(expr), Tags: map[string]string{"x": tag, "y": "z"}}
	}
	for range 3 {
		for _, ns := range []string{"a", "b"} {
			if got := foundBy(t, p, finding(b, "", ns, query("^n", "1"))); got["by"] != "of-"+ns || got["query"] != Canonical(query("^n", "1")) {
				t.Errorf("namespace %s: %v", ns, got)
			}
		}
	}
	if n := b.calls.Load(); n != 2 {
		t.Errorf("%d searches for two identities that ask the same", n)
	}
	foundBy(t, p, finding(b, "", "a", query("^n", "2")))
	foundBy(t, p, finding(b, "", "a", query("^m", "1")))
	forced := finding(b, "", "a", query("^n", "1"))
	forced.Forced = true
	foundBy(t, p, forced)
	if n := b.calls.Load(); n != 5 {
		t.Errorf("%d searches, want one more for each that asks something else or is forced", n)
	}
}

func TestASearchThatFailsSaysWhyAndKeepsNothing(t *testing.T) {
	t.Parallel()
	many := make([]providers.Found, providers.MaxFound+1)
	for name, tc := range map[string]struct {
		list  []providers.Found
		err   error
		class error
		text  string
		again bool // the backend is asked again at once
	}{
		"denied":      {err: providers.Errorf(providers.ErrDenied, "may not list"), class: providers.ErrDenied, text: "may not list", again: true},
		"no path":     {err: providers.Errorf(providers.ErrNotFound, "no path"), class: providers.ErrNotFound, text: "no path", again: true},
		"down":        {err: providers.Errorf(providers.ErrUnavailable, "down"), class: providers.ErrUnavailable, text: "down"},
		"too many":    {list: many, class: providers.ErrInvalid, text: "more than 1000", again: true},
		"found twice": {list: []providers.Found{{Name: "x"}, {Name: "x"}}, class: providers.ErrUnavailable, text: `found "x" twice`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &searchable{backend: &backend{}, find: func(context.Context, string, providers.Query) ([]providers.Found, error) { return tc.list, tc.err }}
			p := running(t, cluster())
			for range 2 {
				doc, err := p.Find(t.Context(), finding(b, "a", "a", providers.Query{}))
				if doc != nil || !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("%v, %v", doc, err)
				}
			}
			if n := b.calls.Load(); (n == 2) != tc.again {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestAProviderThatFindsNothingSaysSo(t *testing.T) {
	t.Parallel()
	b := &backend{}
	p := running(t, cluster())
	_, err := p.Find(t.Context(), Finding{Store: storeOf(b, "a", "s", 1), Namespace: "a"})
	if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), `its provider "backend" cannot find documents`) {
		t.Error(err)
	}
}

func TestASearchThatIsUnderWayIsJoined(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}, 10), make(chan struct{})
	b := &searchable{backend: &backend{}, find: func(context.Context, string, providers.Query) ([]providers.Found, error) {
		began <- struct{}{}
		<-release
		return nil, nil
	}}
	p := running(t, cluster())
	done := make(chan error, 8)
	for range 8 {
		go func() {
			_, err := p.Find(t.Context(), finding(b, "a", "a", providers.Query{}))
			done <- err
		}()
	}
	<-began
	close(release)
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := b.calls.Load(); n != 1 {
		t.Errorf("%d searches", n)
	}
}

package sessions

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/providers"
)

// selective is a backend whose requests may depend on the property.
type selective struct {
	*backend
	is bool
}

func (s selective) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	session, err := s.backend.Open(ctx, cfg, env)
	return selectiveSession{session, s.is}, err
}

type selectiveSession struct {
	providers.Session
	is bool
}

func (s selectiveSession) Selective() bool           { return s.is }
func (s selectiveSession) Unwrap() providers.Session { return s.Session }

func TestAPropertyIsARequestOfItsOwnOnlyWhereTheBackendIsAskedForIt(t *testing.T) {
	t.Parallel()
	byProperty := func(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
		out := make([]providers.Result, len(refs))
		for i, ref := range refs {
			out[i].Document = text(ref.Key + "#" + ref.Property)
		}
		return out, nil
	}
	refs := []providers.Ref{{Key: "k", Property: "a"}, {Key: "k", Property: "b"}, {Key: "k"}, {Key: "k", Property: "a"}}
	for name, tc := range map[string]struct {
		may, selective bool
		want           []string
		asked          int64
	}{
		"a backend of documents":  {false, false, []string{"k#", "k#", "k#", "k#"}, 1},
		"a store of documents":    {true, false, []string{"k#", "k#", "k#", "k#"}, 1},
		"a backend of properties": {true, true, []string{"k#a", "k#b", "k#", "k#a"}, 3},
	} {
		b := &backend{fetch: byProperty}
		p := running(t, cluster())
		store := storeOf(b, "a", "s", 1)
		if tc.may {
			store.Provider = selective{b, tc.selective}
		}
		for range 2 {
			req := request(store, "a")
			req.Refs = refs
			if diff := cmp.Diff(tc.want, mustFetch(t, p, req)); diff != "" || b.asked.Load() != tc.asked {
				t.Errorf("%s: %d requests %s", name, b.asked.Load(), diff)
			}
		}
	}
}

// local is a backend that answers with the namespace that its session was opened for.
type local struct{ *backend }

func (l local) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	namespace, err := env.Namespace()
	if err != nil {
		return nil, err
	}
	session, err := l.backend.Open(ctx, cfg, env)
	if err == nil {
		session.(*backendSession).identity = namespace
	}
	return session, err
}

func TestASessionThatKnowsItsNamespaceServesNoOther(t *testing.T) {
	t.Parallel()
	b := &backend{}
	p := running(t, cluster())
	store := storeOf(b, "", "s", 1)
	store.Provider = local{b}
	for range 3 {
		for _, ns := range []string{"a", "b"} {
			if diff := cmp.Diff([]string{ns + "/k"}, mustFetch(t, p, request(store, ns, "k"))); diff != "" {
				t.Error(diff)
			}
		}
	}
	if n := b.opens.Load(); n != 2 {
		t.Errorf("%d sessions were opened, want one for each namespace", n)
	}
	if _, err := p.Check(t.Context(), store, 0); !errors.Is(err, ErrReferent) {
		t.Errorf("the check without a namespace: %v", err)
	}
	own := storeOf(b, "c", "own", 1)
	own.Provider = local{b}
	if got := mustFetch(t, p, request(own, "c", "k")); got[0] != "c/k" {
		t.Errorf("a SecretStore: %v", got)
	}
}

// lazy is a backend that asks for the namespace of its session when it is asked for a document.
type lazy struct{ *backend }

func (l lazy) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	session, err := l.backend.Open(ctx, cfg, env)
	return lazySession{session, env}, err
}

type lazySession struct {
	providers.Session
	env providers.Env
}

func (s lazySession) Unwrap() providers.Session { return s.Session }

func (s lazySession) Fetch(_ context.Context, refs []providers.Ref) ([]providers.Result, error) {
	namespace, err := s.env.Namespace()
	if err != nil {
		namespace = "its own"
	}
	return answer(namespace, refs), nil
}

func TestASessionThatAsksLateForItsNamespaceServesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		p := running(t, cluster())
		store := storeOf(b, "", "s", 1)
		store.Provider = lazy{b}
		for range 2 {
			for _, ns := range []string{"a", "b"} {
				if diff := cmp.Diff([]string{ns + "/k"}, mustFetch(t, p, request(store, ns, "k"))); diff != "" {
					t.Error(diff)
				}
			}
		}
		synctest.Wait()
		if opens, closes := b.opens.Load(), b.closes.Load(); opens != 3 || closes != 1 {
			t.Errorf("%d sessions, %d of them ended, want that of all, which is ended, and one for each namespace", opens, closes)
		}
	})
}

package sessions

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
		return providers.Query{Path: new("p"), Name: regexp.MustCompile(expr), Tags: map[string]string{"x": tag, "y": "z"}}
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
	throttled := &providers.ThrottledError{After: time.Minute}
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
		"throttled":   {err: throttled, class: throttled},
		"too many":    {list: many, class: providers.ErrInvalid, text: "more than 1000", again: true},
		"found twice": {list: []providers.Found{{Name: "x"}, {Name: "x"}}, class: providers.ErrUnavailable, text: "found one document twice"},
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

// library is a backend of documents that are found and fetched.
type library struct {
	mu    sync.Mutex
	texts map[string]string
}

func (l *library) put(name, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts[name] = value
}

func (l *library) remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.texts, name)
}

func (l *library) fetch(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		if value, ok := l.texts[ref.Key]; ok {
			out[i].Document = text(value)
		} else {
			out[i].Err = providers.Errorf(providers.ErrNotFound, "no %s", ref.Key)
		}
	}
	return out, nil
}

func (l *library) find(_ context.Context, _ string, q providers.Query) ([]providers.Found, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []providers.Found
	for name, value := range l.texts {
		if q.Matches(name) {
			out = append(out, providers.Found{Name: name, Value: providers.NewValue([]byte(value)), Version: "v-" + value})
		}
	}
	return out, nil
}

// besideSlow returns a pool with a document of a library that has been fetched and found, the request for the one and the search, which
// reads anew each time. A request is answered, after a wait, with what the library had before it.
func besideSlow(t *testing.T, l *library, wait func() time.Duration) (p *Pool, fetch Request, search Finding) {
	t.Helper()
	b := &searchable{backend: &backend{}, find: l.find}
	b.fetch = func(ctx context.Context, identity string, refs []providers.Ref) ([]providers.Result, error) {
		out, err := l.fetch(ctx, identity, refs)
		time.Sleep(wait())
		return out, err
	}
	p = running(t, cluster())
	search = finding(b, "team", "team", providers.Query{})
	search.Forced = true
	fetch = request(search.Store, "team", "a")
	mustFetch(t, p, fetch)
	foundBy(t, p, search)
	return p, fetch, search
}

func TestACallThatWasSlowBringsNothingBackThatIsKnownToHaveChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &library{texts: map[string]string{"a": "old"}}
		var slow atomic.Bool
		p, fetch, search := besideSlow(t, l, func() time.Duration {
			if slow.Load() {
				return 15 * time.Second // over the moment at which what nobody uses is forgotten
			}
			return 0
		})
		time.Sleep(sweepEvery - 5*time.Second)

		slow.Store(true)
		late := make(chan []string)
		go func() {
			forced := fetch
			forced.Forced = true
			late <- mustFetch(t, p, forced)
		}()
		synctest.Wait()
		l.put("a", "new")
		foundBy(t, p, search)
		if got := <-late; got[0] != "old" {
			t.Fatalf("the slow call brought %v", got)
		}
		if got := mustFetch(t, p, fetch); got[0] != "new" {
			t.Errorf("%v is read after the search has seen the new one", got)
		}
	})
}

func TestNobodyJoinsACallOfBeforeAChangeWasSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &library{texts: map[string]string{"a": "old"}}
		p, fetch, search := besideSlow(t, l, func() time.Duration { return 5 * time.Second })
		fetch.MaxAge = time.Second
		slow := make(chan []string)
		go func() { slow <- mustFetch(t, p, fetch) }()
		time.Sleep(time.Second)
		l.put("a", "new")
		foundBy(t, p, search)
		if got := mustFetch(t, p, fetch); got[0] != "new" {
			t.Errorf("%v is read after the search has seen the new one", got)
		}
		<-slow
	})
}

// A backend may show a document differently when it is found and when it is fetched.
func TestWhatDidNotChangeIsNoNewsBesideWhatDid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &library{texts: map[string]string{"a": "1", "b": "1"}}
		b := &searchable{backend: &backend{}, find: l.find}
		b.fetch = func(ctx context.Context, identity string, refs []providers.Ref) ([]providers.Result, error) {
			out, err := l.fetch(ctx, identity, refs)
			for i := range out {
				out[i].Document = text("shown ") + out[i].Document.(text)
			}
			return out, err
		}
		p := running(t, cluster())
		news := listen(p)
		search := finding(b, "team", "team", providers.Query{})
		search.Forced = true
		mustFetch(t, p, request(search.Store, "team", "a", "b"))
		foundBy(t, p, search)
		l.put("a", "2")
		foundBy(t, p, search)
		synctest.Wait()
		if got := news.drain(); len(got) != 1 || len(got[0].Queries) != 1 || len(got[0].Changed) != 1 || got[0].Changed[0].Key != "a" {
			t.Errorf("news %+v, want a, and that it is found", got)
		}
	})
}

func TestWhoAsksSeldomHearsOfAChangeThoughAnotherHasAskedAndDoesNotComeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &library{texts: map[string]string{"a": "old"}}
		b := &backend{fetch: l.fetch}
		p := running(t, cluster())
		news := listen(p)
		s := storeOf(b, "team", "s", 1)
		daily, once, steady := request(s, "team", "a"), request(s, "team", "a"), request(s, "team", "steady")
		daily.Interval = 24 * time.Hour
		l.put("steady", "x")
		mustFetch(t, p, daily)
		mustFetch(t, p, once)
		for range 24 * 6 { // the session is used all the time
			time.Sleep(10 * time.Minute)
			mustFetch(t, p, steady)
		}
		l.put("a", "new")
		mustFetch(t, p, daily)
		synctest.Wait()
		if got := news.drain(); len(got) != 1 || len(got[0].Changed) != 1 {
			t.Errorf("news %+v, want that it has changed", got)
		}
	})
}

// TestADocumentThatChangedIsNewsForAllWhoFoundOrFetchedIt says of each way to see a change who is told, and that those who
// are told get the new document without a request for what is known already.
func TestADocumentThatChangedIsNewsForAllWhoFoundOrFetchedIt(t *testing.T) {
	t.Parallel()
	all, some, none := providers.Query{}, providers.Query{Name: regexp.MustCompile("^a")}, providers.Query{Name: regexp.MustCompile("^c")}
	for name, tc := range map[string]struct {
		change   func(*library)
		see      string // who asks anew: a query, or a key
		queries  []string
		refs     []string
		requests int64 // until all who are told have it
	}{
		"a search sees a change": {func(l *library) { l.put("a", "2") }, Canonical(all), []string{Canonical(all), Canonical(some)}, []string{"a"}, 3},
		"a fetch sees a change":  {func(l *library) { l.put("a", "2") }, "a", []string{Canonical(all), Canonical(some)}, []string{"a"}, 3},
		"a search sees that one is gone": {
			func(l *library) { l.remove("a") }, Canonical(some), []string{Canonical(all), Canonical(some)}, []string{"a"}, 4},
		"a search sees that one has come": {func(l *library) { l.put("d", "1") }, Canonical(all), []string{Canonical(all)}, nil, 1},
		"a document that nobody fetched":  {func(l *library) { l.put("b", "2") }, Canonical(all), []string{Canonical(all)}, nil, 1},
		"nothing has changed":             {func(*library) {}, Canonical(all), nil, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &library{texts: map[string]string{"a": "1", "b": "1", "c": "1"}}
				b := &searchable{backend: &backend{fetch: l.fetch}, find: l.find}
				p := running(t, cluster())
				heard := listen(p)
				queries := map[string]providers.Query{Canonical(all): all, Canonical(some): some, Canonical(none): none}
				store := finding(b, "team", "team", all).Store
				ask := func(what string, forced bool) {
					if q, ok := queries[what]; ok {
						f := finding(b, "team", "team", q)
						f.Forced = forced
						foundBy(t, p, f)
						return
					}
					r := request(store, "team", what)
					r.Forced = forced
					if _, err := p.Fetch(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				pinned := request(store, "team", "a")
				pinned.Refs[0].Version = "1"
				mustFetch(t, p, pinned)
				for _, what := range []string{Canonical(all), Canonical(some), Canonical(none), "a", "c"} {
					ask(what, false)
				}
				synctest.Wait()
				if got := heard.drain(); len(got) != 0 {
					t.Fatalf("news though nothing changed: %+v", got)
				}
				before := b.calls.Load() + b.fetches.Load()
				time.Sleep(time.Second)
				tc.change(l)
				ask(tc.see, true)
				told := map[string]bool{}
				for range 5 { // who is told asks, until nobody is
					synctest.Wait()
					for _, n := range heard.drain() {
						for _, ref := range n.Changed {
							told[ref.Key] = true
							if ref.Version != "" {
								t.Errorf("a pinned version is said to have changed")
							}
							ask(ref.Key, false)
						}
						for _, q := range n.Queries {
							told[q] = true
							ask(q, false)
						}
					}
				}
				if got := heard.drain(); len(got) != 0 {
					t.Errorf("the news have no end: %+v", got)
				}
				for _, who := range slices.Concat(tc.queries, tc.refs) {
					if !told[who] {
						t.Errorf("%s is not told", who)
					}
					delete(told, who)
				}
				if len(told) > 0 {
					t.Errorf("told without a reason: %v", told)
				}
				if n := b.calls.Load() + b.fetches.Load() - before; n != tc.requests {
					t.Errorf("%d requests until everybody has it, want %d", n, tc.requests)
				}
			})
		})
	}
}

func TestWhatWasFoundIsNamedWithItsVersions(t *testing.T) {
	t.Parallel()
	l := &library{texts: map[string]string{"b": "1", "a": "2"}}
	b := &searchable{backend: &backend{}, find: l.find}
	doc, err := running(t, cluster()).Find(t.Context(), finding(b, "team", "team", providers.Query{}))
	if err != nil {
		t.Fatal(err)
	}
	found, ok := doc.(Found)
	if want := []Match{{"a", "v-2"}, {"b", "v-1"}}; !ok || !slices.Equal(found.Matches(), want) {
		t.Errorf("matches %v, want %v", found.Matches(), want)
	}
	if _, err := doc.Fields("x"); !errors.Is(err, providers.ErrPropertyNotFound) {
		t.Errorf("a property of it: %v", err)
	}
	if least := 2*(1+1) + 2*perDocument; doc.Size() < least {
		t.Errorf("it weighs %d, want %d at least", doc.Size(), least)
	}
}

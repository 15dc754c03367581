package sessions

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/providers"
)

func TestWhoeverAsksSoonestIsExpected(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d, reuse time.Duration) expectation { return expectation{due: now.Add(d), reuse: reuse} }
	for name, tc := range map[string]struct {
		before expectation
		next   time.Duration
		reuse  time.Duration
		want   expectation
	}{
		"nobody was":          {expectation{}, time.Hour, time.Minute, at(time.Hour, time.Minute)},
		"another asks sooner": {at(10*time.Minute, 30*time.Second), time.Hour, time.Minute, at(10*time.Minute, 30*time.Second)},
		"another asks later":  {at(30*time.Minute, time.Minute), time.Minute, 6 * time.Second, at(time.Minute, 6*time.Second)},
		"it is the one who was, a moment too early": {at(5*time.Second, 6*time.Second), time.Minute, 6 * time.Second, at(time.Minute, 6*time.Second)},
		"it is the one who was, late":               {at(-5*time.Second, 6*time.Second), time.Minute, 6 * time.Second, at(time.Minute, 6*time.Second)},
		"the one who was has not come":              {at(-time.Hour, time.Minute), time.Hour, time.Minute, at(time.Hour, time.Minute)},
	} {
		if got := tc.before.after(now, now.Add(tc.next), tc.reuse); got != tc.want {
			t.Errorf("%s: in %s, %s old, want in %s, %s old", name, got.due.Sub(now), got.reuse, tc.want.due.Sub(now), tc.want.reuse)
		}
	}
}

func TestWhatIsFetchedAheadIsYoungEnoughWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const never = 365 * 24 * time.Hour
	for name, tc := range map[string]struct {
		due, reuse time.Duration
		read       time.Duration // how long ago it was read for somebody else
		want       bool
	}{
		"soon": {30 * time.Second, time.Minute, never, true},
		"now":  {0, time.Minute, never, true},
		"just young enough, were it not late at all": {59 * time.Second, time.Minute, never, false},
		"later":                                {10 * time.Minute, time.Minute, never, false},
		"soon, but it reuses little":           {30 * time.Second, 6 * time.Second, never, false},
		"a little late":                        {-30 * time.Second, time.Minute, never, true},
		"it does not come any more":            {-61 * time.Second, time.Minute, never, false},
		"what is there will do":                {30 * time.Second, time.Minute, 10 * time.Second, false},
		"what is there will be too old":        {30 * time.Second, time.Minute, 30 * time.Second, true},
		"it is late, and what is there is ok":  {-30 * time.Second, time.Minute, 40 * time.Second, false},
		"it is late, and what is there is not": {-30 * time.Second, time.Minute, time.Minute, true},
	} {
		x := expectation{due: now.Add(tc.due), reuse: tc.reuse}
		if got := x.worth(now, now.Add(-tc.read)); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

func TestTheRoomOfACallIsThatOfItsLastRequest(t *testing.T) {
	t.Parallel()
	refs := func(n int, others ...providers.Ref) []question {
		var out []question
		for i := range n {
			out = append(out, question{ref: providers.Ref{Key: fmt.Sprint(i)}})
		}
		for _, ref := range others {
			out = append(out, question{ref: ref})
		}
		return out
	}
	pinned, labels := providers.Ref{Key: "k", Version: "1"}, providers.Ref{Key: "k", Metadata: true}
	for name, tc := range map[string]struct {
		batch int
		refs  []question
		want  int
	}{
		"a request each":                      {1, refs(5), 0},
		"no batch at all":                     {0, refs(5), 0},
		"one":                                 {20, refs(1), 19},
		"full":                                {20, refs(20), 0},
		"full twice":                          {20, refs(40), 0},
		"more than full":                      {20, refs(21), 19},
		"what is read alone takes no room":    {20, refs(5, pinned, labels), 15},
		"what is read alone makes no request": {20, refs(0, pinned, labels), 0},
		"a search":                            {20, []question{{find: "[]"}}, 0},
	} {
		if got := room(tc.batch, tc.refs); got != tc.want {
			t.Errorf("%s: room for %d, want %d", name, got, tc.want)
		}
	}
}

func TestTheSoonestAreFetchedAheadOnceEach(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	all := func(question, expectation) bool { return true }
	var f forecast
	for i := range 6 {
		f.note(map[question]providers.Result{{ref: providers.Ref{Key: fmt.Sprint(i)}}: {}}, now.Add(-time.Hour), now.Add(time.Duration(6-i)*time.Second), time.Minute)
	}
	f.note(map[question]providers.Result{{ref: providers.Ref{Key: "later"}}: {}}, now, now.Add(time.Hour), time.Minute)
	f.note(map[question]providers.Result{
		{ref: providers.Ref{Key: "pinned", Version: "1"}}: {}, {ref: providers.Ref{Key: "labels", Metadata: true}}: {}, {find: "[]"}: {},
	}, now, now, time.Minute)
	choose := func(n int, pass func(question, expectation) bool) []string {
		var keys []string
		for _, q := range f.choose(n, now, pass) {
			keys = append(keys, q.ref.Key)
		}
		return keys
	}
	steps := []struct {
		name string
		got  func() []string
		want []string
	}{
		{"the soonest two", func() []string { return choose(2, all) }, []string{"5", "4"}},
		{"one that is under way is left out", func() []string {
			return choose(1, func(q question, _ expectation) bool { return q.ref.Key != "3" })
		}, []string{"2"}},
		{"one that cannot be read any more is not expected", func() []string {
			f.note(map[question]providers.Result{{ref: providers.Ref{Key: "1"}}: {Err: providers.ErrNotFound}}, now, now, time.Minute)
			return choose(1, all)
		}, []string{"3"}},
		{"one that was asked for is expected later", func() []string {
			f.note(map[question]providers.Result{{ref: providers.Ref{Key: "0"}}: {}}, now, now.Add(time.Hour), time.Minute)
			return choose(9, all)
		}, nil},
		{"none comes twice", func() []string {
			now = now.Add(lookEvery)
			return choose(9, all)
		}, nil},
		{"one that was fetched ahead is expected again when it was asked for", func() []string {
			f.note(map[question]providers.Result{{ref: providers.Ref{Key: "5"}}: {}}, now, now.Add(20*time.Second), time.Minute)
			now = now.Add(lookEvery)
			return choose(9, all)
		}, []string{"5"}},
	}
	for _, s := range steps {
		if diff := cmp.Diff(s.want, s.got()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
	if f.sweep(now) || len(f.expected) != 2 {
		t.Errorf("%d documents are expected, want the two within the hour", len(f.expected))
	}
	if !f.sweep(now.Add(2*time.Hour)) || len(f.expected) != 0 {
		t.Errorf("%d documents are expected though nobody has come", len(f.expected))
	}
}

func TestACallIsFilledWithNothingThatMayFailIt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	own, soon, sooner := question{ref: providers.Ref{Key: "own"}}, question{ref: providers.Ref{Key: "soon"}}, question{ref: providers.Ref{Key: "sooner"}}
	for name, tc := range map[string]struct {
		given func(*kept, *flight)
		want  []question
	}{
		"with what is expected":           {func(*kept, *flight) {}, []question{sooner, soon}},
		"with as much as there is room":   {func(_ *kept, f *flight) { f.batch = 2 }, []question{sooner}},
		"a request each":                  {func(_ *kept, f *flight) { f.batch = 1 }, nil},
		"somebody was disappointed":       {func(_ *kept, f *flight) { f.direct = true }, nil},
		"the backend is down":             {func(k *kept, _ *flight) { k.breaker.failures = 1 }, nil},
		"it was asked for in vain":        {func(k *kept, _ *flight) { k.breaker.bad = map[question]bool{own: true} }, nil},
		"not what was asked for in vain":  {func(k *kept, _ *flight) { k.breaker.bad = map[question]bool{sooner: true} }, []question{soon}},
		"not what is being asked for":     {func(k *kept, _ *flight) { k.flights[sooner] = &flight{} }, []question{soon}},
		"not what was read a moment ago":  {func(k *kept, _ *flight) { k.shelf.docs = map[question]document{sooner: {asked: now}} }, []question{soon}},
		"what was read too long ago is":   {func(k *kept, _ *flight) { k.shelf.docs = map[question]document{sooner: {asked: now.Add(-time.Minute)}} }, []question{sooner, soon}},
		"what is known to be outdated is": {func(k *kept, _ *flight) { k.shelf.docs = map[question]document{sooner: {outdated: now}} }, []question{sooner, soon}},
	} {
		k, f := &kept{forecast: &forecast{}, flights: map[question]*flight{}}, &flight{batch: 20, refs: []question{own}}
		for q, d := range map[question]time.Duration{soon: 30 * time.Second, sooner: 20 * time.Second} {
			k.forecast.note(map[question]providers.Result{q: {}}, now, now.Add(d), time.Minute)
		}
		tc.given(k, f)
		if got := k.aheadLocked(f, now); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// hourly asks for the documents of one object that asks again in an hour.
func hourly(s Store, keys ...string) Request {
	req := request(s, "team", keys...)
	req.Interval = time.Hour
	return req
}

// foreseen lets an object of its own ask for each key now, and for another half a minute before they are due again, so that its call
// fetches them ahead.
func foreseen(t *testing.T, p *Pool, s Store, keys ...string) ([]providers.Result, error) {
	t.Helper()
	for _, key := range keys {
		mustFetch(t, p, hourly(s, key))
	}
	time.Sleep(time.Hour - 30*time.Second)
	return p.Fetch(t.Context(), hourly(s, "own"))
}

func TestWhatIsFetchedAheadHarmsNobodyWhenItFails(t *testing.T) {
	t.Parallel()
	down := providers.Errorf(providers.ErrUnavailable, "down")
	for name, tc := range map[string]struct {
		document, whole error
		takes           time.Duration
		// calls are the keys of the calls of the object, and err is what it is told.
		calls [][]string
		err   error
	}{
		"it does not exist":                    {document: providers.ErrNotFound, calls: [][]string{{"own", "a", "bad"}}},
		"it is denied":                         {document: providers.ErrDenied, calls: [][]string{{"own", "a", "bad"}}},
		"it cannot be read":                    {document: down, calls: [][]string{{"own", "a", "bad"}}},
		"nothing can be read with it":          {whole: down, calls: [][]string{{"own", "a", "bad"}, {"own"}}},
		"all is denied with it":                {whole: providers.ErrDenied, calls: [][]string{{"own", "a", "bad"}, {"own"}}},
		"nothing can be read with it, in time": {whole: down, takes: 11 * time.Second, calls: [][]string{{"own", "a", "bad"}}, err: down},
		"the backend asks for less":            {whole: &providers.ThrottledError{}, calls: [][]string{{"own", "a", "bad"}}, err: &providers.ThrottledError{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(20, 0)
				p := running(t, cluster())
				l := listen(p)
				s := batchStore(b, "team", "s")
				s.Retries, s.RetryInterval = 2, time.Second
				if tc.err != nil {
					s.Retries = 0
				}
				var fails atomic.Bool
				b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
					b.seen(refs)
					out := answer(id, refs)
					for i, ref := range refs {
						if fails.Load() && ref.Key == "bad" {
							time.Sleep(tc.takes)
							out[i] = providers.Result{Err: tc.document}
							if tc.whole != nil {
								return nil, tc.whole
							}
						}
					}
					return out, nil
				}
				time.AfterFunc(time.Minute, func() { fails.Store(true) })
				results, err := foreseen(t, p, s, "a", "bad")
				if tc.err != nil {
					if err == nil || err.Error() != tc.err.Error() {
						t.Fatalf("it is told %v, want %v", err, tc.err)
					}
				} else if err != nil || read(t, results[0]) != "none/own" {
					t.Fatalf("what was asked for: %v, %v", results, err)
				}
				if diff := cmp.Diff(append([][]string{{"a"}, {"bad"}}, tc.calls...), b.drain()); diff != "" {
					t.Error(diff)
				}
				if tc.err != nil {
					return
				}
				synctest.Wait()
				if news, k := l.drain(), &p.entries[key{identity: s.identity()}].kept; len(news) != 0 || k.breaker.failures != 0 || len(k.breaker.bad) != 0 || len(p.down) != 0 {
					t.Errorf("news %v, %d failures, %v in vain and %d outages, want none", news, k.breaker.failures, k.breaker.bad, len(p.down))
				}
				mustFetch(t, p, hourly(s, "another"))
				if calls := b.drain(); len(calls) != 1 || slices.Contains(calls[0], "bad") {
					t.Errorf("calls %v: what failed was fetched ahead again", calls)
				}
				fails.Store(false)
				if got := mustFetch(t, p, hourly(s, "bad")); got[0] != "none/bad" {
					t.Errorf("who needs it gets %v", got)
				}
				if calls := b.drain(); len(calls) != 1 || calls[0][0] != "bad" {
					t.Errorf("calls %v, want one for whoever needs it", calls)
				}
			})
		})
	}
}

func TestWhoNeedsWhatIsBeingFetchedAheadWaitsForIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		document, whole error
		calls           int
	}{
		"it comes":                {calls: 1},
		"it fails, and is asked":  {document: providers.ErrNotFound, calls: 2},
		"all fails, and is asked": {whole: providers.ErrInvalid, calls: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(20, 0)
				p := running(t, cluster())
				s := batchStore(b, "team", "s")
				b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
					b.seen(refs)
					time.Sleep(50 * time.Millisecond)
					out := answer(id, refs)
					if len(refs) > 1 && tc.document != nil {
						out[1] = providers.Result{Err: tc.document}
					}
					if len(refs) > 1 && tc.whole != nil {
						return nil, tc.whole
					}
					return out, nil
				}
				mustFetch(t, p, hourly(s, "a"))
				time.Sleep(time.Hour - 30*time.Second)
				b.drain()
				own := make(chan error)
				go func() {
					_, err := p.Fetch(t.Context(), hourly(s, "own"))
					own <- err
				}()
				synctest.Wait()
				if got := mustFetch(t, p, hourly(s, "a")); got[0] != "none/a" {
					t.Errorf("it gets %v", got)
				}
				if err := <-own; err != nil {
					t.Errorf("what was asked for: %v", err)
				}
				if calls := b.drain(); len(calls) != tc.calls || !slices.Equal(calls[0], []string{"own", "a"}) {
					t.Errorf("calls %v, want %d", calls, tc.calls)
				}
			})
		})
	}
}

func TestWhatNobodyAsksForAnyMoreIsFetchedAheadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		mustFetch(t, p, hourly(s, "gone"))
		time.Sleep(time.Second)
		for range 2 * 360 {
			req := hourly(s, "stays")
			req.Interval, req.MaxAge = 10*time.Second, MaxAge(10*time.Second)
			mustFetch(t, p, req)
			time.Sleep(10 * time.Second)
		}
		times := 0
		for _, keys := range b.drain() {
			if slices.Contains(keys, "gone") {
				times++
			}
		}
		if times != 2 {
			t.Errorf("it was read %d times, want when it was asked for and once ahead", times)
		}
	})
}

// TestWhatMustBeNewIsNotReusedThoughItWasFetchedAhead: forced, or because something is known to have changed.
func TestWhatMustBeNewIsNotReusedThoughItWasFetchedAhead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Request){
		"forced":  func(r *Request) { r.Forced = true },
		"changed": func(r *Request) { r.Since = time.Now() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(20, 0)
				p := running(t, cluster())
				s := batchStore(b, "team", "s")
				if _, err := foreseen(t, p, s, "a"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				req := hourly(s, "a")
				mustFetch(t, p, req)
				change(&req)
				mustFetch(t, p, req)
				if diff := cmp.Diff([][]string{{"a"}, {"own", "a"}, {"a"}}, b.drain()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestAChangeThatIsSeenAheadIsNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0) // which answers with the time
		p := running(t, cluster())
		l := listen(p)
		s := batchStore(b, "team", "s")
		req := hourly(s, "a")
		req.Interval = 10 * time.Minute // the session stays
		mustFetch(t, p, req)
		time.Sleep(req.Interval - 30*time.Second)
		mustFetch(t, p, hourly(s, "own"))
		synctest.Wait()
		if got := l.drain(); len(got) != 1 || len(got[0].Changed) != 1 || got[0].Changed[0].Key != "a" {
			t.Errorf("news %+v, want that the document has changed", got)
		}
	})
}

// TestABackendThatIsDownIsNotAskedForMore: who finds out whether it is up asks for what he needs, also when the login ends in the
// outage.
func TestABackendThatIsDownIsNotAskedForMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		b.expires = 2 * time.Minute
		var is atomic.Bool
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			b.seen(refs)
			if is.Load() {
				return nil, providers.Errorf(providers.ErrUnavailable, "down")
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		began := time.Now()
		for i := range 100 { // which are due one after the other in ten minutes
			req := hourly(s, fmt.Sprintf("k%d", i))
			req.Next = began.Add(time.Hour + time.Duration(i)*6*time.Second)
			mustFetch(t, p, req)
		}
		time.Sleep(time.Hour - 30*time.Second)
		b.drain()
		is.Store(true)
		for i := range 100 {
			if _, err := p.Fetch(t.Context(), hourly(s, fmt.Sprintf("own-%d", i))); err == nil {
				t.Fatal("a backend that is down answered")
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(9 * time.Minute)
		calls := b.drain()
		if len(calls) < 100 || len(calls[0]) < 2 || !slices.Equal(calls[1], []string{"own-0"}) {
			t.Fatalf("%d calls, the first %v and %v", len(calls), calls[0], calls[1])
		}
		for _, keys := range calls[2:] {
			if len(keys) > 1 {
				t.Errorf("a call in the outage asks for %v", keys)
			}
		}
	})
}

func TestWhatIsRepeatedIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			b.seen(refs)
			out := answer(id, refs)
			if len(refs) > 1 {
				out[0], out[1] = providers.Result{Err: providers.ErrUnavailable}, providers.Result{Err: providers.ErrUnavailable}
			}
			return out, nil
		}
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		s.Retries, s.RetryInterval = 2, time.Second
		if results, err := foreseen(t, p, s, "a", "b"); err != nil || read(t, results[0]) != "none/own" {
			t.Fatalf("%v, %v", results, err)
		}
		if diff := cmp.Diff([][]string{{"a"}, {"b"}, {"own", "a", "b"}, {"own"}}, b.drain()); diff != "" {
			t.Error(diff)
		}
	})
}

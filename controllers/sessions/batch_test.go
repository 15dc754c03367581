package sessions

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// batching is a backend that answers several documents in one request, after a while. It counts requests: each call is as many as
// its documents need.
type batching struct {
	*backend
	size  atomic.Int64
	takes time.Duration

	mu    sync.Mutex
	calls [][]string
}

func newBatching(size int, takes time.Duration) *batching {
	b := &batching{backend: &backend{}, takes: takes}
	b.size.Store(int64(size))
	b.fetch = b.read
	return b
}

// read answers each document with the time at which it was asked.
func (b *batching) read(ctx context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
	b.seen(refs)
	out := make([]providers.Result, len(refs))
	for i := range refs {
		out[i].Document = text(time.Now().Format(time.RFC3339Nano))
	}
	select {
	case <-time.After(b.takes):
		return out, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *batching) seen(refs []providers.Ref) {
	keys := make([]string, len(refs))
	for i, ref := range refs {
		keys[i] = ref.Key
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, keys)
}

// drain returns the keys of the calls since the last time.
func (b *batching) drain() [][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

func (b *batching) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	s, err := b.backend.Open(ctx, cfg, env)
	return batchingSession{s, b}, err
}

type batchingSession struct {
	providers.Session
	of *batching
}

func (s batchingSession) Unwrap() providers.Session { return s.Session }
func (s batchingSession) Batch() int                { return int(s.of.size.Load()) }

// Batches implements providers.Batching.
func (b *batching) Batches(providers.Config) bool { return b.size.Load() > 1 }

func batchStore(b *batching, namespace, uid string) Store {
	s := storeOf(b.backend, namespace, uid, 1)
	s.Provider = b
	return s
}

// fiveKeys are those of one object.
func fiveKeys(object int) []string {
	keys := make([]string, 5)
	for i := range keys {
		keys[i] = fmt.Sprintf("object-%04d/%d", object, i)
	}
	return keys
}

// TestAnHourOfManyObjectsCostsAQuarterOfTheirCalls is the hour of objects whose due times are spread: each has five documents of its
// own, and twenty are one request. Each second object says when it asks next, and the others leave it to be guessed.
func TestAnHourOfManyObjectsCostsAQuarterOfTheirCalls(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size  int
		takes time.Duration
		most  int
		// restarted is set when the objects were read before the pool was there, so that it holds for the first hour, too.
		restarted bool
		// referent is set when the store takes its credentials from the namespace that uses it.
		referent bool
	}{
		"twenty in a request":                  {20, 80 * time.Millisecond, 275, false, false},
		"twenty in a request, and it is slow":  {20, 4 * time.Second, 275, false, false},
		"twenty in a request, after a restart": {20, 80 * time.Millisecond, 275, true, false},
		"with credentials of the namespace":    {20, 80 * time.Millisecond, 275, true, true},
		"ten in a request":                     {10, 80 * time.Millisecond, 550, false, false},
		"one in a request":                     {1, 80 * time.Millisecond, 1000, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const objects = 1000
				rounds := 3
				if tc.restarted {
					rounds = 1 // the first hour is what differs
				}
				b := newBatching(tc.size, tc.takes)
				b.expires = 50 * time.Minute // a login ends within the hour
				if tc.referent {
					b.credential = providers.ObjectRef{Name: "login", Key: "token"}
				}
				p := running(t, cluster(credentialSecret("team", "login", "ours")))
				s := batchStore(b, "", "s")
				began := time.Now()
				var wg sync.WaitGroup
				for i := range objects {
					if req := hourly(s, fiveKeys(i)...); tc.restarted {
						req.Next = began.Add(time.Duration(i*7919%objects) * time.Hour / objects)
						p.Foretell(req)
					}
				}
				for i := range objects {
					wg.Go(func() {
						for round := range rounds {
							due := began.Add(time.Duration(round)*time.Hour + time.Duration(i*7919%objects)*time.Hour/objects)
							time.Sleep(time.Until(due) + time.Duration(i%10)*20*time.Millisecond) // a worker takes it up a little later
							req := request(s, "team", fiveKeys(i)...)
							req.Interval, req.MaxAge = time.Hour, MaxAge(time.Hour)
							if i%2 == 0 {
								req.Next = due.Add(time.Hour)
							}
							asked := time.Now()
							for _, read := range mustFetch(t, p, req) {
								if at, err := time.Parse(time.RFC3339Nano, read); err != nil || asked.Sub(at) >= req.MaxAge {
									t.Errorf("object %d got what was read %s before: %v", i, asked.Sub(at), err)
								}
							}
							if took := time.Since(asked); took > 2*tc.takes+maxGather {
								t.Errorf("object %d waited for %s", i, took)
							}
						}
					})
				}
				for range rounds {
					time.Sleep(time.Hour)
					synctest.Wait()
					calls, documents := b.drain(), 0
					for _, keys := range calls {
						documents += len(keys)
						if len(keys) > max(tc.size, 5) {
							t.Errorf("a call for %d documents", len(keys))
						}
					}
					t.Logf("%d calls for %d documents", len(calls), documents)
					if (tc.restarted || time.Since(began) > time.Hour) && len(calls) > tc.most {
						t.Errorf("%d calls in an hour, want %d at most", len(calls), tc.most)
					}
					if documents > objects*5*11/10 {
						t.Errorf("%d documents were asked for, of %d", documents, objects*5)
					}
				}
				wg.Wait()
			})
		})
	}
}

// TestWhatManyAskAtOnceIsAskedInFullCalls is a start: as many workers as by default ask for one object after the other. How many calls
// a thousand objects take is a matter of whose turn comes first, by two in a hundred for a fast backend; of five thousand by one. For a
// slow one, two workers that each came alone can stay apart: where chance decided, one start in seventy took up to 380 calls.
func TestWhatManyAskAtOnceIsAskedInFullCalls(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		takes       time.Duration
		size        int
		objects     int
		most, least time.Duration
		calls       int
	}{
		"a request at a time":       {100 * time.Millisecond, 1, 1000, 13 * time.Second, 11 * time.Second, 1000},
		"ten in a request":          {100 * time.Millisecond, 10, 1000, 14 * time.Second, 0, 520},
		"twenty in a request":       {100 * time.Millisecond, 20, 1000, 17 * time.Second, 0, 300},
		"twenty, by a fast backend": {20 * time.Millisecond, 20, 5000, 5 * 6 * time.Second, 0, 5 * 300},
		"twenty, by a slow backend": {time.Second, 20, 1000, 120 * time.Second, 0, 320},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(tc.size, tc.takes)
				p := running(t, cluster())
				s := batchStore(b, "", "s")
				var next atomic.Int64
				var wg sync.WaitGroup
				began := time.Now()
				for worker := range 10 {
					wg.Go(func() {
						time.Sleep(time.Duration(worker) * time.Microsecond)
						for object := next.Add(1); object <= int64(tc.objects); object = next.Add(1) {
							req := request(s, "team", fiveKeys(int(object))...)
							req.Interval = time.Hour
							mustFetch(t, p, req)
							// It writes a Secret. No two are done at the same moment, so that whose turn comes first is no chance.
							time.Sleep(time.Duration(10+(object*7+int64(worker)*3)%21)*time.Millisecond + time.Duration(object*7919%100_003)*time.Nanosecond)
						}
					})
				}
				wg.Wait()
				if n := len(b.drain()); n > tc.calls {
					t.Errorf("%d calls for %d documents, want %d at most", n, 5*tc.objects, tc.calls)
				}
				if took := time.Since(began); took > tc.most || took < tc.least {
					t.Errorf("it took %s, want between %s and %s", took, tc.least, tc.most)
				}
			})
		})
	}
}

package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/providers"
)

func TestWhatIsAskedAtOnceIsReadInPortions(t *testing.T) {
	t.Parallel()
	down := providers.Errorf(providers.ErrUnavailable, "down")
	throttled := fmt.Errorf("x: %w", &providers.ThrottledError{After: time.Minute})
	big := text(strings.Repeat("x", maxFetched/maxRequests))
	tests := map[string]struct {
		refs, batch int
		// errs are those of portions, by their number.
		errs map[int]error
		doc  text
		// portions are how many refs were asked for at once, failed are the places of those that could not be read.
		portions []int
		failed   []int
		with, is error
	}{
		"nothing":                              {},
		"one portion":                          {refs: 16, doc: "x", portions: []int{16}},
		"one more":                             {refs: 17, doc: "x", portions: []int{16, 1}},
		"several in one request":               {refs: 321, batch: 20, doc: "x", portions: []int{320, 1}},
		"all that may be read":                 {refs: 33, doc: big, portions: []int{16, 16}, failed: []int{32}, with: errTooMuch},
		"what comes after is not asked for":    {refs: 50, doc: big + "x", portions: []int{16}, failed: upTo(16, 50), with: errTooMuch},
		"a portion that fails is not all":      {refs: 40, doc: "x", errs: map[int]error{0: down}, portions: []int{16, 16, 8}, failed: upTo(0, 16), with: down},
		"the last fails":                       {refs: 17, doc: "x", errs: map[int]error{1: down}, portions: []int{16, 1}, failed: []int{16}, with: down},
		"all that fail are one failure":        {refs: 17, errs: map[int]error{0: down, 1: down}, portions: []int{16, 1}, is: down},
		"who asks for time is left alone":      {refs: 40, doc: "x", errs: map[int]error{1: throttled}, portions: []int{16, 16}, failed: upTo(16, 40), with: throttled},
		"who asks for time at once, even more": {refs: 40, doc: "x", errs: map[int]error{0: throttled}, portions: []int{16}, is: throttled},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refs := make([]providers.Ref, tc.refs)
			for i := range refs {
				refs[i].Key = fmt.Sprint(i)
			}
			var portions []int
			results, err := inPortions(t.Context(), refs, tc.batch, time.Hour, func(_ context.Context, portion []providers.Ref) ([]providers.Result, error) {
				portions = append(portions, len(portion))
				if err := tc.errs[len(portions)-1]; err != nil {
					return nil, err
				}
				out := make([]providers.Result, len(portion))
				for i, ref := range portion {
					out[i] = providers.Result{Document: tc.doc, Version: ref.Key}
				}
				return out, nil
			})
			if !slices.Equal(portions, tc.portions) || !errors.Is(err, tc.is) || err != nil && tc.is == nil {
				t.Errorf("portions %v, error %v; want %v and %v", portions, err, tc.portions, tc.is)
			}
			if err != nil {
				return
			}
			var failed []int
			for i, r := range results {
				if r.Err == nil && r.Version != refs[i].Key {
					t.Errorf("result %d is that of %s", i, r.Version)
				}
				if r.Err != nil {
					failed = append(failed, i)
					if !errors.Is(r.Err, tc.with) {
						t.Errorf("result %d failed with %v", i, r.Err)
					}
				}
			}
			if len(results) != len(refs) || !slices.Equal(failed, tc.failed) {
				t.Errorf("%d results, of which %v failed; want %d and %v", len(results), failed, len(refs), tc.failed)
			}
		})
	}
}

// Each portion may take as long as one request, and all together as long as the context, or as one portion since others wait.
func TestWhatIsReadInPortionsMayTakeAsLongAsEachIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	much := bulk(large.Together/maxRequests + 1)
	for name, tc := range map[string]struct {
		takes []time.Duration // of the portions, in seconds
		doc   bulk
		// answered is how many portions bring their documents, took after how long it is over, and is the error of all.
		answered int
		took     time.Duration
		is       error
	}{
		"each in its time":                      {takes: []time.Duration{19, 19, 19}, answered: 3, took: 57},
		"one that is late ends it":              {takes: []time.Duration{19, 21, 1}, answered: 1, took: 39},
		"the first one is late":                 {takes: []time.Duration{21, 1}, took: 20, is: context.DeadlineExceeded},
		"all together are late":                 {takes: []time.Duration{19, 19, 19, 19, 19, 19, 19, 1}, answered: 6, took: 120},
		"large ones, for which others wait":     {takes: []time.Duration{8, 8, 8, 8, 8}, doc: much, answered: 3, took: 28},
		"large ones, of which the first is all": {takes: []time.Duration{19}, doc: much, answered: 1, took: 19},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), maxPatience)
				defer cancel()
				ctx, end := large.NewTurns().Hold(ctx)
				defer end()
				began, calls := time.Now(), 0
				refs := make([]providers.Ref, len(tc.takes)*maxRequests)
				results, err := inPortions(ctx, refs, 1, 20*time.Second, func(ctx context.Context, portion []providers.Ref) ([]providers.Result, error) {
					calls++
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(tc.takes[calls-1] * time.Second):
						return slices.Repeat([]providers.Result{{Document: tc.doc}}, len(portion)), nil
					}
				})
				if took := time.Since(began); took != tc.took*time.Second || !errors.Is(err, tc.is) {
					t.Errorf("it is over after %s with error %v", took, err)
				}
				for i, r := range results {
					if i < tc.answered*maxRequests != (r.Err == nil) || r.Err != nil && !errors.Is(r.Err, errLate) {
						t.Fatalf("document %d: %v", i, r.Err)
					}
				}
				if want := min(tc.answered+1, len(tc.takes)); calls != want {
					t.Errorf("%d portions were asked for, want %d", calls, want)
				}
			})
		})
	}
}

// upTo returns the numbers from one to before another.
func upTo(from, to int) []int {
	out := make([]int, 0, to-from)
	for i := range to - from {
		out = append(out, from+i)
	}
	return out
}

// bulk is a document of which only the size matters.
type bulk int

func (b bulk) Size() int { return int(b) }
func (b bulk) Value(string) (providers.Value, error) {
	return providers.NewValue([]byte("large")), nil
}
func (b bulk) Fields(string) (map[string]providers.Value, error) { return nil, providers.ErrInvalid }

// Whoever asks for more than one may read at once gets no more than that, and nobody else gets less: neither one who wants a document
// that was asked for too late, nor one whose documents were asked for together with these.
func TestWhoAsksForTooMuchTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		batch, greedy int
		modest        string
	}{
		"the same document":   {batch: 1, greedy: 3 * maxRequests, modest: fmt.Sprintf("k%02d", 3*maxRequests-1)},
		"in the same request": {batch: 20, greedy: 20*maxRequests + 10, modest: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(tc.batch, 0)
				b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
					time.Sleep(50 * time.Millisecond)
					out := answer(id, refs)
					for i := range refs {
						if refs[i].Key != "other" && refs[i].Key != "first" {
							out[i].Document = bulk(maxFetched / maxRequests / tc.batch * 11 / 10)
						}
					}
					return out, nil
				}
				p := running(t, cluster())
				s := batchStore(b, "team", "s")
				var got [3][]providers.Result
				var asking sync.WaitGroup
				for i, req := range []Request{request(s, "team", "first"), request(s, "team", keysFrom(0, tc.greedy)...), request(s, "team", tc.modest)} {
					asking.Go(func() {
						var err error
						if got[i], err = p.Fetch(t.Context(), req); err != nil {
							t.Errorf("request %d: %v", i, err)
						}
					})
					synctest.Wait()
					time.Sleep(time.Millisecond)
				}
				asking.Wait()
				last := got[1][tc.greedy-1].Err
				if !errors.Is(last, providers.ErrInvalid) || !strings.Contains(last.Error(), "more than 32 MiB together; read fewer") {
					t.Errorf("the last of what was too much: %v", last)
				}
				if err := got[2][0].Err; err != nil || got[2][0].Document == nil {
					t.Errorf("the other was told %v", err)
				}
			})
		})
	}
}

// Each request is answered in time, and all that one has asked for together in two minutes, or not: that is told to nobody else who wants
// some of it, and nobody waits much longer for one document than for two answers.
func TestWhoAsksForMuchOfASlowStoreTakesNobodysTime(t *testing.T) {
	t.Parallel()
	const much, verymuch = 3 * maxRequests, 11 * maxRequests
	for name, tc := range map[string]struct {
		batch, much int
		asks        []string
		// again is set when much is asked for again, whatever was read, before the others are told.
		again bool
		// want is what the one who asks for much is told of the last document, and within is how long the other waits.
		want   error
		within time.Duration
	}{
		"a document that is read before the others":  {1, much, keysFrom(1, 1), false, nil, 13 * time.Second},
		"a document that is asked for too late":      {1, much, keysFrom(much-1, 1), false, nil, 35 * time.Second},
		"a document that is asked for a little late": {1, much, keysFrom(maxRequests, 1), false, nil, 35 * time.Second},
		"some documents more than one portion has":   {1, verymuch, keysFrom(verymuch-2*maxRequests-1, 2*maxRequests+1), false, errLate, 99 * time.Second},
		"while much is asked for again":              {1, much, keysFrom(much-1, 1), true, nil, 35 * time.Second},
		"a document that is asked for with it":       {20, 20*maxRequests + 10, []string{"other"}, false, nil, 35 * time.Second},
		"a document that is not asked for any more":  {1, verymuch, keysFrom(verymuch-1, 1), false, errLate, 35 * time.Second},
		"what is read before it is too much":         {1, verymuch, keysFrom(1, 1), false, errLate, 13 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(tc.batch, 12*time.Second)
				p := running(t, cluster())
				s := batchStore(b, "", "s")
				var asking sync.WaitGroup
				ask := func(want error, within time.Duration, req Request) {
					asking.Go(func() {
						began := time.Now()
						results, err := p.Fetch(t.Context(), req)
						if err != nil {
							t.Errorf("who asks for %d: %v", len(req.Refs), err)
						} else if got := results[len(req.Refs)-1].Err; !errors.Is(got, want) {
							t.Errorf("who asks for %d is told of the last: %v, want %v", len(req.Refs), got, want)
						}
						if took := time.Since(began); took > within {
							t.Errorf("who asks for %d waits for %s, want %s", len(req.Refs), took, within)
						}
					})
					synctest.Wait()
					time.Sleep(time.Millisecond)
				}
				ask(nil, 13*time.Second, request(s, "team", "first"))
				ask(tc.want, maxPatience+time.Second, request(s, "team", keysFrom(0, tc.much)...))
				ask(nil, tc.within, request(s, "team", tc.asks...))
				if tc.again {
					time.Sleep(19 * time.Second)
					forced := request(s, "team", keysFrom(0, tc.much)...)
					forced.Forced = true
					ask(nil, maxPatience, forced)
				}
				asking.Wait()
				if !OutOfReach(errLate) || !strings.Contains(errLate.Error(), "read fewer documents with one ExternalSecret") {
					t.Error(errLate) // which is what the one is told
				}
			})
		})
	}
}

func TestWhoIsToldToEndWhileHeWaitsForADocumentOfOthersAsksForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(1, 12*time.Second)
		p := running(t, cluster())
		s := batchStore(b, "", "s")
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := p.Fetch(t.Context(), request(s, "team", keysFrom(0, 3*maxRequests)...)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := p.Fetch(ctx, request(s, "team", fmt.Sprintf("k%02d", 2*maxRequests))); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		asking.Wait()
		if calls := b.fetches.Load(); calls != 3 {
			t.Errorf("%d calls, want those of the other, 3", calls)
		}
	})
}

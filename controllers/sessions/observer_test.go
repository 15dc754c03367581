package sessions

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/providers"
)

// counts keeps the fetches that it is told of.
type counts struct {
	nobody
	mu   sync.Mutex
	seen []Call
}

func (c *counts) Called(call Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.Op == OpFetch {
		call.Took = time.Duration(0)
		c.seen = append(c.seen, call)
	}
}

func TestWhatABackendDoesNotHaveIsNotCountedAsAFailure(t *testing.T) {
	t.Parallel()
	seen := &counts{}
	p := running(t, cluster())
	p.observer = seen
	b := &backend{fetch: func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
		if refs[0].Key == "down" {
			return nil, providers.Errorf(providers.ErrUnavailable, "down")
		}
		out := answer(id, refs)
		for i, ref := range refs {
			switch ref.Key {
			case "missing":
				out[i] = providers.Result{Err: providers.Errorf(providers.ErrNotFound, "none")}
			case "denied":
				out[i] = providers.Result{Err: providers.Errorf(providers.ErrDenied, "no")}
			}
		}
		return out, nil
	}}
	s := storeOf(b, "team", "s", 1)
	for _, keys := range [][]string{{"a", "missing", "denied", "b"}, {"missing"}, {"down", "too"}} {
		_, _ = p.Fetch(t.Context(), request(s, "team", keys...)) // what it says is another matter
	}
	want := []Call{{Succeeded: 2, Missing: 1, Failed: 1}, {Missing: 1}, {Failed: 2}}
	for i := range want {
		want[i].Provider, want[i].Op = "backend", OpFetch
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if diff := cmp.Diff(want, seen.seen); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsAskedForTogetherAndAheadIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := &counts{}
		p := running(t, cluster())
		p.observer = seen
		s := batchStore(newBatching(20, 0), "team", "s")
		if _, err := foreseen(t, p, s, "a", "b"); err != nil {
			t.Fatal(err)
		}
		mustFetch(t, p, hourly(s, "c", "d"))
		want := []Call{{Succeeded: 1}, {Succeeded: 1}, {Succeeded: 3, Batched: 3, Ahead: 2}, {Succeeded: 2, Batched: 2}}
		for i := range want {
			want[i].Provider, want[i].Op = "backend", OpFetch
		}
		if diff := cmp.Diff(want, seen.seen); diff != "" {
			t.Error(diff)
		}
	})
}

package sessions

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// sized answers with documents whose size their key names, in KiB: "<size>/<name>".
func sized(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		var kib int
		_, _ = fmt.Sscanf(ref.Key, "%d/", &kib)
		out[i].Document = text(strings.Repeat("x", kib<<10))
	}
	return out, nil
}

// Whoever runs a store and may name thousands of its keys cannot fill the memory with what is kept of them for others, and does not
// take from others what is kept for them.
func TestTheSessionThatKeepsMostGivesUpWhenAllKeepTooMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := running(t, cluster())
		p.limits.Kept = 1 << 20
		b := &backend{fetch: sized}
		modest, greedy := storeOf(b, "team", "modest", 1), storeOf(b, "team", "greedy", 1)
		asked := func(s Store, key string) int64 {
			t.Helper()
			before := b.asked.Load()
			if _, err := p.Fetch(t.Context(), request(s, "team", key)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if kept := p.keeping.Load(); kept > p.limits.Kept || kept < 0 {
				t.Fatalf("%d bytes are kept after %s", kept, key)
			}
			return b.asked.Load() - before
		}
		asked(modest, "1/a")
		for i := range 30 {
			asked(greedy, fmt.Sprintf("100/%d", i))
		}
		if got := asked(modest, "1/a"); got != 0 {
			t.Error("the modest was asked again")
		}
		if got := asked(greedy, "100/29"); got != 0 {
			t.Error("the greedy was asked again for what it has read last")
		}
		if got := asked(greedy, "100/0"); got != 1 {
			t.Error("the greedy was not asked again for what it has given up")
		}
		if got := asked(greedy, "2000/large"); got != 1 || p.keeping.Load() > 2<<10 {
			t.Errorf("%d bytes are kept, of a document that is larger than what all may keep", p.keeping.Load())
		}
		asked(greedy, "100/last")
		p.Forget(greedy.UID)
		time.Sleep(MaxReuse + 2*sweepEvery)
		synctest.Wait()
		if kept := p.keeping.Load(); kept != 0 {
			t.Errorf("%d bytes are counted when nothing is kept any more", kept)
		}
	})
}

// What was given up was read by a call; one that had begun before it and ends after it brings what is older.
func TestACallOfBeforeIsNotKeptInsteadOfWhatWasGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := running(t, cluster())
		b := &backend{fetch: func(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
			if len(refs) == 2 { // the call of before
				time.Sleep(10 * time.Second)
				return []providers.Result{{Document: text("old")}, {Document: text("old")}}, nil
			}
			return []providers.Result{{Document: text("new")}}, nil
		}}
		s := storeOf(b, "team", "s", 1)
		late := make(chan struct{})
		go func() {
			defer close(late)
			mustFetch(t, p, request(s, "team", "a", "b"))
		}()
		time.Sleep(time.Second)
		forced := request(s, "team", "a")
		forced.Forced = true
		mustFetch(t, p, forced)
		for _, e := range p.entries {
			e.kept.clear(time.Now())
		}
		<-late
		if got := mustFetch(t, p, request(s, "team", "a")); got[0] != "new" {
			t.Errorf("got %q, which was read before", got[0])
		}
	})
}

// A document that holds nothing is not kept for nothing.
func TestDocumentsWithoutContentHaveAWeight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := running(t, cluster())
		p.limits.Kept = 1 << 20
		b := &backend{fetch: sized}
		s := storeOf(b, "team", "s", 1)
		keys := make([]string, p.limits.Kept/perDocument+1)
		for i := range keys {
			keys[i] = fmt.Sprintf("0/%d", i)
		}
		mustFetch(t, p, request(s, "team", keys...))
		synctest.Wait()
		before := b.asked.Load()
		mustFetch(t, p, request(s, "team", keys[0]))
		if b.asked.Load() == before {
			t.Errorf("%d documents are kept, for which %d bytes are counted", len(keys), p.keeping.Load())
		}
	})
}

// What a session keeps whose store is gone goes when its last user does; until then there may be nobody else to give up anything.
func TestTheSessionOfAStoreThatIsGoneMayKeepTooMuchWhileItIsUsed(t *testing.T) {
	t.Parallel()
	for name, beside := range map[string]bool{"alone": false, "beside one that keeps nothing": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := running(t, cluster())
				p.limits.Kept = 1 << 20
				b := &backend{fetch: func(ctx context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
					switch refs[0].Key {
					case "missing":
						return []providers.Result{{Err: providers.ErrNotFound}}, nil
					case "2000/large":
						time.Sleep(time.Second)
					case "1/slow":
						time.Sleep(2 * time.Second)
					}
					return sized(ctx, id, refs)
				}}
				gone := storeOf(b, "team", "gone", 1)
				if beside {
					if _, err := p.Fetch(t.Context(), request(storeOf(b, "team", "other", 1), "team", "missing")); err != nil {
						t.Fatal(err)
					}
				}
				for _, key := range []string{"2000/large", "1/slow"} {
					go func() {
						if _, err := p.Fetch(t.Context(), request(gone, "team", key)); err != nil {
							t.Errorf("%s: %v", key, err)
						}
					}()
				}
				time.Sleep(500 * time.Millisecond)
				p.Forget(gone.UID)
				time.Sleep(time.Second)
				if kept := p.keeping.Load(); kept < 2000<<10 {
					t.Errorf("%d bytes are counted while the session keeps more", kept)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if kept := p.keeping.Load(); kept != 0 {
					t.Errorf("%d bytes are counted when nothing is kept any more", kept)
				}
			})
		})
	}
}

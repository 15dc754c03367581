package transit

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAVaultThatDoesNotAnswerIsAskedByOneAtATimeAfterARest(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	g := gate{now: func() time.Time { return now }}
	down := errors.New("down")
	for range 2 {
		if g.enter() != nil {
			t.Error("not everybody may ask a Vault that is well")
		}
	}
	g.leave(down)
	var through atomic.Int32
	rush := func() int32 {
		through.Store(0)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				switch err := g.enter(); {
				case err == nil:
					through.Add(1)
				case !errors.Is(err, down):
					t.Error(err)
				}
			})
		}
		all.Wait()
		return through.Load()
	}
	if n := rush(); n != 0 {
		t.Errorf("%d asked at once after a failure", n)
	}
	now = now.Add(rest)
	if n := rush(); n != 1 {
		t.Errorf("%d asked after the rest", n)
	}
	g.leave(down)
	now = now.Add(rest)
	if n := rush(); n != 1 {
		t.Errorf("%d asked after another rest", n)
	}
	g.leave(nil)
	if n := rush(); n != 50 {
		t.Errorf("%d may ask a Vault that is well again", n)
	}
}

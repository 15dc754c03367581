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
		if _, err := g.enter(); err != nil {
			t.Error("not everybody may ask a Vault that is well")
		}
	}
	g.leave(2, down)
	var through atomic.Int32
	rush := func() int32 {
		through.Store(0)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				switch _, err := g.enter(); {
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
	g.leave(3, down)
	now = now.Add(rest)
	if n := rush(); n != 1 {
		t.Errorf("%d asked after another rest", n)
	}
	g.leave(4, nil)
	if n := rush(); n != 50 {
		t.Errorf("%d may ask a Vault that is well again", n)
	}
}

func TestWhatAnEarlierRequestMeetsSaysNothingOfAVaultThatALaterOneHasMet(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	g := gate{now: func() time.Time { return now }}
	enter := func() int {
		t.Helper()
		order, err := g.enter()
		if err != nil {
			t.Fatal(err)
		}
		return order
	}
	down, closed := errors.New("down"), func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.err != nil
	}
	slow, slower, first := enter(), enter(), enter()
	g.leave(first, down)
	g.leave(slow, nil)
	if !closed() {
		t.Error("what was answered before Vault went down opens the gate")
	}
	now = now.Add(rest)
	g.leave(enter(), nil)
	g.leave(slower, down)
	if closed() {
		t.Error("what waited since before Vault was back closes the gate")
	}
}

func TestWhoeverWaitsNoMoreSaysNothingOfVault(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	g := gate{now: func() time.Time { return now }}
	enters := func() (order int, may bool) {
		order, err := g.enter()
		return order, err == nil
	}
	before, _ := enters()
	order, _ := enters()
	g.leave(order, errors.New("down"))
	now = now.Add(rest)
	probe, may := enters()
	if !may {
		t.Fatal("nobody may ask after the rest")
	}
	g.giveUp(before)
	if _, may := enters(); may {
		t.Error("a second one asks a Vault that is down")
	}
	g.giveUp(probe)
	if _, may := enters(); !may {
		t.Error("nobody may ask for one that waits no more")
	}
	if _, may := enters(); may {
		t.Error("all ask a Vault that nobody has heard of since it was down")
	}
}

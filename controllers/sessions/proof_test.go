package sessions

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// proving is a store whose backend answers a key with what the key says.
type proving struct {
	t     *testing.T
	p     *Pool
	store Store
	// release lets the answers to "slow" come.
	release chan struct{}
	checks  atomic.Int64
	says    error
}

func newProving(t *testing.T) *proving {
	t.Helper()
	w := &proving{t: t, p: running(t, cluster()), release: make(chan struct{})}
	b := &backend{fetch: func(_ context.Context, identity string, refs []providers.Ref) ([]providers.Result, error) {
		results := answer(identity, refs)
		switch refs[0].Key {
		case "slow":
			<-w.release
		case "missing":
			results[0].Err = providers.Errorf(providers.ErrNotFound, "no such document")
		case "denied":
			results[0].Err = providers.Errorf(providers.ErrDenied, "not this one")
		case "down":
			return nil, providers.Errorf(providers.ErrUnavailable, "down")
		}
		return results, nil
	}}
	w.store = storeOf(b, "team", "s", 1)
	w.store.Provider = checking{b, func(context.Context) error {
		w.checks.Add(1)
		return w.says
	}}
	return w
}

// ask asks for a document a second after whatever was asked for before.
func (w *proving) ask(key string) {
	w.t.Helper()
	time.Sleep(time.Second)
	if _, err := w.p.Fetch(w.t.Context(), request(w.store, "team", key)); err != nil && key != "down" {
		w.t.Errorf("ask for %s: %v", key, err)
	}
}

func TestABackendIsNotCheckedOfWhichADocumentWasReadAMomentAgo(t *testing.T) {
	t.Parallel()
	unverified := providers.Errorf(providers.ErrUnverified, "no right to ask")
	for name, tc := range map[string]struct {
		// says is what the first check brought.
		says error
		then func(*proving)
		// asked is set where the second check asks the backend.
		asked bool
	}{
		"read":                    {nil, func(w *proving) { w.ask("a") }, false},
		"read, and it can't tell": {unverified, func(w *proving) { w.ask("a") }, false},
		"read long ago":           {nil, func(w *proving) { w.ask("a"); time.Sleep(time.Minute) }, true},
		"nothing read":            {nil, func(*proving) {}, true},
		"missing":                 {nil, func(w *proving) { w.ask("missing") }, true},
		"denied after it":         {nil, func(w *proving) { w.ask("a"); w.ask("denied") }, true},
		"denied before it":        {nil, func(w *proving) { w.ask("denied"); w.ask("a") }, false},
		"down after it":           {nil, func(w *proving) { w.ask("a"); w.ask("down") }, true},
		"asked for before what was denied": {nil, func(w *proving) {
			ended := make(chan struct{})
			go func() { defer close(ended); w.ask("slow") }()
			w.ask("b")
			w.ask("denied")
			close(w.release)
			<-ended
		}, true},
		"what was asked for longer ago comes after it": {nil, func(w *proving) {
			ended := make(chan struct{})
			go func() { defer close(ended); w.ask("slow") }()
			time.Sleep(15 * time.Second)
			w.ask("a")
			close(w.release)
			<-ended
			time.Sleep(50 * time.Second)
		}, false},
		"read in a session that was not checked": {nil, func(w *proving) { w.p.Forget(w.store.UID); w.ask("a") }, true},
		"the check had failed":                   {providers.Errorf(providers.ErrInvalid, "no such store"), func(w *proving) { w.says = nil; w.ask("a") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newProving(t)
				w.says = tc.says
				first, err := w.p.Check(t.Context(), w.store, time.Minute)
				if w.says != nil && !errors.Is(w.says, providers.ErrUnverified) && err == nil {
					t.Fatal("the first check brought no error")
				}
				tc.then(w)
				before := w.checks.Load()
				second, err := w.p.Check(t.Context(), w.store, time.Minute)
				if err != nil || second.Unverified != first.Unverified {
					t.Errorf("%+v after %+v, %v", second, first, err)
				}
				if asked := w.checks.Load() > before; asked != tc.asked {
					t.Errorf("asked %t, want %t", asked, tc.asked)
				}
				before = w.checks.Load()
				if _, err := w.p.Check(t.Context(), w.store, 0); err != nil || w.checks.Load() == before {
					t.Errorf("asked %d times by who takes nothing for it, %v", w.checks.Load()-before, err)
				}
			})
		})
	}
}

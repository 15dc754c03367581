package sessions

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
)

// What the pool knows of a store goes with it, or with its configuration, and nothing that it knows of others.
func TestWhatBecomesOfOneStoreIsNothingToAnother(t *testing.T) {
	t.Parallel()
	for name, becomes := range map[string]func(*testing.T, *Pool){
		"another goes": func(t *testing.T, p *Pool) {
			t.Helper()
			mustFetch(t, p, request(storeOf(&backend{}, "team", "another", 1), "team", "a"))
			p.Forget("another")
		},
		"another is configured a second time": func(t *testing.T, p *Pool) {
			t.Helper()
			for generation := range int64(9) {
				mustFetch(t, p, request(storeOf(&backend{}, "team", "another", 1+generation), "team", "a"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := cluster(credentialSecret("a", "cred", "of-a"), credentialSecret("b", "cred", "of-b"))
				p := New(Deps{Reader: c, Tokens: c, Watches: atRest(t)})
				defer p.close()
				l := listen(p)
				own := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
				s := storeOf(own, "a", "own", 1)
				mustFetch(t, p, request(s, "a", "k"))
				referent := &backend{credential: own.credential}
				shared := storeOf(referent, "", "shared", 1)
				mustFetch(t, p, request(shared, "a", "k"))
				var is atomic.Bool
				is.Store(true)
				unreachable, unanswered := &backend{}, storeOf(&backend{}, "team", "unanswered", 1)
				down(unreachable, &is)
				failing(t, p, storeOf(unreachable, "team", "unreachable", 1), "k")
				unanswered.Provider = checking{unanswered.Provider.(*backend), upUnless(&is)}
				if _, err := p.Check(t.Context(), unanswered, 0); err == nil {
					t.Fatal("a backend that is down answered")
				}
				becomes(t, p)
				mustFetch(t, p, request(s, "a", "k"))
				mustFetch(t, p, request(shared, "b", "k"))
				if own.opens.Load() != 1 || referent.opens.Load() != 3 { // the second finds out for whom
					t.Errorf("%d logins of one and %d of the other", own.opens.Load(), referent.opens.Load())
				}
				cred := watches.Object{Kind: watches.Secret, Namespace: "a", Name: "cred"}
				if !p.followers.Has(key{identity: s.identity()}, cred) {
					t.Error("its credential is not watched any more")
				}
				is.Store(false)
				time.Sleep(maxCheckPause)
				synctest.Wait()
				var up []string
				for _, n := range l.drain() {
					up = append(up, string(n.Store.UID))
				}
				if slices.Sort(up); !slices.Equal(up, []string{"unanswered", "unreachable"}) {
					t.Errorf("known to be up again: %v", up)
				}
			})
		})
	}
}

func TestWhatIsForetoldOfOneStoreIsAskedOfNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := running(t, cluster())
		theirs, b := newBatching(20, 0), newBatching(20, 0)
		p.Foretell(next(batchStore(theirs, "", "theirs"), 30*time.Second, "their-key"))
		p.Foretell(next(batchStore(b, "", "ours"), 30*time.Second, "our-key"))
		mustFetch(t, p, hourly(batchStore(b, "", "ours"), "own"))
		if calls := b.drain(); len(calls) != 1 || !slices.Equal(calls[0], []string{"own", "our-key"}) {
			t.Errorf("asked for %v", calls)
		}
		mustFetch(t, p, hourly(batchStore(theirs, "", "theirs"), "own"))
		if calls := theirs.drain(); len(calls) != 1 || !slices.Equal(calls[0], []string{"own", "their-key"}) {
			t.Errorf("the other is asked for %v", calls)
		}
	})
}

func TestTheCredentialsOfAStoreAreWatchedWhileSomebodyWantsIt(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]bool{"that can be used": true, "whose credential is missing": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := cluster()
				if there {
					c = cluster(credentialSecret("team", "cred", "v"))
				}
				p := New(Deps{Reader: c, Tokens: c, Watches: atRest(t)})
				go func() { _ = p.Start(t.Context()) }()
				s := storeOf(&backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}, "team", "s", 1)
				watched := func(generation int64) bool {
					s.Generation = generation
					return p.followers.Has(key{identity: s.identity()}, watches.Object{Kind: watches.Secret, Namespace: "team", Name: "cred"})
				}
				ask := func() {
					if _, err := p.Fetch(t.Context(), request(s, "team", "a")); (err == nil) != there {
						t.Error(err)
					}
				}
				for range 3 {
					ask()
					time.Sleep(10 * time.Minute)
					if !watched(1) {
						t.Error("nobody watches it though somebody has asked ten minutes ago")
					}
				}
				s.Generation = 2
				ask()
				if watched(1) || !watched(2) {
					t.Error("it is watched for what the store was, or not for what it is")
				}
				time.Sleep(p.limits.Idle + 2*sweepEvery)
				if watched(2) {
					t.Error("it is watched though nobody asks any more")
				}
			})
		})
	}
}

func TestAnEarlierProcessSaysWhichCredentialsToWatch(t *testing.T) {
	t.Parallel()
	cred := watches.Object{Kind: watches.Secret, Namespace: "team", Name: "cred"}
	other := watches.Object{Kind: watches.Secret, Namespace: "team", Name: "other"}
	c := cluster(credentialSecret("team", "cred", "v"))
	p := New(Deps{Reader: c, Tokens: c, Watches: atRest(t)})
	s := storeOf(&backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}, "team", "s", 1)
	k := key{identity: s.identity()}
	p.Expect(s, map[watches.Object]watches.Version{cred: "1"})
	if !p.followers.Has(k, cred) {
		t.Error("nobody watches it")
	}
	mustFetch(t, p, request(s, "team", "a"))
	p.Expect(s, map[watches.Object]watches.Version{other: "1"})
	if p.followers.Has(k, other) {
		t.Error("it is believed though it is known better")
	}
	p.close()
	gone := storeOf(&backend{}, "team", "late", 1)
	p.Expect(gone, map[watches.Object]watches.Version{cred: "1"})
	if p.followers.Has(key{identity: gone.identity()}, cred) {
		t.Error("it is watched for a pool that is closed")
	}
	unwatched := New(Deps{Reader: c, Tokens: c})
	unwatched.Expect(s, map[watches.Object]watches.Version{cred: "1"})
	if len(unwatched.credentials) != 0 {
		t.Error("it is remembered though nobody can watch it")
	}
}

package watches

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unwatched returns followers of a Watcher that asks no API server, and what they were told: what is to be seen is given to it
// by hand. Its loops are counted.
func unwatched(limit int) (f *Followers[string], told map[string]int, watched map[Object]bool) {
	told, watched = map[string]int{}, map[Object]bool{}
	w := &Watcher{limit: limit, pause: searchPause, objects: map[Object]*object{}}
	w.begin = func(o Object, ob *object) {
		watched[o] = true
		ob.stop = func() { delete(watched, o) }
	}
	return NewFollowers(w, func(id string) { told[id]++ }), told, watched
}

// see shows a version of an object to the Watcher.
func see(f *Followers[string], o Object, v Version) {
	f.watcher.observe(o, f.watcher.objects[o], v)
}

func secret(name string) Object { return Object{Kind: Secret, Namespace: "ns", Name: name} }

func TestOneObjectMoreIsFollowedBesideTheOthers(t *testing.T) {
	t.Parallel()
	f, told, _ := unwatched(9)
	f.Follow("who", map[Object]Version{secret("a"): "1"})
	f.Add("who", secret("b"), "5")
	f.Add("other", secret("b"), "5")
	if !f.Has("who", secret("a")) || !f.Has("who", secret("b")) || !f.Has("other", secret("b")) || f.Has("other", secret("a")) {
		t.Error("who follows what is not so")
	}
	see(f, secret("b"), "6")
	see(f, secret("b"), "6") // a watch that begins anew
	see(f, secret("a"), "2")
	if want := (map[string]int{"who": 2, "other": 1}); !maps.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	f.Add("who", secret("b"), "6") // it has been read again
	f.Follow("who", map[Object]Version{secret("a"): "2", secret("b"): "6"})
	if since, newer := f.Newer("who"); newer || !since.IsZero() {
		t.Errorf("newer since %s", since)
	}
	f.Add("third", secret("b"), "5") // which is known to be old
	f.Add("third", secret("a"), "2")
	want := map[string]int{"who": 2, "other": 1, "third": 1}
	for i := range 20 { // in whatever order they are followed
		id := fmt.Sprint("late-", i)
		f.Follow(id, map[Object]Version{secret("a"): "1", secret("b"): "6"})
		want[id] = 1
	}
	if !maps.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

func TestWhoHasNotReadAnObjectIsToldOfWhatComesAfterTheFirstLook(t *testing.T) {
	t.Parallel()
	f, told, _ := unwatched(9)
	f.Follow("who", map[Object]Version{secret("a"): ""})
	see(f, secret("a"), "3")
	if told["who"] != 0 {
		t.Error("the first look is no change")
	}
	see(f, secret("a"), "3")
	see(f, secret("a"), "")
	if told["who"] != 0 || f.watcher.Version(secret("a")) != "" {
		t.Error("what may not be looked at any more is no change, and is not known")
	}
	see(f, secret("a"), "4")
	see(f, secret("a"), Absent)
	if told["who"] != 2 {
		t.Errorf("told %d times, want each time", told["who"])
	}
	f.Follow("later", map[Object]Version{secret("a"): ""})
	if told["later"] != 0 {
		t.Error("what is known when he comes is no change")
	}
	see(f, secret("a"), "5")
	if told["later"] != 1 {
		t.Errorf("who came later is told %d times of the first change", told["later"])
	}
}

func TestALoopThatHasNotHeardYetThatEverybodyHasLeftSaysNothing(t *testing.T) {
	t.Parallel()
	f, told, _ := unwatched(9)
	f.Follow("who", map[Object]Version{secret("a"): "1"})
	late := sink{f.watcher, secret("a"), f.watcher.objects[secret("a")]}
	f.Forget("who")
	_ = late.Replace(nil, "2")
	if f.watcher.Version(secret("a")) != "" {
		t.Error("an object that nobody follows is kept")
	}
	f.Follow("who", map[Object]Version{secret("a"): "3"})
	see(f, secret("a"), "3")
	_ = late.Replace(nil, "2")
	if now := f.watcher.Version(secret("a")); now != "3" || told["who"] != 0 {
		t.Errorf("version %q, told %d times, though it is as it was read", now, told["who"])
	}
}

func TestWhatIsNewerWasSeenLast(t *testing.T) {
	t.Parallel()
	f, _, _ := unwatched(9)
	f.Follow("who", map[Object]Version{secret("a"): "1", secret("b"): "1", secret("c"): "1"})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, name := range []string{"a", "b"} {
		see(f, secret(name), "2")
		f.watcher.objects[secret(name)].changed = at.Add(time.Duration(i) * time.Minute)
	}
	f.watcher.objects[secret("c")].changed = at.Add(time.Hour) // which is as it was read
	// In whatever order they are looked at.
	for range 20 {
		if since, newer := f.Newer("who"); !newer || !since.Equal(at.Add(time.Minute)) {
			t.Errorf("newer: %t, since %s", newer, since)
		}
	}
	if _, newer := f.Newer("nobody"); newer {
		t.Error("nobody follows anything")
	}
}

func TestOfWhoFollowsNothingNothingIsKept(t *testing.T) {
	t.Parallel()
	f, _, watched := unwatched(2)
	for i := range 5 {
		f.Follow(fmt.Sprint(i), map[Object]Version{secret(fmt.Sprint("a", i)): "1", secret("shared"): "1"})
	}
	f.Follow("5", map[Object]Version{secret("b"): "1"})
	if len(watched) != 2 || f.watcher.running != 2 {
		t.Errorf("%d watches, want as many as may be", len(watched))
	}
	for i := range 4 {
		f.Forget(fmt.Sprint(i))
		if len(watched) != 2 || f.watcher.running != 2 {
			t.Errorf("%d watches, want as many as may be", len(watched))
		}
	}
	f.Follow("4", nil)
	f.Follow("5", map[Object]Version{secret("c"): "1"}) // instead
	if _, newer := f.Newer("5"); newer || f.Has("5", secret("b")) {
		t.Error("what is not followed any more is")
	}
	f.Follow("5", map[Object]Version{})
	f.Forget("6")
	f.Forget("6")
	if len(f.all)+len(f.watcher.objects)+len(watched)+f.watcher.running != 0 {
		t.Errorf("followers %v, objects %v, %d watches of %v", f.all, f.watcher.objects, f.watcher.running, watched)
	}
}

func TestBeforeTheStartAndAfterTheEndNothingIsWatched(t *testing.T) {
	t.Parallel()
	w := &Watcher{limit: 9, objects: map[Object]*object{}}
	f := NewFollowers(w, func(string) {})
	f.Follow("who", map[Object]Version{secret("a"): "1"})
	f.Forget("who")
	ended, end := context.WithCancel(t.Context())
	end()
	if err := w.Start(ended); err != nil {
		t.Error(err)
	}
	f.Follow("who", map[Object]Version{secret("a"): "1"})
	if w.running != 0 || w.objects[secret("a")].stop != nil {
		t.Errorf("%d watches", w.running)
	}
}

func TestOfWhatAReflectorShowsOnlyTheObjectCounts(t *testing.T) {
	t.Parallel()
	shown := func(name, version string) any {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}}
	}
	for name, tt := range map[string]struct {
		show func(sink) error
		want Version
	}{
		"it is there":              {func(s sink) error { return s.Replace([]any{shown("a", "4")}, "9") }, "4"},
		"it is not":                {func(s sink) error { return s.Replace(nil, "9") }, Absent},
		"it comes":                 {func(s sink) error { return s.Add(shown("a", "4")) }, "4"},
		"it changes":               {func(s sink) error { return s.Update(shown("a", "5")) }, "5"},
		"it goes":                  {func(s sink) error { return s.Delete(shown("a", "4")) }, Absent},
		"another, of a wide watch": {func(s sink) error { return s.Add(shown("b", "5")) }, "1"},
		"something else":           {func(s sink) error { return s.Add("a") }, "1"},
	} {
		f, _, _ := unwatched(9)
		f.Follow("who", map[Object]Version{secret("a"): "1"})
		see(f, secret("a"), "1")
		if err := tt.show(sink{f.watcher, secret("a"), f.watcher.objects[secret("a")]}); err != nil || f.watcher.Version(secret("a")) != tt.want {
			t.Errorf("%s: version %q, want %q (%v)", name, f.watcher.Version(secret("a")), tt.want, err)
		}
	}
}

func TestEachKindHasItsResource(t *testing.T) {
	t.Parallel()
	got := []string{}
	for _, kind := range []string{Secret, ConfigMap, ServiceAccount} {
		got = append(got, Object{Kind: kind}.resource().String())
	}
	if want := []string{"/v1, Resource=secrets", "/v1, Resource=configmaps", "/v1, Resource=serviceaccounts"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

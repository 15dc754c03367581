package watches

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/pager"
)

// searched returns followers of a Watcher that asks no API server but tells as one that does, and the sink of a search that who follows,
// as it has found a in version 3.
func searched(t *testing.T) (f *Followers[string], told *tally, s *searchSink) {
	t.Helper()
	f, _, _ = unwatched(200)
	told = &tally{times: map[string]int{}}
	f.changed = told.add
	f.watcher.begin = func(o Object, ob *object) {
		ob.stop = func() {}
		if o.searched() {
			go f.watcher.tellInTurn(t.Context(), ob)
		}
	}
	s = &searchSink{w: f.watcher, o: Search("ns", nil, regexp.MustCompile("^app-")), name: regexp.MustCompile("^app-"), found: map[string]string{}}
	f.Follow("who", map[Object]Version{s.o: SearchVersion(map[string]string{"app-a": "3"})})
	s.ob = f.watcher.objects[s.o]
	_ = s.Replace([]any{shown("app-a", "3"), shown("other", "8")}, "9")
	return f, told, s
}

// tally is how often who was told.
type tally struct {
	mu    sync.Mutex
	times map[string]int
}

func (t *tally) add(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times[who]++
}

func (t *tally) of(who string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.times[who]
}

func shown(name, version string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, ResourceVersion: version, Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
	}}
}

func TestASearchChangesWithWhatItFindsAndWithNothingElse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		see  func(*searchSink)
		told int
	}{
		"as it was read":               {func(*searchSink) {}, 0},
		"another comes":                {func(s *searchSink) { _ = s.Add(shown("other-2", "10")) }, 0},
		"another changes":              {func(s *searchSink) { _ = s.Update(shown("other", "10")) }, 0},
		"another goes":                 {func(s *searchSink) { _ = s.Delete(shown("other", "10")) }, 0},
		"one comes":                    {func(s *searchSink) { _ = s.Add(shown("app-b", "10")) }, 1},
		"one changes":                  {func(s *searchSink) { _ = s.Update(shown("app-a", "10")) }, 1},
		"one goes":                     {func(s *searchSink) { _ = s.Delete(shown("app-a", "10")) }, 1},
		"the list is made anew":        {func(s *searchSink) { _ = s.Replace([]any{shown("app-a", "3")}, "12") }, 0},
		"one has gone from a new list": {func(s *searchSink) { _ = s.Replace(nil, "12") }, 1},
		"something else":               {func(s *searchSink) { _ = s.Add("app-c") }, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, told, s := searched(t)
			synctest.Wait()
			tt.see(s)
			synctest.Wait()
			if told.of("who") != tt.told {
				t.Errorf("%s: told %d times, want %d", name, told.of("who"), tt.told)
			}
		})
	}
}

func TestWhatHadGoneBeforeASearchWasWatchedIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, told, s := searched(t)
		f.Follow("restarted", map[Object]Version{s.o: SearchVersion(map[string]string{"app-a": "3", "app-b": "7"})})
		synctest.Wait()
		if _, newer := f.Newer("restarted"); !newer || told.of("restarted") != 1 {
			t.Errorf("newer: %t, told %d times", newer, told.of("restarted"))
		}
	})
}

func TestWhoFollowsASearchIsToldAtOnceAndThenNotSooner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, told, s := searched(t)
		for i := range 600 { // a minute of changes, each of which is read as soon as it is told
			was := told.of("who")
			_ = s.Update(shown("app-a", fmt.Sprint(10+i)))
			synctest.Wait()
			if i == 0 && told.of("who") != 1 {
				t.Error("the first change is not told at once")
			}
			if told.of("who") > was {
				f.Follow("who", map[Object]Version{s.o: SearchVersion(s.found)})
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if told.of("who") < 10 || told.of("who") > 13 {
			t.Errorf("told %d times in a minute, want once in five seconds", told.of("who"))
		}
		time.Sleep(searchPause)
		synctest.Wait()
		now := told.of("who")
		f.Follow("who", map[Object]Version{s.o: SearchVersion(s.found)})
		time.Sleep(time.Hour)
		synctest.Wait()
		if told.of("who") != now {
			t.Error("who has read what there is was told again")
		}
	})
}

// TestAWatchThatIsBehindKeepsNobodyReading: what was read is newer than what the watch has seen.
func TestAWatchThatIsBehindKeepsNobodyReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, told, s := searched(t)
		f.Follow("who", map[Object]Version{s.o: SearchVersion(map[string]string{"app-a": "3", "app-b": "20"})})
		if _, newer := f.Newer("who"); newer {
			t.Error("what is older is newer")
		}
		gone := map[Object]Version{s.o: SearchVersion(nil)} // nothing says how new that is
		f.Follow("gone", gone)
		for range 60 {
			time.Sleep(time.Second)
			synctest.Wait()
			f.Follow("gone", gone)
		}
		if told.of("who") != 0 || told.of("gone") < 1 || told.of("gone") > 13 {
			t.Errorf("told %d and %d times", told.of("who"), told.of("gone"))
		}
		_ = s.Delete(shown("app-a", "21"))
		_ = s.Add(shown("app-b", "20"))
		time.Sleep(time.Minute)
		synctest.Wait()
		who, whoFoundNone := told.of("who"), told.of("gone")
		f.Follow("who", map[Object]Version{s.o: SearchVersion(map[string]string{"app-b": "20"})})
		f.Follow("gone", map[Object]Version{s.o: SearchVersion(map[string]string{"app-b": "20"})})
		time.Sleep(time.Minute)
		synctest.Wait()
		if told.of("who") != who || told.of("gone") != whoFoundNone {
			t.Error("who has read what there is was told again")
		}
	})
}

func TestASearchThatFindsTooMuchIsNotWatchedUntilItIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _, s := searched(t)
		var much []any
		for i := range maxMatches {
			much = append(much, shown(fmt.Sprint("app-", i), fmt.Sprint(10+i)))
		}
		_ = s.Replace(much, "5000")
		if f.watcher.Version(s.o) == "" || len(s.found) != maxMatches {
			t.Errorf("of what a store may find, %d names are kept", len(s.found))
		}
		for i := range 5 {
			_ = s.Add(shown(fmt.Sprint("app-more-", i), "6000"))
		}
		w := f.watcher
		if w.Version(s.o) != "" || w.running != 0 || w.searching != 0 || len(s.found) != 0 {
			t.Errorf("version %q, %d loops, %d names", w.Version(s.o), w.running, len(s.found))
		}
		f.Follow("another", map[Object]Version{secret("a"): "1"})
		if w.running != 1 || w.searching != 0 {
			t.Error("it is watched again though nobody has read it")
		}
		f.Follow("who", map[Object]Version{s.o: SearchVersion(map[string]string{"app-a": "3"})})
		if w.running != 2 || w.searching != 1 {
			t.Error("it is not watched again")
		}
		f.Forget("who")
		if w.running != 1 || w.searching != 0 {
			t.Errorf("%d loops, %d of searches", w.running, w.searching)
		}
	})
}

func TestSearchesLeaveWatchesToOthers(t *testing.T) {
	t.Parallel()
	f, _, watched := unwatched(1000)
	for i := range maxSearches + 10 {
		f.Follow(fmt.Sprint(i), map[Object]Version{Search(fmt.Sprint("ns-", i), nil, nil): "1/a"})
	}
	f.Follow("one", map[Object]Version{secret("a"): "1"})
	if len(watched) != maxSearches+1 || !watched[secret("a")] {
		t.Errorf("%d are watched", len(watched))
	}
	for i := range 20 {
		f.Forget(fmt.Sprint(i))
	}
	if len(watched) != maxSearches-10+1 {
		t.Errorf("%d are watched after 20 have gone", len(watched))
	}
}

func TestOfASecretNoMoreThanItsNameAndVersionIsKept(t *testing.T) {
	t.Parallel()
	s := &searchSink{name: regexp.MustCompile("^app-")}
	kept := s.matching([]metav1.PartialObjectMetadata{*shown("app-a", "3"), *shown("other", "4")})
	if len(kept) != 1 || kept[0].Labels != nil || kept[0].ManagedFields != nil || kept[0].ResourceVersion != "3" {
		t.Errorf("of a page, %v is kept", kept)
	}
	if _, keep := s.seenBy(watch.Event{Type: watch.Modified, Object: shown("other", "4")}); keep {
		t.Error("what does not match is kept")
	}
	e, keep := s.seenBy(watch.Event{Type: watch.Modified, Object: shown("app-a", "4")})
	if m := e.Object.(*metav1.PartialObjectMetadata); !keep || m.Name != "app-a" || m.Labels != nil || m.ManagedFields != nil {
		t.Errorf("of an event, %v is kept", m)
	}
	bookmark := shown("", "9")
	bookmark.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	if e, keep := s.seenBy(watch.Event{Type: watch.Bookmark, Object: bookmark}); !keep || e.Object.(*metav1.PartialObjectMetadata).Annotations == nil {
		t.Error("a bookmark says that the list is whole")
	}
	if _, keep := s.seenBy(watch.Event{Type: watch.Error, Object: &metav1.Status{}}); !keep {
		t.Error("the end of a watch is not seen")
	}
}

// pages are Secrets of which a list names one at once, and the end of the first list is never seen: it has expired before.
type pages struct {
	metadata.ResourceInterface
	names   []string
	expired bool
}

func (p *pages) List(_ context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	at, _ := strconv.Atoi(opts.Continue)
	if at > 0 && !p.expired {
		p.expired = true
		return nil, apierrors.NewResourceExpired("compacted")
	}
	list := &metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{*shown(p.names[at], "3")}}
	list.ResourceVersion = "9"
	if opts.Limit > 0 && at+1 < len(p.names) {
		list.Continue = strconv.Itoa(at + 1)
	}
	return list, nil
}

func TestAListThatExpiresBeforeItsEndIsNotTakenForTheWhole(t *testing.T) {
	t.Parallel()
	s := &searchSink{name: regexp.MustCompile("^app-")}
	from := s.source(&pages{names: []string{"app-a", "other", "app-b"}})
	reflector := pager.New(func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		return from.list(ctx, opts)
	})
	if list, _, err := reflector.List(t.Context(), metav1.ListOptions{ResourceVersion: "0"}); !apierrors.IsResourceExpired(err) {
		t.Fatalf("listed %v, error %v; want that it has expired", list, err)
	}
	list, _, err := reflector.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	whole := list.(*metav1.PartialObjectMetadataList)
	if len(whole.Items) != 2 || whole.Items[0].Name != "app-a" || whole.Items[1].Name != "app-b" || whole.ResourceVersion != "9" {
		t.Errorf("listed %v in version %s", whole.Items, whole.ResourceVersion)
	}
}

func TestAWatchOfASearchThatEndsWithSomethingToShowLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which fails when a goroutine is left
		all := watch.NewFake()
		f := filter(all, func(e watch.Event) (watch.Event, bool) { return e, e.Type != watch.Deleted })
		go func() { // in this order, so that nothing is left to be said at the end
			all.Delete(shown("a", "1"))
			all.Add(shown("a", "2"))
		}()
		if e := <-f.ResultChan(); e.Type != watch.Added {
			t.Errorf("%v is shown", e)
		}
		go all.Modify(shown("a", "3"))
		synctest.Wait()
		f.Stop()
		f.Stop()
		synctest.Wait()
		if _, more := <-f.ResultChan(); more {
			t.Error("something is shown after the end")
		}
	})
}

func TestVersionsOfSearchesAreComparedByWhatWasFound(t *testing.T) {
	t.Parallel()
	found := func(seen uint64, names ...string) Version {
		m := map[string]string{}
		for _, name := range names {
			m[name] = "5"
		}
		return searchVersion(m, max(seen, number("5")))
	}
	for name, tt := range map[string]struct {
		now, was Version
		newer    bool
	}{
		"the same, later":            {found(9, "a"), found(5, "a"), false},
		"the same, earlier":          {found(5, "a"), found(9, "a"), false},
		"another":                    {found(9, "a", "b"), found(5, "a"), true},
		"one less, as late":          {found(5), found(5, "a"), true},
		"another, from before":       {found(5, "a"), found(9, "a", "b"), false},
		"not known":                  {"", found(9, "a"), false},
		"not read":                   {found(9, "a"), "", false},
		"nothing, after it was seen": {searchVersion(nil, 9), SearchVersion(map[string]string{"a": "5"}), true},
	} {
		if got := tt.now.Newer(tt.was); got != tt.newer {
			t.Errorf("%s: %t", name, got)
		}
	}
}

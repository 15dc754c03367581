package watches

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
)

const (
	// maxSearches is how many searches are watched at once at most. Each sees every change of its namespace, where a watch of one object
	// sees that object's, so that together they take some milliseconds for one.
	maxSearches = 100
	// maxMatches is how many Secrets of a search are remembered, which is as many as a store finds at most.
	maxMatches = 1000
	// searchPause is how long who follows a search is not told again: a search reads all that it finds anew.
	searchPause = 5 * time.Second
	// searchPage is how many Secrets of a namespace are listed at once.
	searchPage = 500
)

// Search returns, as one object, all Secrets of a namespace that have labels and a name in which an expression is found; nil is found in
// any. It changes when one of them comes, changes or goes. Who follows it is told at once, and then once in five seconds at most.
func Search(namespace string, having map[string]string, name *regexp.Regexp) Object {
	o := Object{Kind: Secrets, Namespace: namespace, Labels: labels.SelectorFromSet(having).String()}
	if name != nil {
		o.Match = name.String()
	}
	return o
}

// SearchVersion returns the version of a search that has found Secrets, each in a resourceVersion. Versions of searches are compared by what
// was found, and by how much of the cluster's history was seen where that differs.
func SearchVersion(found map[string]string) Version {
	seen := uint64(0)
	for _, v := range found {
		seen = max(seen, number(v))
	}
	return searchVersion(found, seen)
}

func searchVersion(found map[string]string, seen uint64) Version {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		_, _ = io.WriteString(sum, name+" "+found[name]+"\n") // neither holds a space
	}
	return Version(fmt.Sprintf("%d/%s", seen, hex.EncodeToString(sum.Sum(nil))))
}

// number reads a resourceVersion; zero for what is none.
func number(version string) uint64 {
	n, _ := strconv.ParseUint(version, 10, 64)
	return n
}

// searchSink takes what the reflector sees of a search, and keeps names and versions of what matches.
type searchSink struct {
	w    *Watcher
	o    Object
	ob   *object
	name *regexp.Regexp
	// found are the Secrets by name, and seen is the latest version of which is known what it held.
	found map[string]string
	seen  uint64
	// over is set when there is too much to remember.
	over bool
}

// Add implements cache.ReflectorStore.
func (s *searchSink) Add(obj any) error {
	s.take(obj)
	s.show()
	return nil
}

// Update implements cache.ReflectorStore.
func (s *searchSink) Update(obj any) error { return s.Add(obj) }

// Delete implements cache.ReflectorStore.
func (s *searchSink) Delete(obj any) error {
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
		delete(s.found, m.Name) // which is later than all that was seen, so that there is no need to say when
	}
	s.show()
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *searchSink) Replace(objs []any, version string) error {
	s.found = map[string]string{}
	s.seen = max(s.seen, number(version))
	for _, obj := range objs {
		s.take(obj)
	}
	s.show()
	return nil
}

// Resync implements cache.ReflectorStore.
func (*searchSink) Resync() error { return nil }

func (s *searchSink) take(obj any) {
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok && !s.over && s.name.MatchString(m.Name) {
		s.found[m.Name] = m.ResourceVersion
		s.seen = max(s.seen, number(m.ResourceVersion))
	}
}

// show makes known what there is now.
func (s *searchSink) show() {
	switch {
	case s.over:
	case len(s.found) > maxMatches:
		s.over, s.found = true, map[string]string{}
		s.w.giveUp(s.o, s.ob)
	default:
		s.w.observe(s.o, s.ob, searchVersion(s.found, s.seen))
	}
}

// matching returns of a list what the search matches, by name and version: a namespace may hold much else.
func (s *searchSink) matching(listed []metav1.PartialObjectMetadata) (matching []metav1.PartialObjectMetadata) {
	for _, m := range listed {
		if s.name.MatchString(m.Name) {
			matching = append(matching, *bare(&m))
		}
	}
	return matching
}

// seenBy keeps of what a watch sees what the search matches.
func (s *searchSink) seenBy(e watch.Event) (watch.Event, bool) {
	m, ok := e.Object.(*metav1.PartialObjectMetadata)
	if !ok || e.Type == watch.Bookmark {
		return e, true
	}
	e.Object = bare(m)
	return e, s.name.MatchString(m.Name)
}

// filtered is a watch that shows a part of another. Unlike that of apimachinery, it leaves no goroutine behind when it is stopped while
// nobody takes what it has.
type filtered struct {
	watch.Interface
	shown   chan watch.Event
	stopped chan struct{}
	once    sync.Once
}

func filter(all watch.Interface, keep func(watch.Event) (watch.Event, bool)) *filtered {
	f := &filtered{Interface: all, shown: make(chan watch.Event), stopped: make(chan struct{})}
	go func() {
		defer close(f.shown)
		for e := range all.ResultChan() {
			e, kept := keep(e)
			if !kept {
				continue
			}
			select {
			case f.shown <- e:
			case <-f.stopped: // the other ends when somebody takes what it has, too
			}
		}
	}()
	return f
}

// ResultChan implements watch.Interface.
func (f *filtered) ResultChan() <-chan watch.Event { return f.shown }

// Stop implements watch.Interface.
func (f *filtered) Stop() {
	f.once.Do(func() { close(f.stopped) })
	f.Interface.Stop()
}

// bare returns the name and version of a Secret.
func bare(m *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, ResourceVersion: m.ResourceVersion}}
}

// source lists and watches what a search may find. A list is read in pages, whatever the reflector asks for, so that no more than one
// of them is in memory; all of them or none, because the reflector takes what it gets for the whole when it asks again for one that
// has expired.
func (s *searchSink) source(resource metadata.ResourceInterface) source {
	return source{
		list: func(ctx context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
			all, opts := &metav1.PartialObjectMetadataList{}, metav1.ListOptions{LabelSelector: s.o.Labels, Limit: searchPage}
			for {
				page, err := resource.List(ctx, opts)
				if err != nil {
					return nil, err
				}
				all.ResourceVersion, all.Items = page.ResourceVersion, append(all.Items, s.matching(page.Items)...)
				if page.Continue == "" {
					return all, nil
				}
				opts.Continue = page.Continue
			}
		},
		watch: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.LabelSelector = s.o.Labels
			events, err := resource.Watch(ctx, opts)
			if err != nil {
				return nil, err
			}
			return filter(events, s.seenBy), nil
		},
	}
}

// giveUp ends the watch of a search that finds too much, until somebody has read it once more.
func (w *Watcher) giveUp(o Object, ob *object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ob.version, ob.over = "", true
	w.end(o, ob)
}

// tellInTurn tells those who follow a search when it is newer than they have read it, until the context ends.
func (w *Watcher) tellInTurn(ctx context.Context, ob *object) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ob.news:
		}
		for _, tell := range w.behind(ob) {
			tell()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.pause):
		}
	}
}

// behind returns those who have read an older version of an object than is known now.
func (w *Watcher) behind(ob *object) []func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var tells []func()
	for f, read := range ob.followers {
		if ob.version.Newer(read) {
			tells = append(tells, f.tell)
		}
	}
	return tells
}

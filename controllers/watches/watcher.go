package watches

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// DefaultLimit is how many objects are watched at once at most: some forty kilobytes each.
const DefaultLimit = 1000

// Watcher watches objects while somebody follows them. It is safe for concurrent use. What is followed before Start is
// watched from then on.
type Watcher struct {
	client metadata.Interface
	limit  int
	// pause is how long who follows a search is not told again.
	pause time.Duration

	mu      sync.Mutex
	objects map[Object]*object
	// running is how many loops there are, and searching how many of them are of searches.
	running, searching int
	// begin starts a loop; nil before Start and after its context's end.
	begin func(Object, *object)
	loops sync.WaitGroup
}

// object is what is known about one object.
type object struct {
	// version is empty until the first look, and while the object may not be watched.
	version Version
	// changed is when the version was seen to change.
	changed   time.Time
	followers map[*follower]Version
	// stop ends the loop of the object; nil when there is none.
	stop context.CancelFunc
	// news says, of a search, that somebody may have read an older version; nil for any other object.
	news chan struct{}
	// over is set when a search finds too much.
	over bool
}

// follower is somebody who depends on objects.
type follower struct {
	tell    func()
	objects map[Object]bool
}

// New returns a Watcher of the cluster that cfg names, with at most limit watches at once (DefaultLimit when it is 0). An
// object beyond that is watched as soon as another is not any more.
func New(cfg *rest.Config, c *http.Client, limit int) (*Watcher, error) {
	client, err := metadata.NewForConfigAndClient(metadata.ConfigFor(cfg), c)
	if err != nil {
		return nil, fmt.Errorf("make a client for metadata: %w", err)
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Watcher{client: client, limit: limit, pause: searchPause, objects: map[Object]*object{}}, nil
}

// Start watches until the context ends, and returns when the last watch has ended.
func (w *Watcher) Start(ctx context.Context) error {
	w.mu.Lock()
	w.begin = func(o Object, ob *object) {
		loop, stop := context.WithCancel(ctx)
		ob.stop = stop
		w.loops.Go(func() { w.watch(loop, o, ob) })
		if o.searched() {
			w.loops.Go(func() { w.tellInTurn(loop, ob) })
		}
	}
	w.fill()
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.begin = nil
	w.mu.Unlock()
	w.loops.Wait()
	return nil
}

// fill starts the loops of objects that have none, as far as the limit allows. The caller holds w.mu.
func (w *Watcher) fill() {
	if w.begin == nil || w.running == len(w.objects) {
		return
	}
	for o, ob := range w.objects {
		if w.running >= w.limit {
			return
		}
		if ob.stop != nil || ob.over || o.searched() && w.searching >= maxSearches {
			continue
		}
		w.begin(o, ob)
		w.running++
		if o.searched() {
			w.searching++
		}
	}
}

// end ends the loop of an object, if it has one, and lets another begin. The caller holds w.mu.
func (w *Watcher) end(o Object, ob *object) {
	if ob.stop == nil {
		return
	}
	ob.stop()
	ob.stop = nil
	w.running--
	if o.searched() {
		w.searching--
	}
	w.fill()
}

// Version returns what is known about an object; empty for one that nobody follows, that was not looked at yet, or that
// may not be watched. A nil Watcher knows nothing.
func (w *Watcher) Version(o Object) Version {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if ob := w.objects[o]; ob != nil {
		return ob.version
	}
	return ""
}

// follow makes f follow an object that it read in a version, and reports whether there is a newer one already. With an
// empty version, f is told about whatever comes after what is known now, or is seen first.
func (w *Watcher) follow(f *follower, o Object, read Version) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ob := w.objects[o]
	if ob == nil {
		ob = &object{followers: map[*follower]Version{}}
		if o.searched() {
			ob.news = make(chan struct{}, 1)
		}
		w.objects[o] = ob
	}
	if ob.over || len(ob.followers) == 0 {
		ob.over = false
		w.fill()
	}
	if read == "" {
		read = ob.version
	}
	f.objects[o], ob.followers[f] = true, read
	late := ob.version.Newer(read)
	if late && o.searched() {
		ob.tellLater()
		return false
	}
	return late
}

// tellLater has those told who have read an older version of a search, when it is time.
func (ob *object) tellLater() {
	select {
	case ob.news <- struct{}{}:
	default: // they will be
	}
}

// leave ends that f follows an object; the last one who leaves ends its watch.
func (w *Watcher) leave(f *follower, o Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(f.objects, o)
	ob := w.objects[o]
	delete(ob.followers, f)
	if len(ob.followers) > 0 {
		return
	}
	delete(w.objects, o)
	w.end(o, ob)
}

// observe records the version of an object, and tells those who follow it and have read an older one. What a loop has seen that has
// not heard yet that everybody has left is forgotten, also when somebody follows the object anew.
func (w *Watcher) observe(o Object, ob *object, v Version) {
	for _, tell := range w.note(o, ob, v) {
		tell()
	}
}

func (w *Watcher) note(o Object, ob *object, v Version) []func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.objects[o] != ob || ob.version == v {
		return nil
	}
	ob.version, ob.changed = v, time.Now()
	var tells []func()
	for f, read := range ob.followers {
		switch {
		case read == "":
			ob.followers[f] = v
		case !v.Newer(read):
		case o.searched():
			ob.tellLater()
		default:
			tells = append(tells, f.tell)
		}
	}
	return tells
}

// newer returns when an object that f follows was last seen to be newer than f has read it; false when none is.
func (w *Watcher) newer(f *follower) (since time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for o := range f.objects {
		if ob := w.objects[o]; ob.version.Newer(ob.followers[f]) {
			ok = true
			if ob.changed.After(since) {
				since = ob.changed
			}
		}
	}
	return since, ok
}

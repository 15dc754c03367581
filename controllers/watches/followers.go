package watches

import (
	"sync"
	"time"
)

// Followers are those of one kind who follow objects, by what identifies them. They are safe for concurrent use.
type Followers[K comparable] struct {
	watcher *Watcher
	changed func(K)

	mu  sync.Mutex
	all map[K]*follower
}

// NewFollowers returns Followers that w tells about changes: changed is called each time when an object is seen to be newer
// than the follower has read it. It must return soon and must not call back. With a nil Watcher nobody is ever told.
func NewFollowers[K comparable](w *Watcher, changed func(K)) *Followers[K] {
	return &Followers[K]{watcher: w, changed: changed, all: map[K]*follower{}}
}

// Follow makes these the objects that id follows, with the versions that it has read: empty for one that it did not read,
// Absent for one that was not there. If one is newer already, id is told at once.
func (f *Followers[K]) Follow(id K, objects map[Object]Version) {
	if f.watcher == nil {
		return
	}
	f.mu.Lock()
	who := f.all[id]
	if who == nil && len(objects) == 0 {
		f.mu.Unlock()
		return
	}
	if who == nil {
		who = f.join(id)
	}
	late := false
	for o, read := range objects {
		late = f.watcher.follow(who, o, read) || late
	}
	for o := range who.objects {
		if _, still := objects[o]; !still {
			f.watcher.leave(who, o)
		}
	}
	if len(objects) == 0 {
		delete(f.all, id)
	}
	f.mu.Unlock()
	if late {
		f.changed(id)
	}
}

// Add makes id follow one object more, or notes which version of it id has read now.
func (f *Followers[K]) Add(id K, o Object, read Version) {
	if f.watcher == nil {
		return
	}
	f.mu.Lock()
	who := f.all[id]
	if who == nil {
		who = f.join(id)
	}
	late := f.watcher.follow(who, o, read)
	f.mu.Unlock()
	if late {
		f.changed(id)
	}
}

// join adds a follower. The caller holds f.mu.
func (f *Followers[K]) join(id K) *follower {
	who := &follower{tell: func() { f.changed(id) }, objects: map[Object]bool{}}
	f.all[id] = who
	return who
}

// Forget ends that id follows anything.
func (f *Followers[K]) Forget(id K) { f.Follow(id, nil) }

// Has reports whether id follows an object.
func (f *Followers[K]) Has(id K, o Object) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	who := f.all[id]
	return who != nil && who.objects[o]
}

// Newer returns when an object was last seen to be newer than id has read it; false when all are as they were read.
func (f *Followers[K]) Newer(id K) (since time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	who := f.all[id]
	if who == nil {
		return time.Time{}, false
	}
	return f.watcher.newer(who)
}

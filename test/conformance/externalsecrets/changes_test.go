package externalsecrets_test

import (
	"sync"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// changes counts those of the objects in the cache, by namespace or, for those without, by name. Its zero value is empty.
type changes struct {
	mu     sync.Mutex
	counts map[string]int
}

// of returns how many changes there were in some places.
func (c *changes) of(places []string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for _, place := range places {
		sum += c.counts[place]
	}
	return sum
}

// OnAdd implements toolscache.ResourceEventHandler.
func (c *changes) OnAdd(object any, _ bool) {
	if deleted, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = deleted.Obj
	}
	o := object.(client.Object)
	place := o.GetNamespace()
	if place == "" {
		place = o.GetName()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[place]++
}

// OnUpdate implements toolscache.ResourceEventHandler.
func (c *changes) OnUpdate(_, object any) { c.OnAdd(object, false) }

// OnDelete implements toolscache.ResourceEventHandler.
func (c *changes) OnDelete(object any) { c.OnAdd(object, false) }

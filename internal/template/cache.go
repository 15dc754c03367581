package template

import (
	"container/list"
	"crypto/sha256"
	"fmt"
	"io"
	"regexp"
	"sync"
	"text/template"
)

// What a Cache keeps at most. Objects that differ in values and not in shape have the same templates, so that this is
// enough for far more objects.
const (
	maxKept       = 4096
	maxKeptWeight = 8 << 20
	// codeWeight is what a parsed template takes in memory for each byte between braces, and keptWeight what it takes anyhow.
	codeWeight, keptWeight = 80, 1 << 10
)

// Cache keeps parsed templates, by the hash of their text and dialect: for many objects, and from one refresh to the
// next. It holds what was parsed and never what was rendered; those that were not used for longest go first. It is safe
// for concurrent use.
type Cache struct {
	// functions and guards are what templates may call, and what is looked at before; made for the first template, and
	// not changed after that.
	functions template.FuncMap
	guards    map[string]guard

	mu      sync.Mutex
	entries map[digest]*list.Element
	// recent holds the entries, that used last in front.
	recent         list.List
	weight, parses int
}

// digest stands for a text and its dialect.
type digest [sha256.Size]byte

// NewCache returns an empty Cache.
func NewCache() *Cache { return &Cache{entries: map[digest]*list.Element{}} }

// Parses returns how many texts had to be parsed.
func (c *Cache) Parses() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parses
}

// parsed is a template that was parsed. Many goroutines may read it; it is never executed itself.
type parsed struct {
	key    digest
	weight int
	tmpl   *template.Template
	// calls are the functions that it may call, and refs what it reads.
	calls map[string]wrapped
	refs  References
	// idle holds instances that nobody uses; the garbage collector empties it.
	idle sync.Pool
}

// wrapped is a function and what is looked at before.
type wrapped struct {
	fn    any
	guard guard
}

// instance is a parsed template with a meter of its own, for one rendering at a time.
type instance struct {
	tmpl  *template.Template
	meter meter
}

// get returns the parsed template of a text, and parses it when it is not there. Two that want a new one at once both do, so
// that nobody waits for somebody else's template.
func (c *Cache) get(text string, d dialect) (*parsed, *Error) {
	key := digestOf(text, d)
	c.mu.Lock()
	found, ok := c.entries[key]
	if ok {
		c.recent.MoveToFront(found)
	}
	c.mu.Unlock()
	if ok {
		return found.Value.(*parsed), nil //nolint:forcetypeassert // nothing else is in the list
	}
	p, err := c.parse(text, d)
	if err != nil {
		return nil, err
	}
	p.key, p.weight = key, weightOf(text, d.delims)
	c.keep(p)
	return p, nil
}

// parse parses a text and keeps nothing of it.
func (c *Cache) parse(text string, d dialect) (*parsed, *Error) {
	c.mu.Lock()
	c.parses++
	if c.functions == nil {
		c.functions, c.guards = allowed(), guards()
	}
	c.mu.Unlock()
	return compile(text, d, c.functions, c.guards)
}

// keep adds a template, unless it is too large to be kept beside others.
func (c *Cache) keep(p *parsed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.entries[p.key]; there || p.weight > maxKeptWeight {
		return
	}
	c.entries[p.key] = c.recent.PushFront(p)
	c.weight += p.weight
	for c.recent.Len() > maxKept || c.weight > maxKeptWeight {
		oldest := c.recent.Remove(c.recent.Back()).(*parsed) //nolint:forcetypeassert // nothing else is in the list
		delete(c.entries, oldest.key)
		c.weight -= oldest.weight
	}
}

func digestOf(text string, d dialect) digest {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d %q %q ", d.missing, d.delims.Left, d.delims.Right)
	_, _ = io.WriteString(h, text)
	return digest(h.Sum(nil))
}

// actions are the parts of a template that are code, with the usual delimiters.
var actions = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

func weightOf(text string, d Delims) int {
	weight := keptWeight + len(text)
	if d != (Delims{}) {
		return weight + codeWeight*len(text)
	}
	for _, code := range actions.FindAllStringIndex(text, -1) {
		weight += codeWeight * (code[1] - code[0])
	}
	return weight
}

// take returns an instance for one rendering; give takes it back.
func (p *parsed) take() (*instance, error) {
	if i, ok := p.idle.Get().(*instance); ok {
		return i, nil
	}
	tmpl, err := p.tmpl.Clone()
	if err != nil {
		return nil, err
	}
	i := &instance{}
	functions := i.meter.probes()
	for name, call := range p.calls {
		functions[name] = i.meter.wrap(name, call.fn, call.guard)
	}
	i.tmpl = tmpl.Funcs(functions)
	return i, nil
}

// give keeps the instance for the next rendering, without anything of this one.
func (p *parsed) give(i *instance) {
	i.meter = meter{}
	p.idle.Put(i)
}

package template

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// kept renders texts and returns the cache that they went through.
func kept(t *testing.T, texts func(i int) string, n int) *Cache {
	t.Helper()
	c := NewCache()
	for i := range n {
		if _, err := New(Options{Cache: c}).Render(t.Context(), "key", texts(i), nil); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		if c.recent.Len() != len(c.entries) || c.recent.Len() > maxKept || c.weight > maxKeptWeight {
			t.Fatalf("%d templates of %d bytes are kept", c.recent.Len(), c.weight)
		}
		c.mu.Unlock()
	}
	return c
}

func TestACacheIsBoundedInNumberAndBytes(t *testing.T) {
	t.Parallel()
	few := kept(t, func(i int) string { return fmt.Sprintf("%d", i) }, maxKept+100)
	if few.recent.Len() != maxKept {
		t.Errorf("%d small templates are kept", few.recent.Len())
	}
	large := kept(t, func(i int) string { return fmt.Sprint(i) + strings.Repeat("{{1}}", 1000) }, 30)
	if n := large.recent.Len(); n < 10 || n == 30 {
		t.Errorf("%d large templates are kept", n)
	}
	huge := kept(t, func(int) string { return "{{/*" + strings.Repeat("x", maxKeptWeight/codeWeight) + "*/}}" }, 2)
	if huge.recent.Len() != 0 || huge.Parses() != 2 {
		t.Errorf("a template that fills the cache is kept (%d)", huge.recent.Len())
	}
}

func TestWhatWasNotUsedForLongestGoesFirst(t *testing.T) {
	t.Parallel()
	c := NewCache()
	render := func(text string) int {
		t.Helper()
		before := c.Parses()
		if _, err := New(Options{Cache: c}).Render(t.Context(), "key", text, nil); err != nil {
			t.Fatal(err)
		}
		return c.Parses() - before
	}
	for i := range maxKept {
		render(fmt.Sprint(i))
	}
	if render("0") != 0 {
		t.Error("the first is parsed again while there is room")
	}
	render("one more")
	if render("0") != 0 || render("1") != 1 {
		t.Error("it is not the one that was not used for longest that has gone")
	}
}

func TestAKeyShowsNothingOfATemplateAndAnInstanceNothingOfARendering(t *testing.T) {
	t.Parallel()
	const canary = "canary-1c9e"
	c := NewCache()
	text := "{{ .x | b64enc }} " + canary
	if _, err := New(Options{Cache: c}).Render(t.Context(), "key", text, map[string]string{"x": canary}); err != nil {
		t.Fatal(err)
	}
	for key, element := range c.entries {
		if bytes.Contains(key[:], []byte("canary")) {
			t.Error("a key shows the template")
		}
		use, err := element.Value.(*parsed).take()
		if err != nil || use.meter != (meter{}) {
			t.Errorf("an instance still knows its last rendering: %+v, %v", use.meter, err)
		}
	}
}

func TestARendererWithoutACacheParsesATextOnce(t *testing.T) {
	t.Parallel()
	r := New(Options{})
	for range 3 {
		if _, err := r.Render(t.Context(), "key", "{{ 1 }}", nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.opts.Cache.Parses(); got != 1 {
		t.Errorf("%d times parsed", got)
	}
}

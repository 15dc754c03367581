package providertest

import (
	"context"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// finder returns the session's Finder, and skips the test when it has none.
func finder(t *testing.T, session providers.Session) providers.Finder {
	t.Helper()
	f, ok := providers.As[providers.Finder](session)
	if !ok {
		t.Skip("the provider finds nothing")
	}
	return f
}

func (s suite) find(t *testing.T) {
	refs := map[string]providers.Ref{}
	for _, name := range []string{"find-b", "find-a", "unlike"} {
		refs[name] = s.Put(t, 0, name, map[string]string{"k": Canary + name, "l": "2"})
	}
	s.Put(t, 1, "find-other", map[string]string{"k": Canary})
	session := s.open(t, 0)
	f := finder(t, session)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := f.Find(ctx, providers.Query{Name: regexp.MustCompile("nd-[ab]$|nd-other$")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, found := range got {
		names = append(names, found.Name)
		ref := refs[found.Name]
		if ref.Key != found.Name {
			t.Errorf("what was found as %q is fetched as %q", found.Name, ref.Key)
			continue
		}
		fetched := s.fetch(t, session, ref)[0]
		if fetched.Document != nil {
			wantValue(t, fetched.Document, "", string(found.Value.Bytes()))
		}
		if found.Version != fetched.Version {
			t.Errorf("%s is found in version %q and fetched in version %q", found.Name, found.Version, fetched.Version)
		}
	}
	if !slices.Equal(names, []string{"find-a", "find-b"}) {
		t.Errorf("found %q", names)
	}
	if got, err := f.Find(ctx, providers.Query{Name: regexp.MustCompile("^nobody-has-this-name$")}); err != nil || len(got) != 0 {
		t.Errorf("nothing matches, and that is %d documents or an error: %v", len(got), err)
	}
	if other, err := finder(t, s.open(t, 1)).Find(ctx, providers.Query{Name: regexp.MustCompile("find-[ab]")}); err != nil || len(other) != 0 {
		t.Errorf("another identity finds %d of them: %v", len(other), err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := f.Find(ended, providers.Query{}); err != nil {
		clean(t, err)
	}
}

func (s suite) findEnds(t *testing.T) {
	session := s.hanging(t)
	f := finder(t, session)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var err error
	endsSoon(ctx, t, "Find", func() { _, err = f.Find(ctx, providers.Query{}) })
	wantClass(t, err, providers.ErrUnavailable)
}

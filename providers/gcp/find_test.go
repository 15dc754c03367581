package gcp_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

func TestSecretsAreFoundByNamePathAndTags(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for i, name := range []string{"app-db", "app-api", "app-web", "web-app-db", "APP-db", "lonely", "other"} {
		p.Put(p.parent(), name, []byte(name))
		p.Describe(p.parent(), name, map[string]string{"team": []string{"a", "b"}[i%2], "tier": "x", "bare": ""}, nil)
	}
	p.Describe(p.parent(), "app-without-version", map[string]string{"team": "a"}, nil)
	finder := open(t, keyStore(p.project), keyEnv(p.key)).(providers.Finder)
	for _, tc := range []struct {
		what string
		q    providers.Query
		want []string
	}{
		{"everything that has a version", providers.Query{}, []string{"APP-db", "app-api", "app-db", "app-web", "lonely", "other", "web-app-db"}},
		{"a name", providers.Query{Name: regexp.MustCompile("db$")}, []string{"APP-db", "app-db", "web-app-db"}},
		{"the beginning of a name", providers.Query{Path: new("app-")}, []string{"app-api", "app-db", "app-web"}},
		{"an empty path", providers.Query{Path: new(""), Name: regexp.MustCompile("^o")}, []string{"other"}},
		{"a name below a path", providers.Query{Path: new("app-"), Name: regexp.MustCompile("db|api")}, []string{"app-api", "app-db"}},
		{"a tag", providers.Query{Tags: map[string]string{"team": "b"}}, []string{"app-api", "lonely", "web-app-db"}},
		{"all tags", providers.Query{Tags: map[string]string{"team": "b", "tier": "x", "bare": ""}}, []string{"app-api", "lonely", "web-app-db"}},
		{"another value", providers.Query{Tags: map[string]string{"team": "c"}}, nil},
		{"tags and path", providers.Query{Path: new("app-"), Tags: map[string]string{"team": "a"}}, []string{"app-db", "app-web"}},
		{"tags and name", providers.Query{Name: regexp.MustCompile("db"), Tags: map[string]string{"team": "a"}}, []string{"APP-db", "app-db"}},
	} {
		found, err := finder.Find(t.Context(), tc.q)
		var names []string
		for _, f := range found {
			names = append(names, f.Name)
			if string(f.Value.Bytes()) != f.Name || f.Version != "1" {
				t.Errorf("%s: %s has another value or version %q", tc.what, f.Name, f.Version)
			}
		}
		if err != nil || !slices.Equal(names, tc.want) {
			t.Errorf("%s: found %q, %v, want %q", tc.what, names, err, tc.want)
		}
	}
	for what, q := range map[string]providers.Query{
		"a tag that is more than one term": {Tags: map[string]string{"team": "a OR labels.team=b"}},
		"the name of a tag that is":        {Tags: map[string]string{"team=a OR x": "b"}},
		"a path that is":                   {Path: new("app OR name:other")},
		"a path that begins no name":       {Path: new("apps/db")},
	} {
		if found, err := finder.Find(t.Context(), q); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("%s: %d found, %v", what, len(found), err)
		}
	}
}

func TestASearchFailsWhenOneOfWhatItFindsCannotBeRead(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, name := range []string{"a", "b", "c"} {
		p.Put(p.parent(), name, []byte(name))
	}
	p.Put(p.parent(), "b", []byte("b2"))
	p.Disable(p.parent(), "b", 2)
	spec := keyStore(p.project)
	if found, err := open(t, spec, keyEnv(p.key)).(providers.Finder).Find(t.Context(), providers.Query{}); !errors.Is(err, providers.ErrDenied) || found != nil {
		t.Errorf("%d found, %v", len(found), err)
	}
	spec.SecretVersionSelectionPolicy = stores.GCPLatestOrFetch
	found, err := open(t, spec, keyEnv(p.key)).(providers.Finder).Find(t.Context(), providers.Query{})
	if err != nil || len(found) != 3 || string(found[1].Value.Bytes()) != "b" || found[1].Version != "1" {
		t.Errorf("the newest that are enabled: %d, %v", len(found), err)
	}
}

// A secret that is made while they are listed moves another to the next page, where it stands again.
func TestASecretThatIsListedTwiceIsFoundOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		p.Put(p.parent(), name, []byte(name))
	}
	pages := 0
	p.Break(p.project, func(_ context.Context, method string) error {
		if method == "ListSecrets" {
			if pages++; pages == 2 {
				p.Put(p.parent(), "z", []byte("z"))
			}
		}
		return nil
	})
	found, err := open(t, keyStore(p.project), keyEnv(p.key)).(providers.Finder).Find(t.Context(), providers.Query{})
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.Name
	}
	if err != nil || pages != 2 || !slices.Equal(names, []string{"a", "b", "c", "d", "e"}) {
		t.Errorf("found %q in %d pages, %v", names, pages, err)
	}
}

func TestWhatIsFoundHasBounds(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	large := []byte(strings.Repeat("x", providers.MaxFoundSize/4))
	for i := range 4 {
		p.Put(p.parent(), fmt.Sprint("large", i), large)
	}
	p.Put(p.parent(), "large-no-more", []byte("x"))
	finder := open(t, keyStore(p.project), keyEnv(p.key)).(providers.Finder)
	for name, want := range map[string]int{"large[0-9]": 4, "large": 0} {
		found, err := finder.Find(t.Context(), providers.Query{Name: regexp.MustCompile(name)})
		if len(found) != want || want == 0 && (!errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "narrow find")) || want > 0 && err != nil {
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
}

func TestAListOfAProjectThatDoesNotExistIsNoMissingSecret(t *testing.T) {
	t.Parallel()
	cfg, env := breaks(codes.NotFound, "nothing here")(t)
	_, err := open(t, cfg.Spec.(*stores.GCPSM), env).(providers.Finder).Find(t.Context(), providers.Query{})
	if !errors.Is(err, providers.ErrInvalid) || errors.Is(err, providers.ErrNotFound) {
		t.Error(err)
	}
}

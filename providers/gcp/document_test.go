package gcp

import (
	"errors"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
)

// TestPropertiesAreReadAsTheOperatorReadsThem: each value is what External Secrets Operator 2.9 makes of the same document, except
// that no number loses a digit.
func TestPropertiesAreReadAsTheOperatorReadsThem(t *testing.T) {
	t.Parallel()
	doc := payload{"doc", []byte(`{"s":"<a&b>","n":42,"big":9007199254740993,"f":1.50,"z":null,"o":{"a":{"b":[1,{"c":"d"}]}},"a.b":"dotted","a":{"b":"nested"},".x":"dot","js":"{\"in\":1}"}`)}
	for path, want := range map[string]string{
		"":          string(doc.data),
		"s":         "<a&b>",
		"n":         "42",
		"big":       "9007199254740993",
		"f":         "1.5",
		"z":         "",
		"o":         `{"a":{"b":[1,{"c":"d"}]}}`,
		"o.a.b.1.c": "d",
		"a.b":       "dotted", // the name of a field before a path
		`a\.b`:      "dotted",
		`\.x`:       "dot",
		"js":        `{"in":1}`,
		"o.a.b.#":   "2",
	} {
		if got, err := doc.Value(path); err != nil || string(got.Bytes()) != want {
			t.Errorf("%q: %q, %v, want %q", path, got.Bytes(), err, want)
		}
	}
	for path, want := range map[string]error{"none": providers.ErrPropertyNotFound, "a.c": providers.ErrPropertyNotFound, ".y": providers.ErrPropertyNotFound,
		".x": providers.ErrPropertyNotFound, // a dot at the beginning is one of the path
	} {
		if _, err := doc.Value(path); !errors.Is(err, want) {
			t.Errorf("%q: %v", path, err)
		}
	}
	fields, err := doc.Fields("js")
	if err != nil || len(fields) != 1 || string(fields["in"].Bytes()) != "1" {
		t.Errorf("an object in a string: %v, %v", fields, err)
	}
	for _, text := range []string{"plain", "", `{"k":1} trailing`, `{"k":`} {
		if _, err := (payload{"doc", []byte(text)}).Value("k"); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("a property of %q: %v", text, err)
		}
	}
	for _, text := range []string{"plain", "[1]", `"text"`} {
		if _, err := (payload{"doc", []byte(text)}).Fields(""); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("fields of %q: %v", text, err)
		}
	}
}

// FuzzAPropertyIsThereOrIsMissing: whatever document and property meet, the answer is a value or one of two errors, twice the same.
func FuzzAPropertyIsThereOrIsMissing(f *testing.F) {
	for _, doc := range []string{`{"k":"v","a.b":"dot","a":{"b":1.50},"l":[{"x":1}]}`, `[]`, `"text"`, `plain`, `{`} {
		for _, path := range []string{"", "k", "a.b", ".", "a..b", "l.#.x", "@this", `a\.b`, "*"} {
			f.Add(doc, path)
		}
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		if len(text) > 1<<14 || len(path) > 256 {
			return
		}
		doc := payload{"doc", []byte(text)}
		first, err := doc.Value(path)
		second, again := doc.Value(path)
		if (err == nil) != (again == nil) || string(first.Bytes()) != string(second.Bytes()) {
			t.Errorf("two answers for %q", path)
		}
		if err != nil && !errors.Is(err, providers.ErrPropertyNotFound) && !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("an error of no kind: %v", err)
		}
		_, _ = doc.Fields(path)
	})
}

// What Secret Manager finds is looked at again, so that only a large project shows what it was asked for.
func TestSecretManagerIsAskedForNoMoreThanIsLookedFor(t *testing.T) {
	t.Parallel()
	s := &session{store: "SecretStore team-a/google"}
	for want, q := range map[string]providers.Query{
		"":          {},
		"name:app-": {Path: new("app-")},
		"labels.a=x labels.b:* labels.c=1 name:p": {Path: new("p"), Tags: map[string]string{"c": "1", "b": "", "a": "x"}},
	} {
		if got, err := s.filter(q); err != nil || got != want {
			t.Errorf("it is asked for %q, %v, want %q", got, err, want)
		}
	}
	for _, q := range []providers.Query{{Tags: map[string]string{"a=x OR b": "c"}}, {Tags: map[string]string{"a": "x OR y"}}, {Path: new("a b")}} {
		if got, err := s.filter(q); !errors.Is(err, providers.ErrInvalid) || got != "" {
			t.Errorf("%+v: %q, %v", q, got, err)
		}
	}
}

// TestWhatTheServerFindsIsLookedAtAgain: its filter finds a path anywhere in a name, and may take labels for more than they are.
func TestWhatTheServerFindsIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"team": "a"}
	for _, tc := range []struct {
		q    providers.Query
		want bool
	}{
		{providers.Query{}, true},
		{providers.Query{Path: new("app")}, true},
		{providers.Query{Path: new("db")}, false},
		{providers.Query{Tags: map[string]string{"team": "a"}}, true},
		{providers.Query{Tags: map[string]string{"team": "b"}}, false},
		{providers.Query{Tags: map[string]string{"team": "a", "none": ""}}, false},
	} {
		if got := matches(tc.q, "app-db", labels); got != tc.want {
			t.Errorf("%+v: %v", tc.q, got)
		}
	}
}

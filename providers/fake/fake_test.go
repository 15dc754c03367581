package fake_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/fake"
	"github.com/sealbridge/sealbridge/providers/providertest"
)

func TestFakeConforms(t *testing.T) {
	var mu sync.Mutex
	var specs [2]stores.Fake
	config := func(i int) func(*testing.T) (providers.Config, providers.Env) {
		return func(*testing.T) (providers.Config, providers.Env) {
			mu.Lock()
			defer mu.Unlock()
			return providers.Config{Store: "SecretStore team-a/fake", Spec: specs[i].DeepCopy()}, &providertest.Env{}
		}
	}
	providertest.Run(t, providertest.Harness{
		Provider: fake.Provider{},
		Configs:  [2]func(*testing.T) (providers.Config, providers.Env){config(0), config(1)},
		Put: func(t *testing.T, i int, name string, fields map[string]string) providers.Ref {
			t.Helper()
			raw, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			specs[i].Data = append(specs[i].Data, stores.FakeData{Key: name, Value: string(raw), Version: "v1"})
			return providers.Ref{Key: name, Version: "v1"}
		},
		Missing: providers.Ref{Key: "nowhere"},
		Invalid: map[string]providers.Config{
			"fake": {Store: "SecretStore a/b", Spec: (*stores.Fake)(nil)},
		},
	})
}

func open(t *testing.T, spec stores.Fake) providers.Session {
	t.Helper()
	session, err := fake.Provider{}.Open(t.Context(), providers.Config{Store: "SecretStore a/b", Spec: &spec}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestAVersionMustMatchExactly(t *testing.T) {
	t.Parallel()
	session := open(t, stores.Fake{Data: []stores.FakeData{{Key: "k", Value: "plain"}, {Key: "k", Value: "one", Version: "1"}, {Key: "k", Value: "uno", Version: "1"}}})
	results, err := session.Fetch(t.Context(), []providers.Ref{{Key: "k"}, {Key: "k", Version: "1"}, {Key: "k", Version: "2"}, {Key: "k1"}, {Key: "k", Metadata: true}, {Key: "k1", Metadata: true}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{0: "plain", 1: "uno", 4: "plain"} {
		v, err := results[i].Document.Value("")
		if err != nil || string(v.Bytes()) != want {
			t.Errorf("ref %d: %q, %v", i, v.Bytes(), err)
		}
	}
	for i, want := range map[int]struct {
		class error
		says  string
	}{
		2: {providers.ErrNotFound, `SecretStore a/b: no key "k" with version "2"`},
		3: {providers.ErrNotFound, `SecretStore a/b: no key "k1"`},
		5: {providers.ErrNotFound, `SecretStore a/b: no key "k1"`},
	} {
		if err := results[i].Err; !errors.Is(err, want.class) || err.Error() != want.says {
			t.Errorf("ref %d: %v", i, err)
		}
	}
}

func TestADocumentThatIsNotJSONHasNoParts(t *testing.T) {
	t.Parallel()
	session := open(t, stores.Fake{Data: []stores.FakeData{{Key: "k", Value: "not json"}, {Key: "o", Value: `{"a":{"b":1.50},"l":[1]}`}, {Key: "n", Value: "null"}}})
	results, err := session.Fetch(t.Context(), []providers.Ref{{Key: "k"}, {Key: "o"}, {Key: "n"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := results[0].Document.Value("p"); !errors.Is(err, providers.ErrInvalid) || err.Error() != `SecretStore a/b: key "k" has no property "p": it is not JSON` {
		t.Error(err)
	}
	if _, err := results[0].Document.Fields(""); err == nil || err.Error() != `SecretStore a/b: key "k" has no fields to extract: it is not a JSON object` {
		t.Error(err)
	}
	if _, err := results[2].Document.Fields(""); err == nil || err.Error() != `SecretStore a/b: key "n" has no fields to extract: it is not a JSON object` {
		t.Error(err)
	}
	fields, err := results[1].Document.Fields("a")
	if err != nil || string(fields["b"].Bytes()) != "1.50" {
		t.Errorf("nested fields: %v %v", len(fields), err)
	}
	if _, err := results[1].Document.Fields("l"); err == nil || err.Error() != `SecretStore a/b: key "o" has no fields to extract at property "l": it is not a JSON object` {
		t.Error(err)
	}
}

func TestProblemsNameTheDocument(t *testing.T) {
	t.Parallel()
	got := fake.Provider{}.Validate(providers.Config{Spec: &stores.Fake{Data: []stores.FakeData{{Key: "k", Value: "v"}, {}}, ValidationResult: ptr.To[int32](7)}})
	var fields []string
	for _, p := range got {
		fields = append(fields, p.Field)
	}
	if len(fields) != 3 || fields[0] != "data[1].key" || fields[1] != "data[1].value" || fields[2] != "validationResult" {
		t.Error(got)
	}
}

func TestAValidationResultIsOneOfThree(t *testing.T) {
	t.Parallel()
	for result, problems := range map[int32]int{-1: 1, 0: 0, 1: 0, 2: 0, 3: 1} {
		if got := (fake.Provider{}).Validate(providers.Config{Spec: &stores.Fake{ValidationResult: &result}}); len(got) != problems {
			t.Errorf("%d: %v", result, got)
		}
	}
}

func TestTheCheckSaysWhatTheStoreSays(t *testing.T) {
	t.Parallel()
	for result, want := range map[int32]error{0: nil, 1: providers.ErrUnverified, 2: providers.ErrInvalid} {
		checker, ok := providers.As[providers.Checker](open(t, stores.Fake{ValidationResult: &result}))
		if !ok {
			t.Fatal("no checker")
		}
		if err := checker.Check(t.Context()); !errors.Is(err, want) {
			t.Errorf("result %d: %v", result, err)
		}
	}
}

func TestStoresOfOneNameInTwoNamespacesShareNothing(t *testing.T) {
	t.Parallel()
	var many sync.WaitGroup
	for i := range 16 {
		many.Go(func() {
			want := strconv.Itoa(i)
			cfg := providers.Config{Store: "SecretStore " + want + "/store", Spec: &stores.Fake{Data: []stores.FakeData{{Key: "k", Value: want}}}}
			for range 50 {
				session, err := fake.Provider{}.Open(t.Context(), cfg, nil)
				if err != nil {
					t.Error(err)
					return
				}
				results, err := session.Fetch(t.Context(), []providers.Ref{{Key: "k"}})
				if err != nil || results[0].Err != nil {
					t.Error(err, results)
					return
				}
				if got, err := results[0].Document.Value(""); err != nil || string(got.Bytes()) != want {
					t.Errorf("the store of namespace %s answers with another's value: %v", want, err)
				}
			}
		})
	}
	many.Wait()
}

// TestPropertiesAreReadAsTheOperatorReadsThem: the values and fields are those that External Secrets Operator 2.9 took from the same
// store.
func TestPropertiesAreReadAsTheOperatorReadsThem(t *testing.T) {
	t.Parallel()
	session := open(t, stores.Fake{Data: []stores.FakeData{{Key: "k", Value: `{"s":"<t>","n":42,"f":1.50,"e":1e3,"big":12345678901234567890,"t":true,"z":null,"o":{"a":{"b":[1,"x"]},"x.y":1},"l":[1,{"k":"v"}],"a.b":"dot","a":{"b":"nested"},"js":"{\"k\":1}","sp":{ "w" : 1.50 }}`}}})
	results, err := session.Fetch(t.Context(), []providers.Ref{{Key: "k"}})
	if err != nil {
		t.Fatal(err)
	}
	doc := results[0].Document
	for path, want := range map[string]string{
		`s`:       `<t>`,
		`n`:       `42`,
		`f`:       `1.5`,
		`e`:       `1000`,
		`big`:     `12345678901234567890`,
		`t`:       `true`,
		`z`:       ``,
		`o`:       `{"a":{"b":[1,"x"]},"x.y":1}`,
		`o.a.b`:   `[1,"x"]`,
		`o.a.b.1`: `x`,
		`o.x\.y`:  `1`,
		`l.1.k`:   `v`,
		`l.#`:     `2`,
		`a.b`:     `nested`,
		`a\.b`:    `dot`,
		`js`:      `{"k":1}`,
		`sp`:      `{ "w" : 1.50 }`,
		`sp.w`:    `1.5`,
	} {
		if got, err := doc.Value(path); err != nil || string(got.Bytes()) != want {
			t.Errorf("%s: got %s, %v; want %s", path, got.Bytes(), err, want)
		}
	}
	for path, want := range map[string]map[string]string{
		``:   {`a`: `{"b":"nested"}`, `a.b`: `dot`, `big`: `12345678901234567890`, `e`: `1e3`, `f`: `1.50`, `js`: `{"k":1}`, `l`: `[1,{"k":"v"}]`, `n`: `42`, `o`: `{"a":{"b":[1,"x"]},"x.y":1}`, `s`: `<t>`, `sp`: `{ "w" : 1.50 }`, `t`: `true`, `z`: ``},
		`o`:  {`a`: `{"b":[1,"x"]}`, `x.y`: `1`},
		`js`: {`k`: `1`},
		`sp`: {`w`: `1.50`},
	} {
		fields, err := doc.Fields(path)
		got := map[string]string{}
		for name, value := range fields {
			got[name] = string(value.Bytes())
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", path, err, diff)
		}
	}
}

func TestOfManyVersionsTheLastIsFound(t *testing.T) {
	t.Parallel()
	var spec stores.Fake
	for i := range 20 {
		for _, version := range []string{"1", "3", "2"} {
			spec.Data = append(spec.Data, stores.FakeData{Key: strconv.Itoa(i), Value: "v" + version, Version: version})
		}
	}
	found, err := find(t, spec)
	if err != nil || len(found) != 20 {
		t.Fatalf("%d found, %v", len(found), err)
	}
	for _, f := range found {
		if f.Version != "3" || string(f.Value.Bytes()) != "v3" {
			t.Errorf("of %s version %s is found", f.Name, f.Version)
		}
	}
}

func TestNoMoreIsFoundThanASecretCouldHold(t *testing.T) {
	t.Parallel()
	documents := func(count, size int) stores.Fake {
		var spec stores.Fake
		for i := range count {
			spec.Data = append(spec.Data, stores.FakeData{Key: strconv.Itoa(i), Value: strings.Repeat("x", size)})
		}
		return spec
	}
	for name, tc := range map[string]struct {
		count, size int
		fits        bool
	}{
		"as many as may be":      {providers.MaxFound, 1, true},
		"one more":               {providers.MaxFound + 1, 1, false},
		"as large as may be":     {2, providers.MaxFoundSize / 2, true},
		"two that are too large": {2, providers.MaxFoundSize/2 + 1, false},
	} {
		found, err := find(t, documents(tc.count, tc.size))
		const want = "SecretStore a/b: more than 1000 documents, or 4 MiB of them, match; narrow find"
		switch {
		case tc.fits && (err != nil || len(found) != tc.count):
			t.Errorf("%s: %d found, %v", name, len(found), err)
		case !tc.fits && (!errors.Is(err, providers.ErrInvalid) || err.Error() != want):
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
}

// find finds all documents of a store.
func find(t *testing.T, spec stores.Fake) ([]providers.Found, error) {
	t.Helper()
	finder, ok := providers.As[providers.Finder](open(t, spec))
	if !ok {
		t.Fatal("no finder")
	}
	return finder.Find(t.Context(), providers.Query{Name: regexp.MustCompile("")})
}

func TestDocumentsAreFoundByNameAndByNothingElse(t *testing.T) {
	t.Parallel()
	finder, ok := providers.As[providers.Finder](open(t, stores.Fake{Data: []stores.FakeData{
		{Key: "app/a", Value: "old", Version: "1"}, {Key: "app/a", Value: "new", Version: "2"}, {Key: "app/b", Value: "b"}, {Key: "other", Value: "c"},
	}}))
	if !ok {
		t.Fatal("no finder")
	}
	name := regexp.MustCompile("^app/")
	found, err := finder.Find(t.Context(), providers.Query{Name: name, Path: ptr.To("other")})
	got := map[string]string{}
	for _, f := range found {
		got[f.Name] = string(f.Value.Bytes())
	}
	if diff := cmp.Diff(map[string]string{"app/a": "new", "app/b": "b"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	tags := map[string]string{"a": "b"}
	for want, query := range map[string]providers.Query{
		"SecretStore a/b: fake documents have no tags; find them by name":                                 {Name: name, Tags: tags},
		"SecretStore a/b: find.name is required: fake documents have nothing else that they are found by": {Path: ptr.To("app")},
	} {
		found, err := finder.Find(t.Context(), query)
		if found != nil || !errors.Is(err, providers.ErrInvalid) || err.Error() != want {
			t.Errorf("%d found, %v; want %s", len(found), err, want)
		}
	}
}

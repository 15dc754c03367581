package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/goroutines"
)

// Run runs the suite. Its subtests run one after the other, because the one that looks for goroutines must be alone: call
// it from a test that is not parallel.
func Run(t *testing.T, h Harness) {
	s := suite{h}
	t.Run("the name is not empty", func(t *testing.T) {
		if h.Provider.Name() == "" {
			t.Error("Name is empty")
		}
	})
	t.Run("a valid configuration has no problem and an invalid one names the field", s.validate)
	t.Run("an identity of the controller's own is taken where it is lent, and nowhere else", s.ambient)
	t.Run("an ended session leaves no goroutine behind", s.leaksNothing)
	t.Run("results keep the order of the refs and their duplicates", s.order)
	t.Run("no refs are no request", s.nothing)
	t.Run("a missing document fails alone and is not found", s.missing)
	t.Run("a missing property is not a missing document", s.missingProperty)
	t.Run("values of any size and content come back unchanged", s.contents)
	t.Run("documents are immutable", s.immutable)
	t.Run("many goroutines share a session and two identities never mix", s.identities)
	t.Run("a fetch ends within a second of its context", s.cancel)
	t.Run("what a session says about itself stays the same, and a check of a store that works is silent", s.steady)
	t.Run("a check ends within a second of its context", s.checkEnds)
	t.Run("what is found is what is there, and no other identity's", s.find)
	t.Run("a search ends within a second of its context", s.findEnds)
	t.Run("a session outlives the context that it was opened with", s.outlives)
	t.Run("what is no answer of the backend is no document", s.answers)
	for name, fault := range h.Faults {
		t.Run("fault: "+name, func(t *testing.T) { s.fault(t, fault) })
	}
}

type suite struct{ Harness }

// open opens a session of store i that is closed when the test ends. The store names its identity: it is lent no other.
func (s suite) open(t *testing.T, i int) providers.Session {
	t.Helper()
	cfg, env := s.Configs[i](t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := s.Provider.Open(ctx, cfg, &strict{Env: env})
	if err != nil {
		t.Fatalf("open store %d: %v", i, err)
	}
	t.Cleanup(func() { closeSession(t, session) })
	return session
}

func closeSession(t *testing.T, session providers.Session) {
	t.Helper()
	closer, ok := providers.As[io.Closer](session)
	if !ok {
		return
	}
	began := time.Now()
	if err := closer.Close(); err != nil {
		clean(t, err)
		t.Logf("close: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %s", took)
	}
}

func (s suite) fetch(t *testing.T, session providers.Session, refs ...providers.Ref) []providers.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	results, err := session.Fetch(ctx, refs)
	if err != nil {
		t.Fatalf("Fetch failed as a whole: %v", err)
	}
	if len(results) != len(refs) {
		t.Fatalf("Fetch answered %d of %d refs", len(results), len(refs))
	}
	for i, r := range results {
		if (r.Err == nil) == (r.Document == nil) {
			t.Errorf("result %d has neither or both of document and error: %v", i, r.Err)
		}
	}
	return results
}

// clean checks that an error leaks no planted value and has exactly one class.
func clean(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	if strings.Contains(text, Canary) {
		t.Errorf("the error shows a planted value: %v", err)
	}
	classes := 0
	for _, class := range []error{
		providers.ErrInvalid, providers.ErrNotFound, providers.ErrPropertyNotFound, providers.ErrDenied, providers.ErrUnavailable,
	} {
		if errors.Is(err, class) {
			classes++
		}
	}
	if throttled := new(providers.ThrottledError); errors.As(err, &throttled) {
		classes++
	}
	if classes != 1 {
		t.Errorf("the error has %d classes, want one: %v", classes, err)
	}
}

func wantClass(t *testing.T, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Errorf("got error %v, want class %v", err, class)
		return
	}
	clean(t, err)
}

func wantValue(t *testing.T, doc providers.Document, property, want string) {
	t.Helper()
	got, err := doc.Value(property)
	if err != nil {
		t.Errorf("property %q: %v", property, err)
		return
	}
	if string(got.Bytes()) != want {
		t.Errorf("property %q has %d bytes that differ from the %d that were put", property, got.Len(), len(want))
	}
}

func (s suite) validate(t *testing.T) {
	for i := range s.Configs {
		cfg, _ := s.Configs[i](t)
		if problems := s.Provider.Validate(cfg); len(problems) > 0 {
			t.Errorf("store %d is valid and has problems: %v", i, problems)
		}
	}
	for field, cfg := range s.Invalid {
		problems := s.Provider.Validate(cfg)
		if len(problems) == 0 || problems[0].Field != field {
			t.Errorf("want a problem with field %q, got %v", field, problems)
		}
		for _, p := range problems {
			if p.Message == "" || strings.HasSuffix(p.Message, ".") || strings.Contains(p.String(), Canary) {
				t.Errorf("problem with %q has a bad message: %q", p.Field, p.Message)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := s.Provider.Open(ctx, cfg, &Env{})
		cancel()
		wantClass(t, err, providers.ErrInvalid)
	}
}

func (s suite) order(t *testing.T) {
	a := s.Put(t, 0, "order-a", map[string]string{"k": Canary + "a"})
	b := s.Put(t, 0, "order-b", map[string]string{"k": Canary + "b"})
	results := s.fetch(t, s.open(t, 0), b, a, s.Missing, b, a, a)
	for i, want := range map[int]string{0: "b", 1: "a", 3: "b", 4: "a", 5: "a"} {
		if results[i].Err != nil {
			t.Errorf("ref %d: %v", i, results[i].Err)
			continue
		}
		wantValue(t, results[i].Document, "k", Canary+want)
	}
	if results[0].Version != results[3].Version {
		t.Error("the same content has two versions")
	}
}

func (s suite) nothing(t *testing.T) {
	session := s.open(t, 0)
	s.fetch(t, session)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := session.Fetch(ended, nil); err != nil {
		t.Errorf("no refs asked the backend: %v", err)
	}
}

func (s suite) missing(t *testing.T) {
	good := s.Put(t, 0, "missing-good", map[string]string{"k": Canary})
	results := s.fetch(t, s.open(t, 0), s.Missing, good, s.Missing)
	wantClass(t, results[0].Err, providers.ErrNotFound)
	wantClass(t, results[2].Err, providers.ErrNotFound)
	if results[1].Err != nil {
		t.Errorf("the good ref failed with the missing one: %v", results[1].Err)
	}
	if results[0].Err != nil && !strings.Contains(results[0].Err.Error(), s.Missing.Key) {
		t.Errorf("the error does not name the key %q: %v", s.Missing.Key, results[0].Err)
	}
}

func (s suite) missingProperty(t *testing.T) {
	ref := s.Put(t, 0, "property", map[string]string{"k": Canary})
	doc := s.fetch(t, s.open(t, 0), ref)[0].Document
	if doc == nil {
		t.Fatal("no document")
	}
	_, err := doc.Value("absent")
	wantClass(t, err, providers.ErrPropertyNotFound)
	_, err = doc.Fields("absent")
	wantClass(t, err, providers.ErrPropertyNotFound)
	_, err = doc.Fields("k")
	wantClass(t, err, providers.ErrInvalid)
}

func (s suite) contents(t *testing.T) {
	fields := map[string]string{
		"text":    Canary + " \"<a&b>\" \\ \n\t ünïcödé \U0001F511",
		"large":   strings.Repeat(Canary, (1<<20-4096)/len(Canary)),
		"json":    `{"n":9007199254740993,"s":"` + Canary + `"}`,
		"empty":   "",
		"numeric": "0123",
	}
	if s.Binary {
		fields["binary"] = "\x00\x01\xff\xfe" + Canary + "\x80"
	}
	ref := s.Put(t, 0, "contents", fields)
	doc := s.fetch(t, s.open(t, 0), ref)[0].Document
	if doc == nil {
		t.Fatal("no document")
	}
	for k, v := range fields {
		wantValue(t, doc, k, v)
	}
	got, err := doc.Fields("")
	if err != nil {
		t.Fatalf("fields: %v", err)
	}
	if len(got) != len(fields) {
		t.Errorf("got %d fields, want %d", len(got), len(fields))
	}
	for k, v := range fields {
		if string(got[k].Bytes()) != v {
			t.Errorf("field %q has %d bytes that differ from the %d that were put", k, got[k].Len(), len(v))
		}
	}
}

func (s suite) immutable(t *testing.T) {
	ref := s.Put(t, 0, "immutable", map[string]string{"k": Canary, "l": "2"})
	doc := s.fetch(t, s.open(t, 0), ref)[0].Document
	if doc == nil {
		t.Fatal("no document")
	}
	whole, err := doc.Value("")
	if err != nil {
		t.Fatalf("whole document: %v", err)
	}
	if doc.Size() < len(Canary)+len("2") {
		t.Errorf("a document of %d bytes says that it takes %d", whole.Len(), doc.Size())
	}
	before := bytes.Clone(whole.Bytes())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			fields, err := doc.Fields("")
			if err != nil || len(fields) != 2 {
				t.Errorf("fields: %d, %v", len(fields), err)
			}
			clear(fields) // the map is ours
			_, _ = doc.Value("l")
		})
	}
	wg.Wait()
	again, err := doc.Value("")
	if err != nil || !bytes.Equal(before, again.Bytes()) {
		t.Errorf("the document changed: %v", err)
	}
	wantValue(t, doc, "k", Canary)
}

func (s suite) identities(t *testing.T) {
	var refs [2]providers.Ref
	for i := range refs {
		refs[i] = s.Put(t, i, "identity", map[string]string{"owner": fmt.Sprint(Canary, i)})
	}
	sessions := [2]providers.Session{s.open(t, 0), s.open(t, 1)}
	var wg sync.WaitGroup
	for n := range 32 {
		wg.Go(func() {
			i := n % 2
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			results, err := sessions[i].Fetch(ctx, []providers.Ref{refs[i], s.Missing, refs[i]})
			if err != nil || results[0].Err != nil || results[2].Err != nil {
				t.Errorf("store %d: %v %v", i, err, results)
				return
			}
			wantValue(t, results[0].Document, "owner", fmt.Sprint(Canary, i))
			wantValue(t, results[2].Document, "owner", fmt.Sprint(Canary, i))
		})
	}
	wg.Wait()
}

// hanging returns a session of a backend that takes requests and answers none.
func (s suite) hanging(t *testing.T) providers.Session {
	t.Helper()
	if s.Hang == nil {
		t.Skip("the provider has no backend that could hang")
	}
	cfg, env := s.Hang(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := s.Provider.Open(ctx, cfg, env)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { closeSession(t, session) })
	return session
}

func (s suite) cancel(t *testing.T) {
	session := s.hanging(t)
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"canceled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		},
		"past its deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		},
	} {
		ctx, cancel := end(t.Context())
		var results []providers.Result
		var err error
		endsSoon(ctx, t, "Fetch ("+name+")", func() { results, err = session.Fetch(ctx, []providers.Ref{s.Missing, {Key: "other"}}) })
		cancel()
		if err == nil && (len(results) == 0 || results[0].Err == nil) {
			t.Errorf("%s: Fetch claims to have an answer", name)
			continue
		}
		if err == nil {
			err = results[0].Err
		}
		wantClass(t, err, providers.ErrUnavailable)
	}
}

func (s suite) outlives(t *testing.T) {
	ref := s.Put(t, 0, "outlives", map[string]string{"k": Canary})
	cfg, env := s.Configs[0](t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	session, err := s.Provider.Open(ctx, cfg, env)
	cancel()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer closeSession(t, session)
	if r := s.fetch(t, session, ref)[0]; r.Err != nil {
		t.Errorf("after the end of its opener's context: %v", r.Err)
	}
}

func (s suite) leaksNothing(t *testing.T) {
	ref := s.Put(t, 0, "leak", map[string]string{"k": Canary})
	cfg, env := s.Configs[0](t)
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	session, err := s.Provider.Open(ctx, cfg, env)
	cancel()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	s.fetch(t, session, ref, s.Missing)
	closeSession(t, session)
	goroutines.None(t, before)
}

func (s suite) fault(t *testing.T, f Fault) {
	cfg, env := f.Open(t)
	before := goleak.IgnoreCurrent()
	defer func() { goroutines.None(t, before) }() // where Open failed, there is nothing that anybody could close
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := s.Provider.Open(ctx, cfg, env)
	if err == nil {
		defer closeSession(t, session)
		var results []providers.Result
		results, err = session.Fetch(ctx, []providers.Ref{s.Missing})
		if err == nil {
			err = results[0].Err
		}
		s.discreet(ctx, t, session)
	} else if errors.Is(err, providers.ErrNotFound) {
		t.Errorf("Open must not say that something was not found, deletion policies act on it: %v", err)
	}
	if throttled := new(providers.ThrottledError); f.Throttled != errors.As(err, &throttled) {
		t.Errorf("throttled: want %v, got %v", f.Throttled, err)
	}
	if f.Class != nil {
		wantClass(t, err, f.Class)
	}
	if err == nil {
		t.Fatal("no error")
	}
	clean(t, err)
	for _, say := range f.Says {
		if !strings.Contains(err.Error(), say) {
			t.Errorf("the error does not say %q: %v", say, err)
		}
	}
}

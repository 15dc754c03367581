package providertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
)

// faultEnv makes TestAProviderWithTheFault run the suite on a provider with the fault that it names.
const faultEnv = "PROVIDERTEST_FAULT"

// TestTheSuiteCatches runs the suite in a process of its own for each fault, because it is meant to fail there.
func TestTheSuiteCatches(t *testing.T) {
	t.Parallel()
	for fault, complaint := range map[string]string{
		"none":                   "",
		"reversed order":         "results_keep_the_order",
		"lost duplicates":        "Fetch answered",
		"missing fails all":      "Fetch failed as a whole",
		"property not found":     "a_missing_property_is_not_a_missing_document",
		"two classes":            "has 2 classes",
		"value in the error":     "the error shows a planted value",
		"bytes cut":              "values_of_any_size",
		"document shared":        "documents_are_immutable",
		"size unknown":           "says that it takes 0",
		"identities mixed":       "two_identities_never_mix",
		"context ignored":        "Fetch (canceled) had not returned",
		"goroutine left":         "goroutines are left",
		"failed login left":      "goroutines are left",
		"opener's context":       "a_session_outlives_the_context",
		"not found from Open":    "Open must not say that something was not found",
		"silent Validate":        "want a problem with field",
		"neither nor":            "neither or both of document and error",
		"asks without request":   "no refs asked the backend",
		"check complains":        "its check says",
		"check never ends":       "Check had not returned",
		"expiry moves":           "the session says",
		"foretells too much":     "says that sessions read documents together",
		"finds all":              "found [",
		"finds unsorted":         "found [",
		"finds too little":       "differ from the",
		"finds for others":       "another identity finds",
		"finds without version":  "is found in version",
		"search never ends":      "Find had not returned",
		"believes rubbish":       "it is taken for an answer",
		"rubbish is missing":     "want class",
		"forgets the time":       "asks for 7s",
		"knows no dates":         "asks for 7s",
		"key in the outage":      "Fetch tells everybody what was asked for",
		"path in the outage":     "Find tells everybody what was asked for",
		"own identity unasked":   "an identity that it was not given",
		"own identity unsaid":    "does not say where the identity is left to the controller",
		"own identity asked":     "the controller keeps its own identity",
		"own identity elsewhere": "and asks for",
		"own identity of others": "names its identity, and leaves it to the controller",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAProviderWithTheFault$", "-test.v")
			cmd.Env = append(os.Environ(), faultEnv+"="+fault)
			out, err := cmd.CombinedOutput()
			if fault == "none" {
				if err != nil {
					t.Errorf("the suite finds fault with a good provider:\n%s", out)
				}
				return
			}
			if failed := new(exec.ExitError); !errors.As(err, &failed) {
				t.Fatalf("the suite found nothing: %v", err)
			}
			failures := failuresIn(string(out))
			if !strings.Contains(failures, complaint) {
				t.Errorf("the suite does not complain of %q but:\n%s", complaint, failures)
			}
		})
	}
}

// late is how long what ignores its context goes on: longer than a second is on a busy machine.
const late = 6 * time.Second

// failuresIn returns the lines of a verbose test output that are not about what passed.
func failuresIn(out string) string {
	var kept []string
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "--- PASS") && !strings.HasPrefix(line, "=== ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestAProviderWithTheFault(t *testing.T) {
	fault := os.Getenv(faultEnv)
	if fault == "" {
		t.Skip("it is run by TestTheSuiteCatches")
	}
	b := &backend{fault: fault, docs: map[string]map[string]string{}}
	store := func(i int) func(*testing.T) (providers.Config, providers.Env) {
		return func(*testing.T) (providers.Config, providers.Env) {
			return providers.Config{Store: "SecretStore a/b", Spec: fmt.Sprint(i)}, &providertest.Env{}
		}
	}
	providertest.Run(t, providertest.Harness{
		Provider: b,
		Configs:  [2]func(*testing.T) (providers.Config, providers.Env){store(0), store(1)},
		Put: func(_ *testing.T, i int, name string, fields map[string]string) providers.Ref {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.docs[fmt.Sprint(i)+name] = fields
			return providers.Ref{Key: name}
		},
		Missing: providers.Ref{Key: "nowhere"},
		Binary:  true,
		Hang: func(*testing.T) (providers.Config, providers.Env) {
			return providers.Config{Store: "SecretStore a/b", Spec: "hang"}, &providertest.Env{}
		},
		HTTP: func(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
			t.Helper()
			server := httptest.NewUnstartedServer(handler)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Start()
			t.Cleanup(server.Close)
			return providers.Config{Store: "SecretStore a/b", Spec: server.URL}, &providertest.Env{}
		},
		Faults: map[string]providertest.Fault{"down": {Class: providers.ErrUnavailable, Says: []string{"down"}, Open: func(*testing.T) (providers.Config, providers.Env) {
			return providers.Config{Store: "SecretStore a/b", Spec: "down"}, &providertest.Env{}
		}}, "mute": {Class: providers.ErrUnavailable, Open: func(*testing.T) (providers.Config, providers.Env) {
			return providers.Config{Store: "SecretStore a/b", Spec: "mute"}, &providertest.Env{}
		}}},
		Ambient: map[string]func(*testing.T) (providers.Config, providers.Env){"own": func(*testing.T) (providers.Config, providers.Env) {
			return providers.Config{Store: "SecretStore a/b", Spec: "own"}, &providertest.Env{}
		}},
		Invalid: map[string]providers.Config{"spec": {Spec: 1}},
	})
}

// backend is a provider and its backend in memory, with one fault.
type backend struct {
	fault string
	mu    sync.Mutex
	docs  map[string]map[string]string
	last  string
}

func (b *backend) Name() string { return "test" }

// Batches implements providers.Batching, for sessions that are no Batchers.
func (b *backend) Batches(providers.Config) bool { return b.fault == "foretells too much" }

func (b *backend) Validate(cfg providers.Config) []providers.Problem {
	if _, ok := cfg.Spec.(string); ok || b.fault == "silent Validate" {
		return nil
	}
	return []providers.Problem{{Field: "spec", Message: "is required"}}
}

func (b *backend) Ambient(cfg providers.Config) *providers.Ambient {
	if cfg.Spec == "own" && b.fault != "own identity unsaid" || b.fault == "own identity of others" {
		return &providers.Ambient{Field: "auth", Instead: "set auth"}
	}
	return nil
}

func (b *backend) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	store, ok := cfg.Spec.(string)
	own := providers.Ambient{Field: "auth", Instead: "set auth"}
	if b.fault == "own identity elsewhere" {
		own.Field = "elsewhere"
	}
	if store == "own" && b.fault != "own identity unasked" || b.fault == "own identity asked" {
		if err := env.Ambient(own); err != nil {
			return nil, err
		}
	}
	switch {
	case !ok:
		return nil, providers.Errorf(providers.ErrInvalid, "spec is required")
	case store == "down" && b.fault == "not found from Open":
		return nil, providers.Errorf(providers.ErrNotFound, "down")
	case store == "down":
		if b.fault == "failed login left" {
			go func() { select {} }()
		}
		return nil, providers.Errorf(providers.ErrUnavailable, "down")
	}
	s := &session{b: b, store: store, stop: make(chan struct{}), opened: context.Background()}
	if b.fault == "opener's context" {
		s.opened = ctx
	}
	go func() { <-s.stop }()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = store
	return s, nil
}

type session struct {
	b     *backend
	store string
	stop  chan struct{}
	// opened is a fault: a session that ends with its opener's context.
	opened context.Context
}

func (s *session) Close() error {
	if s.b.fault != "goroutine left" {
		close(s.stop)
	}
	return nil
}

func (s *session) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	if s.opened.Err() != nil || s.b.fault == "asks without request" && ctx.Err() != nil {
		return nil, providers.Errorf(providers.ErrUnavailable, "ended")
	}
	if s.store == "hang" {
		if s.b.fault == "context ignored" {
			time.Sleep(late)
		}
		<-ctx.Done()
		return nil, providers.Errorf(providers.ErrUnavailable, "no answer")
	}
	if err := s.ask(ctx); err != nil {
		return nil, err
	}
	switch {
	case s.store == "mute" && s.b.fault == "key in the outage":
		return nil, providers.Errorf(providers.ErrUnavailable, "no answer for %s", refs[0].Key)
	case s.store == "mute":
		return nil, providers.Errorf(providers.ErrUnavailable, "no answer")
	}
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		at := i
		if s.b.fault == "reversed order" {
			at = len(refs) - 1 - i
		}
		out[at] = s.read(ref.Key)
		if out[at].Err != nil && s.b.fault == "missing fails all" {
			return nil, out[at].Err
		}
	}
	if s.b.fault == "lost duplicates" && len(refs) > 1 && refs[0] == refs[len(refs)-1] {
		out = out[1:]
	}
	return out, nil
}

func (s *session) Check(ctx context.Context) error {
	switch {
	case s.store == "hang":
		if s.b.fault == "check never ends" {
			time.Sleep(late)
		}
		<-ctx.Done()
		return providers.Errorf(providers.ErrUnavailable, "no answer")
	case s.b.fault == "check complains":
		return providers.Errorf(providers.ErrDenied, "no")
	default:
		return nil
	}
}

func (s *session) Expires() time.Time {
	if s.b.fault == "expiry moves" {
		return time.Now().Add(time.Hour)
	}
	return time.Time{}
}

func (s *session) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	if s.store == "hang" {
		if s.b.fault == "search never ends" {
			time.Sleep(late)
		}
		<-ctx.Done()
		return nil, providers.Errorf(providers.ErrUnavailable, "no answer")
	}
	if err := s.ask(ctx); err != nil {
		return nil, err
	}
	if s.store == "mute" && s.b.fault == "path in the outage" && q.Path != nil {
		return nil, providers.Errorf(providers.ErrUnavailable, "no answer for %s", *q.Path)
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	var out []providers.Found
	for at, fields := range s.b.docs {
		name, own := strings.CutPrefix(at, s.store)
		if !own && s.b.fault == "finds for others" {
			name, own = at[1:], true
		}
		if own && (q.Matches(name) || s.b.fault == "finds all") {
			value := fmt.Append(nil, len(fields))
			if s.b.fault == "finds too little" {
				value = value[:0]
			}
			version := "1"
			if s.b.fault == "finds without version" {
				version = ""
			}
			out = append(out, providers.Found{Name: name, Value: providers.NewValue(value), Version: version})
		}
	}
	slices.SortFunc(out, func(a, b providers.Found) int {
		if s.b.fault == "finds unsorted" {
			return strings.Compare(b.Name, a.Name)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, nil
}

// ask sends a request where the backend is a server, whose answers it only looks at.
func (s *session) ask(ctx context.Context) error {
	if !strings.HasPrefix(s.store, "http://") {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.store, http.NoBody)
	if err != nil {
		return providers.Errorf(providers.ErrInvalid, "no address")
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return providers.Errorf(providers.ErrUnavailable, "no answer")
	}
	defer func() { _ = resp.Body.Close() }()
	const most = 4 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	wait, _ := time.ParseDuration(resp.Header.Get("Retry-After") + "s")
	if date, err := http.ParseTime(resp.Header.Get("Retry-After")); err == nil && s.b.fault != "knows no dates" {
		sent, _ := http.ParseTime(resp.Header.Get("Date"))
		wait = date.Sub(sent)
	}
	switch {
	case err == nil && len(body) > most:
		return providers.Errorf(providers.ErrInvalid, "too large")
	case resp.StatusCode == http.StatusTooManyRequests && s.b.fault == "forgets the time":
		return &providers.ThrottledError{}
	case resp.StatusCode == http.StatusTooManyRequests:
		return &providers.ThrottledError{After: wait}
	case s.b.fault == "believes rubbish":
		return nil
	case s.b.fault == "rubbish is missing":
		return providers.Errorf(providers.ErrNotFound, "nothing")
	case err != nil || resp.StatusCode != http.StatusOK || !utf8.Valid(body) || !json.Valid(body):
		return providers.Errorf(providers.ErrUnavailable, "rubbish")
	}
	return nil
}

func (s *session) read(key string) providers.Result {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	store := s.store
	if s.b.fault == "identities mixed" {
		store = s.b.last
	}
	fields, ok := s.b.docs[store+key]
	err := providers.Errorf(providers.ErrNotFound, "no %s", key)
	switch {
	case ok:
		return providers.Result{Document: document{s.b, s.b.fault, fields}, Version: "1"}
	case s.b.fault == "value in the error":
		err = providers.Errorf(providers.ErrNotFound, "no %s in %v", key, s.b.docs)
	case s.b.fault == "two classes":
		err = providers.Errorf(providers.ErrUnavailable, "%w", err)
	case s.b.fault == "neither nor":
		return providers.Result{}
	}
	return providers.Result{Err: err}
}

type document struct {
	b      *backend
	fault  string
	fields map[string]string
}

func (d document) Value(path string) (providers.Value, error) {
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	return d.value(path)
}

func (d document) value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(fmt.Append(nil, len(d.fields))), nil
	}
	v, ok := d.fields[path]
	switch {
	case ok && d.fault == "bytes cut":
		return providers.NewValue([]byte(strings.TrimSuffix(v, "\x80"))), nil
	case ok:
		return providers.NewValue([]byte(v)), nil
	case d.fault == "property not found":
		return providers.Value{}, providers.Errorf(providers.ErrNotFound, "no %s", path)
	default:
		return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "no %s", path)
	}
}

func (d document) Size() int {
	size := 0
	for _, v := range d.fields {
		size += len(v)
	}
	if d.fault == "size unknown" {
		return 0
	}
	return size
}

func (d document) Fields(path string) (map[string]providers.Value, error) {
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	if path != "" {
		v, err := d.value(path)
		if err != nil {
			return nil, err
		}
		if _, ok := property.Object(v.Bytes()); !ok {
			return nil, providers.Errorf(providers.ErrInvalid, "%s has no fields", path)
		}
	}
	out := make(map[string]providers.Value, len(d.fields))
	for k := range d.fields {
		out[k], _ = d.value(k)
	}
	if d.fault == "document shared" {
		clear(d.fields)
	}
	return out, nil
}

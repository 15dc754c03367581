package externalsecret_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// backend is a provider whose documents a test changes; it stands in for "fake" in the stores of a test.
type backend struct {
	mu        sync.Mutex
	documents map[string]string
	versions  map[string]string
	broken    map[string]error // by key
	down      error
	fetches   int
	checks    int
	opens     int
	reads     map[string]int // by key
	// stalls hold up what is asked of stores, by what these are called in messages.
	stalls map[string]*stall
	// batch is how many documents one request answers, and batches are the keys of each then.
	batch   int
	batches [][]string
}

// stall holds up everything that a store is asked, until it is over.
type stall struct {
	over chan struct{}

	mu sync.Mutex
	// err is what everything fails with then.
	err error
	// under is how many requests it holds up, most the most at once, and ended how many it held up before.
	under, most, ended int
}

func (s *stall) wait(ctx context.Context) error {
	s.count(1)
	defer s.count(-1)
	select {
	case <-s.over:
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // it stands for a provider's
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *stall) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under += n
	s.most = max(s.most, s.under)
	if n < 0 {
		s.ended++
	}
}

func (s *stall) counts() (under, most, ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.under, s.most, s.ended
}

// end ends it; what it held up succeeds or fails.
func (s *stall) end(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	close(s.over)
}

// stall holds up what SecretStores are asked from now on.
func (b *backend) stall(namespace string, names ...string) *stall {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stalls == nil {
		b.stalls = map[string]*stall{}
	}
	s := &stall{over: make(chan struct{})}
	for _, name := range names {
		b.stalls[sessions.Name(esv1.KindSecretStore, namespace, name)] = s
	}
	return s
}

func (b *backend) stalled(ctx context.Context, store string) error {
	b.mu.Lock()
	s := b.stalls[store]
	b.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.wait(ctx)
}

// Batches implements providers.Batching.
func (b *backend) Batches(providers.Config) bool { return b.atOnce() > 1 }

func (b *backend) atOnce() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.batch
}

// called reports whether one request has asked for both.
func (b *backend) called(key, other string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.batches, func(keys []string) bool { return slices.Contains(keys, key) && slices.Contains(keys, other) })
}

func (*backend) Name() string                                  { return "fake" }
func (*backend) Validate(providers.Config) []providers.Problem { return nil }
func (*backend) Ambient(providers.Config) *providers.Ambient   { return nil }

func (b *backend) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if err := b.stalled(ctx, cfg.Store); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opens++
	if b.down != nil {
		return nil, b.down
	}
	// The first document of the store can say which Secret holds its token: "token" -> "<namespace>/<name>/<key>".
	for _, d := range cfg.Spec.(*stores.Fake).Data {
		if d.Key == "token" {
			part := strings.Split(d.Value, "/")
			token, err := env.Secret(ctx, providers.ObjectRef{Namespace: part[0], Name: part[1], Key: part[2]})
			if err != nil {
				return nil, err
			}
			if !strings.HasPrefix(string(token), "good") {
				return nil, providers.Errorf(providers.ErrDenied, "%s: the token was refused", cfg.Store)
			}
		}
	}
	return &session{backend: b, store: cfg.Store}, nil
}

type session struct {
	*backend
	store string
}

// Batch implements providers.Batcher.
func (s *session) Batch() int { return s.atOnce() }

func (s *session) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks++
	return s.down
}

func (s *session) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	if err := s.stalled(ctx, s.store); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches++
	if s.batch > 1 {
		keys := make([]string, len(refs))
		for i, ref := range refs {
			keys[i] = ref.Key
		}
		s.batches = append(s.batches, keys)
	}
	if s.down != nil {
		return nil, s.down
	}
	out := make([]providers.Result, len(refs))
	if s.reads == nil {
		s.reads = map[string]int{}
	}
	for i, ref := range refs {
		s.reads[ref.Key]++
		if err := s.broken[ref.Key]; err != nil {
			out[i].Err = err
		} else if value, ok := s.documents[ref.Key]; ok {
			out[i].Version = s.versions[ref.Key]
			out[i].Document = document{fmt.Sprintf("%s: key %q", s.store, ref.Key), []byte(value)}
		} else {
			out[i].Err = providers.Errorf(providers.ErrNotFound, "%s: no key %q", s.store, ref.Key)
		}
	}
	return out, nil
}

type document struct {
	name  string
	value []byte
}

func (d document) Value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(d.value), nil
	}
	part, ok := property.Get(d.value, path)
	if !ok {
		return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no property %q", d.name, path)
	}
	return providers.NewValue(part), nil
}

func (d document) Size() int { return len(d.value) }

func (d document) Fields(path string) (map[string]providers.Value, error) {
	part, err := d.Value(path)
	if err != nil {
		return nil, err
	}
	fields, ok := property.RawFields(part.Bytes())
	if !ok {
		return nil, providers.Errorf(providers.ErrInvalid, "%s has no fields", d.name)
	}
	out := map[string]providers.Value{}
	for k, v := range fields {
		out[k] = providers.NewValue(v)
	}
	return out, nil
}

func (b *backend) put(key, value string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.documents == nil {
		b.documents = map[string]string{}
	}
	b.documents[key] = value
}

// version sets what the backend calls the current version of a document.
func (b *backend) version(key, version string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.versions == nil {
		b.versions = map[string]string{}
	}
	b.versions[key] = version
}

// remove lets the backend answer that it has no such document.
func (b *backend) remove(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.documents, key)
}

// breakKey lets the backend answer one key with an error; nil mends it.
func (b *backend) breakKey(key string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken == nil {
		b.broken = map[string]error{}
	}
	b.broken[key] = err
}

func (b *backend) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = err
}

// calls returns how often the backend was asked for documents, and how often for anything.
func (b *backend) calls() (fetches, all int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fetches, b.fetches + b.checks + b.opens
}

// asked returns how often each key was read.
func (b *backend) asked() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.reads)
}

// opened returns how many sessions were opened.
func (b *backend) opened() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opens
}

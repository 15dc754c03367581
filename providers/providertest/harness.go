package providertest

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// Harness is what the suite needs to know about a provider. Provider, Configs, Put and Missing are required.
type Harness struct {
	Provider providers.Provider
	// Configs are two stores with an identity each, on separate places of a backend: what is put for one is not found
	// by the other. They are valid and can be opened with Env.
	Configs [2]func(t *testing.T) (providers.Config, providers.Env)
	// Put stores a document with these fields for store i (0 or 1) and returns the ref that finds it. It is called
	// before the session that reads it is opened.
	Put func(t *testing.T, i int, name string, fields map[string]string) providers.Ref
	// Missing names a document that does not exist.
	Missing providers.Ref
	// Binary says that fields can hold any bytes; else only UTF-8 text.
	Binary bool

	// Ambient are valid stores that leave the identity to the controller, as Provider.Ambient says of their configuration; nil
	// when the provider has none.
	Ambient map[string]func(t *testing.T) (providers.Config, providers.Env)
	// Hang configures a store whose backend accepts connections and never answers once the session is open; nil when the
	// provider has no backend.
	Hang func(t *testing.T) (providers.Config, providers.Env)
	// HTTP configures a store whose backend lets it log in and answers everything else as the handler does; nil when the
	// provider has no backend that it asks over HTTP.
	HTTP func(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env)
	// Faults are stores whose backend is at fault, by the class of the error that Open or Fetch of Missing must give.
	Faults map[string]Fault
	// Invalid are configurations that Validate must report, by the field of the first problem.
	Invalid map[string]providers.Config
}

// Fault is a store whose backend is at fault.
type Fault struct {
	Open func(t *testing.T) (providers.Config, providers.Env)
	// Class is matched by errors.Is; nil together with Throttled for a *providers.ThrottledError.
	Class     error
	Throttled bool
	// Says are texts that the error must contain: the object and the cure.
	Says []string
}

// Canary is part of every value and credential that the suite and its harnesses plant. It never appears in an error.
const Canary = "canary-7f3e91c4"

// Env lends credentials from maps; it is safe for concurrent use.
type Env struct {
	mu      sync.Mutex
	Secrets map[providers.ObjectRef][]byte
	// Labels are those of Secrets, by a ref without a key.
	Labels map[providers.ObjectRef]map[string]string
	// User is the namespace of the object that uses the store; empty when there is none.
	User       string
	ConfigMaps map[providers.ObjectRef][]byte
	// Accounts are the annotations of ServiceAccounts.
	Accounts map[providers.AccountRef]map[string]string
	// Token mints tokens; nil means that no account exists.
	Token func(ctx context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error)
	// NoAmbient is the error for whoever wants an identity of the controller's own; nil lends it.
	NoAmbient error
}

var _ providers.Env = (*Env)(nil)

// Secret implements providers.Env.
func (e *Env) Secret(_ context.Context, ref providers.ObjectRef) ([]byte, error) {
	return e.find("Secret", e.Secrets, ref)
}

// SecretData implements providers.Env.
func (e *Env) SecretData(_ context.Context, ref providers.ObjectRef, label, value string) (map[string][]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ref.Key = ""
	out := map[string][]byte{}
	for at, v := range e.Secrets {
		if key := at.Key; (providers.ObjectRef{Namespace: at.Namespace, Name: at.Name}) == ref {
			out[key] = bytes.Clone(v)
		}
	}
	switch {
	case len(out) == 0:
		return nil, providers.Errorf(providers.ErrNotFound, "Secret %s does not exist", ref.Name)
	case e.Labels[ref][label] != value:
		return nil, providers.Errorf(providers.ErrInvalid, "Secret %s needs the label %q: %q", ref.Name, label, value)
	default:
		return out, nil
	}
}

// Namespace implements providers.Env.
func (e *Env) Namespace() (string, error) {
	if e.User == "" {
		return "", providers.Errorf(providers.ErrInvalid, "no namespace uses the store")
	}
	return e.User, nil
}

// ConfigMap implements providers.Env.
func (e *Env) ConfigMap(_ context.Context, ref providers.ObjectRef) ([]byte, error) {
	return e.find("ConfigMap", e.ConfigMaps, ref)
}

func (e *Env) find(kind string, in map[providers.ObjectRef][]byte, ref providers.ObjectRef) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v, ok := in[ref]; ok {
		return bytes.Clone(v), nil
	}
	return nil, providers.Errorf(providers.ErrNotFound, "%s %s has no key %q", kind, ref.Name, ref.Key)
}

// Annotations implements providers.Env.
func (e *Env) Annotations(_ context.Context, ref providers.AccountRef) (map[string]string, error) {
	if annotations, ok := e.Accounts[ref]; ok {
		return maps.Clone(annotations), nil
	}
	return nil, providers.Errorf(providers.ErrNotFound, "ServiceAccount %s does not exist", ref.Name)
}

// ServiceAccountToken implements providers.Env.
func (e *Env) ServiceAccountToken(ctx context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
	if e.Token == nil {
		return providers.Token{}, providers.Errorf(providers.ErrNotFound, "ServiceAccount %s does not exist", ref.Name)
	}
	return e.Token(ctx, ref, audiences...)
}

// Ambient implements providers.Env.
func (e *Env) Ambient(providers.Ambient) error { return e.NoAmbient }

// SetSecret replaces a credential.
func (e *Env) SetSecret(ref providers.ObjectRef, value []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Secrets = maps.Clone(e.Secrets)
	if e.Secrets == nil {
		e.Secrets = map[providers.ObjectRef][]byte{}
	}
	e.Secrets[ref] = value
}

// patience is how long the suite waits for a real backend.
const patience = 30 * time.Second

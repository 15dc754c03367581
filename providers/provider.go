package providers

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Provider is the code for one kind of backend. It holds no state: no cache, retry, limiter, metric or package variable.
type Provider interface {
	// Name is the discriminator of the provider in a store's spec.provider, for example "vault".
	Name() string

	// Validate says what is wrong with cfg without any I/O; nil when nothing is. The CLI, admission and the controller
	// all call it, so it never panics, whatever the configuration holds.
	Validate(cfg Config) []Problem

	// Ambient says what of cfg leaves the session's identity to the controller, nil when the store names every identity that
	// it uses. It does no I/O and never panics, whatever the configuration holds. Whoever opens sessions asks it before, and
	// opens none with an identity that the store may not use. What shows only when something is read that the configuration
	// refers to, Open asks of its Env.
	Ambient(cfg Config) *Ambient

	// Open authenticates to the backend and returns a session that many goroutines may share until it is closed.
	// The context bounds Open only; the session outlives it. A login that is under way when the context ends may take some seconds
	// more: the session comes then all the same, so that whoever does not want it any more closes it and ends the login. Open fails with ErrInvalid for a configuration that
	// cannot work, ErrDenied when the backend refuses the credentials, and ErrUnavailable when it does not answer.
	Open(ctx context.Context, cfg Config, env Env) (Session, error)
}

// Session is one identity on one backend. It is safe for concurrent use and uses no process globals.
type Session interface {
	// Fetch reads the documents that refs name: out[i] answers refs[i], duplicates included, and one bad ref never
	// fails the others (its error is in its Result). The error is for the whole batch: the backend is down, the
	// session has lost its right to ask. While a backend is down, that error is what everybody is told who uses the
	// store: it names nothing that was asked for. Fetch returns within a second of the context's end.
	Fetch(ctx context.Context, refs []Ref) ([]Result, error)
}

// Config is one store's configuration as its provider reads it.
type Config struct {
	// Store names the store in messages: "SecretStore team-a/vault" or "ClusterSecretStore vault".
	Store string
	// Spec points to the provider's type in api/stores, for example *stores.Vault.
	Spec any
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Field is the path below spec.provider.<name>, for example "auth.kubernetes.role".
	Field string
	// Message says what is wrong and what to do, without a trailing period.
	Message string
}

func (p Problem) String() string { return fmt.Sprintf("%s: %s", p.Field, p.Message) }

// Ref names one document of a store.
type Ref struct {
	// Key is the document's name in the backend's own spelling: a path, an ARN, an object name.
	Key string
	// Version pins a version in the backend's own spelling; empty means the current one.
	Version string
	// Metadata asks for what the backend records about the document (labels, tags) instead of its content.
	Metadata bool
	// Property is the part that will be read of the document, for sessions whose requests depend on it (see Selective).
	// It is empty for all others, so that one fetch serves every part.
	Property string
}

// Result answers one Ref: either Err, or a Document.
type Result struct {
	Document Document
	// Version identifies the content that was read, in the backend's own spelling; empty when the backend has none.
	// It is not a secret and is shown in status.
	Version string
	// Err is of a class of this package: ErrNotFound when the backend has no such document or version.
	Err error
}

// Document is what a store holds under one key. It is immutable, safe for concurrent use and does no I/O, so that one
// fetch can serve every object that reads another property of the same document.
//
// How a property is spelled (a gjson path, an exact field, escaped dots) is each provider's own dialect.
type Document interface {
	// Value returns the whole document for the empty property, or the part of it that property names. It fails with
	// ErrPropertyNotFound (by errors.Is) when there is no such part and ErrInvalid when the document cannot have parts.
	Value(property string) (Value, error)
	// Fields returns the fields of the object that property names, as dataFrom.extract reads them: the top-level ones for
	// the empty property. The map belongs to the caller. It fails with ErrPropertyNotFound when there is no such part and
	// ErrInvalid when the part has no fields (it is not a JSON object, say).
	Fields(property string) (map[string]Value, error)
	// Size returns about how many bytes the document takes in memory, at least those of its content. It is what bounds of memory
	// are counted with.
	Size() int
}

// SizeOf returns about how many bytes fields take by their names, as Document.Size counts: that of each name and value, and 64 for the
// places in a map.
func SizeOf[V string | []byte](fields map[string]V) int {
	const perField = 64
	size := 0
	for name, value := range fields {
		size += len(name) + len(value) + perField
	}
	return size
}

// Checker is an optional capability of a Session: a cheap request that shows whether the store can be used at all.
type Checker interface {
	// Check returns nil when the backend accepts the session's identity, ErrUnverified when it answers and leaves open
	// whether it does, or an error of a class of this package. It returns within a second of the context's end.
	Check(ctx context.Context) error
}

// ErrUnverified is of no class: nothing failed, and Check cannot tell whether the store can be used. It is used.
var ErrUnverified = errors.New("unverified")

// Expirer is an optional capability of a Session whose login ends by itself. Who keeps the session opens its successor
// before then and closes it; a session that has expired is denied what it asks.
type Expirer interface {
	// Expires returns when the login ends; the zero time means never. It is the same during the session's life.
	Expires() time.Time
}

// Finder is an optional capability of a Session: it finds documents that nobody names.
type Finder interface {
	// Find returns the documents that match all of q, each once, in the order of their names; none is no error. It is all
	// or nothing: when it cannot tell what matches, or read what does, it fails. It fails with ErrInvalid for a query that
	// the backend does not know and for one that matches more than MaxFound documents or MaxFoundSize bytes, ErrNotFound
	// when there is no such path, and ErrDenied when the identity may not list or read, with a text that says what it
	// needs. A document that is deleted meanwhile is left out. ErrUnavailable and ThrottledError say that the backend is
	// down, and name nothing that was asked for or found. Find returns within a second of the context's end.
	Find(ctx context.Context, q Query) ([]Found, error)
}

// The most that Find returns: the bytes are four times what a Kubernetes Secret can hold.
const (
	MaxFound     = 1000
	MaxFoundSize = 4 << 20
)

// Query says which documents to find.
type Query struct {
	// Path is where to look, in the backend's own spelling; nil means everywhere. A backend without paths ignores it.
	Path *string
	// Name is found somewhere in the document's name; nil means any name.
	Name *regexp.Regexp
	// Tags are all among what the backend records about the document; empty means any.
	Tags map[string]string
}

// Matches reports whether a name is one that q asks for.
func (q Query) Matches(name string) bool { return q.Name == nil || q.Name.MatchString(name) }

// Found is a document that was found.
type Found struct {
	// Name fetches the same document as Ref.Key.
	Name string
	// Value is the whole document, as Document.Value returns it for the empty property.
	Value Value
	// Version is that of the document, as in Result.
	Version string
}

// Pusher is an optional capability of a Session: it writes documents.
type Pusher interface {
	// Push makes value what the backend holds under ref: the whole document for an empty Property, else that part of it, and
	// the rest of the document stays as it is. Version and Metadata of ref have no meaning. It fails with ErrInvalid for a
	// value that the backend cannot hold and ErrDenied when the identity may not write.
	Push(ctx context.Context, ref Ref, value Value) error
}

// Selective is an optional capability of a Session whose requests can depend on the part of a document that is read: an
// HTTP API, say, whose URL names the property.
type Selective interface {
	// Selective reports whether Fetch looks at Ref.Property. It is the same during the session's life.
	Selective() bool
}

// Patient is an optional capability of a Session whose store says how long one request may take.
type Patient interface {
	// Patience returns how long one request may take, zero for as long as any. It is the same during the session's life.
	Patience() time.Duration
}

// Batcher is an optional capability of a Session whose backend answers several documents in one request. Who keeps the session
// asks for documents together that would have been asked for one after the other; Fetch takes any number of refs nevertheless,
// and makes as many requests as they need.
type Batcher interface {
	// Batch returns how many documents one request answers now, if they are of the kind that is read together: the current
	// version (Ref.Version is empty) and its content (Ref.Metadata is not set). It is 1, or less, where each document is a request.
	// It may change during the session's life: to 1, say, when the identity turns out not to have the right to read several
	// at once; Fetch has then read the documents one by one before it returns. It does no I/O.
	Batch() int
}

// Batching is an optional capability of a Provider some of whose sessions are Batchers. Who keeps sessions remembers what is going to
// be asked for only where several documents are asked for together.
type Batching interface {
	// Batches reports whether sessions of a configuration are Batchers that may answer several documents in one request. Such a
	// session is not Selective. It does no I/O.
	Batches(cfg Config) bool
}

// A session that has a connection or a login to end implements io.Closer. Close is called once, when no Fetch is under
// way any more; it leaves no goroutine, connection or minted credential behind, and returns within ten seconds.

// As finds capability T in s or in what s wraps, following Unwrap() Session, so that a decorator cannot hide it.
func As[T any](s Session) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		w, ok := s.(interface{ Unwrap() Session })
		if !ok {
			break
		}
		s = w.Unwrap()
	}
	var zero T
	return zero, false
}

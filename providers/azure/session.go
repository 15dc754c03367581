package azure

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// parallel is how many reads of one Fetch run at once.
const parallel = 8

type session struct {
	refusals
	transport    transport
	token        *token
	secrets      *azsecrets.Client
	certificates *azcertificates.Client
	keys         *azkeys.Client
	// current is set for a store that asks External Secrets Operator for the current SDK: what that makes of metadata and keys
	// differs from what the one before makes.
	current bool
}

var (
	_ providers.Checker = (*session)(nil)
	_ providers.Expirer = (*session)(nil)
	_ providers.Finder  = (*session)(nil)
)

// Expires implements providers.Expirer.
func (s *session) Expires() time.Time { return s.token.expires() }

// Close ends the connections. Tokens cannot be revoked; they are forgotten.
func (s *session) Close() error {
	s.transport.http.Close()
	return nil
}

// Fetch implements providers.Session: one read for each distinct object, whether its content or its metadata is asked for.
func (s *session) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	asked := make([]int, len(refs))
	index := map[object]int{}
	var distinct []object
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		o, ok := objectOf(ref.Key, ref.Version)
		if !ok {
			asked[i], out[i].Err = -1, s.badKey(ref)
			continue
		}
		if _, ok := index[o]; !ok {
			index[o] = len(distinct)
			distinct = append(distinct, o)
		}
		asked[i] = index[o]
	}
	held, errs := s.read(ctx, distinct)
	for i, n := range asked {
		switch {
		case n < 0:
		case errs[n] != nil:
			out[i].Err = errs[n]
		default:
			out[i] = s.result(held[n], refs[i])
		}
	}
	return out, reading.Down(out)
}

// read reads objects, a few at a time.
func (s *session) read(ctx context.Context, objects []object) ([]*held, []error) {
	out, errs := make([]*held, len(objects)), make([]error, len(objects))
	reading.AtOnce(len(objects), parallel, func(i int) { out[i], errs[i] = s.get(ctx, objects[i]) })
	return out, errs
}

func (s *session) badKey(ref providers.Ref) error {
	if _, ok := objectOf(ref.Key, ""); ok {
		return s.errorf(providers.ErrInvalid, "version %q of key %q cannot be one: a version is letters and digits", ref.Version, ref.Key)
	}
	return s.errorf(providers.ErrInvalid, "key %q names nothing of a key vault: it is a name of letters, digits and dashes, or secret/, cert/ or key/ before one", ref.Key)
}

// held is an object as a vault holds it.
type held struct {
	object
	content    []byte
	version    string
	tags       map[string]*string
	attributes attributes
}

// attributes are the times that a vault records of an object.
type attributes struct{ expires, created, updated, notBefore *time.Time }

// get reads one object.
func (s *session) get(ctx context.Context, o object) (*held, error) {
	h, id, err := s.ask(ctx, o)
	switch {
	case err != nil:
		return nil, err
	case !id.of(s.transport.host, o):
		return nil, reading.Crossed(s.store, o.String(), id.String())
	}
	h.object, h.version = o, id.version
	return h, nil
}

// ask makes the request for one object, and returns what it is called besides.
func (s *session) ask(ctx context.Context, o object) (*held, identifier, error) {
	none := identifier{}
	switch o.kind {
	case kindCertificate:
		r, err := s.certificates.GetCertificate(ctx, o.name, o.version, nil)
		if err != nil {
			return nil, none, s.of(err, o)
		}
		if r.CER == nil || r.Attributes == nil {
			return nil, none, s.unexpected(200)
		}
		a := r.Attributes
		return &held{content: r.CER, tags: r.Tags, attributes: attributes{a.Expires, a.Created, a.Updated, a.NotBefore}}, identifierOf(r.ID), nil
	case kindKey:
		r, err := s.keys.GetKey(ctx, o.name, o.version, nil)
		if err != nil {
			return nil, none, s.of(err, o)
		}
		if r.Key == nil || r.Attributes == nil {
			return nil, none, s.unexpected(200)
		}
		content, err := webKey(r.Key, s.current)
		if err != nil {
			return nil, none, s.unexpected(200)
		}
		a := r.Attributes
		return &held{content: content, tags: r.Tags, attributes: attributes{a.Expires, a.Created, a.Updated, a.NotBefore}}, identifierOf(r.Key.KID), nil
	default:
		r, err := s.secrets.GetSecret(ctx, o.name, o.version, nil)
		if err != nil {
			return nil, none, s.of(err, o)
		}
		if r.Value == nil || r.Attributes == nil {
			return nil, none, s.unexpected(200)
		}
		a := r.Attributes
		return &held{content: []byte(*r.Value), tags: r.Tags, attributes: attributes{a.Expires, a.Created, a.Updated, a.NotBefore}}, identifierOf(r.ID), nil
	}
}

func (s *session) result(h *held, ref providers.Ref) providers.Result {
	where := s.store + ": " + h.String()
	if ref.Metadata {
		times := h.attributes
		if s.current {
			times = attributes{}
		}
		return providers.Result{Document: newMetadata(where, ref.Key, h.object, h.tags, times)}
	}
	var doc providers.Document
	switch h.kind {
	case kindCertificate:
		doc = certificate{where, h.content}
	default:
		doc = text{where, h.content, h.kind == kindSecret}
	}
	return providers.Result{Document: doc, Version: h.version}
}

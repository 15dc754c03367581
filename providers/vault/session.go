package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// parallel is how many reads of one Fetch run at once.
const parallel = 8

type session struct {
	api    api
	engine engine
	// role names the identity in messages.
	role string
	// proven is set for a configured token that was looked up when the session was opened.
	proven  bool
	expires time.Time
	end     func() error
}

var (
	_ providers.Checker = (*session)(nil)
	_ providers.Expirer = (*session)(nil)
)

// Expires implements providers.Expirer.
func (s *session) Expires() time.Time { return s.expires }

// Close ends the login, if it was made for this session, and the connections.
func (s *session) Close() error {
	err := s.end()
	s.api.http.Close()
	return err
}

// Fetch implements providers.Session: one read for each distinct ref.
func (s *session) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	return reading.Each(refs, parallel, func(ref providers.Ref) (providers.Result, error) { return s.readRef(ctx, ref) })
}

func (s *session) readRef(ctx context.Context, ref providers.Ref) (providers.Result, error) {
	path := s.engine.dataPath(ref.Key)
	switch {
	case clean(ref.Key) == "" || strings.HasSuffix(path, "/"):
		return providers.Result{}, s.api.errorf(providers.ErrInvalid, "key %q names no secret", ref.Key)
	case !safePath(ref.Key):
		return providers.Result{}, s.api.errorf(providers.ErrInvalid, "key %q must not hold . or .. as a part of the path, or control characters", ref.Key)
	case ref.Metadata && s.engine.v1:
		return providers.Result{}, s.api.errorf(providers.ErrInvalid, "key %q: KV version v1 has no metadata; remove metadataPolicy or set version v2", ref.Key)
	case ref.Metadata:
		return s.readMetadata(ctx, s.engine.metadataPath(ref.Key))
	}
	return s.readData(ctx, path, ref.Version)
}

// readData reads the content at a path of the API.
func (s *session) readData(ctx context.Context, path, version string) (providers.Result, error) {
	var query url.Values
	if version != "" {
		query = url.Values{"version": {version}}
	}
	r, err := s.api.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return providers.Result{}, err
	}
	if err := s.refused(r, path, version); err != nil {
		return providers.Result{}, err
	}
	if s.engine.v1 {
		return s.document(path, r, r.Data, "")
	}
	var versioned kv2
	if err := json.Unmarshal(r.Data, &versioned); err != nil {
		return providers.Result{}, s.api.unexpected(r)
	}
	if err := s.crossed(path, version, versioned.Metadata); err != nil {
		return providers.Result{}, err
	}
	if versioned.gone() {
		return providers.Result{}, s.deleted(path, versioned.Metadata)
	}
	return s.document(path, r, versioned.Data, versioned.Metadata.version())
}

// kv2 is what KV version 2 answers for a path (KV secrets engine, "Read secret version").
type kv2 struct {
	Data     json.RawMessage `json:"data"`
	Metadata kv2Metadata     `json:"metadata"`
}

type kv2Metadata struct {
	Version      int64  `json:"version"`
	DeletionTime string `json:"deletion_time"`
	Destroyed    bool   `json:"destroyed"`
}

// version is empty when Vault names none.
func (m kv2Metadata) version() string {
	if m.Version == 0 {
		return ""
	}
	return strconv.FormatInt(m.Version, 10)
}

// crossed returns the error of an answer with another version than the one that was asked for. Vault answers 0 with the current one.
func (s *session) crossed(path, version string, m kv2Metadata) error {
	asked, err := strconv.ParseInt(version, 0, 64) // as Vault reads it
	if err != nil || asked == 0 || m.Version == 0 || m.Version == asked {
		return nil //nolint:nilerr // Vault has answered what it makes of a version that is no number
	}
	return reading.Crossed(s.api.store, fmt.Sprintf("version %q of %s", version, path), m.version())
}

// gone reports that the version has no content any more, and that Vault says so.
func (k kv2) gone() bool {
	return (len(k.Data) == 0 || string(k.Data) == "null") && (k.Metadata.Destroyed || k.Metadata.DeletionTime != "")
}

func (s *session) deleted(path string, m kv2Metadata) error {
	if m.Destroyed {
		return s.api.errorf(providers.ErrNotFound, "version %s of %s is destroyed; write a new one or reference another", m.version(), path)
	}
	return s.api.errorf(providers.ErrNotFound, "version %s of %s is deleted; undelete it, write a new one or reference another", m.version(), path)
}

func (s *session) document(path string, r *reply, raw json.RawMessage, version string) (providers.Result, error) {
	data, ok := property.Object(raw)
	if !ok {
		return providers.Result{}, s.api.unexpected(r)
	}
	doc, err := newDocument(s.api.store+": "+path, data)
	if err != nil {
		return providers.Result{}, s.api.unexpected(r)
	}
	return providers.Result{Document: doc, Version: version}, nil
}

// refused returns the error of an answer that has no content, nil when it has.
func (s *session) refused(r *reply, path, version string) error {
	var versioned kv2
	switch {
	case r.status == http.StatusOK && r.Data != nil:
		return nil
	case !r.genuine:
		return s.api.unexpected(r)
	case r.status == http.StatusForbidden:
		return s.api.errorf(providers.ErrDenied, "vault refuses to read %s: the policies %s must grant \"read\" on that path", path, s.role)
	case r.status == http.StatusNotFound && r.says("versioned K/V"):
		return s.api.errorf(providers.ErrInvalid, "the engine of %s is KV version 2; set version: v2 in the store", path)
	case r.status == http.StatusNotFound && r.says("no handler for route"):
		return s.api.errorf(providers.ErrInvalid, "vault has no secrets engine for %s; mount one or correct path in the store", path)
	case r.status == http.StatusNotFound && json.Unmarshal(r.Data, &versioned) == nil && versioned.gone():
		return cmp.Or(s.crossed(path, version, versioned.Metadata), s.deleted(path, versioned.Metadata))
	case r.status == http.StatusNotFound && r.nothing() && version != "":
		return s.api.errorf(providers.ErrNotFound, "vault has no version %q of %s", version, path)
	case r.status == http.StatusNotFound && r.nothing():
		return s.api.errorf(providers.ErrNotFound, "vault has nothing at %s", path)
	case r.status == http.StatusBadRequest && version != "":
		return s.api.errorf(providers.ErrInvalid, "vault does not accept version %q of %s; a version is a number", version, path)
	case r.status == http.StatusBadRequest || r.status == http.StatusMethodNotAllowed:
		return s.api.errorf(providers.ErrInvalid, "vault cannot read %s (status %d); correct the key or path and version in the store", path, r.status)
	default:
		return s.api.unexpected(r)
	}
}

// systemMetadata are the fields of KV metadata that are part of the document, beside the custom ones.
func systemMetadata() []string {
	return []string{"created_time", "current_version", "delete_version_after"}
}

// readMetadata reads what Vault records about a secret as a document.
func (s *session) readMetadata(ctx context.Context, path string) (providers.Result, error) {
	data, err := s.metadata(ctx, path)
	if err != nil {
		return providers.Result{}, err
	}
	doc, err := newDocument(s.api.store+": "+path, data)
	return providers.Result{Document: doc}, err
}

// metadata reads what Vault records about a secret: the custom metadata and systemMetadata, as text.
func (s *session) metadata(ctx context.Context, path string) (map[string]any, error) {
	r, err := s.api.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := s.refused(r, path, ""); err != nil {
		return nil, err
	}
	all, ok := property.Object(r.Data)
	if !ok {
		return nil, s.api.unexpected(r)
	}
	data := map[string]any{}
	add := func(name string, value any) {
		if text, err := property.Text(value); err == nil {
			data[name] = string(text)
		}
	}
	for _, name := range systemMetadata() {
		if v, ok := all[name]; ok && v != nil {
			add(name, v)
		}
	}
	custom, _ := all["custom_metadata"].(map[string]any)
	for name, v := range custom {
		add(name, v)
	}
	return data, nil
}

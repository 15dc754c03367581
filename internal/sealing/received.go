package sealing

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/manifest"
)

// ErrUndecryptable is of a SealedSecret with a value that does not open. It is one error for a wrong key, a wrong scope,
// name or namespace, and a damaged value: whoever may ask learns no more than that.
var ErrUndecryptable = errors.New("no key could decrypt the sealed secret")

// Received is a SealedSecret from somebody who did not say who he is. What is not sealed is not trusted: its templates are
// never rendered, opened values are never parsed, and its scope is that of its own annotations and no other.
type Received struct {
	fields    map[string]any
	namespace string
	name      string
	scope     seal.Scope
	values    map[string]string
	// deprecated is spec.data.
	deprecated []byte
}

// ReadReceived reads one SealedSecret in JSON or YAML, of at most limit bytes with its aliases expanded. Its errors name
// places and fields only.
func ReadReceived(data []byte, limit int) (*Received, error) {
	documents, err := manifest.Read(bytes.NewReader(data), manifest.Limits{Bytes: limit, Documents: 1})
	if err != nil {
		return nil, err
	}
	if len(documents) != 1 {
		return nil, noSealedSecrets()
	}
	o := newObject(documents[0])
	requireSealedSecret(o, documents[0])
	meta := o.metadata("metadata")
	// No API server has seen these yet. A name with a slash would make the label of another scope; any other that the API
	// refuses is sealed to as it is, and to say of such values that they do not open would be wrong.
	if strings.Contains(meta.Namespace, "/") {
		o.fail("", "metadata.namespace is no name of a namespace")
	}
	if strings.Contains(meta.Name, "/") {
		o.fail("", "metadata.name is no name of an object")
	}
	received := &Received{
		fields: documents[0].Object, namespace: meta.Namespace, name: meta.Name, scope: seal.ScopeOf(meta.Annotations),
		values: o.texts("spec", "encryptedData"),
	}
	if text := o.text("spec", "data"); text != "" {
		if received.deprecated, err = base64.StdEncoding.DecodeString(text); err != nil {
			o.fail("", "spec.data is not base64")
		}
	}
	if o.err != nil {
		return nil, o.err
	}
	return received, nil
}

// Namespace returns the namespace that it says it is in; "" for none.
func (r *Received) Namespace() string { return r.namespace }

// Deprecated says whether it has the deprecated spec.data.
func (r *Received) Deprecated() bool { return len(r.deprecated) > 0 }

// Verify says whether every value opens: nil, ErrUndecryptable, the error of ctx, or that of a key that could not be asked.
func (r *Received) Verify(ctx context.Context, keys seal.Keys) error {
	opener := seal.NewOpener(keys, "", 0)
	return r.each(func(value []byte) error {
		_, err := opener.OpenBytes(ctx, r.scope, r.namespace, r.name, value)
		return err
	}, func(_, text string) error {
		_, err := opener.Open(ctx, r.scope, r.namespace, r.name, text)
		return err
	})
}

// Reseal returns the SealedSecret as JSON with every value sealed to the newest key of its format, as seal.Opener.Reseal
// does, for the scope, namespace and name that it has. All else stays as it was received, except for what a server or
// kubectl has added. random is crypto/rand.Reader outside of tests. It fails as Verify does.
func (r *Received) Reseal(ctx context.Context, keys seal.Keys, random io.Reader, to seal.Newest) ([]byte, error) {
	object := withoutServerFields(r.fields)
	spec, ok := object["spec"].(map[string]any)
	if !ok {
		return json.Marshal(object)
	}
	spec = maps.Clone(spec)
	object["spec"] = spec
	encrypted := make(map[string]any, len(r.values))
	opener := seal.NewOpener(keys, "", 0)
	err := r.each(func(value []byte) error {
		again, err := opener.ResealBytes(ctx, random, to, r.scope, r.namespace, r.name, value)
		if !bytes.Equal(again, value) {
			spec["data"] = base64.StdEncoding.EncodeToString(again)
		}
		return err
	}, func(key, text string) error {
		again, err := opener.Reseal(ctx, random, to, r.scope, r.namespace, r.name, text)
		encrypted[key] = again
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(encrypted) > 0 {
		spec["encryptedData"] = encrypted
	}
	return json.Marshal(object)
}

// each hands on the values in the order of their keys, and ends with the first that fails.
func (r *Received) each(deprecated func([]byte) error, value func(key, text string) error) error {
	if len(r.deprecated) > 0 {
		if len(r.values) > 0 {
			return ErrUndecryptable
		}
		return reduced(deprecated(r.deprecated))
	}
	for _, key := range slices.Sorted(maps.Keys(r.values)) {
		if err := value(key, r.values[key]); err != nil {
			return reduced(err)
		}
	}
	return nil
}

// reduced makes one error of all that a value can be refused for.
func reduced(err error) error {
	if errors.Is(err, seal.ErrNoKey) || errors.Is(err, keyring.ErrRetired) || errors.Is(err, seal.ErrLimit) || seal.IsFault(err) {
		return ErrUndecryptable
	}
	return err
}

// withoutServerFields returns a copy of an object without what only a server says, and without the annotations in which
// client-side apply keeps the object as it was.
func withoutServerFields(fields map[string]any) map[string]any {
	out := maps.Clone(fields)
	delete(out, "status")
	meta, ok := out["metadata"].(map[string]any)
	if !ok {
		return out
	}
	meta = maps.Clone(meta)
	for _, field := range []string{
		"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields",
		"resourceVersion", "selfLink", "uid",
	} {
		delete(meta, field)
	}
	if annotations, ok := meta["annotations"].(map[string]any); ok {
		annotations = maps.Clone(annotations)
		delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
		delete(annotations, "kubecfg.ksonnet.io/last-applied-configuration")
		meta["annotations"] = annotations
		if len(annotations) == 0 {
			delete(meta, "annotations")
		}
	}
	out["metadata"] = meta
	return out
}

package externalsecret

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/internal/rewrite"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
)

// finding is what was found for an entry, before it is named and decoded.
type finding struct {
	entry
	// fields are by the names that they have in the store; the one of an entry with a secretKey is under that.
	fields map[string][]byte
}

// The bounds of what one object takes from its documents: a property may select the whole of one, and there may be two thousand
// entries.
const (
	// maxValues bounds all fields with their names together, in bytes. A Secret holds 1 MiB, of which a template may need much more.
	maxValues = 16 << 20
	// maxDocuments bounds the documents, in bytes.
	maxDocuments = 32 << 20
	// maxTaking bounds how long the fields may take to be found, and as long again to be named and decoded.
	maxTaking = 10 * time.Second
)

// fits says why documents are too much together; nil when they are not. Those that are large are taken apart in turn, because that
// takes many times their memory.
func fits(documents map[origin]providers.Result) (inTurn bool, err error) {
	size, largest := 0, 0
	for _, result := range documents {
		if result.Err == nil {
			size, largest = size+result.Document.Size(), max(largest, result.Document.Size())
		}
	}
	if size > maxDocuments {
		return false, providers.Errorf(providers.ErrInvalid,
			"the documents that it reads have more than %d MiB together; read fewer large documents with one ExternalSecret", maxDocuments>>20)
	}
	return size > large.Together || largest > large.Answer, nil
}

// taking returns a context that ends after maxTaking, with a cause that says so.
func taking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, maxTaking, providers.Errorf(providers.ErrInvalid,
		"its values take more than %s to be put together; read less of large documents, with fewer entries and rules of rewrite, or use several ExternalSecrets", maxTaking))
}

// gather takes from the documents what each entry asks for: dataFrom in order, then data. It is all or nothing: the first
// thing that is missing is the error, which names the entry and never a value. Where deletionPolicy lets keys go, entries
// whose document the store does not have are no error and are named in missing. A search that finds nothing is no error;
// one that fails always is, because it can fail for the lack of anything.
func gather(ctx context.Context, spec *esv1.ExternalSecretSpec, documents map[origin]providers.Result) (found []finding, missing []string, err error) {
	ctx, cancel := taking(ctx)
	defer cancel()
	size := 0
	for _, e := range entriesOf(spec) {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		fields, err := fieldsOf(e, documents[e.origin])
		size += providers.SizeOf(fields)
		switch {
		case e.find == nil && errors.Is(err, providers.ErrNotFound) && deletionOf(spec) != esv1.DeletionRetain:
			missing = append(missing, fmt.Sprintf("%s: %s", e.path, err))
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", e.path, err)
		case size > maxValues:
			return nil, nil, providers.Errorf(providers.ErrInvalid,
				"%s: the values of this entry and those before it have more than %d MiB together; read less of large documents (name a property), or use several ExternalSecrets",
				e.path, maxValues>>20)
		}
		found = append(found, finding{e, fields})
	}
	return found, missing, nil
}

func fieldsOf(e entry, result providers.Result) (map[string][]byte, error) {
	if result.Err != nil {
		return nil, result.Err
	}
	if e.secretKey != "" {
		v, err := result.Document.Value(e.remote.Property)
		return map[string][]byte{e.secretKey: v.Bytes()}, err
	}
	values, err := result.Document.Fields(e.remote.Property)
	if err != nil {
		return nil, err
	}
	fields := make(map[string][]byte, len(values))
	for name, v := range values {
		fields[name] = v.Bytes()
	}
	return fields, nil
}

// assemble makes the values of an ExternalSecret from what was found; later ones win. The first thing that is malformed is
// the error, as in gather.
func assemble(ctx context.Context, r *template.Renderer, found []finding) (map[string][]byte, error) {
	ctx, cancel := taking(ctx)
	defer cancel()
	values := map[string][]byte{}
	for _, f := range found {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		out, err := f.values(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		maps.Copy(values, out)
	}
	return values, nil
}

// values names and decodes what was found.
func (f finding) values(ctx context.Context, r *template.Renderer) (map[string][]byte, error) {
	if f.secretKey != "" {
		decoded, err := decodeValue(f.fields[f.secretKey], f.remote.DecodingStrategy, f.remote.NullBytePolicy)
		return map[string][]byte{f.secretKey: decoded}, err
	}
	out, err := named(ctx, r, f.entry, f.fields)
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(out)) {
		if err := checkName(key); err != nil {
			return nil, err
		}
		if out[key], err = decodeValue(out[key], f.remote.DecodingStrategy, f.remote.NullBytePolicy); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
	}
	return out, nil
}

// named gives what was found its keys: by the rules of rewrite where there are any, else by conversionStrategy, as External
// Secrets Operator does. A name that is empty is dropped: a Secret has no key for it. The map is the caller's.
func named(ctx context.Context, r *template.Renderer, e entry, found map[string][]byte) (map[string][]byte, error) {
	if len(e.rewrite) > 0 {
		rules, err := rewrite.Compile(e.rewrite)
		if err != nil {
			return nil, err
		}
		return rules.Apply(ctx, r, found)
	}
	out, err := rewrite.Rename(found, func(name string) (string, error) { return convertKey(name, e.remote.ConversionStrategy), nil })
	if err != nil {
		return nil, fmt.Errorf("%w: use rewrite, conversionStrategy Unicode or data", err)
	}
	delete(out, "")
	return out, nil
}

// convertKey makes a key from the name of a field: what is no letter, digit, '-', '_' or '.' becomes an underscore, or with
// Unicode _U, the code point in four or more hex digits, and an underscore. Letters and digits of all scripts stay, as in
// External Secrets Operator: templates read them, though a Secret has no such key.
func convertKey(name string, strategy esv1.ConversionStrategy) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case nameRune(r):
			b.WriteRune(r)
		case strategy == esv1.ConversionUnicode:
			fmt.Fprintf(&b, "_U%04x_", r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

func nameRune(r rune) bool { return keyRune(r) || unicode.IsLetter(r) || unicode.IsNumber(r) }

func keyRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// longestKey is how many bytes a key of a Secret may have.
const longestKey = 253

func tooLong(key string) error {
	return providers.Errorf(providers.ErrInvalid, "key %q... has %d characters, a key of a Secret has %d at most", key[:20], len(key), longestKey)
}

// checkName says why a key cannot be that of a value, which templates may use and a Secret need not have.
func checkName(key string) error {
	switch {
	case len(key) > longestKey:
		return tooLong(key)
	case key == "" || strings.ContainsFunc(key, func(r rune) bool { return !nameRune(r) }):
		return providers.Errorf(providers.ErrInvalid, "%q cannot be a key of a Secret: use letters, digits, '-', '_' and '.'", key)
	default:
		return nil
	}
}

// checkKey says why a key cannot be one of a Secret (Kubernetes' own rule).
func checkKey(key string) error {
	switch {
	case len(key) > longestKey:
		return tooLong(key)
	case key == "" || key == "." || strings.HasPrefix(key, "..") || strings.ContainsFunc(key, func(r rune) bool { return !keyRune(r) }):
		return providers.Errorf(providers.ErrInvalid, "%q cannot be a key of a Secret: use letters from a to z, digits, '-', '_' and '.'", key)
	default:
		return nil
	}
}

// decodeValue undoes the encoding that a value has in the store, and applies the policy for zero bytes to the result.
func decodeValue(value []byte, strategy esv1.DecodingStrategy, nulls esv1.NullBytePolicy) ([]byte, error) {
	decoded, err := decode(value, strategy)
	if err != nil {
		return nil, providers.Errorf(providers.ErrInvalid, "the value is not encoded as decodingStrategy %s says", strategy)
	}
	if nulls == esv1.NullByteFail && bytes.IndexByte(decoded, 0) >= 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "the value has a zero byte and nullBytePolicy is Fail")
	}
	return decoded, nil
}

var errEncoding = errors.New("not encoded like that")

func decode(value []byte, strategy esv1.DecodingStrategy) ([]byte, error) {
	switch strategy {
	case "", esv1.DecodingNone:
		return value, nil
	case esv1.DecodingBase64:
		return decodeBase64(base64.StdEncoding, value)
	case esv1.DecodingBase64URL:
		return decodeBase64(base64.URLEncoding, value)
	case esv1.DecodingAuto:
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			if out, err := decodeBase64(enc, value); err == nil {
				return out, nil
			}
		}
		return value, nil
	default:
		return nil, errEncoding
	}
}

func decodeBase64(enc *base64.Encoding, value []byte) ([]byte, error) {
	out := make([]byte, enc.DecodedLen(len(value)))
	n, err := enc.Decode(out, value)
	if err != nil {
		return nil, errEncoding // the decoder's own error would say where, which is about the value
	}
	return out[:n], nil
}

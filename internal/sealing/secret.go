package sealing

import (
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sealbridge/sealbridge/internal/manifest"
)

// Metadata is what a manifest's author says about an object. What a server adds (uid, resourceVersion, managedFields,
// owners, ...) is not read: it has no meaning in Git.
type Metadata struct {
	Name         string            `json:"name,omitempty"`
	GenerateName string            `json:"generateName,omitempty"`
	Namespace    string            `json:"namespace,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Finalizers   []string          `json:"finalizers,omitempty"`
}

// Secret is a v1 Secret as it is read. Its fields are plaintext; it has no way of its own to be printed, so keep it out
// of errors.
type Secret struct {
	Metadata  Metadata
	Type      string
	Immutable *bool
	// Data holds data and stringData, of which the latter wins, as in Kubernetes.
	Data map[string][]byte

	where string // for errors: document and line
}

// ReadSecrets returns the Secrets of a stream: YAML documents, concatenated JSON, and v1 Lists of both. It refuses a
// stream without any, a document that is something else than a Secret, and a field that would be lost or misread.
func ReadSecrets(r io.Reader) ([]Secret, error) {
	var secrets []Secret
	for secret, err := range Secrets(r) {
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// Secrets is ReadSecrets for whoever can work on a Secret while the next one is read. An error is the last of the sequence.
func Secrets(r io.Reader) iter.Seq2[Secret, error] {
	return func(yield func(Secret, error) bool) {
		found := false
		for d, err := range documents(r) {
			var secret Secret
			if err == nil {
				secret, err = parseSecret(d)
			}
			if found = true; !yield(secret, err) || err != nil {
				return
			}
		}
		if !found {
			yield(Secret{}, problem("give a Secret manifest on standard input or with --secret-file; kubectl create secret --dry-run=client -o yaml makes one",
				"no secrets found. Ensure the input is valid and UTF-8 encoded"))
		}
	}
}

func readDocuments(r io.Reader) ([]manifest.Document, error) {
	var out []manifest.Document
	for d, err := range documents(r) {
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// documents are those of a stream, with the items of Lists in the place of these. An error is the last of the sequence.
func documents(r io.Reader) iter.Seq2[manifest.Document, error] {
	return func(yield func(manifest.Document, error) bool) {
		for d, err := range manifest.All(r, manifest.Limits{}) {
			var items []manifest.Document
			if err == nil {
				items, err = manifest.Items(d)
			}
			if err != nil {
				yield(manifest.Document{}, inputError(err))
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// inputError says what to do about a stream that could not be read.
func inputError(err error) error {
	var bad *manifest.Error
	switch {
	case errors.As(err, &bad):
		return &Error{Problem: err.Error(), Hint: "nothing was written; correct the input and run the command again", Cause: err}
	case errors.Is(err, manifest.ErrTooLarge):
		return &Error{Problem: "input: " + err.Error(), Hint: "split the input", Cause: err}
	default:
		return err
	}
}

// isDataKey says whether Kubernetes accepts a key in a Secret.
func isDataKey(key string) bool { return len(validation.IsConfigMapKey(key)) == 0 }

func parseSecret(d manifest.Document) (Secret, error) {
	o := newObject(d)
	// kubeseal reads anything as a Secret; here the kind may be left out, and must not be another.
	switch apiVersion, kind := d.Kind(); {
	case kind != "" && kind != "Secret":
		o.fail("only Secrets can be sealed; give the other documents to kubectl as they are", "is a %s, not a Secret", readable(kind))
	case apiVersion != "" && apiVersion != "v1":
		o.fail("Secrets have the apiVersion v1", "the apiVersion is not v1")
	}
	for _, field := range slices.Sorted(maps.Keys(d.Object)) {
		switch field {
		case "apiVersion", "kind", "metadata", "type", "immutable", "data", "stringData":
		default:
			// Not named: in a Secret whose indentation slipped it may be a value.
			o.fail("a Secret has apiVersion, kind, metadata, type, immutable, data and stringData; check the spelling and indentation",
				"has a field that a Secret does not have, and which would be lost")
		}
	}
	secret := Secret{
		Metadata:  o.metadata("metadata"),
		Type:      o.text("type"),
		Immutable: o.boolean("immutable"),
		Data:      o.bytes("data"),
		where:     o.where,
	}
	for key, value := range o.texts("stringData") {
		secret.Data[key] = []byte(value)
	}
	for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
		if !isDataKey(key) {
			o.fail("Kubernetes would refuse the Secret", "%q is not a key for a Secret: letters, digits, - _ and . are allowed", key)
		}
	}
	return secret, o.err
}

// readable returns a kind, unless it is something else that slipped into its place.
func readable(kind string) string {
	isLetter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	if kind == "" || len(kind) > 63 || strings.ContainsFunc(kind, func(r rune) bool { return !isLetter(r) }) {
		return "document of another kind"
	}
	return kind
}

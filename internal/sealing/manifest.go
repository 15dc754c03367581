package sealing

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/sealbridge/sealbridge/internal/manifest"
)

// Manifest is a SealedSecret as it was read, for a controller to judge.
type Manifest struct {
	Name string
	JSON []byte
}

// ReadManifests returns the SealedSecrets of a stream, and refuses a stream without any or with anything else.
func ReadManifests(r io.Reader) ([]Manifest, error) {
	documents, err := readDocuments(r)
	if err != nil {
		return nil, err
	}
	var out []Manifest
	for _, d := range documents {
		o := newObject(d)
		requireSealedSecret(o, d)
		name := o.text("metadata", "name")
		if o.err != nil {
			return nil, o.err
		}
		text, err := json.Marshal(d.Object)
		if err != nil {
			return nil, err
		}
		out = append(out, Manifest{Name: name, JSON: text})
	}
	if len(out) == 0 {
		return nil, noSealedSecrets()
	}
	return out, nil
}

func noSealedSecrets() error {
	return problem("give a SealedSecret manifest on standard input or with --secret-file",
		"no sealed secrets found. Ensure the input is valid and UTF-8 encoded")
}

// Rewrite returns the SealedSecret that a controller answered as a manifest, without what only a server says.
func Rewrite(format Format, answer []byte) ([]byte, error) {
	documents, err := manifest.Read(bytes.NewReader(answer), manifest.Limits{Documents: 1})
	if err != nil || len(documents) != 1 {
		return nil, problem("", "the controller did not answer with a SealedSecret")
	}
	o := newObject(documents[0])
	requireSealedSecret(o, documents[0])
	meta := o.mapping("metadata")
	if o.err != nil {
		return nil, problem("", "the controller did not answer with a SealedSecret")
	}
	for _, field := range []string{"creationTimestamp", "deletionTimestamp", "generation"} {
		delete(meta, field)
	}
	return Encode(format, documents[0].Object)
}

package sopsfile

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/getsops/sops/v3"
)

// emit writes a decrypted tree as the sops command would.
func emit(format Format, branches sops.TreeBranches) ([]byte, error) {
	if format == JSON {
		return emitJSON(branches)
	}
	store, err := storeOf(format)
	if err != nil {
		return nil, err
	}
	if len(branches) == 0 {
		return nil, errors.New("no document")
	}
	return store.EmitPlainFile(branches)
}

// emitJSON does what the library's store does; that one builds its output by adding to a string, which takes minutes for
// a document of a few MiB.
func emitJSON(branches sops.TreeBranches) ([]byte, error) {
	if len(branches) != 1 {
		return nil, errors.New("not one document")
	}
	var compact, out bytes.Buffer
	if err := writeJSON(&compact, branches[0]); err != nil {
		return nil, err
	}
	if err := json.Indent(&out, compact.Bytes(), "", "\t"); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func writeJSON(out *bytes.Buffer, value any) error {
	switch value := value.(type) {
	case sops.TreeBranch:
		out.WriteByte('{')
		for i, item := range value {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeJSON(out, item.Key); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := writeJSON(out, item.Value); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		first := true
		for _, item := range value {
			if _, ok := item.(sops.Comment); ok {
				continue
			}
			if !first {
				out.WriteByte(',')
			}
			first = false
			if err := writeJSON(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	default:
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		out.Write(text)
	}
	return nil
}

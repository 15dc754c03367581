package agebox

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// columns is how long the lines of a stanza's body are, all but the last.
const columns = 64

// Relock returns the value with one of its locks replaced by one for another recipient. The other locks stay as they are,
// so that whoever else could open the value still can, though nobody knows their recipients any more; so does the
// ciphertext. fileKey is what the lock gave, and the caller has opened the value with it. When another lock is for the
// recipient already, the lock is only taken away. It returns ErrMixed for a recipient of another kind than the value's.
//
// age's library writes a header only together with a new file key. This is the header of age's specification
// (c2sp.org/age): the stanzas, and HMAC-SHA-256 over them under a key that HKDF-SHA-256 makes of the file key.
func (b *Box) Relock(fileKey []byte, lock int, to *Recipient) ([]byte, error) {
	if len(fileKey) != fileKeySize || lock < 0 || lock >= len(b.locks) {
		return nil, ErrDecrypt
	}
	if to.Held() != b.Held() {
		return nil, ErrMixed
	}
	locks := slices.Clone(b.locks)
	if slices.ContainsFunc(locks, func(l Lock) bool { return l.Key == to.fingerprint }) {
		if locks[lock].Key != to.fingerprint {
			locks = slices.Delete(locks, lock, lock+1)
		}
	} else {
		wrapped, err := to.age.Wrap(fileKey)
		if err != nil {
			return nil, fmt.Errorf("lock the value for %s: %w", to.fingerprint, err)
		}
		for _, s := range wrapped { // one
			locks[lock] = Lock{Type: s.Type, Args: s.Args, Body: s.Body, Key: to.fingerprint}
		}
	}
	out := bytes.NewBufferString(magic + "v1\n")
	if b.named {
		fmt.Fprintf(out, "-> %s", keysType)
		for _, l := range locks {
			fmt.Fprintf(out, " %s", l.Key)
		}
		out.WriteString("\n\n") // a body that is empty is an empty line
	}
	for _, l := range locks {
		fmt.Fprintf(out, "-> %s %s\n", l.Type, strings.Join(l.Args, " "))
		body := base64.RawStdEncoding.EncodeToString(l.Body)
		for ; len(body) >= columns; body = body[columns:] {
			out.WriteString(body[:columns] + "\n")
		}
		out.WriteString(body + "\n") // the last line is shorter than the others, and may be empty
	}
	out.WriteString("---")
	key, err := hkdf.Key(sha256.New, fileKey, nil, "header", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the key of the header: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(out.Bytes())
	fmt.Fprintf(out, " %s\n", base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
	out.Write(b.raw[b.end:])
	return out.Bytes(), nil
}

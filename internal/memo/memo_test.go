package memo_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sealbridge/sealbridge/internal/memo"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, memo.KeySize) }

func TestAValueIsKnownByItsCiphertextItsKeyAndItsRecipientOnly(t *testing.T) {
	t.Parallel()
	m, err := memo.New(key(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Remember("SHA256:a", "ns/db", "text", []byte("value"))
	stored := m.Added()
	if m.Added() != nil || len(stored) != 2*memo.TagSize {
		t.Fatalf("%d bytes are new", len(stored))
	}
	m, err = memo.New(key(1), append(stored, "torn"...))
	if err != nil {
		t.Fatal(err)
	}
	if !m.Holds("SHA256:a", "ns/db", "text", []byte("value")) || !m.IsTo("SHA256:a", "text") {
		t.Error("what was remembered is not known")
	}
	for name, known := range map[string]bool{
		"another value":     m.Holds("SHA256:a", "ns/db", "text", []byte("other")),
		"another text":      m.Holds("SHA256:a", "ns/db", "other", []byte("value")),
		"another recipient": m.Holds("SHA256:b", "ns/db", "text", []byte("value")),
		"another place":     m.Holds("SHA256:a", "ns/other", "text", []byte("value")),
		"another cut":       m.Holds("SHA256:a", "ns/db", "tex", []byte("tvalue")),
		"to another":        m.IsTo("SHA256:b", "text"),
	} {
		if known {
			t.Errorf("%s is known", name)
		}
	}
	m.Remember("SHA256:a", "ns/db", "text", []byte("value"))
	if again := m.Added(); again != nil {
		t.Errorf("%d bytes are new of what is remembered already", len(again))
	}
	if again, err := memo.New(key(2), stored); err != nil || again.Holds("SHA256:a", "ns/db", "text", []byte("value")) {
		t.Error("without the key the tags tell something")
	}
	if bytes.Contains(stored, []byte("value")) || bytes.Contains(stored, []byte("text")) {
		t.Error("the tags hold what they are of")
	}
	for _, size := range []int{0, memo.KeySize - 1, memo.KeySize + 1} {
		if _, err := memo.New(make([]byte, size), nil); !errors.Is(err, memo.ErrKey) {
			t.Errorf("a key of %d bytes: %v", size, err)
		}
	}
}

package rsahybrid_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

const vectors = "../seal/testdata/kubeseal-v0.40.0/"

func testKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	data, err := os.ReadFile(vectors + "rsa2048.key")
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyring.ParsePrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustSeal(t testing.TB, key *rsa.PublicKey, label, plaintext []byte) []byte {
	t.Helper()
	value, err := rsahybrid.Seal(rand.Reader, key, label, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// open opens a sealed value with one key.
func open(key *rsa.PrivateKey, value, label []byte) ([]byte, error) {
	envelope, err := rsahybrid.Parse(value)
	if err != nil {
		return nil, err
	}
	sessionKey, err := rsahybrid.Unwrap(key, key.Size(), envelope.Wrapped(), label)
	if err != nil {
		return nil, err
	}
	return envelope.Decrypt(sessionKey)
}

func TestWhatIsSealedOpensUnderTheSameLabel(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	for name, plaintext := range map[string][]byte{
		"empty":          {},
		"one byte":       {0},
		"text":           []byte("pässwörd"),
		"one mebibyte":   bytes.Repeat([]byte{0xa5}, 1<<20),
		"the most ever":  bytes.Repeat([]byte{0x5a}, 2<<20),
		"looks like one": mustSeal(t, &key.PublicKey, nil, []byte("inner")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value := mustSeal(t, &key.PublicKey, []byte("ns/name"), plaintext)
			got, err := open(key, value, []byte("ns/name"))
			if err != nil {
				t.Fatal(err)
			}
			if got == nil || !bytes.Equal(got, plaintext) {
				t.Error("the opened value differs from the sealed one")
			}
			if want := 2 + key.Size() + len(plaintext) + 16; len(value) != want {
				t.Errorf("sealed value has %d bytes, want %d", len(value), want)
			}
		})
	}
}

func TestAValueOpensUnderNoOtherLabel(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	labels := []string{"payments/api", "payments", "", "payments/", "/api", "payments/api ", "payment/sapi", "payments/API"}
	for _, sealed := range labels {
		value := mustSeal(t, &key.PublicKey, []byte(sealed), []byte("v"))
		for _, opened := range labels {
			_, err := open(key, value, []byte(opened))
			if opened == sealed && err != nil {
				t.Errorf("label %q: %v", sealed, err)
			}
			if opened != sealed && !errors.Is(err, rsahybrid.ErrDecrypt) {
				t.Errorf("sealed under %q, opened under %q: got %v, want ErrDecrypt", sealed, opened, err)
			}
		}
	}
}

func TestNoChangedByteSurvives(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	label := []byte("ns/name")
	value := mustSeal(t, &key.PublicKey, label, []byte("canary-7f3e5b"))
	// Every byte outside of the wrapped key, and a sample inside, where each try costs a private-key operation.
	for i := range value {
		if i > 12 && i < 2+key.Size()-4 && i%16 != 0 {
			continue
		}
		for _, bit := range []byte{0x01, 0x80} {
			changed := bytes.Clone(value)
			changed[i] ^= bit
			plaintext, err := open(key, changed, label)
			if err == nil {
				t.Fatalf("byte %d with bit %#x flipped still opens", i, bit)
			}
			if plaintext != nil || strings.Contains(err.Error(), "canary") {
				t.Fatalf("byte %d: a failed opening gives something away", i)
			}
		}
	}
}

func TestNoTruncatedOrExtendedValueOpens(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	label := []byte("ns/name")
	value := mustSeal(t, &key.PublicKey, label, []byte("twelve bytes"))
	minimum := 2 + key.Size() + 16
	for n := range value {
		if n >= 2 && n < minimum-1 && n%32 != 0 {
			continue
		}
		_, err := open(key, value[:n], label)
		want := rsahybrid.ErrTooShort
		if n >= minimum {
			want = rsahybrid.ErrDecrypt
		}
		if !errors.Is(err, want) {
			t.Errorf("first %d bytes: got %v, want %v", n, err, want)
		}
	}
	if _, err := open(key, append(bytes.Clone(value), 0), label); !errors.Is(err, rsahybrid.ErrDecrypt) {
		t.Errorf("one byte more: got %v, want ErrDecrypt", err)
	}
}

func TestPartsOfTwoValuesDoNotCombine(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	a, b := mustSeal(t, &key.PublicKey, nil, []byte("aaaa")), mustSeal(t, &key.PublicKey, nil, []byte("bbbb"))
	cut := 2 + key.Size()
	mixed := append(bytes.Clone(a[:cut]), b[cut:]...)
	if _, err := open(key, mixed, nil); !errors.Is(err, rsahybrid.ErrDecrypt) {
		t.Errorf("got %v, want ErrDecrypt", err)
	}
}

func TestParseRefusesWhatIsNoSealedValue(t *testing.T) {
	t.Parallel()
	header := func(size uint16, rest int) []byte {
		return append(binary.BigEndian.AppendUint16(nil, size), make([]byte, rest)...)
	}
	for name, c := range map[string]struct {
		value []byte
		want  error
	}{
		"nothing":                       {nil, rsahybrid.ErrTooShort},
		"one byte":                      {[]byte{2}, rsahybrid.ErrTooShort},
		"a length alone":                {header(256, 0), rsahybrid.ErrTooShort},
		"no wrapped key":                {header(0, 300), rsahybrid.ErrMalformed},
		"a wrapped key of a tiny key":   {header(127, 300), rsahybrid.ErrMalformed},
		"a wrapped key of a huge key":   {header(2049, 4096), rsahybrid.ErrMalformed},
		"the longest length there is":   {header(65535, 70000), rsahybrid.ErrMalformed},
		"plain text":                    {[]byte("hunter2 hunter2 hunter2"), rsahybrid.ErrMalformed},
		"no room for a tag":             {header(256, 256+15), rsahybrid.ErrTooShort},
		"more than any value":           {make([]byte, rsahybrid.MaxSize+1), rsahybrid.ErrTooLarge},
		"a plaintext over the maximum":  {header(256, 256+16+rsahybrid.MaxPlaintext+1), rsahybrid.ErrTooLarge},
		"the smallest there is":         {header(256, 256+16), nil},
		"the largest there is":          {header(2048, 2048+16+2<<20), nil},
		"the smallest for any key size": {header(128, 128+16), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := rsahybrid.Parse(c.value); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAWrappedKeyWithALeadingZeroCutOffIsRefused(t *testing.T) {
	t.Parallel()
	// RSA itself would accept both: the number is the same. Then one value would have many encodings.
	key := testKey(t)
	for {
		value := mustSeal(t, &key.PublicKey, nil, []byte("v"))
		if value[2] != 0 {
			continue
		}
		shorter := append(binary.BigEndian.AppendUint16(nil, uint16(key.Size()-1)), value[3:]...)
		if _, err := open(key, shorter, nil); !errors.Is(err, rsahybrid.ErrDecrypt) {
			t.Errorf("got %v, want ErrDecrypt", err)
		}
		return
	}
}

func TestSealRefusesWhatCouldNotBeOpened(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	if _, err := rsahybrid.Seal(rand.Reader, &key.PublicKey, nil, make([]byte, 2<<20+1)); !errors.Is(err, rsahybrid.ErrTooLarge) {
		t.Errorf("too large: got %v", err)
	}
	if _, err := rsahybrid.Seal(strings.NewReader("too little"), &key.PublicKey, nil, nil); err == nil {
		t.Error("a random source that ends was accepted")
	}
	for name, bits := range map[string]uint{"a key under 1024 bits": 1016, "a key over 16384 bits": 16392} {
		odd := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1))
		if _, err := rsahybrid.Seal(rand.Reader, &rsa.PublicKey{N: odd, E: key.E}, nil, nil); err == nil || !strings.Contains(err.Error(), "must have 1024 to 16384") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// AES itself would take the shorter ones, so that one value would have weaker encodings.
func TestASessionKeyOfAnotherSizeIsNone(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	for _, size := range []int{0, 16, 24, 31, 33, 64} {
		wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, make([]byte, size), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rsahybrid.Unwrap(key, key.Size(), wrapped, nil); !errors.Is(err, rsahybrid.ErrDecrypt) || got != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	value := mustSeal(t, &key.PublicKey, []byte("ns/name"), []byte("v"))
	envelope, err := rsahybrid.Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	for name, unwrap := range map[string]func() ([]byte, error){
		"another label": func() ([]byte, error) {
			return rsahybrid.Unwrap(key, key.Size(), envelope.Wrapped(), []byte("ns/other"))
		},
		"a key of another size": func() ([]byte, error) {
			return rsahybrid.Unwrap(key, key.Size()+1, envelope.Wrapped(), []byte("ns/name"))
		},
		"no AES key of any size":  func() ([]byte, error) { return envelope.Decrypt([]byte("seventeen bytes..")) },
		"another key of its size": func() ([]byte, error) { return envelope.Decrypt(make([]byte, 32)) },
	} {
		if got, err := unwrap(); !errors.Is(err, rsahybrid.ErrDecrypt) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse holds that what parses is exactly its parts again: one value has one encoding.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(vectors + "vectors.json")
	if err != nil {
		f.Fatal(err)
	}
	var seeds []struct{ Sealed string }
	if err := json.Unmarshal(data, &seeds); err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, s := range seeds {
		value, err := base64.StdEncoding.DecodeString(s.Sealed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
		f.Add(value[:len(value)/2])
	}
	key := testKey(f)
	f.Fuzz(func(t *testing.T, value []byte) {
		envelope, err := rsahybrid.Parse(value)
		if err != nil {
			return
		}
		size := len(envelope.Wrapped())
		again := binary.BigEndian.AppendUint16(nil, uint16(size))
		again = append(again, envelope.Wrapped()...)
		again = append(again, value[2+size:]...)
		if !bytes.Equal(again, value) {
			t.Error("parsing and writing again changed the value")
		}
		if plaintext, err := open(key, value, []byte("a label nobody used")); err == nil || plaintext != nil {
			t.Error("a made-up value opened")
		}
	})
}

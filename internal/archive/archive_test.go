package archive

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/effort"
)

// Files whose effort is out of bounds are made here from those of testdata, by their structure, which only this package
// knows.

const endless = 1 << 40

// most is how often a derivation may be repeated.
const most = 1_000_000

func sample(t *testing.T, name string) []byte {
	t.Helper()
	out, err := os.ReadFile("../template/testdata/pkcs12/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	out, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withCount returns a structure in which the nth INTEGER 2048, which is a count, is another; octet strings are looked
// into where they hold a structure. Found says whether there are so many.
func withCount(t *testing.T, der []byte, n, count int) (out []byte, found bool) {
	t.Helper()
	seen := -1
	var walk func(der []byte) []byte
	walk = func(der []byte) []byte {
		var out []byte
		for len(der) > 0 {
			var v asn1.RawValue
			rest, err := asn1.Unmarshal(der, &v)
			if err != nil {
				t.Fatal(err)
			}
			der = rest
			var inner asn1.RawValue
			_, err = asn1.Unmarshal(v.Bytes, &inner)
			structured := err == nil && inner.Tag == asn1.TagSequence && len(inner.FullBytes) == len(v.Bytes)
			switch {
			case bytes.Equal(v.FullBytes, []byte{2, 2, 8, 0}):
				if seen++; seen == n {
					v.FullBytes, found = encode(t, count), true
				}
				out = append(out, v.FullBytes...)
			case v.IsCompound || v.Tag == asn1.TagOctetString && structured:
				v.Bytes, v.FullBytes = walk(v.Bytes), nil
				out = append(out, encode(t, v)...)
			default:
				out = append(out, v.FullBytes...)
			}
		}
		return out
	}
	return walk(der), found
}

// open returns the key of a file as PKCS#8.
func open(t *testing.T, password string, file []byte) ([]byte, error) {
	t.Helper()
	var key any
	var err error
	if took := effort.Of(func() { key, _, err = Open(file, password) }); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der, nil
}

func TestEachCountOfIterationsIsBoundedBeforeItIsObeyed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"modern.p12", "legacy-rc2.p12"} {
		counts := 0
		for ; ; counts++ {
			file, found := withCount(t, sample(t, name), counts, endless)
			if !found {
				break
			}
			if _, err := open(t, "changeit", file); !errors.Is(err, ErrLimit) {
				t.Errorf("%s, count %d: got %v", name, counts, err)
			}
		}
		if counts != 3 { // the certificates, the key, the MAC
			t.Errorf("%s has %d counts", name, counts)
		}
	}
	for count, limit := range map[int]bool{most: false, most + 1: true} { // with another count, the MAC is wrong
		file, _ := withCount(t, sample(t, "modern.p12"), 2, count)
		if _, err := open(t, "changeit", file); err == nil || errors.Is(err, ErrLimit) != limit {
			t.Errorf("%d times: got %v", count, err)
		}
	}
}

// encryptedPart encrypts bags as PBES2 does, by RFC 8018.
func encryptedPart(t *testing.T, password string, bags []byte) contentInfo {
	t.Helper()
	iv := make([]byte, aes.BlockSize)
	key, err := pbkdf2.Key(sha256.New, password, []byte("salt"), 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	padding := aes.BlockSize - len(bags)%aes.BlockSize
	text := append(bytes.Clone(bags), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)

	var data encryptedData
	data.Content.ContentType = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	data.Content.Encrypted = text
	data.Content.Algorithm = algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, twoAlgorithms{
		Derivation: algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, pbkdf2Params{
			Salt: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: []byte("salt")}, Iterations: 1,
			PRF: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}},
		}),
		Use: algorithm(t, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, iv),
	})
	return contentInfo{ContentType: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}, Content: explicit(encode(t, data))}
}

func algorithm(t *testing.T, id asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	return pkix.AlgorithmIdentifier{Algorithm: id, Parameters: asn1.RawValue{FullBytes: encode(t, params)}}
}

// bagsOf returns the bags of the first part that is not encrypted: those with the key.
func bagsOf(t *testing.T, file []byte) []byte {
	t.Helper()
	a, err := readArchive(file)
	if err != nil {
		t.Fatal(err)
	}
	var parts []contentInfo
	if err := unmarshal(a.content, &parts); err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if part.ContentType.String() == oidData {
			var bags []byte
			if err := unmarshal(part.Content.Bytes, &bags); err != nil {
				t.Fatal(err)
			}
			return bags
		}
	}
	t.Fatal("there is no part in the clear")
	return nil
}

// sealed returns a file of parts with a MAC by the bytes of a password.
func sealed(t *testing.T, password []byte, parts ...contentInfo) []byte {
	t.Helper()
	return sealedWith(t, sha256.New, oidSHA256, password, parts...)
}

// sealedWith returns the same with a hash of its own.
func sealedWith(t *testing.T, newHash func() hash.Hash, id string, password []byte, parts ...contentInfo) []byte {
	t.Helper()
	content := encode(t, parts)
	outer := pfx{Version: 3}
	var err error
	if outer.AuthSafe, err = dataPart(content); err != nil {
		t.Fatal(err)
	}
	outer.MacData.Salt, outer.MacData.Iterations = []byte("other"), 3
	for n := range strings.SplitSeq(id, ".") {
		number, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		outer.MacData.Mac.Algorithm.Algorithm = append(outer.MacData.Mac.Algorithm.Algorithm, number)
	}
	outer.MacData.Mac.Digest = macOf(newHash, content, outer.MacData.Salt, password, outer.MacData.Iterations)
	return encode(t, outer)
}

func TestAKeyThatHidesAmongTheCertificatesIsRefusedBeforeItIsOpened(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"changeit", ""} {
		name := "modern.p12"
		if password == "" {
			name = "modern-empty.p12"
		}
		hidden, found := withCount(t, bagsOf(t, sample(t, name)), 0, endless)
		if !found {
			t.Fatal("the key has no count")
		}
		part := encryptedPart(t, password, hidden)
		encodings := [][]byte{bmpPassword(password)}
		if password == "" {
			encodings = append(encodings, nil)
		}
		for _, encoded := range encodings {
			if _, err := open(t, password, sealed(t, encoded, part)); err == nil || errors.Is(err, ErrLimit) {
				t.Errorf("password %q as %v: got %v", password, encoded, err)
			}
		}
	}
}

func TestPartsThatTheDecoderDoesNotReadAreNotOpened(t *testing.T) {
	t.Parallel()
	password := "changeit"
	part := encryptedPart(t, password, encode(t, []safeBag{}))
	for n, want := range map[int]bool{2: false, 3: true, 1000: true} {
		file := sealed(t, bmpPassword(password), slices.Repeat([]contentInfo{part}, n)...)
		if _, err := open(t, password, file); err == nil || errors.Is(err, errParts) != want {
			t.Errorf("%d parts: got %v", n, err)
		}
	}
}

// The MAC of RFC 9579 has its count in the parameters of its algorithm.
func TestTheCountOfAMACThatIsItsOwnParameterIsBounded(t *testing.T) {
	t.Parallel()
	for count, limit := range map[int]bool{most: false, most + 1: true, endless: true} {
		outer := pfx{Version: 3}
		var err error
		if outer.AuthSafe, err = dataPart(encode(t, []contentInfo{})); err != nil {
			t.Fatal(err)
		}
		outer.MacData.Salt, outer.MacData.Iterations = []byte("salt"), 1
		outer.MacData.Mac.Digest = []byte("none")
		hmacSHA256 := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}}
		outer.MacData.Mac.Algorithm = algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}, twoAlgorithms{
			Derivation: algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, pbkdf2Params{
				Salt: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: []byte("salt")}, Iterations: count, KeyLength: 32, PRF: hmacSHA256,
			}),
			Use: hmacSHA256,
		})
		if _, err := open(t, "changeit", encode(t, outer)); err == nil || errors.Is(err, ErrLimit) != limit {
			t.Errorf("%d times: got %v", count, err)
		}
	}
}

func TestAnEmptyPasswordMayBeNoBytes(t *testing.T) {
	t.Parallel()
	want, err := open(t, "", sample(t, "modern-empty.p12"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := readArchive(sample(t, "modern-empty.p12"))
	if err != nil {
		t.Fatal(err)
	}
	var parts []contentInfo
	if err := unmarshal(a.content, &parts); err != nil {
		t.Fatal(err)
	}
	for id, newHash := range map[string]func() hash.Hash{oidSHA1: sha1.New, oidSHA256: sha256.New, oidSHA512: sha512.New} {
		for _, encoded := range [][]byte{nil, {0, 0}} {
			file := sealedWith(t, newHash, id, encoded, parts...)
			again, err := readArchive(file)
			if err != nil {
				t.Fatal(err)
			}
			if again.withoutPassword() != (encoded == nil) {
				t.Errorf("%v with hash %s is taken for the other", encoded, id)
			}
			if got, err := open(t, "", file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("as %v with hash %s: got %v", encoded, id, err)
			}
		}
	}
}

func TestAKeyInAFileIsBounded(t *testing.T) {
	t.Parallel()
	count := algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3}, pbeParams{[]byte("salt"), 1})
	for n, beyond := range map[int]bool{MaxKey: false, MaxKey + 1: true} {
		small := map[int][]byte{1: encode(t, make([]byte, 1)), 2: encode(t, shroudedKey{count, make([]byte, 1)})}
		for bag, value := range map[int][]byte{
			1: encode(t, make([]byte, n-4)), // four bytes say that it is an octet string, and how long
			2: encode(t, shroudedKey{count, make([]byte, n-8-len(encode(t, count)))}),
		} {
			if len(value) != n {
				t.Fatalf("bag %d has %d bytes", bag, len(value))
			}
			id := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, bag}
			part, err := dataPart(encode(t, []safeBag{{ID: id, Value: explicit(value)}, {ID: id, Value: explicit(small[bag])}}))
			if err != nil {
				t.Fatal(err)
			}
			if err := Check(sealed(t, bmpPassword(""), part)); errors.Is(err, ErrLimit) != beyond {
				t.Errorf("bag %d with %d bytes: got %v", bag, n, err)
			}
		}
	}
}

func TestTheMACIsThatOfOpenssl(t *testing.T) {
	t.Parallel()
	for name, password := range map[string]string{"modern.p12": "changeit", "modern-empty.p12": ""} {
		a, err := readArchive(sample(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if !hmac.Equal(a.mac.Mac.Digest, macOf(sha256.New, a.content, a.mac.Salt, bmpPassword(password), a.mac.Iterations)) {
			t.Errorf("%s: it differs", name)
		}
	}
}

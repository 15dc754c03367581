// Package archive opens PKCS#12 files (RFC 7292) that somebody else has made. Such a file says itself how often the derivation of
// each of its keys is repeated, and a decoder obeys: two kilobytes can run for years. It takes a file and a password, and returns the
// key and the certificates, or an error before anything is derived that costs more than is allowed.
package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the files that exist are made with it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"

	"software.sslmate.com/src/go-pkcs12"
)

var (
	errTrailing = errors.New("something follows the end of the structure")
	errParts    = errors.New("the file has more parts than the decoder reads")
)

const (
	maxIterations = 1_000_000 // of one key derivation; browsers write up to 600 000, openssl 2048
	// maxParts is how many parts the decoder reads, which it counts only after we have opened each.
	maxParts = 2
	// MaxKey bounds a private key, in bytes as text or inside a file: RSA with 16 384 bits. What parsing one costs grows with
	// the square of its size: a megabyte takes a minute.
	MaxKey = 16 << 10
)

// ErrLimit says that a file asks for more than is allowed.
var ErrLimit = errors.New("the file asks for too many iterations, or has too large a key")

// Check returns ErrLimit for a file whose counts or keys, as far as they are in the clear, are beyond the bounds. It derives nothing.
// A file that cannot be read passes: Open refuses it.
func Check(file []byte) error {
	a, err := readArchive(file)
	if err == nil && (a.iterations > maxIterations || a.keySize > MaxKey) {
		return ErrLimit
	}
	return nil
}

// Open returns the key of a file and its certificates, the key's first. It fails with ErrLimit, or with an error that quotes nothing
// of the file.
func Open(file []byte, password string) (key any, certs []*x509.Certificate, err error) {
	if err := Check(file); err != nil {
		return nil, nil, err
	}
	a, err := readArchive(file)
	if err != nil {
		return nil, nil, err
	}
	if err := a.probe(password); err != nil {
		return nil, nil, err
	}
	key, cert, others, err := pkcs12.DecodeChain(file, password)
	if err != nil {
		return nil, nil, err
	}
	return key, append([]*x509.Certificate{cert}, others...), nil
}

// The identifiers of RFC 7292, 8018 and 5652 that tell how to go on reading.
const (
	oidData          = "1.2.840.113549.1.7.1"
	oidEncryptedData = "1.2.840.113549.1.7.6"
	oidPBES2         = "1.2.840.113549.1.5.13"
	oidPBMAC1        = "1.2.840.113549.1.5.14"
	oidKeyBag        = "1.2.840.113549.1.12.10.1.1"
	oidShroudedKey   = "1.2.840.113549.1.12.10.1.2"
	oidSHA1          = "1.3.14.3.2.26"
	oidSHA256        = "2.16.840.1.101.3.4.2.1"
	oidSHA512        = "2.16.840.1.101.3.4.2.3"
)

type (
	pfx struct {
		Version  int
		AuthSafe contentInfo
		MacData  macData `asn1:"optional"`
	}
	contentInfo struct {
		ContentType asn1.ObjectIdentifier
		Content     asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	macData struct {
		Mac struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}
		Salt       []byte
		Iterations int `asn1:"optional,default:1"`
	}
	encryptedData struct {
		Version int
		Content struct {
			ContentType asn1.ObjectIdentifier
			Algorithm   pkix.AlgorithmIdentifier
			Encrypted   []byte `asn1:"tag:0,optional"`
		}
	}
	safeBag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue   `asn1:"tag:0,explicit"`
		Attributes []asn1.RawValue `asn1:"set,optional"`
	}
	shroudedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Encrypted []byte
	}
	// twoAlgorithms are the parameters of PBES2 and of PBMAC1: the derivation, and what its key is for.
	twoAlgorithms struct{ Derivation, Use pkix.AlgorithmIdentifier }
	pbkdf2Params  struct {
		Salt       asn1.RawValue
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	pbeParams struct {
		Salt       []byte
		Iterations int
	}
)

// archive is what a PKCS#12 file shows without its password.
type archive struct {
	// content is what the MAC is over.
	content []byte
	mac     macData
	// encrypted are the parts that are encrypted as a whole.
	encrypted []contentInfo
	// iterations is the largest count of a derivation, keySize the size of the largest key; both of what is in the clear.
	iterations, keySize int
}

// readArchive reads what is in the clear.
func readArchive(file []byte) (archive, error) {
	var (
		outer pfx
		a     archive
		parts []contentInfo
	)
	if err := unmarshal(file, &outer); err != nil {
		return archive{}, err
	}
	if err := unmarshal(outer.AuthSafe.Content.Bytes, &a.content); err != nil {
		return archive{}, err
	}
	if err := unmarshal(a.content, &parts); err != nil {
		return archive{}, err
	}
	if len(parts) > maxParts {
		return archive{}, errParts
	}
	a.mac, a.iterations = outer.MacData, outer.MacData.Iterations
	if a.mac.Mac.Algorithm.Algorithm.String() == oidPBMAC1 {
		if err := a.addDerivation(a.mac.Mac.Algorithm); err != nil {
			return archive{}, err
		}
	}
	for _, part := range parts {
		if err := a.addPart(part); err != nil {
			return archive{}, err
		}
	}
	return a, nil
}

func (a *archive) addPart(part contentInfo) error {
	switch part.ContentType.String() {
	case oidEncryptedData:
		var data encryptedData
		if err := unmarshal(part.Content.Bytes, &data); err != nil {
			return err
		}
		a.encrypted = append(a.encrypted, part)
		return a.addDerivation(data.Content.Algorithm)
	case oidData:
		var (
			data []byte
			bags []safeBag
		)
		if err := unmarshal(part.Content.Bytes, &data); err != nil {
			return err
		}
		if err := unmarshal(data, &bags); err != nil {
			return err
		}
		for _, bag := range bags {
			if err := a.addBag(bag); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *archive) addBag(bag safeBag) error {
	switch bag.ID.String() {
	case oidKeyBag:
		a.keySize = max(a.keySize, len(bag.Value.Bytes))
	case oidShroudedKey:
		a.keySize = max(a.keySize, len(bag.Value.Bytes))
		var key shroudedKey
		if err := unmarshal(bag.Value.Bytes, &key); err != nil {
			return err
		}
		return a.addDerivation(key.Algorithm)
	}
	return nil
}

// addDerivation takes note of the count in the parameters of PBES2, PBMAC1 or one of PKCS#12's own schemes.
func (a *archive) addDerivation(algorithm pkix.AlgorithmIdentifier) error {
	count := 0
	switch algorithm.Algorithm.String() {
	case oidPBES2, oidPBMAC1:
		var (
			both       twoAlgorithms
			derivation pbkdf2Params
		)
		if err := unmarshal(algorithm.Parameters.FullBytes, &both); err != nil {
			return err
		}
		if err := unmarshal(both.Derivation.Parameters.FullBytes, &derivation); err != nil {
			return err
		}
		count = derivation.Iterations
	default:
		var params pbeParams
		if err := unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
			return err
		}
		count = params.Iterations
	}
	a.iterations = max(a.iterations, count)
	return nil
}

// probe refuses a file with a key inside an encrypted part, where the count of its derivation cannot be seen (openssl,
// Java and Windows put the key, encrypted for itself, beside the certificates). Each such part is opened behind a key of
// ours: at the second key the decoder gives up, before it derives anything for it.
func (a archive) probe(password string) error {
	encoded := bmpPassword(password)
	if password == "" && a.withoutPassword() {
		encoded = nil
	}
	for _, part := range a.encrypted {
		file, err := behindOurKey(part, encoded)
		if err != nil {
			return err
		}
		if _, _, _, err := pkcs12.DecodeChain(file, password); err != nil {
			return err
		}
	}
	return nil
}

// withoutPassword reports whether a file's MAC does not verify with the empty password as two zeros; the decoder then
// takes the other reading of "empty", no bytes at all.
func (a archive) withoutPassword() bool {
	var newHash func() hash.Hash
	switch a.mac.Mac.Algorithm.Algorithm.String() {
	case oidSHA1:
		newHash = sha1.New
	case oidSHA256:
		newHash = sha256.New
	case oidSHA512:
		newHash = sha512.New
	default:
		return false
	}
	return !hmac.Equal(a.mac.Mac.Digest, macOf(newHash, a.content, a.mac.Salt, bmpPassword(""), a.mac.Iterations))
}

// macOf computes the MAC of RFC 7292 appendix A, whose key is derived by appendix B.2 (with as many bytes as the hash has,
// for which one round is enough).
func macOf(newHash func() hash.Hash, content, salt, password []byte, iterations int) []byte {
	const purposeMAC = 3
	h := newHash()
	h.Write(bytes.Repeat([]byte{purposeMAC}, h.BlockSize()))
	h.Write(filled(salt, h.BlockSize()))
	h.Write(filled(password, h.BlockSize()))
	key := h.Sum(nil)
	for range iterations - 1 {
		h.Reset()
		h.Write(key)
		key = h.Sum(key[:0])
	}
	mac := hmac.New(newHash, key)
	mac.Write(content)
	return mac.Sum(nil)
}

// filled repeats a text to the next multiple of size.
func filled(text []byte, size int) []byte {
	if len(text) == 0 {
		return nil
	}
	length := (len(text) + size - 1) / size * size
	return bytes.Repeat(text, length/len(text)+1)[:length]
}

// behindOurKey returns a file with a key that is not encrypted, followed by the part.
func behindOurKey(part contentInfo, password []byte) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		return nil, err
	}
	bags, err := asn1.Marshal([]safeBag{{ID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}, Value: explicit(key)}})
	if err != nil {
		return nil, err
	}
	first, err := dataPart(bags)
	if err != nil {
		return nil, err
	}
	content, err := asn1.Marshal([]contentInfo{first, part})
	if err != nil {
		return nil, err
	}
	outer := pfx{Version: 3}
	if outer.AuthSafe, err = dataPart(content); err != nil {
		return nil, err
	}
	outer.MacData.Salt, outer.MacData.Iterations = []byte("salt"), 1
	outer.MacData.Mac.Algorithm.Algorithm = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} // SHA-256
	outer.MacData.Mac.Digest = macOf(sha256.New, content, outer.MacData.Salt, password, 1)
	return asn1.Marshal(outer)
}

// dataPart wraps bytes as content that is not encrypted.
func dataPart(content []byte) (contentInfo, error) {
	octets, err := asn1.Marshal(content)
	return contentInfo{ContentType: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, Content: explicit(octets)}, err
}

func explicit(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

func unmarshal(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = errTrailing
	}
	return err
}

// bmpPassword is how PKCS#12 derives keys from a password (RFC 7292 appendix B.1): UCS-2 with a zero at the end. What has
// no UCS-2 is refused by the decoder.
func bmpPassword(password string) []byte {
	var out bytes.Buffer
	for _, r := range password {
		out.Write([]byte{byte(r >> 8), byte(r)}) //nolint:gosec // two bytes are what is wanted
	}
	out.Write([]byte{0, 0})
	return out.Bytes()
}

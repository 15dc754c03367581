package template

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP with SHA-1 is what some stores encrypt with, and is not broken by collisions
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

var (
	errScheme   = errors.New("this scheme is not known")
	errNoRSAKey = errors.New("this is not an RSA key")
	errKeySize  = errors.New("a key of this type has another size")
	errTwoKeys  = errors.New("the public key is not that of the private key")
)

// jwkPublicKeyPem returns the public key of a JWK (RFC 7517) as PKIX in PEM; a private one is an error.
func jwkPublicKeyPem(text string) (string, error) {
	key, err := parseJWK(text)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return encodePEM(typePublicKey, der), nil
}

// jwkPrivateKeyPem returns the private key of a JWK as PKCS#8 in PEM.
func jwkPrivateKeyPem(text string) (string, error) {
	key, err := parseJWK(text)
	if err != nil {
		return "", err
	}
	return encodePrivateKey(key)
}

// parseJWK reads the members of a JWK that are its key. As with External Secrets Operator they may be in either alphabet of base64,
// padded or not, and numbers of a curve may be shorter or longer by zeros. Other members, and what follows, are not looked at.
func parseJWK(text string) (any, error) {
	var all map[string]any
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&all); err != nil {
		return nil, err
	}
	kty, _ := all["kty"].(string)
	curve, _ := all["crv"].(string)
	members := map[string]string{"kty": kty, "crv": curve}
	alphabet := strings.NewReplacer("+", "-", "/", "_", "=", "")
	for _, name := range keyMembers(kty) {
		encoded, ok := all[name].(string)
		if !ok {
			continue
		}
		number, err := base64.RawURLEncoding.DecodeString(alphabet.Replace(encoded))
		if err != nil {
			return nil, err
		}
		switch kty {
		case "EC":
			number = fitted(number, curveSize(curve))
		case "OKP":
			if len(number) != ed25519.PublicKeySize {
				return nil, errKeySize
			}
		}
		members[name] = base64.RawURLEncoding.EncodeToString(number)
	}
	clean, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(clean); err != nil {
		return nil, err
	}
	if private, ok := key.Key.(ed25519.PrivateKey); ok && !ed25519.NewKeyFromSeed(private.Seed()).Equal(private) {
		return nil, errTwoKeys
	}
	return key.Key, nil
}

// keyMembers are the members of a JWK that hold its key (RFC 7518 section 6, RFC 8037).
func keyMembers(kty string) []string {
	switch kty {
	case "RSA":
		return []string{"n", "e", "d", "p", "q", "dp", "dq", "qi"}
	case "EC":
		return []string{"x", "y", "d"}
	case "OKP":
		return []string{"x", "d"}
	default:
		return nil
	}
}

// curveSize is how many bytes the numbers of a curve have.
func curveSize(curve string) int {
	switch curve {
	case "P-256":
		return 32
	case "P-384":
		return 48
	case "P-521":
		return 66
	default:
		return 0
	}
}

// fitted returns a number with as many zeros before it as make it size bytes long.
func fitted(number []byte, size int) []byte {
	number = bytes.TrimLeft(number, "\x00")
	return append(make([]byte, max(0, size-len(number))), number...)
}

func encodePrivateKey(key any) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return encodePEM(typePrivateKey, der), nil
}

// rsaDecrypt opens a ciphertext, as raw bytes, with a private key in PEM. The scheme is "RSA-OAEP", or "None" for a text
// that is not encrypted; the hash is SHA1, SHA256, SHA512, or anything else for SHA256.
func rsaDecrypt(scheme, digest, ciphertext, privateKey string) (string, error) {
	switch scheme {
	case "None":
		return ciphertext, nil
	case "RSA-OAEP":
	default:
		return "", errScheme
	}
	parsed, err := privateKeyOf(privateKey)
	if err != nil {
		return "", err
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return "", errNoRSAKey
	}
	out, err := rsa.DecryptOAEP(oaepHash(digest), nil, key, []byte(ciphertext), nil)
	return string(out), err
}

func oaepHash(name string) hash.Hash {
	switch name {
	case "SHA1":
		return sha1.New() //nolint:gosec // as above
	case "SHA512":
		return sha512.New()
	default:
		return sha256.New()
	}
}

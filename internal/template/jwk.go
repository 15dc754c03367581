package template

import (
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP with SHA-1 is what some stores encrypt with, and is not broken by collisions
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"hash"

	"github.com/go-jose/go-jose/v4"
)

var (
	errScheme   = errors.New("this scheme is not known")
	errNoRSAKey = errors.New("this is not an RSA key")
)

// jwkPublicKeyPem returns the public key of a JWK (RFC 7517) as PKIX in PEM; a private one is an error.
func jwkPublicKeyPem(text string) (string, error) {
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON([]byte(text)); err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Key)
	if err != nil {
		return "", err
	}
	return encodePEM(typePublicKey, der), nil
}

// jwkPrivateKeyPem returns the private key of a JWK as PKCS#8 in PEM.
func jwkPrivateKeyPem(text string) (string, error) {
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON([]byte(text)); err != nil {
		return "", err
	}
	return encodePrivateKey(key.Key)
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

package aws

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // G502: what is read is encrypted by others
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // G505: what PBKDF2 has by default
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"hash"
)

// errKey says that a key could not be read. Why is left out: errors of parsers quote what they read.
var errKey = errors.New("the private key cannot be read")

// The algorithms of RFC 8018 (PKCS #5) by which private keys are encrypted.
const (
	oidPBES2  = "1.2.840.113549.1.5.13"
	oidPBKDF2 = "1.2.840.113549.1.5.12"
)

// maxIterations bounds the work for a key.
const maxIterations = 2_000_000

// encryptedKey is EncryptedPrivateKeyInfo (RFC 5958).
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct {
	KDF, Encryption pkix.AlgorithmIdentifier
}

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// decryptKey returns a private key in PEM without its encryption.
func decryptKey(encrypted, passphrase string) ([]byte, error) {
	block, _ := pem.Decode([]byte(encrypted))
	switch {
	case block == nil:
		return nil, errKey
	case block.Type == "PRIVATE KEY":
		return []byte(encrypted), nil
	case block.Type != "ENCRYPTED PRIVATE KEY":
		return nil, errKey
	}
	plain, err := decryptPKCS8(block.Bytes, passphrase)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, errKey
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errKey
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// decryptPKCS8 decrypts EncryptedPrivateKeyInfo.
func decryptPKCS8(der []byte, passphrase string) ([]byte, error) {
	var key encryptedKey
	var scheme pbes2
	var kdf pbkdf2Parameters
	var iv []byte
	if !unmarshal(der, &key) || key.Algorithm.Algorithm.String() != oidPBES2 ||
		!unmarshal(key.Algorithm.Parameters.FullBytes, &scheme) || scheme.KDF.Algorithm.String() != oidPBKDF2 ||
		!unmarshal(scheme.KDF.Parameters.FullBytes, &kdf) || kdf.Iterations < 1 || kdf.Iterations > maxIterations ||
		!unmarshal(scheme.Encryption.Parameters.FullBytes, &iv) {
		return nil, errKey
	}
	newHash, known := prf(kdf.PRF.Algorithm)
	newCipher, size := blockCipher(scheme.Encryption.Algorithm)
	if !known || newCipher == nil || kdf.KeyLength != 0 && kdf.KeyLength != size {
		return nil, errKey
	}
	secret, err := pbkdf2.Key(newHash, passphrase, kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, errKey
	}
	block, err := newCipher(secret)
	if err != nil || len(iv) != block.BlockSize() || len(key.Data) == 0 || len(key.Data)%block.BlockSize() != 0 {
		return nil, errKey
	}
	plain := make([]byte, len(key.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, key.Data)
	return unpad(plain, block.BlockSize())
}

// unmarshal reads all of der.
func unmarshal(der []byte, into any) bool {
	rest, err := asn1.Unmarshal(der, into)
	return err == nil && len(rest) == 0
}

// unpad takes away the padding of PKCS #7.
func unpad(plain []byte, size int) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if n == 0 || n > size {
		return nil, errKey
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, errKey
		}
	}
	return plain[:len(plain)-n], nil
}

// prf returns the hash of a pseudo-random function of PBKDF2; none is named for SHA-1.
func prf(id asn1.ObjectIdentifier) (func() hash.Hash, bool) {
	switch id.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New, true
	case "1.2.840.113549.2.8":
		return sha256.New224, true
	case "1.2.840.113549.2.9":
		return sha256.New, true
	case "1.2.840.113549.2.10":
		return sha512.New384, true
	case "1.2.840.113549.2.11":
		return sha512.New, true
	default:
		return nil, false
	}
}

// blockCipher returns the cipher of an algorithm that chains blocks, and the size of its keys; none for another.
func blockCipher(id asn1.ObjectIdentifier) (func([]byte) (cipher.Block, error), int) {
	switch id.String() {
	case "2.16.840.1.101.3.4.1.2":
		return aes.NewCipher, 16
	case "2.16.840.1.101.3.4.1.22":
		return aes.NewCipher, 24
	case "2.16.840.1.101.3.4.1.42":
		return aes.NewCipher, 32
	case "1.2.840.113549.3.7":
		return des.NewTripleDESCipher, 24
	default:
		return nil, 0
	}
}

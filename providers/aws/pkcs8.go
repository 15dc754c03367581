package aws

import (
	"crypto/aes"
	"crypto/des" //nolint:gosec // G502: only its block size is needed; what is read is encrypted by others
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"

	"github.com/youmark/pkcs8"
)

// errKey says that a key could not be read. Why is left out: errors of parsers quote what they read.
var errKey = errors.New("the private key cannot be read")

// decryptKey returns a private key in PEM without its encryption.
func decryptKey(encrypted, passphrase string) ([]byte, error) {
	block, _ := pem.Decode([]byte(encrypted))
	switch {
	case block == nil:
		return nil, errKey
	case block.Type == "PRIVATE KEY":
		return []byte(encrypted), nil
	case block.Type != "ENCRYPTED PRIVATE KEY" || !wellFormed(block.Bytes):
		return nil, errKey
	}
	key, err := pkcs8.ParsePKCS8PrivateKey(block.Bytes, []byte(passphrase))
	if err != nil {
		return nil, errKey
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errKey
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// maxIterations bounds the work for a key.
const maxIterations = 2_000_000

// encryptedKey is EncryptedPrivateKeyInfo (RFC 5958) by PBES2 and PBKDF2 (RFC 8018).
type encryptedKey struct {
	Algorithm struct {
		ID     asn1.ObjectIdentifier
		Scheme struct {
			KDF struct {
				ID         asn1.ObjectIdentifier
				Parameters struct {
					Salt       []byte
					Iterations int
					KeyLength  int                      `asn1:"optional"`
					PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
				}
			}
			Cipher struct {
				ID asn1.ObjectIdentifier
				IV []byte
			}
		}
	}
	Data []byte
}

// wellFormed reports whether an encrypted key is one that pkcs8 can be given: it panics for blocks that are not whole, and works for as
// long as the key demands.
func wellFormed(der []byte) bool {
	var key encryptedKey
	rest, err := asn1.Unmarshal(der, &key)
	scheme := key.Algorithm.Scheme
	size := aes.BlockSize
	if scheme.Cipher.ID.String() == "1.2.840.113549.3.7" { // DES-EDE3-CBC
		size = des.BlockSize
	}
	return err == nil && len(rest) == 0 && scheme.KDF.ID.String() == "1.2.840.113549.1.5.12" && len(scheme.Cipher.IV) == size && len(key.Data) > 0 && len(key.Data)%size == 0 &&
		scheme.KDF.Parameters.Iterations > 0 && scheme.KDF.Parameters.Iterations <= maxIterations
}

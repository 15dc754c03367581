package rsahybrid

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math/big"
)

// Fingerprint returns the OpenSSH SHA-256 fingerprint of an RSA public key: "SHA256:" and the unpadded base64 of the
// SHA-256 of the key in the encoding of RFC 4253 section 6.6.
func Fingerprint(key *rsa.PublicKey) string {
	var blob []byte
	for _, field := range [][]byte{[]byte("ssh-rsa"), mpint(big.NewInt(int64(key.E))), mpint(key.N)} {
		blob = binary.BigEndian.AppendUint32(blob, uint32(len(field))) //nolint:gosec // the fields of a parsed key are a few KiB
		blob = append(blob, field...)
	}
	sum := sha256.Sum256(blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// mpint is the "multiple precision integer" of RFC 4251 section 5 for a positive number.
func mpint(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) > 0 && b[0]&0x80 != 0 {
		return append([]byte{0}, b...)
	}
	return b
}

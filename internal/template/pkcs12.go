package template

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"io"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/sealbridge/sealbridge/internal/archive"
)

func pkcs12key(file string) (string, error) { return pkcs12keyPass("", file) }

// pkcs12keyPass returns the private key of a PKCS#12 file, given as raw bytes, as PKCS#8 in PEM.
func pkcs12keyPass(password, file string) (string, error) {
	key, _, err := archive.Open([]byte(file), password)
	if err != nil {
		return "", err
	}
	return encodePrivateKey(key)
}

func pkcs12cert(file string) (string, error) { return pkcs12certPass("", file) }

// pkcs12certPass returns the certificates of a PKCS#12 file as PEM, from the leaf to the root; as they are in the file
// when they are not one chain.
func pkcs12certPass(password, file string) (string, error) {
	_, certs, err := archive.Open([]byte(file), password)
	if err != nil {
		return "", err
	}
	if chain, err := ordered(certs); err == nil {
		certs = chain
	}
	return encodeCertificates(certs...), nil
}

func pemToPkcs12(cert, key string) (string, error) { return pemToPkcs12Pass(cert, key, "") }

// pemToPkcs12Pass returns a PKCS#12 file in base64 with the first certificate and the key.
func pemToPkcs12Pass(certText, key, password string) (string, error) {
	cert, err := certificateOf(certText)
	if err != nil {
		return "", err
	}
	return encodePKCS12([]*x509.Certificate{cert}, key, password)
}

func fullPemToPkcs12(certs, key string) (string, error) { return fullPemToPkcs12Pass(certs, key, "") }

// fullPemToPkcs12Pass returns a PKCS#12 file in base64 with all certificates, the first of which is the key's.
func fullPemToPkcs12Pass(certs, key, password string) (string, error) {
	all, err := certificatesOf(certs)
	if err != nil {
		return "", err
	}
	return encodePKCS12(all, key, password)
}

func encodePKCS12(certs []*x509.Certificate, keyText, password string) (string, error) {
	if len(certs) == 0 {
		return "", errNoPEM
	}
	key, err := privateKeyOf(keyText)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	salts, err := saltsFor(password, der, certs)
	if err != nil {
		return "", err
	}
	file, err := pkcs12.Modern2023.WithRand(salts).Encode(key, certs[0], certs[1:], password)
	return base64.StdEncoding.EncodeToString(file), err
}

func pemTruststoreToPKCS12(certs string) (string, error) {
	return pemTruststoreToPKCS12Pass(certs, "")
}

// pemTruststoreToPKCS12Pass returns a trust store for Java in base64.
func pemTruststoreToPKCS12Pass(certs, password string) (string, error) {
	all, err := certificatesOf(certs)
	if err != nil {
		return "", err
	}
	salts, err := saltsFor(password, nil, all)
	if err != nil {
		return "", err
	}
	file, err := pkcs12.Modern2023.WithRand(salts).EncodeTrustStore(all, password)
	return base64.StdEncoding.EncodeToString(file), err
}

// saltsFor returns the salts and initialization vectors of a file. They follow from all that goes into it, by the
// alternative of RFC 8018 section 4.1 (a key derivation from password and message), so that a file changes when its
// content does and not at each refresh. The derivation costs a guesser of passwords as much as the file's own.
func saltsFor(password string, key []byte, certs []*x509.Certificate) (io.Reader, error) {
	message := sha256.New()
	for _, part := range append([][]byte{key}, rawOf(certs)...) {
		_ = binary.Write(message, binary.BigEndian, uint64(len(part)))
		message.Write(part)
	}
	const iterations = 2048 // as Modern2023
	seed, err := pbkdf2.Key(sha256.New, password, message.Sum(nil), iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	stream := sha3.NewSHAKE256()
	_, err = stream.Write(seed)
	return stream, err
}

func rawOf(certs []*x509.Certificate) [][]byte {
	raw := make([][]byte, len(certs))
	for i, cert := range certs {
		raw[i] = cert.Raw
	}
	return raw
}

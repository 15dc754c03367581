package template

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
)

// What the functions on PEM, PKCS#12 and JWK take, give back and refuse is what External Secrets Operator 2.9 does
// (runtime/template/v2), as its guide to templates and its sources say.

const (
	typeCertificate = "CERTIFICATE"
	typePrivateKey  = "PRIVATE KEY"
	typePublicKey   = "PUBLIC KEY"
)

var (
	errNoPEM         = errors.New("this is not PEM")
	errAfterPEM      = errors.New("something that is not PEM follows")
	errNoPrivateKey  = errors.New("this is not a private key")
	errDisjunctChain = errors.New("these certificates are not one chain")
)

// fromFirstBlock drops what precedes the first block, such as the "Bag Attributes" of openssl.
func fromFirstBlock(text string) []byte {
	if begin := strings.Index(text, "-----BEGIN"); begin > 0 {
		text = text[begin:]
	}
	return []byte(text)
}

// blocksOf returns all blocks of a text, and what follows the last.
func blocksOf(text string) (blocks []*pem.Block, rest []byte) {
	rest = fromFirstBlock(text)
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			return blocks, rest
		}
		blocks, rest = append(blocks, block), after
	}
}

// filterPEM returns the blocks of one type, in any case of letters.
func filterPEM(blockType, text string) (string, error) {
	blocks, rest := blocksOf(text)
	var out bytes.Buffer
	for _, block := range blocks {
		if !strings.EqualFold(block.Type, blockType) {
			continue
		}
		if err := pem.Encode(&out, block); err != nil {
			return "", err
		}
	}
	if out.Len() == 0 && len(rest) > 0 {
		return "", errNoPEM
	}
	return out.String(), nil
}

// certSANs returns the alternative names of the first certificate: DNS names, addresses, mail addresses, URIs.
func certSANs(text string) ([]string, error) {
	cert, err := certificateOf(text)
	if err != nil {
		return nil, err
	}
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	names = append(names, cert.EmailAddresses...)
	for _, uri := range cert.URIs {
		names = append(names, uri.String())
	}
	return names, nil
}

// certificateOf reads the first block of a text, which must be a certificate; what follows is not looked at.
func certificateOf(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode(fromFirstBlock(text))
	if block == nil {
		return nil, errNoPEM
	}
	return x509.ParseCertificate(block.Bytes)
}

// certificatesOf reads all blocks of a text, each of which must be a certificate, and nothing may follow the last.
func certificatesOf(text string) ([]*x509.Certificate, error) {
	blocks, rest := blocksOf(text)
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errAfterPEM
	}
	return certificatesIn(blocks)
}

func certificatesIn(blocks []*pem.Block) ([]*x509.Certificate, error) {
	certs := make([]*x509.Certificate, 0, len(blocks))
	for _, block := range blocks {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// encodeCertificates returns certificates as PEM.
func encodeCertificates(certs ...*x509.Certificate) string {
	var out bytes.Buffer
	for _, cert := range certs {
		out.WriteString(encodePEM(typeCertificate, cert.Raw))
	}
	return out.String()
}

func encodePEM(blockType string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}))
}

// filterCertChain returns the leaf, the intermediate or the root certificates of one chain in any order; nothing when it
// has none of these, or when kind is none of "leaf", "intermediate" and "root". It verifies nothing.
func filterCertChain(kind, text string) (string, error) {
	blocks, _ := blocksOf(text) // what follows the last one is no certificate
	certs, err := certificatesIn(blocks)
	if err != nil {
		return "", err
	}
	chain, err := ordered(certs)
	if err != nil {
		return "", err
	}
	first, last := chain[0], chain[len(chain)-1]
	switch {
	case kind == "leaf" && !isRoot(first):
		return encodeCertificates(first), nil
	case kind == "root" && isRoot(last):
		return encodeCertificates(last), nil
	case kind == "intermediate":
		between := chain[1:]
		if i := slices.IndexFunc(between, isRoot); i >= 0 {
			between = between[:i]
		}
		return encodeCertificates(between...), nil
	default:
		return "", nil
	}
}

// isRoot reports whether a certificate names nobody else as its issuer.
func isRoot(cert *x509.Certificate) bool {
	return len(cert.AuthorityKeyId) == 0 || bytes.Equal(cert.AuthorityKeyId, cert.SubjectKeyId)
}

// ordered returns certificates from the leaf to the root, by their key identifiers. It is an error when they are not a
// single chain.
func ordered(certs []*x509.Certificate) ([]*x509.Certificate, error) {
	owners := map[string][]int{}
	for i, cert := range certs {
		owners[string(cert.SubjectKeyId)] = append(owners[string(cert.SubjectKeyId)], i)
	}
	const none = -1
	issuer, issues := make([]int, len(certs)), make([]bool, len(certs))
	for i, cert := range certs {
		issuer[i] = none
		if len(cert.AuthorityKeyId) == 0 {
			continue
		}
		for _, j := range owners[string(cert.AuthorityKeyId)] {
			if j != i {
				issuer[i], issues[j] = j, true
				break
			}
		}
	}
	leaf := none
	for i := range certs {
		if issues[i] {
			continue
		}
		if leaf != none {
			return nil, errDisjunctChain
		}
		leaf = i
	}
	var chain []*x509.Certificate
	for i := leaf; i != none; i = issuer[i] {
		if len(chain) == len(certs) {
			return nil, errDisjunctChain
		}
		chain = append(chain, certs[i])
	}
	if len(chain) == 0 {
		return nil, errDisjunctChain
	}
	return chain, nil
}

// privateKeyOf reads the first private key of a PEM text, in PKCS#1, PKCS#8 or SEC 1.
func privateKeyOf(text string) (any, error) {
	blocks, _ := blocksOf(text)
	for _, block := range blocks {
		if block.Type == "EC PARAMETERS" { // openssl writes them before the key
			continue
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		return nil, errNoPrivateKey
	}
	return nil, errNoPEM
}

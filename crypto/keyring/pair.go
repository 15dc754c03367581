package keyring

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/big"
	"time"

	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

// What can be wrong with a stored key pair. The texts never quote what was read.
var (
	// ErrNoPrivateKey: there is no RSA private key in PEM (PKCS#1 or PKCS#8).
	ErrNoPrivateKey = errors.New("no RSA private key in PEM (PKCS#1 or PKCS#8)")
	// ErrNoCertificate: there is no X.509 certificate in PEM.
	ErrNoCertificate = errors.New("no X.509 certificate in PEM")
	// ErrNotRSA: the certificate's key is of another kind.
	ErrNotRSA = errors.New("the certificate's key is not an RSA key")
	// ErrSize: nothing can be sealed to the certificate's key, which is too small or too large for the format.
	ErrSize = fmt.Errorf("the certificate's RSA key does not have %d to %d bits", rsahybrid.MinWrapped*8, rsahybrid.MaxWrapped*8)
	// ErrMismatch: the certificate belongs to another private key.
	ErrMismatch = errors.New("the certificate does not belong to the private key")
)

const (
	// DefaultBits is the key size of Sealed Secrets (--key-size).
	DefaultBits = 4096
	// DefaultValidity is the certificate's lifetime of Sealed Secrets (--key-ttl): ten years.
	DefaultValidity = 10 * 365 * 24 * time.Hour
)

// Pair is one RSA sealing key with its certificate. It is immutable and safe for concurrent use; every way to print it
// shows its fingerprint alone.
type Pair struct {
	private     *rsa.PrivateKey
	certificate *x509.Certificate
	fingerprint string
	order       time.Time
}

// ParsePair reads a key pair as a kubernetes.io/tls Secret holds it: tls.crt with at least one certificate, of which the
// first counts, and tls.key. It returns ErrNoPrivateKey, ErrNoCertificate, ErrNotRSA, ErrSize or ErrMismatch.
func ParsePair(certPEM, keyPEM []byte) (*Pair, error) {
	private, err := ParsePrivateKey(keyPEM)
	if err != nil {
		return nil, err
	}
	chain, err := parseCertificates(certPEM)
	if err != nil {
		return nil, err
	}
	return newPair(private, chain[0])
}

func newPair(private *rsa.PrivateKey, certificate *x509.Certificate) (*Pair, error) {
	public, err := rsaKey(certificate)
	if err != nil {
		return nil, err
	}
	if !private.PublicKey.Equal(public) {
		return nil, ErrMismatch
	}
	return &Pair{private: private, certificate: certificate, fingerprint: Fingerprint(public), order: certificate.NotBefore}, nil
}

// Options say what pair Generate makes.
type Options struct {
	// Bits of the modulus; zero means DefaultBits.
	Bits int
	// Validity of the certificate; zero means DefaultValidity.
	Validity time.Duration
	// CommonName of the certificate; Sealed Secrets leaves it empty by default (--my-cn).
	CommonName string
	// NotBefore is the start of the validity; usually now.
	NotBefore time.Time
}

// Generate makes a new key pair with a self-signed certificate of the shape that Sealed Secrets gives its own: a CA
// certificate with a random 128-bit serial and the key usage encipherOnly. An RSA-4096 key takes seconds of CPU, so
// callers do it outside of their hot path.
func Generate(o Options) (*Pair, error) {
	if o.Bits == 0 {
		o.Bits = DefaultBits
	}
	if o.Validity == 0 {
		o.Validity = DefaultValidity
	}
	private, err := rsa.GenerateKey(rand.Reader, o.Bits)
	if err != nil {
		return nil, fmt.Errorf("generate an RSA key of %d bits: %w", o.Bits, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	name := pkix.Name{CommonName: o.CommonName}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Issuer:                name,
		Subject:               name,
		NotBefore:             o.NotBefore.UTC(),
		NotAfter:              o.NotBefore.Add(o.Validity).UTC(),
		KeyUsage:              x509.KeyUsageEncipherOnly,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate back: %w", err)
	}
	return newPair(private, cert)
}

// Ordered returns the same pair with another place in the order of a ring. Sealed Secrets'
// --key-order-priority=SecretCreationTimestamp orders by the age of the Secret instead of the certificate.
func (p *Pair) Ordered(at time.Time) *Pair {
	c := *p
	c.order = at
	return &c
}

// Fingerprint returns the OpenSSH SHA-256 fingerprint of the public key, by which Sealed Secrets names its keys.
func (p *Pair) Fingerprint() string { return p.fingerprint }

// Public returns the key that values are sealed to.
func (p *Pair) Public() *rsa.PublicKey { return &p.private.PublicKey }

// NotBefore returns the start of the certificate's validity, which is when the key was made.
func (p *Pair) NotBefore() time.Time { return p.certificate.NotBefore }

// NotAfter returns the end of the certificate's validity. Sealing stops then; opening never does.
func (p *Pair) NotAfter() time.Time { return p.certificate.NotAfter }

// CertificatePEM returns the certificate, the public half: what tls.crt holds first and /v1/cert.pem serves, without the
// authorities that may follow there.
func (p *Pair) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw})
}

// PrivateKeyPEM returns the private key as tls.key of a sealing-key Secret holds it: PKCS#1 in PEM.
func (p *Pair) PrivateKeyPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(p.private)})
}

// Size returns the bytes of the modulus, which is the size of every session key wrapped for this pair.
func (p *Pair) Size() int { return p.private.Size() }

// Since returns the pair's place in the order of a ring: the start of the certificate's validity, unless Ordered said
// something else.
func (p *Pair) Since() time.Time { return p.order }

// Fits says whether a lock has the size of this pair's modulus.
func (p *Pair) Fits(l Lock) bool { return fitsRSA(p.private, l) }

// Unwrap does one private-key operation and returns the session key, or ErrWrongKey when this pair or label is not the one
// that it was wrapped for.
func (p *Pair) Unwrap(_ context.Context, l Lock) ([]byte, error) {
	return unwrapRSA(p.private, l)
}

// Format prints the fingerprint for every verb, so that no log or error can hold the private key.
func (p *Pair) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "sealing key %s", p.fingerprint) }

// LogValue is Format for structured logs.
func (p *Pair) LogValue() slog.Value { return slog.StringValue("sealing key " + p.fingerprint) }

// Fingerprint names an RSA key, as rsahybrid.Fingerprint does.
func Fingerprint(key *rsa.PublicKey) string { return rsahybrid.Fingerprint(key) }

// ParsePrivateKey returns the first RSA private key of a PEM text, in PKCS#1 or PKCS#8, or ErrNoPrivateKey.
func ParsePrivateKey(data []byte) (*rsa.PrivateKey, error) {
	for key := range PrivateKeys(data) {
		return key, nil
	}
	return nil, ErrNoPrivateKey
}

// PrivateKeys are the RSA private keys of a PEM text, in PKCS#1 or PKCS#8, in their order. Whatever else is in it is passed over.
func PrivateKeys(data []byte) iter.Seq[*rsa.PrivateKey] {
	return func(yield func(*rsa.PrivateKey) bool) {
		for {
			var block *pem.Block
			if block, data = pem.Decode(data); block == nil {
				return
			}
			var key any
			switch block.Type {
			case "RSA PRIVATE KEY":
				key, _ = x509.ParsePKCS1PrivateKey(block.Bytes)
			case "PRIVATE KEY":
				key, _ = x509.ParsePKCS8PrivateKey(block.Bytes)
			}
			if key, _ := key.(*rsa.PrivateKey); key != nil && !yield(key) {
				return
			}
		}
	}
}

// ExpiredError says that values are not sealed to a certificate any more. Its text is kubeseal's.
type ExpiredError struct{ NotAfter time.Time }

func (e *ExpiredError) Error() string {
	return "failed to encrypt using an expired certificate on " + e.NotAfter.UTC().Format("January 2, 2006")
}

// Certificate is a sealing certificate without its private key.
type Certificate struct {
	Key *rsa.PublicKey
	// NotBefore and NotAfter are its validity.
	NotBefore, NotAfter time.Time
}

// ParseCertificate reads a certificate (chain) in PEM, of which the first counts, whether it has expired or not. It
// returns ErrNoCertificate or ErrNotRSA.
func ParseCertificate(certPEM []byte) (*Certificate, error) {
	chain, err := parseCertificates(certPEM)
	if err != nil {
		return nil, err
	}
	key, err := rsaKey(chain[0])
	if err != nil {
		return nil, err
	}
	return &Certificate{Key: key, NotBefore: chain[0].NotBefore, NotAfter: chain[0].NotAfter}, nil
}

// ParseRecipient returns the key that values are sealed to from a certificate (chain) in PEM, of which the first counts.
// It returns ErrNoCertificate, ErrNotRSA, or an *ExpiredError when the certificate has ended before now.
func ParseRecipient(certPEM []byte, now time.Time) (*rsa.PublicKey, error) {
	certificate, err := ParseCertificate(certPEM)
	if err != nil {
		return nil, err
	}
	if now.After(certificate.NotAfter) {
		return nil, &ExpiredError{NotAfter: certificate.NotAfter}
	}
	return certificate.Key, nil
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, ErrNoCertificate
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, ErrNoCertificate
	}
	return chain, nil
}

func rsaKey(cert *x509.Certificate) (*rsa.PublicKey, error) {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if size := key.Size(); size < rsahybrid.MinWrapped || size > rsahybrid.MaxWrapped {
			return nil, ErrSize
		}
		return key, nil
	case *ecdsa.PublicKey:
		return nil, fmt.Errorf("%w but an ECDSA key", ErrNotRSA)
	case ed25519.PublicKey:
		return nil, fmt.Errorf("%w but an Ed25519 key", ErrNotRSA)
	default:
		return nil, ErrNotRSA
	}
}

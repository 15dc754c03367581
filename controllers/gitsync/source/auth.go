package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/sealbridge/sealbridge/internal/archive"
	"github.com/sealbridge/sealbridge/providers"
)

// The entries of a source Secret, named as in Flux (source-controller v1).
const (
	keyUsername    = "username"
	keyPassword    = "password"
	keyBearerToken = "bearerToken"
	keyTLSCert     = "tls.crt"
	keyTLSKey      = "tls.key"
	keyCA          = "ca.crt"
	keyIdentity    = "identity"
	keyKnownHosts  = "known_hosts"
)

// Auth is what a repository's server needs to know of us and we of it. It prints as "[redacted]" with every verb.
type Auth struct {
	scheme string

	username, password, bearer string
	tls                        *tls.Config

	signer     ssh.Signer
	knownHosts knownHosts
}

// Format implements fmt.Formatter for every verb.
func (Auth) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("[redacted]")) }

// ParseAuth reads the data of the Secret that spec.secretRef names, for the scheme of the URL; nil means that there is no
// such Secret. For https: username and password, or bearerToken; tls.crt and tls.key; ca.crt, in addition to the system's
// authorities. For ssh: identity (a private key; password when it is encrypted) and known_hosts, both required. Entries
// that the scheme has no use for are ignored. It fails with ErrInvalid, naming the entry and never its content.
func ParseAuth(url string, secret map[string][]byte) (Auth, error) {
	r, err := parseURL(url)
	if err != nil {
		return Auth{}, err
	}
	if r.scheme == "ssh" {
		return sshAuth(r, secret)
	}
	return httpsAuth(secret)
}

const largeKey = "has over 16 KiB, more than a private key"

func entryError(entry, text string) error {
	return providers.Errorf(providers.ErrInvalid, "the Secret of spec.secretRef: entry %q %s", entry, text)
}

func httpsAuth(secret map[string][]byte) (Auth, error) {
	auth := Auth{
		scheme:   "https",
		username: string(secret[keyUsername]),
		password: string(secret[keyPassword]),
		bearer:   string(secret[keyBearerToken]),
		tls:      &tls.Config{MinVersion: tls.VersionTLS12},
	}
	switch {
	case auth.bearer != "" && auth.username != "":
		return Auth{}, entryError(keyBearerToken, "and username exclude each other")
	case auth.password != "" && auth.username == "":
		return Auth{}, entryError(keyPassword, "needs the entry username beside it")
	case strings.ContainsFunc(auth.bearer, isControl):
		return Auth{}, entryError(keyBearerToken, "has a line break")
	}
	if cert, key := secret[keyTLSCert], secret[keyTLSKey]; len(cert) > 0 || len(key) > 0 {
		if len(key) > archive.MaxKey {
			return Auth{}, entryError(keyTLSKey, largeKey)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return Auth{}, entryError(keyTLSCert, "and tls.key are not a certificate and its key in PEM")
		}
		auth.tls.Certificates = []tls.Certificate{pair}
	}
	if ca := secret[keyCA]; len(ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(ca) {
			return Auth{}, entryError(keyCA, "holds no certificate in PEM")
		}
		auth.tls.RootCAs = pool
	}
	return auth, nil
}

func sshAuth(r remote, secret map[string][]byte) (Auth, error) {
	if len(secret[keyIdentity]) == 0 {
		return Auth{}, providers.Errorf(providers.ErrInvalid,
			"an ssh URL needs spec.secretRef: a Secret with the entries identity (a private key) and known_hosts")
	}
	signer, err := parseIdentity(secret[keyIdentity], secret[keyPassword])
	if err != nil {
		return Auth{}, err
	}
	if len(secret[keyKnownHosts]) == 0 {
		return Auth{}, entryError(keyKnownHosts,
			fmt.Sprintf("is missing: without it the server cannot be told from an impostor; put the lines of ssh-keyscan for %s there", r.host))
	}
	hosts, err := parseKnownHosts(secret[keyKnownHosts])
	if err != nil {
		return Auth{}, err
	}
	return Auth{scheme: "ssh", signer: signer, knownHosts: hosts}, nil
}

func parseIdentity(pem, passphrase []byte) (ssh.Signer, error) {
	if len(pem) > archive.MaxKey {
		return nil, entryError(keyIdentity, largeKey)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return signer, nil
	case !errors.As(err, &locked):
		return nil, entryError(keyIdentity, "is not a private key that ssh can use")
	case len(passphrase) == 0:
		return nil, entryError(keyIdentity, "is encrypted; put its passphrase into the entry password")
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, passphrase)
	if err != nil {
		return nil, entryError(keyPassword, "does not decrypt the private key in identity")
	}
	return signer, nil
}

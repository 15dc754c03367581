package source

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// showing serves with a certificate that is its own authority, and returns the URL and the Secret that trusts it.
func showing(t *testing.T, template *x509.Certificate) (url string, secret map[string][]byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.IsCA, template.BasicConstraintsValid = big.NewInt(1), true, true
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL + "/org/app", map[string][]byte{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func TestACertificateThatNoAuthorityMendsHasAnotherCure(t *testing.T) {
	t.Parallel()
	here, now := []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now()
	for name, c := range map[string]struct {
		certificate x509.Certificate
		says        string
	}{
		"of the past":    {x509.Certificate{IPAddresses: here, NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(-1, 0, 0)}, "the certificate of 127.0.0.1 has expired or is not valid yet; renew it on the server"},
		"of the future":  {x509.Certificate{IPAddresses: here, NotBefore: now.AddDate(1, 0, 0), NotAfter: now.AddDate(2, 0, 0)}, "has expired or is not valid yet; renew it on the server"},
		"of another":     {x509.Certificate{DNSNames: []string{"git.example.com"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0)}, "is for other names; correct spec.url"},
		"of this server": {x509.Certificate{IPAddresses: here, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0)}, "no such repository"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, secret := showing(t, &c.certificate)
			err := pull(t.Context(), New(Limits{}), Spec{URL: url}, mustAuth(t, url, secret))
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "ca.crt") {
				t.Errorf("got %v", err)
			}
			if trusted := errors.Is(err, providers.ErrNotFound); trusted != (name == "of this server") || !trusted && !errors.Is(err, providers.ErrDenied) {
				t.Errorf("the class of %v", err)
			}
		})
	}
}

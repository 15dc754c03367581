package aws_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

// issue makes a certificate and returns its ARN.
func issue(t *testing.T, account *moto.Account, export string) string {
	t.Helper()
	var out struct{ CertificateArn string }
	do(t, account, "acm", "RequestCertificate", map[string]any{"DomainName": export + ".example.com", "Options": map[string]string{"Export": export}}, &out)
	return out.CertificateArn
}

func TestACertificateIsReadWithItsChainAndItsKey(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	open1, closed := issue(t, account, "ENABLED"), issue(t, account, "DISABLED")
	role, keys := reader(t, server, account, moto.Role{})
	spec := keyStore(stores.AWSCertificateManager)
	spec.Prefix = "has-no-meaning/"
	s := open(t, at(server.URL()), spec, keyEnv(keys))
	pem := value(t, s, providers.Ref{Key: open1, Version: "none"}, "")
	pair, err := tls.X509KeyPair([]byte(pem), []byte(pem))
	if err != nil || pair.Leaf.Subject.CommonName != "ENABLED.example.com" && !slices.Contains(pair.Leaf.DNSNames, "ENABLED.example.com") {
		t.Errorf("it is no certificate and its key: %v", err)
	}
	if !strings.HasPrefix(pem, "-----BEGIN CERTIFICATE-----\n") || !strings.HasSuffix(pem, "-----END PRIVATE KEY-----\n") || strings.Contains(pem, "\n\n") {
		t.Error("the parts are not one below the other")
	}
	if got := value(t, s, providers.Ref{Key: open1}, "any.property"); got != pem {
		t.Error("a property changes the value")
	}
	if got := actions(server, role); !slices.Equal(got, []string{"ExportCertificate", "ExportCertificate"}) {
		t.Errorf("the requests are %v", got)
	}
	results := fetch(t, s, providers.Ref{Key: open1}, providers.Ref{Key: closed}, providers.Ref{Key: closed + "0"}, providers.Ref{Key: open1, Metadata: true}, providers.Ref{})
	for i, want := range []struct {
		class error
		says  string
	}{{nil, ""}, {providers.ErrInvalid, "export is enabled"}, {providers.ErrNotFound, "certificate"}, {nil, ""}, {providers.ErrInvalid, "names nothing"}} {
		if err := results[i].Err; !errors.Is(err, want.class) || err != nil && !strings.Contains(err.Error(), want.says) {
			t.Errorf("ref %d: %v", i, err)
		}
	}
	if v, err := results[3].Document.Value(""); err != nil || !strings.HasPrefix(string(v.Bytes()), "-----BEGIN CERTIFICATE-----\n") {
		t.Errorf("who asks for metadata gets no certificate: %v", err)
	}
	if _, err := results[0].Document.Fields(""); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("extract: %v", err)
	}
	if _, ok := providers.As[providers.Finder](s); ok {
		t.Error("it finds certificates, which External Secrets Operator does not")
	}
}

func TestWhatIsNoCertificateIsNotTakenForOne(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer func(w http.ResponseWriter)
		class  error
		says   string
	}{
		"nothing":               {func(w http.ResponseWriter) { says(w, 200, map[string]any{}) }, providers.ErrUnavailable, "not one of AWS's"},
		"no key":                {func(w http.ResponseWriter) { says(w, 200, map[string]any{"Certificate": canary}) }, providers.ErrUnavailable, "not one of AWS's"},
		"a key that is none":    {func(w http.ResponseWriter) { says(w, 200, map[string]any{"Certificate": canary, "PrivateKey": canary}) }, providers.ErrUnavailable, "not one of AWS's"},
		"no right":              {func(w http.ResponseWriter) { fails(w, 400, "AccessDeniedException", "") }, providers.ErrDenied, "acm:ExportCertificate"},
		"one that is not ready": {func(w http.ResponseWriter) { fails(w, 400, "RequestInProgressException", "") }, providers.ErrInvalid, "not issued yet"},
		"too many":              {func(w http.ResponseWriter) { fails(w, 400, "ThrottlingException", "") }, nil, "throttled"},
	} {
		s := open(t, at(serve(t, func(w http.ResponseWriter, _ call) { tc.answer(w) })), keyStore(stores.AWSCertificateManager), keyEnv(fakeKeys()))
		results, err := s.Fetch(t.Context(), []providers.Ref{{Key: "arn"}})
		if err == nil {
			err = results[0].Err
		}
		if err == nil || tc.class != nil && !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

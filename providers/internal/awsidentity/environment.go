package awsidentity

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

// Environment is what the process knows about AWS apart from stores. The zero value means the addresses that AWS publishes,
// and no identity of the controller's own.
type Environment struct {
	// Endpoints are addresses to use instead of AWS's own.
	Endpoints Endpoints
	// FIPS and DualStack select the kind of AWS's own addresses.
	FIPS, DualStack bool
	// CABundle is the path of a file with the certificates that AWS's are checked against; the system's when empty.
	CABundle string
	// Ambient lets stores that name no identity use the identity of the controller, as the SDK's default chain finds it.
	Ambient bool
}

// Endpoints are the addresses of AWS services; an empty one is AWS's own.
type Endpoints struct {
	SecretsManager, ParameterStore, CertificateManager, STS string
}

// ReadEnvironment reads the variables that say where AWS is: those of External Secrets Operator 2.9 first, then those of the
// AWS SDKs. lookup is os.LookupEnv.
func ReadEnvironment(lookup func(string) (string, bool)) Environment {
	get := func(name string) string {
		value, _ := lookup(name)
		return value
	}
	general := get("AWS_ENDPOINT_URL")
	ignored := isTrue(get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
	endpoint := func(operator, sdk string) string {
		if ignored {
			return get(operator)
		}
		return cmp.Or(get(operator), get(sdk), general)
	}
	return Environment{
		Endpoints: Endpoints{
			SecretsManager:     endpoint("AWS_SECRETSMANAGER_ENDPOINT", "AWS_ENDPOINT_URL_SECRETS_MANAGER"),
			ParameterStore:     endpoint("AWS_SSM_ENDPOINT", "AWS_ENDPOINT_URL_SSM"),
			CertificateManager: endpoint("AWS_ACM_ENDPOINT", "AWS_ENDPOINT_URL_ACM"),
			STS:                endpoint("AWS_STS_ENDPOINT", "AWS_ENDPOINT_URL_STS"),
		},
		FIPS:      isTrue(get("AWS_USE_FIPS_ENDPOINT")),
		DualStack: isTrue(get("AWS_USE_DUALSTACK_ENDPOINT")),
		CABundle:  get("AWS_CA_BUNDLE"),
		Ambient:   true,
	}
}

// Connect returns a client for STS and for the services at the addresses, which are of e.Endpoints; the store is for messages.
func (e Environment) Connect(store string, addresses ...string) (*jsonhttp.Client, error) {
	for _, address := range append(addresses, e.Endpoints.STS) {
		if !isAddress(address) {
			return nil, providers.Errorf(providers.ErrInvalid,
				"%s: an endpoint in the controller's environment (AWS_..._ENDPOINT, AWS_ENDPOINT_URL...) is not an address such as https://host:port", store)
		}
	}
	roots, err := e.roots()
	if err != nil {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %w", store, err)
	}
	return jsonhttp.New(jsonhttp.Options{Roots: roots, RootsHint: "set AWS_CA_BUNDLE for the controller"}), nil
}

// roots returns the certificates of the CA bundle, nil for the system's.
func (e Environment) roots() (*x509.CertPool, error) {
	if e.CABundle == "" {
		return nil, nil // no pool is what crypto/tls takes for the system's roots
	}
	pem, err := os.ReadFile(e.CABundle)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE of the controller cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE of the controller, %s, holds no PEM certificate", e.CABundle)
	}
	return pool, nil
}

func isTrue(value string) bool { return strings.EqualFold(value, "true") }

// isAddress reports whether an address can be one of a service; an empty one means AWS's own.
func isAddress(address string) bool {
	u, err := url.Parse(address)
	return address == "" || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

package aws

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
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
	// Ambient lets stores without auth use the identity of the controller, as the SDK's default chain finds it.
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

func isTrue(value string) bool { return strings.EqualFold(value, "true") }

// of returns the configured address of a store's service; empty for AWS's own.
func (e Endpoints) of(service stores.AWSService) string {
	switch service {
	case stores.AWSParameterStore:
		return e.ParameterStore
	case stores.AWSCertificateManager:
		return e.CertificateManager
	default:
		return e.SecretsManager
	}
}

// isAddress reports whether an address can be one of a service; an empty one means AWS's own.
func isAddress(address string) bool {
	u, err := url.Parse(address)
	return address == "" || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

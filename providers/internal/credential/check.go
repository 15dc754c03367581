package credential

import (
	"net/url"
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

// Checks collects what is wrong with a configuration.
type Checks struct{ Problems []providers.Problem }

// Add records a problem with a field.
func (c *Checks) Add(field, message string) {
	c.Problems = append(c.Problems, providers.Problem{Field: field, Message: message})
}

// Selector checks that sel names a Secret and, unless the field has a usual key, a key.
func (c *Checks) Selector(field string, sel *stores.SecretKeySelector, usualKey bool) {
	switch {
	case sel == nil:
		c.Add(field, "is required; name a Secret and its key")
	case sel.Name == "":
		c.Add(field+".name", "is required; name a Secret")
	case sel.Key == "" && !usualKey:
		c.Add(field+".key", "is required; name a key of the Secret")
	}
}

// Account checks that sel names a ServiceAccount.
func (c *Checks) Account(field string, sel stores.ServiceAccountSelector) {
	if sel.Name == "" {
		c.Add(field+".name", "is required; name a ServiceAccount")
	}
}

// Bundle checks the CA bundle of caBundle or caProvider below prefix, as Reader.Roots reads them.
func (c *Checks) Bundle(prefix string, bundle []byte, from *stores.CAProvider) {
	if len(bundle) > 0 {
		if _, ok := parseBundle(bundle); !ok {
			c.Add(prefix+"caBundle", "holds no PEM certificate")
		}
		return
	}
	if from == nil {
		return
	}
	field := prefix + "caProvider"
	if from.Type != stores.CAProviderSecret && from.Type != stores.CAProviderConfigMap {
		c.Add(field+".type", "must be Secret or ConfigMap")
	}
	if from.Name == "" {
		c.Add(field+".name", "is required; name a Secret or ConfigMap")
	}
	if from.Key == "" {
		c.Add(field+".key", "is required; name the key that holds the certificates")
	}
}

// Address checks and parses the address of a backend: http or https, a host, and at most a path. It returns nil when it
// recorded a problem.
func (c *Checks) Address(field, address string) *url.URL {
	u, err := url.Parse(address)
	switch {
	case address == "":
		c.Add(field, "is required")
	case err != nil || u.Host == "" || u.Hostname() == "":
		c.Add(field, "must be an address such as https://host:port")
	case u.Scheme != "https" && u.Scheme != "http":
		c.Add(field, "must begin with https:// or http://")
	case u.User != nil:
		c.Add(field, "must hold no user name or password; use auth")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		c.Add(field, "must hold no query and no fragment")
	default:
		u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
		return u
	}
	return nil
}

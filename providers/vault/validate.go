package vault

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/internal/googleidentity"
)

// Validate implements providers.Provider.
func (Provider) Validate(cfg providers.Config) []providers.Problem {
	spec, ok := cfg.Spec.(*stores.Vault)
	if !ok || spec == nil {
		return []providers.Problem{{Field: "vault", Message: "is required"}}
	}
	var c credential.Checks
	c.Address("server", spec.Server)
	if spec.Version != "" && spec.Version != stores.VaultKVv1 && spec.Version != stores.VaultKVv2 {
		c.Add("version", "must be v1 or v2")
	}
	if !safePath(spec.Path) {
		c.Add("path", "must not hold . or .. as a part of the path, or control characters")
	}
	if spec.CheckAndSet != nil && spec.CheckAndSet.Required && spec.Version == stores.VaultKVv1 {
		c.Add("checkAndSet.required", "needs version v2")
	}
	c.Bundle("", spec.CABundle, spec.CAProvider)
	checkHeaders(&c, spec)
	checkClientTLS(&c, spec.ClientTLS)
	if spec.Auth != nil {
		checkAuth(&c, spec.Auth)
	}
	if method(spec.Auth) == methodCert && !strings.HasPrefix(spec.Server, "https://") {
		c.Add("auth.cert", "needs a server that begins with https://: the certificate is shown when it connects")
	}
	return c.Problems
}

// Ambient implements providers.Provider: auth.iam and auth.gcp without an identity take the controller's. A store without auth has
// none of the controller's either: whoever is at its server (a Vault agent, say) adds one.
func (Provider) Ambient(cfg providers.Config) *providers.Ambient {
	spec, ok := cfg.Spec.(*stores.Vault)
	if !ok || spec == nil {
		return nil
	}
	switch method(spec.Auth) {
	case methodIAM:
		return awsidentity.Ambient("auth.iam", spec.Auth.IAM.JWT, spec.Auth.IAM.SecretRef)
	case methodGCP:
		return googleidentity.Ambient("auth.gcp", googleAuth(spec.Auth.GCP))
	default:
		return nil
	}
}

func checkHeaders(c *credential.Checks, spec *stores.Vault) {
	for _, namespace := range []struct{ field, value string }{{"namespace", spec.Namespace}, {"auth.namespace", authNamespace(spec)}} {
		if namespace.value != "" && !credential.Printable(namespace.value) {
			c.Add(namespace.field, "must be printable ASCII")
		}
	}
	names := make([]string, 0, len(spec.Headers))
	for name := range spec.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		field := "headers[" + name + "]"
		switch value := spec.Headers[name]; {
		case !isToken(name):
			c.Add("headers", "must be named with letters, digits and dashes")
		case http.CanonicalHeaderKey(name) == headerToken:
			c.Add(field, "must not be set; use auth.tokenSecretRef")
		case value != "" && !credential.Printable(value):
			c.Add(field, "must be printable ASCII")
		}
	}
}

func authNamespace(spec *stores.Vault) string {
	if spec.Auth == nil {
		return ""
	}
	return spec.Auth.Namespace
}

// isToken reports whether name is a field name of HTTP (RFC 9110 section 5.6.2).
func isToken(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		alnum := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) < 0
}

func checkClientTLS(c *credential.Checks, tls stores.VaultClientTLS) {
	switch cert, key := tls.CertSecretRef, tls.KeySecretRef; {
	case cert == nil && key == nil:
	case cert == nil:
		c.Add("tls.certSecretRef", "is required with tls.keySecretRef")
	case key == nil:
		c.Add("tls.keySecretRef", "is required with tls.certSecretRef")
	default:
		c.Selector("tls.certSecretRef", cert, true)
		c.Selector("tls.keySecretRef", key, true)
	}
}

// checkAuth checks the method that is used.
func checkAuth(c *credential.Checks, auth *stores.VaultAuth) {
	const known = "tokenSecretRef, appRole, kubernetes, ldap, userPass, jwt, cert, iam or gcp"
	switch method(auth) {
	case methodToken:
		c.Selector("auth.tokenSecretRef", auth.TokenSecretRef, false)
	case methodAppRole:
		checkAppRole(c, auth.AppRole)
	case methodKubernetes:
		checkKubernetes(c, auth.Kubernetes)
	case methodLDAP:
		checkUser(c, "auth.ldap", auth.LDAP)
	case methodUserPass:
		checkUser(c, "auth.userPass", auth.UserPass)
	case methodJWT:
		checkJWT(c, auth.JWT)
	case methodCert:
		checkMount(c, "auth.cert.path", auth.Cert.Path)
		c.Selector("auth.cert.clientCert", auth.Cert.ClientCert, true)
		c.Selector("auth.cert.secretRef", auth.Cert.SecretRef, true)
	case methodIAM:
		checkIAM(c, auth.IAM)
	case methodGCP:
		checkGCP(c, auth.GCP)
	default:
		c.Add("auth", "must hold "+known)
	}
}

func checkUser(c *credential.Checks, field string, auth *stores.VaultUserAuth) {
	checkMount(c, field+".path", auth.Path)
	switch user := strings.TrimSpace(auth.Username); {
	case user == "":
		c.Add(field+".username", "is required")
	case !safePath(user):
		c.Add(field+".username", "must not hold . or .. as a part of a path, or control characters")
	}
	c.Selector(field+".secretRef", auth.SecretRef, false)
}

func checkJWT(c *credential.Checks, auth *stores.VaultJWTAuth) {
	checkMount(c, "auth.jwt.path", auth.Path)
	switch {
	case auth.SecretRef != nil:
		c.Selector("auth.jwt.secretRef", auth.SecretRef, false)
	case auth.KubernetesServiceAccountToken != nil:
		c.Account("auth.jwt.kubernetesServiceAccountToken.serviceAccountRef", auth.KubernetesServiceAccountToken.ServiceAccountRef)
	default:
		c.Add("auth.jwt", "must hold secretRef or kubernetesServiceAccountToken")
	}
}

func checkIAM(c *credential.Checks, auth *stores.VaultIAMAuth) {
	checkMount(c, "auth.iam.path", auth.Path)
	if auth.Region != "" {
		awsidentity.CheckRegion(c, "auth.iam.region", auth.Region)
	}
	if auth.ServerID != "" && !credential.Printable(auth.ServerID) {
		c.Add("auth.iam.vaultAwsIamServerID", "must be printable ASCII")
	}
	awsidentity.CheckAuth(c, "auth.iam", auth.JWT, auth.SecretRef)
}

func checkGCP(c *credential.Checks, auth *stores.VaultGCPAuth) {
	checkMount(c, "auth.gcp.path", auth.Path)
	if auth.Role == "" {
		c.Add("auth.gcp.role", "is required; name a role of Vault's gcp auth method")
	}
	googleidentity.CheckAuth(c, "auth.gcp", googleAuth(auth))
}

// googleAuth is what auth.gcp has in common with the auth of stores of Google.
func googleAuth(auth *stores.VaultGCPAuth) stores.GCPAuth {
	return stores.GCPAuth{SecretRef: auth.SecretRef, WorkloadIdentity: auth.WorkloadIdentity}
}

func checkAppRole(c *credential.Checks, role *stores.VaultAppRole) {
	checkMount(c, "auth.appRole.path", role.Path)
	switch {
	case role.RoleID != "":
	case role.RoleRef != nil:
		c.Selector("auth.appRole.roleRef", role.RoleRef, false)
	default:
		c.Add("auth.appRole", "must hold roleId or roleRef")
	}
	c.Selector("auth.appRole.secretRef", &role.SecretRef, false)
}

func checkKubernetes(c *credential.Checks, auth *stores.VaultKubernetesAuth) {
	checkMount(c, "auth.kubernetes.mountPath", auth.Path)
	if auth.Role == "" {
		c.Add("auth.kubernetes.role", "is required; name a role of Vault's kubernetes auth method")
	}
	switch {
	case auth.ServiceAccountRef != nil:
		c.Account("auth.kubernetes.serviceAccountRef", *auth.ServiceAccountRef)
	case auth.SecretRef != nil:
		c.Selector("auth.kubernetes.secretRef", auth.SecretRef, true)
	default:
		c.Add("auth.kubernetes.serviceAccountRef",
			"is required (or secretRef): the controller's own token is never sent to the server that a store names")
	}
}

func checkMount(c *credential.Checks, field, mount string) {
	if !safePath(mount) {
		c.Add(field, "must not hold . or .. as a part of the path, or control characters")
	}
}

// safePath reports whether path can be joined into a URL without leaving where it was put.
func safePath(path string) bool {
	if strings.ContainsFunc(path, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return part == "." || part == ".." })
}

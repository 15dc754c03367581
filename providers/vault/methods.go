package vault

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// loginUser logs in with a user and a password, at a directory (ldap) or at Vault itself (userPass). usual is where the method
// is mounted when auth does not say.
func (a api) loginUser(ctx context.Context, field, usual string, auth *stores.VaultUserAuth, creds credential.Reader) (login, error) {
	raw, err := creds.Secret(ctx, field+".secretRef", *auth.SecretRef, "")
	if err != nil {
		return login{}, err
	}
	// The end of a line is what editors leave behind; any other white space may be part of a password.
	password := strings.TrimRight(string(raw), "\r\n")
	if password == "" || !utf8.ValidString(password) {
		return login{}, providers.Errorf(providers.ErrInvalid, "%s: %s.secretRef: Secret %s holds no usable password: it is empty or not UTF-8",
			a.store, field, auth.SecretRef.Name)
	}
	user := strings.TrimSpace(auth.Username)
	return a.loginAt(ctx, mountOr(auth.Path, usual), "login/"+user, map[string]string{"password": password}, func(path string, _ *reply) error {
		return a.errorf(providers.ErrDenied, "vault refuses the login of user %q at %s: the user or the password is wrong, "+
			"locked out after wrong ones, or bound to other addresses, or nothing is mounted or configured there; correct auth.%s", user, path, usualName(field))
	})
}

// usualName is a field without what is before its last dot.
func usualName(field string) string { return field[strings.LastIndexByte(field, '.')+1:] }

// audienceOfJWT is that of a ServiceAccount's token for which none is configured, as in External Secrets Operator.
const audienceOfJWT = "vault"

func (a api) loginJWT(ctx context.Context, auth *stores.VaultJWTAuth, creds credential.Reader) (login, error) {
	jwt, who, err := jsonWebToken(ctx, auth, creds)
	if err != nil {
		return login{}, err
	}
	body := map[string]string{"jwt": jwt}
	role := strings.TrimSpace(auth.Role)
	if role != "" {
		body["role"] = role
	}
	return a.loginAt(ctx, mountOr(auth.Path, "jwt"), "login", body, func(path string, r *reply) error {
		name := roleNamed(role)
		if r.says("could not be found") || r.says("missing role") {
			return a.errorf(providers.ErrInvalid, "vault has no %s at %s; create it or correct auth.jwt.role", name, path)
		}
		return a.errorf(providers.ErrDenied, "vault %s at %s refuses %s; check the role's bound_audiences, bound_subject and bound_claims, "+
			"the keys and the issuer of the method, and the mount path", name, path, who)
	})
}

// roleNamed names a role of the method jwt, which has one for those who name none.
func roleNamed(role string) string {
	if role == "" {
		return "default role"
	}
	return "role " + strconv.Quote(role)
}

// jsonWebToken returns the token to log in with, and whose it is. One of a ServiceAccount is for all audiences that are named
// in either place, and for that of Vault when auth.jwt names none.
func jsonWebToken(ctx context.Context, auth *stores.VaultJWTAuth, creds credential.Reader) (jwt, who string, err error) {
	if auth.SecretRef != nil {
		jwt, err = creds.Text(ctx, "auth.jwt.secretRef", *auth.SecretRef, "")
		return jwt, "the token in Secret " + auth.SecretRef.Name, err
	}
	account := auth.KubernetesServiceAccountToken.ServiceAccountRef
	audiences := auth.KubernetesServiceAccountToken.Audiences
	if audiences == nil {
		audiences = []string{audienceOfJWT}
	}
	account.Audiences = slices.Concat(account.Audiences, audiences)
	token, err := creds.Token(ctx, "auth.jwt.kubernetesServiceAccountToken.serviceAccountRef", account)
	return string(token.Value.Bytes()), accountName(account), err
}

// accountName is how messages call a ServiceAccount.
func accountName(sel stores.ServiceAccountSelector) string {
	if sel.Namespace == "" {
		return "ServiceAccount " + sel.Name
	}
	return "ServiceAccount " + sel.Namespace + "/" + sel.Name
}

// loginCert logs in with the client certificate that the connection shows.
func (a api) loginCert(ctx context.Context, auth *stores.VaultCertAuth) (login, error) {
	body, none := map[string]string{}, "no role there"
	if auth.VaultRole != "" {
		body["name"] = auth.VaultRole
		none += ", or not " + strconv.Quote(auth.VaultRole) + ","
	}
	return a.loginAt(ctx, mountOr(auth.Path, "cert"), "login", body, func(path string, _ *reply) error {
		return a.errorf(providers.ErrDenied, "vault refuses the certificate in Secret %s at %s: %s is for it or its authority, "+
			"or nothing is mounted there; correct auth.cert", auth.ClientCert.Name, path, none)
	})
}

// certificateOf returns where the client certificate and its key are: those of a login by certificate, else those of tls.
func certificateOf(spec *stores.Vault) (certField string, cert *stores.SecretKeySelector, keyField string, key *stores.SecretKeySelector) {
	if method(spec.Auth) == methodCert {
		return "auth.cert.clientCert", spec.Auth.Cert.ClientCert, "auth.cert.secretRef", spec.Auth.Cert.SecretRef
	}
	return "tls.certSecretRef", spec.ClientTLS.CertSecretRef, "tls.keySecretRef", spec.ClientTLS.KeySecretRef
}

// The login methods, as the fields of auth are called.
const (
	methodNone       = ""
	methodToken      = "tokenSecretRef"
	methodAppRole    = "appRole"
	methodKubernetes = "kubernetes"
	methodLDAP       = "ldap"
	methodUserPass   = "userPass"
	methodJWT        = "jwt"
	methodCert       = "cert"
	methodIAM        = "iam"
	methodGCP        = "gcp"
)

// method returns the method that is used: of several the first in this order, as in External Secrets Operator.
func method(auth *stores.VaultAuth) string {
	switch {
	case auth == nil:
		return methodNone
	case auth.TokenSecretRef != nil:
		return methodToken
	case auth.AppRole != nil:
		return methodAppRole
	case auth.Kubernetes != nil:
		return methodKubernetes
	case auth.LDAP != nil:
		return methodLDAP
	case auth.UserPass != nil:
		return methodUserPass
	case auth.JWT != nil:
		return methodJWT
	case auth.Cert != nil:
		return methodCert
	case auth.IAM != nil:
		return methodIAM
	case auth.GCP != nil:
		return methodGCP
	default:
		return methodNone
	}
}

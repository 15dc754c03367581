package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// login is what a login brought.
type login struct {
	// token is empty for requests that an agent authenticates.
	token string
	// expires is zero for a token that never does.
	expires time.Time
	// revocable is set for tokens that this login made and that Vault can revoke.
	revocable bool
	index     []string
}

// login gets a token by the first method that auth holds; without auth there is none (a Vault agent adds its own).
func (a api) login(ctx context.Context, auth *stores.VaultAuth, creds credential.Reader, environment awsidentity.Environment) (login, error) {
	switch method(auth) {
	case methodToken:
		return a.loginToken(ctx, *auth.TokenSecretRef, creds)
	case methodAppRole:
		return a.loginAppRole(ctx, auth.AppRole, creds)
	case methodKubernetes:
		return a.loginKubernetes(ctx, auth.Kubernetes, creds)
	case methodLDAP:
		return a.loginUser(ctx, "auth.ldap", "ldap", auth.LDAP, creds)
	case methodUserPass:
		return a.loginUser(ctx, "auth.userPass", "userpass", auth.UserPass, creds)
	case methodJWT:
		return a.loginJWT(ctx, auth.JWT, creds)
	case methodCert:
		return a.loginCert(ctx, auth.Cert)
	case methodIAM:
		return a.loginIAM(ctx, auth.IAM, creds, environment)
	case methodGCP:
		return a.loginGCP(ctx, auth.GCP, creds)
	default:
		return login{}, nil
	}
}

// loginToken proves that a token is accepted, and learns when it ends. It returns the token also when that is refused.
func (a api) loginToken(ctx context.Context, sel stores.SecretKeySelector, creds credential.Reader) (login, error) {
	token, err := creds.Text(ctx, "auth.tokenSecretRef", sel, "")
	if err != nil {
		return login{}, err
	}
	a.header = http.Header{headerToken: {token}}
	expires, err := a.lookup(ctx)
	return login{token: token, expires: expires}, err
}

// lookup asks Vault about the token of a and returns when it ends, zero for never.
func (a api) lookup(ctx context.Context) (time.Time, error) {
	r, err := a.do(ctx, http.MethodGet, "auth/token/lookup-self", nil, nil)
	if err != nil {
		return time.Time{}, err
	}
	var data struct {
		// ExpireTime is in the form of RFC 3339; null for a token that never expires.
		ExpireTime *time.Time `json:"expire_time"`
	}
	switch {
	case r.status == http.StatusForbidden && r.genuine:
		return time.Time{}, a.errorf(providers.ErrDenied,
			"vault refuses the token: it is wrong, has expired or was revoked (or may not read auth/token/lookup-self, which the policy \"default\" grants)")
	case r.status != http.StatusOK || json.Unmarshal(r.Data, &data) != nil:
		return time.Time{}, a.unexpected(r)
	case data.ExpireTime == nil:
		return time.Time{}, nil
	default:
		return *data.ExpireTime, nil
	}
}

func (a api) loginAppRole(ctx context.Context, role *stores.VaultAppRole, creds credential.Reader) (login, error) {
	id := role.RoleID
	if id == "" {
		var err error
		if id, err = creds.Text(ctx, "auth.appRole.roleRef", *role.RoleRef, ""); err != nil {
			return login{}, err
		}
	}
	secret, err := creds.Text(ctx, "auth.appRole.secretRef", role.SecretRef, "")
	if err != nil {
		return login{}, err
	}
	return a.loginAt(ctx, mountOr(role.Path, "approle"), "login", map[string]string{"role_id": id, "secret_id": secret}, func(path string, _ *reply) error {
		return a.errorf(providers.ErrDenied,
			"vault refuses the AppRole login at %s: the role id or the secret id is wrong, expired or used up, or bound to other addresses, or nothing is mounted there; make a new secret id or correct the mount path", path)
	})
}

func (a api) loginKubernetes(ctx context.Context, auth *stores.VaultKubernetesAuth, creds credential.Reader) (login, error) {
	jwt, who, err := serviceAccountJWT(ctx, auth, creds)
	if err != nil {
		return login{}, err
	}
	return a.loginAt(ctx, mountOr(auth.Path, "kubernetes"), "login", map[string]string{"role": auth.Role, "jwt": jwt}, func(path string, r *reply) error {
		if r.says("invalid role name") {
			return a.errorf(providers.ErrInvalid, "vault has no role %q at %s; create it or correct auth.kubernetes.role", auth.Role, path)
		}
		return a.errorf(providers.ErrDenied,
			"vault role %q at %s refuses %s; check the role's bound_service_account_names, bound_service_account_namespaces and audience, "+
				"that vault's reviewer may create tokenreviews, and the mount path", auth.Role, path, who)
	})
}

// serviceAccountJWT returns the token to log in with, and whose it is.
func serviceAccountJWT(ctx context.Context, auth *stores.VaultKubernetesAuth, creds credential.Reader) (jwt, who string, err error) {
	if sel := auth.ServiceAccountRef; sel != nil {
		token, err := creds.Token(ctx, "auth.kubernetes.serviceAccountRef", *sel)
		return string(token.Value.Bytes()), accountName(*sel), err
	}
	jwt, err = creds.Text(ctx, "auth.kubernetes.secretRef", *auth.SecretRef, "token")
	return jwt, "the token in Secret " + auth.SecretRef.Name, err
}

func mountOr(mount, usual string) string {
	if mount = clean(mount); mount == "" {
		return usual
	}
	return mount
}

// loginAt logs in at an auth method. refused says what an answer of Vault that refuses means there. A login that is under way when
// ctx ends is seen through, because nobody could revoke a token that Vault has made and nobody has got; who asked for it gets the
// session all the same, and closes it.
func (a api) loginAt(ctx context.Context, mount, what string, body map[string]string, refused func(path string, r *reply) error) (login, error) {
	path := "auth/" + mount
	began := time.Now()
	r, err := a.ask(ctx, jsonhttp.Request{Method: http.MethodPost, Path: path + "/" + what, Body: body, Overtime: endTimeout})
	switch {
	case err != nil:
		return login{}, err
	case r.genuine && (r.status == http.StatusNotFound || r.says("no handler for route") || r.says("unsupported path")):
		return login{}, a.errorf(providers.ErrInvalid, "vault has no such auth method at %s; enable it or correct the mount path in auth", path)
	case r.genuine && (r.says("could not load backend configuration") || r.says("could not load configuration") || r.says("backend not configured")):
		return login{}, a.errorf(providers.ErrUnavailable, "vault's auth method at %s has no configuration yet; write %s/config", path, path)
	case r.genuine && r.says("error connecting to host"):
		return login{}, a.errorf(providers.ErrUnavailable, "vault cannot reach the directory of %s", path)
	case r.genuine && refusesLogin(r):
		return login{}, refused(path, r)
	case r.status != http.StatusOK || r.Auth == nil:
		return login{}, a.unexpected(r)
	case !credential.Printable(r.Auth.ClientToken):
		return login{}, a.errorf(providers.ErrDenied, "vault gave no token at %s; multi-factor logins cannot be used here", path)
	}
	l := login{token: r.Auth.ClientToken, revocable: r.Auth.TokenType != "batch", index: r.index}
	if r.Auth.LeaseDuration > 0 {
		l.expires = began.Add(time.Duration(min(r.Auth.LeaseDuration, maxLease)) * time.Second)
	}
	return l, nil
}

// refusesLogin reports whether an answer is about who logs in. Vault 1.13 answers 500 to a wrong secret id, to a wrong password and
// when Google does not say who somebody is, and nothing at all to a wrong password of a directory.
func refusesLogin(r *reply) bool {
	switch r.status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNoContent:
		return true
	default:
		return r.says("invalid secret id") || r.says("invalid username or password") || r.says("could not find service account") ||
			r.says("failed to create IAM client") || r.says("failed to create Compute client")
	}
}

// maxLease is the longest life of a token, in seconds, that is believed: ten years.
const maxLease = 10 * 365 * 24 * 3600

// revoke ends the token of a. A token that is gone already is no error.
func (a api) revoke(ctx context.Context) error {
	r, err := a.do(ctx, http.MethodPost, "auth/token/revoke-self", nil, nil)
	if err != nil {
		return err
	}
	if r.status >= http.StatusMultipleChoices && r.status != http.StatusForbidden {
		return a.unexpected(r)
	}
	return nil
}

package vault

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Provider opens sessions on KV engines of Vault.
type Provider struct {
	// AWS says where AWS is, for logins by auth.iam.
	AWS awsidentity.Environment
}

// Name implements providers.Provider.
func (Provider) Name() string { return "vault" }

// The headers of Vault's HTTP API (Vault 1.13, "HTTP API" and "Vault Enterprise eventual consistency").
const (
	headerToken        = "X-Vault-Token"        //nolint:gosec // the name of a header, not a credential
	headerNamespace    = "X-Vault-Namespace"    // Enterprise
	headerRequest      = "X-Vault-Request"      // what an agent demands of its clients
	headerIndex        = "X-Vault-Index"        // Enterprise: the replication state that an answer must include
	headerInconsistent = "X-Vault-Inconsistent" // Enterprise: what a standby does that is behind that state
)

// Open implements providers.Provider: it logs in, or proves that the configured token is accepted.
func (p Provider) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if problems := p.Validate(cfg); len(problems) > 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s", cfg.Store, problems[0])
	}
	spec := cfg.Spec.(*stores.Vault) // Validate has looked
	creds := credential.Reader{Store: cfg.Store, Env: env}
	client, err := connect(ctx, spec, creds)
	if err != nil {
		return nil, err
	}
	s := &session{
		api:    api{store: cfg.Store, server: spec.Server, http: client, namespace: spec.Namespace},
		engine: engine{mount: spec.Path, v1: spec.Version == stores.VaultKVv1},
		role:   roleOf(spec.Auth),
		proven: method(spec.Auth) == methodToken,
	}
	if err := s.logIn(ctx, spec, creds, p.AWS); err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

func connect(ctx context.Context, spec *stores.Vault, creds credential.Reader) (*jsonhttp.Client, error) {
	var checks credential.Checks
	o := jsonhttp.Options{Base: checks.Address("server", spec.Server), Header: http.Header{}}
	for _, name := range slices.Sorted(maps.Keys(spec.Headers)) { // in order: of two spellings of one name the same one counts each time
		o.Header.Set(name, spec.Headers[name])
	}
	o.Header.Set(headerRequest, "true")
	if spec.ReadYourWrites && spec.ForwardInconsistent {
		o.Header.Set(headerInconsistent, "forward-active-node")
	}
	if o.Base.Scheme != "https" {
		return jsonhttp.New(o), nil
	}
	var err error
	if o.Roots, err = creds.Roots(ctx, "", spec.CABundle, spec.CAProvider); err != nil {
		return nil, err
	}
	if certField, cert, keyField, key := certificateOf(spec); cert != nil && key != nil {
		if o.Certificate, err = creds.KeyPair(ctx, certField, *cert, keyField, *key); err != nil {
			return nil, err
		}
	}
	return jsonhttp.New(o), nil
}

// logIn sets the session's token and what follows from it.
func (s *session) logIn(ctx context.Context, spec *stores.Vault, creds credential.Reader, environment awsidentity.Environment) error {
	at := s.api
	if spec.Auth != nil && spec.Auth.Namespace != "" {
		at.namespace = spec.Auth.Namespace
	}
	l, err := at.login(ctx, spec.Auth, creds, environment)
	if s.proven && errors.Is(err, providers.ErrDenied) && s.reaches(ctx, l.token) {
		s.proven, err = false, nil // when it ends is not known
	}
	if err != nil {
		return err
	}
	s.api.header = http.Header{}
	if l.token != "" {
		s.api.header.Set(headerToken, l.token)
	}
	if spec.ReadYourWrites || spec.ForwardInconsistent {
		// A login is a write: a standby that has not seen it yet does not know the token.
		s.api.header[headerIndex] = l.index
	}
	s.expires = l.expires
	at.header = maps.Clone(s.api.header)
	detached := context.WithoutCancel(ctx)
	s.end = func() error {
		if !l.revocable {
			return nil
		}
		ctx, cancel := context.WithTimeout(detached, endTimeout)
		defer cancel()
		return at.revoke(ctx)
	}
	return nil
}

// reaches reports whether Vault says that a token has rights on the mount: one that may not look itself up may read all the same.
func (s *session) reaches(ctx context.Context, token string) bool {
	mount := clean(s.engine.mount)
	if mount == "" || token == "" {
		return false
	}
	at := s.api
	at.header = http.Header{headerToken: {token}}
	r, err := at.do(ctx, http.MethodGet, mountsPath+mount, nil, nil)
	return err == nil && r.status == http.StatusOK && r.Data != nil
}

// endTimeout bounds the last request of a session, and how long a login may still take that is not wanted any more.
const endTimeout = 5 * time.Second

// roleOf names the identity for messages that say whose rights are missing.
func roleOf(auth *stores.VaultAuth) string {
	switch method(auth) {
	case methodToken:
		return "of the token"
	case methodAppRole:
		return "of the AppRole"
	case methodKubernetes:
		return "of role " + strconv.Quote(auth.Kubernetes.Role)
	case methodLDAP:
		return "of user " + strconv.Quote(auth.LDAP.Username)
	case methodUserPass:
		return "of user " + strconv.Quote(auth.UserPass.Username)
	case methodJWT:
		return "of the " + roleNamed(auth.JWT.Role)
	case methodCert:
		return "of the certificate's role"
	case methodIAM:
		return "of the " + iamRole(auth.IAM)
	case methodGCP:
		return "of role " + strconv.Quote(auth.GCP.Role)
	default:
		return "of the agent's token"
	}
}

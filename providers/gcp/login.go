package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/externalaccount"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// identity is as whom Secret Manager is asked.
type identity struct {
	token   string
	expires time.Time
	// who names the identity in messages that say whose rights are missing.
	who string
}

// login gets the token of one session. It is used once, by one goroutine.
type login struct {
	store    string
	spec     *stores.GCPSM
	creds    credential.Reader
	wire     *wire
	metadata metadataServer
}

func newLogin(store string, spec *stores.GCPSM, creds credential.Reader) *login {
	return &login{store: store, spec: spec, creds: creds, wire: newWire(), metadata: newMetadataServer()}
}

func (l *login) close() { l.wire.close() }

// project returns the project that holds the secrets: the cluster's own when the store names none.
func (l *login) project(ctx context.Context) (string, error) {
	if l.spec.ProjectID != "" {
		return l.spec.ProjectID, nil
	}
	if wi := l.spec.Auth.WorkloadIdentity; wi != nil && wi.ClusterProjectID != "" {
		return wi.ClusterProjectID, nil
	}
	return l.ask(ctx, "projectID", l.metadata.project, isProjectName)
}

// ask returns what the metadata server says of a field that the store leaves empty.
func (l *login) ask(ctx context.Context, field string, question func(context.Context) (string, error), valid func(string) bool) (string, error) {
	answer, err := question(ctx)
	if answer = strings.TrimSpace(answer); err != nil || !valid(answer) {
		return "", l.errorf(providers.ErrUnavailable, "%s is not set, and Google's metadata server, which knows it in a cluster of GKE, does not tell it; set it", field)
	}
	return answer, nil
}

// identity logs in by the first method that the store has.
func (l *login) identity(ctx context.Context) (identity, error) {
	switch {
	case l.spec.Auth.SecretRef != nil:
		return l.byKey(ctx, *l.spec.Auth.SecretRef.SecretAccessKey)
	case l.spec.Auth.WorkloadIdentity != nil:
		return l.byWorkloadIdentity(ctx, l.spec.Auth.WorkloadIdentity)
	case l.spec.Auth.WorkloadIdentityFederation != nil:
		return l.byFederation(ctx, l.spec.Auth.WorkloadIdentityFederation)
	default:
		return l.byDefault(ctx)
	}
}

// scopes is what all tokens are for.
func scopes() []string { return []string{"https://www.googleapis.com/auth/cloud-platform"} }

// accountKey is the key of a service account (Google, "Create and delete service account keys").
type accountKey struct {
	Type         string `json:"type"`
	ClientEmail  string `json:"client_email"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	TokenURI     string `json:"token_uri"`
}

const defaultTokenURI = "https://oauth2.googleapis.com/token" //nolint:gosec // an address, not a credential

// byKey signs an assertion with the key of a service account and has it exchanged.
func (l *login) byKey(ctx context.Context, sel stores.SecretKeySelector) (identity, error) {
	const field = "auth.secretRef.secretAccessKeySecretRef"
	raw, err := l.creds.Secret(ctx, field, sel, "")
	if err != nil {
		return identity{}, err
	}
	var key accountKey
	invalid := func(why string) error {
		return l.errorf(providers.ErrInvalid, "%s: key %q of Secret %s %s", field, sel.Key, sel.Name, why)
	}
	switch err := json.Unmarshal(raw, &key); { // its error would quote the key
	case err != nil || key.Type != "service_account" || key.ClientEmail == "" || key.PrivateKey == "":
		return identity{}, invalid("does not hold the JSON key of a Google service account")
	case key.TokenURI == "":
		key.TokenURI = defaultTokenURI
	case !ofGoogle(key.TokenURI):
		return identity{}, invalid("names a token_uri that is not Google's; it must begin with https://oauth2.googleapis.com/")
	}
	provider, err := auth.New2LOTokenProvider(&auth.Options2LO{
		Email: key.ClientEmail, PrivateKey: []byte(key.PrivateKey), PrivateKeyID: key.PrivateKeyID, TokenURL: key.TokenURI, Scopes: scopes(),
		Client: l.wire.client(), Logger: silence(),
	})
	if err != nil {
		return identity{}, invalid("does not hold the JSON key of a Google service account")
	}
	who := "the service account of the key"
	if emails.MatchString(key.ClientEmail) {
		who = "the service account " + key.ClientEmail
	}
	return l.obtain(ctx, provider, who, invalid("holds a private key that cannot be read"))
}

// ofGoogle reports whether an address is one of Google's, over TLS.
func ofGoogle(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.User == nil && (u.Port() == "" || u.Port() == "443") &&
		(strings.HasSuffix(u.Hostname(), ".googleapis.com") || u.Hostname() == "accounts.google.com")
}

// gkeAnnotation binds a ServiceAccount to a Google service account.
const gkeAnnotation = "iam.gke.io/gcp-service-account"

// byWorkloadIdentity has a token of a ServiceAccount of this cluster exchanged for one of Google, and that for one of the Google
// service account to which it is bound, if it is.
func (l *login) byWorkloadIdentity(ctx context.Context, wi *stores.GCPWorkloadIdentity) (identity, error) {
	const field = "auth.workloadIdentity."
	project, location, cluster := wi.ClusterProjectID, wi.ClusterLocation, wi.ClusterName
	for _, missing := range []struct {
		value    *string
		field    string
		question func(context.Context) (string, error)
		valid    func(string) bool
	}{
		{&project, "clusterProjectID", l.metadata.project, isProjectName},
		{&location, "clusterLocation", l.metadata.attribute("cluster-location"), locations.MatchString},
		{&cluster, "clusterName", l.metadata.attribute("cluster-name"), locations.MatchString},
	} {
		if *missing.value != "" {
			continue
		}
		var err error
		if *missing.value, err = l.ask(ctx, field+missing.field, missing.question, missing.valid); err != nil {
			return identity{}, err
		}
	}
	pool := project + ".svc.id.goog"
	account := wi.ServiceAccountRef
	account.Audiences = append([]string{pool}, account.Audiences...)
	return l.exchange(ctx, field+"serviceAccountRef", account, "", &externalaccount.Options{
		Audience: "identitynamespace:" + pool + ":https://container.googleapis.com/v1/projects/" + project + "/locations/" + location + "/clusters/" + cluster,
	})
}

// exchange mints a token of a ServiceAccount and has it exchanged as options say. email is the Google service account to act
// as, that of the annotation when empty.
func (l *login) exchange(ctx context.Context, field string, account stores.ServiceAccountSelector, email string, options *externalaccount.Options) (identity, error) {
	who := "ServiceAccount " + account.Name
	if email == "" {
		annotations, err := l.creds.Annotations(ctx, field, account)
		if err != nil {
			return identity{}, err
		}
		if email = annotations[gkeAnnotation]; email != "" && !emails.MatchString(email) {
			return identity{}, l.errorf(providers.ErrInvalid, "%s: annotation %s of %s is not the email address of a Google service account", field, gkeAnnotation, who)
		}
	}
	token, err := l.creds.Token(ctx, field, account)
	if err != nil {
		return identity{}, err
	}
	options.SubjectTokenProvider = subject(token.Value.Bytes())
	options.SubjectTokenType = typeJWT
	if email != "" {
		options.ServiceAccountImpersonationURL = impersonation(email)
		who = "the service account " + email
	}
	return l.external(ctx, options, who)
}

// The token types of RFC 8693, and Google's own for a signed request of AWS.
const (
	typeJWT = "urn:ietf:params:oauth:token-type:jwt"
	typeAWS = "urn:ietf:params:aws:token-type:aws4_request"
)

const tokenService = "https://sts.googleapis.com/v1/token" //nolint:gosec // an address, not a credential

func impersonation(email string) string {
	return "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + email + ":generateAccessToken"
}

// subject is a token that is there already.
type subject []byte

// SubjectToken implements externalaccount.SubjectTokenProvider.
func (s subject) SubjectToken(context.Context, *externalaccount.RequestOptions) (string, error) {
	return string(s), nil
}

// external gets the token of an external account.
func (l *login) external(ctx context.Context, options *externalaccount.Options, who string) (identity, error) {
	options.Scopes, options.Client, options.Logger = scopes(), l.wire.client(), silence()
	if options.TokenURL == "" {
		options.TokenURL = tokenService
	}
	cannot := l.errorf(providers.ErrInvalid, "auth cannot be used as it is; check audience, credConfig and their kind of token")
	provider, err := externalaccount.NewCredentials(options)
	if err != nil { // its text may quote the configuration
		return identity{}, cannot
	}
	return l.obtain(ctx, provider, who, cannot)
}

// byDefault takes the identity that the controller itself has.
func (l *login) byDefault(ctx context.Context) (identity, error) {
	none := l.errorf(providers.ErrInvalid, "auth is not set, and the controller has no usable Application Default Credentials; set auth, or give the controller an identity")
	l.wire.trusted = true // what the environment of the controller names was not written by whoever writes the store
	found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: scopes(), Client: l.wire.client(), Logger: silence(), DisableAsyncRefresh: true})
	if err != nil {
		return identity{}, none
	}
	return l.obtain(ctx, found, "the controller's own identity",
		l.errorf(providers.ErrUnavailable, "the controller's own Application Default Credentials give no access token now"))
}

// obtain asks once for a token. unasked is the error when that failed before anybody was asked.
func (l *login) obtain(ctx context.Context, from auth.TokenProvider, who string, unasked error) (identity, error) {
	token, err := from.Token(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return identity{}, l.errorf(providers.ErrUnavailable, "google did not give an access token in time")
	case err != nil && !l.wire.asked():
		return identity{}, unasked
	case err != nil:
		return identity{}, l.refused(l.wire.last, who)
	case token == nil || !credential.Printable(token.Value):
		return identity{}, l.errorf(providers.ErrUnavailable, "the answer is not an access token of Google's; check what is between")
	}
	return identity{token: token.Value, expires: token.Expiry, who: who}, nil
}

// refused is the error of the last answer that brought no token.
func (l *login) refused(a answered, who string) error {
	switch status := a.status; {
	case a.err != nil:
		return l.errorf(providers.ErrUnavailable, "no access token: %w", a.err)
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("%s: google gives no access tokens now: %w", l.store, &providers.ThrottledError{After: a.after})
	case status >= http.StatusInternalServerError || status < http.StatusBadRequest:
		return l.errorf(providers.ErrUnavailable, "%s answered %d without an access token", a.host, status)
	case strings.HasPrefix(a.host, "iamcredentials.") && status == http.StatusNotFound:
		return l.errorf(providers.ErrDenied, "%s does not exist; correct its name, or make it", who)
	case strings.HasPrefix(a.host, "iamcredentials."):
		return l.errorf(providers.ErrDenied, "google does not let the identity of the store act as %s: grant it roles/iam.workloadIdentityUser on that", who)
	case strings.HasPrefix(a.host, "sts."):
		return l.errorf(providers.ErrDenied, "google's Security Token Service refuses the identity of the store%s: the pool must trust who issued its token, and its audience", a.code)
	default:
		return l.errorf(providers.ErrDenied, "%s refuses the credentials of %s%s: they are revoked, expired or not for this, or the clock is wrong", a.host, who, a.code)
	}
}

func (l *login) errorf(class error, format string, args ...any) error {
	return providers.Errorf(class, "%s: "+format, append([]any{l.store}, args...)...)
}

package googleidentity

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/externalaccount"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Identity is as whom Google is asked.
type Identity struct {
	// Token is an access token.
	Token   string
	Expires time.Time
	// Who names the identity in messages that say whose rights are missing.
	Who string
	// Email is that of the Google service account; empty for an identity that is none.
	Email string
}

// Login obtains identities of Google for one store. It is used once, by one goroutine, and closed.
type Login struct {
	// store is what errors begin with, and field the path of the struct that has secretRef, workloadIdentity and so on below
	// spec.provider.<name>.
	store, field string
	creds        credential.Reader
	wire         *wire
	metadata     metadataServer
}

// New returns a login for the store of creds. field is the path of the struct that has secretRef, workloadIdentity and so on below
// spec.provider.<name>, for messages.
func New(creds credential.Reader, field string) *Login {
	return &Login{store: creds.Store, field: field, creds: creds, wire: newWire(), metadata: newMetadataServer()}
}

// Close ends the connections.
func (l *Login) Close() { l.wire.close() }

// Project returns the project of the cluster; field is the one that the store leaves empty.
func (l *Login) Project(ctx context.Context, field string) (string, error) {
	return l.ask(ctx, field, l.metadata.project, IsProjectName)
}

// ask returns what the metadata server says of a field that the store leaves empty.
func (l *Login) ask(ctx context.Context, field string, question func(context.Context) (string, error), valid func(string) bool) (string, error) {
	answer, err := question(ctx)
	if answer = strings.TrimSpace(answer); err != nil || !valid(answer) {
		return "", l.errorf(providers.ErrUnavailable, "%s is not set, and Google's metadata server, which knows it in a cluster of GKE, does not tell it; set it", field)
	}
	return answer, nil
}

// Of logs in by the first method that spec holds, and as the controller itself when it holds none.
func (l *Login) Of(ctx context.Context, spec stores.GCPAuth) (Identity, error) {
	if own := Ambient(l.field, spec); own != nil {
		return l.byDefault(ctx, *own)
	}
	switch {
	case spec.SecretRef != nil:
		return l.byKey(ctx, *spec.SecretRef.SecretAccessKey)
	case spec.WorkloadIdentity != nil:
		return l.byWorkloadIdentity(ctx, spec.WorkloadIdentity)
	default:
		return l.byFederation(ctx, spec.WorkloadIdentityFederation)
	}
}

// scopes is what all tokens are for.
func scopes() []string { return []string{"https://www.googleapis.com/auth/cloud-platform"} }

// gkeAnnotation binds a ServiceAccount to a Google service account.
const gkeAnnotation = "iam.gke.io/gcp-service-account"

// byWorkloadIdentity has a token of a ServiceAccount of this cluster exchanged for one of Google, and that for one of the Google
// service account to which it is bound, if it is.
func (l *Login) byWorkloadIdentity(ctx context.Context, wi *stores.GCPWorkloadIdentity) (Identity, error) {
	field := l.field + ".workloadIdentity."
	project, location, cluster := wi.ClusterProjectID, wi.ClusterLocation, wi.ClusterName
	for _, missing := range []struct {
		value    *string
		field    string
		question func(context.Context) (string, error)
		valid    func(string) bool
	}{
		{&project, "clusterProjectID", l.metadata.project, IsProjectName},
		{&location, "clusterLocation", l.metadata.attribute("cluster-location"), IsLocation},
		{&cluster, "clusterName", l.metadata.attribute("cluster-name"), IsLocation},
	} {
		if *missing.value != "" {
			continue
		}
		var err error
		if *missing.value, err = l.ask(ctx, field+missing.field, missing.question, missing.valid); err != nil {
			return Identity{}, err
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
func (l *Login) exchange(ctx context.Context, field string, account stores.ServiceAccountSelector, email string, options *externalaccount.Options) (Identity, error) {
	who := "ServiceAccount " + account.Name
	if email == "" {
		annotations, err := l.creds.Annotations(ctx, field, account)
		if err != nil {
			return Identity{}, err
		}
		if email = annotations[gkeAnnotation]; email != "" && !IsEmail(email) {
			return Identity{}, l.errorf(providers.ErrInvalid, "%s: annotation %s of %s is not the email address of a Google service account", field, gkeAnnotation, who)
		}
	}
	token, err := l.creds.Token(ctx, field, account)
	if err != nil {
		return Identity{}, err
	}
	options.SubjectTokenProvider = subject(token.Value.Bytes())
	options.SubjectTokenType = typeJWT
	if email != "" {
		options.ServiceAccountImpersonationURL = impersonation(email)
		who = named(email)
	}
	id, err := l.external(ctx, options, who)
	id.Email = email
	return id, err
}

// named is how messages call a Google service account.
func named(email string) string { return "the service account " + email }

// The token types of RFC 8693, and Google's own for a signed request of AWS.
const (
	typeJWT = "urn:ietf:params:oauth:token-type:jwt"
	typeAWS = "urn:ietf:params:aws:token-type:aws4_request"
)

const tokenService = "https://sts.googleapis.com/v1/token" //nolint:gosec // an address, not a credential

func impersonation(email string) string { return serviceAccountURL(email) + ":generateAccessToken" }

// serviceAccountURL is where a service account is asked to make tokens.
func serviceAccountURL(email string) string {
	return "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + email
}

// subject is a token that is there already.
type subject []byte

// SubjectToken implements externalaccount.SubjectTokenProvider.
func (s subject) SubjectToken(context.Context, *externalaccount.RequestOptions) (string, error) {
	return string(s), nil
}

// external gets the token of an external account.
func (l *Login) external(ctx context.Context, options *externalaccount.Options, who string) (Identity, error) {
	options.Scopes, options.Client, options.Logger = scopes(), l.wire.client(), silence()
	if options.TokenURL == "" {
		options.TokenURL = tokenService
	}
	cannot := l.errorf(providers.ErrInvalid, "%s cannot be used as it is; check audience, credConfig and their kind of token", l.field)
	provider, err := externalaccount.NewCredentials(options)
	if err != nil { // its text may quote the configuration
		return Identity{}, cannot
	}
	return l.obtain(ctx, provider, who, cannot)
}

// byDefault takes the identity that the controller itself has, if the store may use it.
func (l *Login) byDefault(ctx context.Context, own providers.Ambient) (Identity, error) {
	if err := l.creds.Env.Ambient(own); err != nil {
		return Identity{}, err
	}
	none := l.errorf(providers.ErrInvalid,
		"%s is not set, and the controller has no usable Application Default Credentials; set %s, or give the controller an identity", l.field, l.field)
	l.wire.trusted = true // what the environment of the controller names was not written by whoever writes the store
	found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: scopes(), Client: l.wire.client(), Logger: silence(), DisableAsyncRefresh: true})
	if err != nil {
		return Identity{}, none
	}
	return l.obtain(ctx, found, "the controller's own identity",
		l.errorf(providers.ErrUnavailable, "the controller's own Application Default Credentials give no access token now"))
}

// obtain asks once for a token. unasked is the error when that failed before anybody was asked.
func (l *Login) obtain(ctx context.Context, from auth.TokenProvider, who string, unasked error) (Identity, error) {
	token, err := from.Token(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return Identity{}, l.errorf(providers.ErrUnavailable, "google did not give an access token in time")
	case err != nil && !l.wire.asked():
		return Identity{}, unasked
	case err != nil:
		return Identity{}, l.refused(l.wire.last, who)
	case token == nil || !credential.Printable(token.Value):
		return Identity{}, l.errorf(providers.ErrUnavailable, "the answer is not an access token of Google's; check what is between")
	}
	return Identity{Token: token.Value, Expires: token.Expiry, Who: who}, nil
}

// refused is the error of the last answer that brought no token.
func (l *Login) refused(a answered, who string) error {
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

func (l *Login) errorf(class error, format string, args ...any) error {
	return providers.Errorf(class, "%s: "+format, append([]any{l.store}, args...)...)
}

// silence is where the libraries log: with a variable of the environment they would log tokens and values.
func silence() *slog.Logger { return slog.New(slog.DiscardHandler) }

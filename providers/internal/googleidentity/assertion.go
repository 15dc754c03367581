package googleidentity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// assertionLife is how long an assertion is good, as long as those of HashiCorp's own clients.
const assertionLife = 10 * time.Minute

// AssertByKey returns a token (JWT) for an audience that a service account has signed with its key, and whose it is. Google is
// not asked.
func (l *Login) AssertByKey(ctx context.Context, ref *stores.GCPAuthSecretRef, audience string) (token, who string, err error) {
	key, invalid, err := l.key(ctx, *ref.SecretAccessKey)
	if err != nil {
		return "", "", err
	}
	claims, err := assertion(key.ClientEmail, audience, time.Now())
	if err != nil {
		return "", "", err
	}
	if token, err = key.sign(claims); err != nil {
		return "", "", invalid(unreadable)
	}
	return token, key.who(), nil
}

// AssertByWorkloadIdentity returns a token (JWT) for an audience that Google has signed for the service account to which a
// ServiceAccount is bound, and whose it is.
func (l *Login) AssertByWorkloadIdentity(ctx context.Context, wi *stores.GCPWorkloadIdentity, audience string) (token, who string, err error) {
	id, err := l.byWorkloadIdentity(ctx, wi)
	if err != nil {
		return "", "", err
	}
	if id.Email == "" {
		return "", "", l.errorf(providers.ErrInvalid, "%s.workloadIdentity.serviceAccountRef: ServiceAccount %s is bound to no Google service account, which alone can sign; annotate it with %s",
			l.field, wi.ServiceAccountRef.Name, gkeAnnotation)
	}
	claims, err := assertion(id.Email, audience, time.Now())
	if err != nil {
		return "", "", err
	}
	token, err = l.signed(ctx, id, claims)
	return token, id.Who, err
}

// assertion returns the claims of a token in which a service account says who it is.
func assertion(email, audience string, now time.Time) ([]byte, error) {
	claims, err := json.Marshal(map[string]any{"aud": audience, "sub": email, "exp": now.Add(assertionLife).Unix()})
	if err != nil {
		return nil, fmt.Errorf("encode claims: %w", err)
	}
	return claims, nil
}

// signed has Google sign claims as the service account that the identity is.
func (l *Login) signed(ctx context.Context, id Identity, claims []byte) (string, error) {
	body, err := json.Marshal(map[string]string{"payload": string(claims)})
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, serviceAccountURL(id.Email)+":signJwt", bytes.NewReader(body))
	if err != nil {
		return "", l.errorf(providers.ErrInvalid, "%s is no name of a service account", id.Who)
	}
	req.Header.Set("Authorization", "Bearer "+id.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.wire.client().Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return "", l.errorf(providers.ErrUnavailable, "google did not sign in time")
		}
		return "", l.refused(l.wire.last, id.Who)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, jsonhttp.MaxAnswer))
	var answer struct {
		SignedJWT string `json:"signedJwt"`
	}
	switch status := resp.StatusCode; {
	case err != nil:
		return "", l.errorf(providers.ErrUnavailable, "the answer of Google could not be read")
	case status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "", l.errorf(providers.ErrDenied, "google does not let %s sign tokens: grant it iam.serviceAccounts.signJwt on itself (roles/iam.serviceAccountTokenCreator), "+
			"and enable the IAM Service Account Credentials API in its project", id.Who)
	case status != http.StatusOK:
		return "", l.refused(l.wire.last, id.Who)
	case json.Unmarshal(raw, &answer) != nil || !credential.Printable(answer.SignedJWT):
		return "", l.errorf(providers.ErrUnavailable, "the answer is not a signed token of Google's; check what is between")
	}
	return answer.SignedJWT, nil
}

// IdentityToken returns a token (JWT) for an audience by which the metadata server of Google vouches for the controller: for its
// machine and that one's service account, or for the service account to which its pod is bound. instead is what a store has to
// set that shall not use the controller's own identity, for messages.
func (l *Login) IdentityToken(ctx context.Context, audience, instead string) (string, error) {
	if err := l.creds.Env.Ambient(*Ambient(l.field, stores.GCPAuth{})); err != nil {
		return "", err
	}
	token, err := l.metadata.identity(ctx, audience)
	token = strings.TrimSpace(token)
	var undefined metadata.NotDefinedError
	switch {
	case errors.As(err, &undefined):
		return "", l.errorf(providers.ErrUnavailable, "the controller has no service account of Google's: give one to its node or pod, or set %s in the store", instead)
	case err != nil:
		return "", l.errorf(providers.ErrUnavailable, "google's metadata server, which gives the controller its own identity on Google Cloud, gives none: set %s in the store", instead)
	case !credential.Printable(token):
		return "", l.errorf(providers.ErrUnavailable, "the answer is not an identity token of Google's; check what is between")
	}
	return token, nil
}

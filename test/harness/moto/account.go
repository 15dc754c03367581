package moto

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Account is an AWS account of its own on the server: no other sees its secrets and parameters.
type Account struct {
	// ID has twelve digits.
	ID string
	// Credentials may do everything in the account.
	Credentials Credentials

	server *Server
}

// NewAccount returns the account with the id, twelve digits.
func (s *Server) NewAccount(ctx context.Context, id string) (*Account, error) {
	a := &Account{ID: id, server: s}
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {a.Role("administrator", Role{})}, "RoleSessionName": {"test"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("open account %s: %w", id, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a.authorize(req, "sts")
	body, err := send(req)
	if err != nil {
		return nil, fmt.Errorf("open account %s: %w", id, err)
	}
	if a.Credentials, err = parseCredentials(body); err != nil {
		return nil, fmt.Errorf("open account %s: %w", id, err)
	}
	return a, nil
}

// Role declares a role of the account, or changes it, and returns its ARN.
func (a *Account) Role(name string, role Role) (arn string) {
	arn = "arn:aws:iam::" + a.ID + ":role/" + name
	a.server.front.declare(arn, role)
	return arn
}

// Call asks a service of JSON, "secretsmanager", "ssm", "kms" or "acm", for an action in Region as the account's
// administrator; out may be nil.
func (a *Account) Call(ctx context.Context, service, action string, in, out any) error {
	targets := map[string]string{"secretsmanager": "secretsmanager", "ssm": "AmazonSSM", "kms": "TrentService", "acm": "CertificateManager"}
	raw, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", service, action, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.server.URL(), bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("%s %s: %w", service, action, err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", targets[service]+"."+action)
	a.authorize(req, service)
	body, err := send(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", service, action, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", service, action, err)
	}
	return nil
}

// authorize names the account's key as signed requests do. Moto does not look at the signature.
func (a *Account) authorize(req *http.Request, service string) {
	key := a.Credentials.AccessKeyID
	if key == "" {
		key = "nobody" // moto's own account
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/20260101/"+Region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
}

func send(req *http.Request) ([]byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, nil
}

// PutSecret writes a new version of a secret of Secrets Manager and creates the secret if need be.
func (a *Account) PutSecret(ctx context.Context, name, value string) error {
	err := a.Call(ctx, "secretsmanager", "PutSecretValue", map[string]any{"SecretId": name, "SecretString": value, "ClientRequestToken": requestToken()}, nil)
	if err != nil && strings.Contains(err.Error(), "ResourceNotFoundException") {
		err = a.Call(ctx, "secretsmanager", "CreateSecret", map[string]any{"Name": name, "SecretString": value, "ClientRequestToken": requestToken()}, nil)
	}
	return err
}

// DeleteSecret deletes a secret of Secrets Manager at once, without a time in which it could be restored.
func (a *Account) DeleteSecret(ctx context.Context, name string) error {
	return a.Call(ctx, "secretsmanager", "DeleteSecret", map[string]any{"SecretId": name, "ForceDeleteWithoutRecovery": true}, nil)
}

// PutParameter writes a SecureString of Parameter Store.
func (a *Account) PutParameter(ctx context.Context, name, value string) error {
	return a.Call(ctx, "ssm", "PutParameter", map[string]any{"Name": name, "Value": value, "Type": "SecureString", "Overwrite": true}, nil)
}

// DeleteParameter deletes a parameter of Parameter Store.
func (a *Account) DeleteParameter(ctx context.Context, name string) error {
	return a.Call(ctx, "ssm", "DeleteParameter", map[string]any{"Name": name}, nil)
}

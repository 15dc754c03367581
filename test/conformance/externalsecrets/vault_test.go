package externalsecrets_test

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/gcp"
	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// vaultWrite is a path of Vault and what is written there. What only a running Vault knows has names in it (vaultValues).
type vaultWrite struct {
	Write string         `json:"write"`
	With  map[string]any `json:"with"`
}

// The service accounts of Google beside googleReader: as whom Vault asks who logs in, the controllers' own, and the one of the
// ServiceAccount "mute" of the case vault-gcp, which may not sign.
const (
	googleVerifier = "vault@conformance.iam.gserviceaccount.com"
	googleNode     = "node@conformance.iam.gserviceaccount.com"
	googleMute     = "mute@conformance.iam.gserviceaccount.com"
)

// startVault starts the Vault of the cases, which asks the Google of the cases who logs in.
func (w *world) startVault(t *testing.T) {
	t.Helper()
	if w.vault, w.noVault = vault.Start(t.Context(), vault.Options{Env: w.google.Env()}); w.noVault != nil {
		return
	}
	t.Cleanup(func() { _ = w.vault.Stop() })
	keys, err := w.cp.TokenKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const pool = "conformance.svc.id.goog"
	audience := "identitynamespace:" + pool + ":https://container.googleapis.com/v1/projects/conformance/locations/" + gcp.Region + "/clusters/main"
	w.google.Trust(audience, gcp.Issuer{URL: controlplane.Issuer, Keys: *keys, Audience: pool})
	for account, email := range map[string]string{"reader": googleReader, "mute": googleMute} {
		w.google.LetActAs(gcp.Principal(audience, "system:serviceaccount:vault-gcp:"+account), email)
		w.google.Account(email)
	}
	w.google.LetSign("serviceAccount:"+googleReader, googleReader)
	w.google.Grant("serviceAccount:"+googleVerifier, "projects/-", "iam.serviceAccounts.get")
	w.google.Cluster("conformance", gcp.Region, "main", "serviceAccount:"+googleNode)
}

// fillVault makes what a case has in Vault.
func (w *world) fillVault(t *testing.T, c *conformanceCase) {
	t.Helper()
	if w.noVault != nil {
		process.Missing(t, w.noVault)
	}
	ctx := t.Context()
	if err := w.vault.EnableKV(ctx, c.namespace, 2); err != nil {
		t.Fatal(err)
	}
	if err := w.vault.Policy(ctx, c.namespace, vault.ReadPolicy(c.namespace, "*")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.vault.Put(ctx, c.namespace, "db", map[string]any{"password": "value"}); err != nil {
		t.Fatal(err)
	}
	values := w.vaultValues(t)
	for _, s := range c.Vault {
		for field, v := range s.With {
			if text, ok := v.(string); ok {
				s.With[field] = values.Replace(text)
			}
		}
		if err := w.vault.Write(ctx, s.Write, s.With); err != nil {
			t.Fatal(err)
		}
	}
}

// vaultValues are what the names stand for in what is written to Vault: the certificate of the API server, a token by which it is
// asked about others, the keys of its tokens, the key of Google's service account, and the address of AWS STS.
func (w *world) vaultValues(t *testing.T) *strings.Replacer {
	t.Helper()
	reviewer, err := w.cp.TokenReviewer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.cp.TokenKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var public strings.Builder
	for _, key := range keys.Keys {
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err != nil {
			t.Fatal(err)
		}
		public.Write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	key, err := w.google.Key(googleVerifier)
	if err != nil {
		t.Fatal(err)
	}
	values := []string{"$PEM", string(w.cp.CA()), "$REVIEWER", reviewer, "$KEYS", public.String(), "$GOOGLE", string(key)}
	if w.aws != nil {
		values = append(values, "$STS", w.aws.URL())
	}
	return strings.NewReplacer(values...)
}

package main

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

func TestTheFlagsOfATransitKeyAreEnoughToSealAndOpen(t *testing.T) {
	w, server, ctx := newWorld(t), vault.New(t), t.Context()
	mount, auth := server.Transit(t), "kubernetes-"+w.ns
	reviewer, err := w.cp.TokenReviewer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	policy := "path \"" + mount + "/keys/k\" { capabilities = [\"read\"] }\npath \"" + mount + "/decrypt/k\" { capabilities = [\"update\"] }\n"
	for _, err := range []error{
		server.Write(ctx, mount+"/keys/k", map[string]any{"type": "rsa-4096"}),
		server.Policy(ctx, w.ns, policy),
		server.EnableKubernetes(ctx, auth, vault.Cluster{Host: w.cp.URL(), CA: w.cp.CA(), ReviewerToken: reviewer}),
		server.KubernetesRole(ctx, auth, "r", vault.KubernetesRole{
			ServiceAccounts: []string{"controller"}, Namespaces: []string{w.ns}, Audience: "vault", Policies: []string{w.ns}, TTL: time.Hour}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	token, err := w.cp.ServiceAccountToken(ctx, w.ns, "controller", "vault")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.start("--native-keys=false", "--concurrent=1", "--transit-address="+server.Address(), "--transit-key="+mount+"/k", "--transit-role=r",
		"--transit-auth-mount="+auth, "--transit-token-file="+file)
	var recipients []*agebox.Recipient
	w.eventually("the key of Vault is sealed to", func() bool {
		code, text := r.ask(http.MethodGet, "/v1/recipients", "")
		found, err := agebox.ParseRecipients([]byte(text))
		recipients = found
		return code == http.StatusOK && err == nil && found[0].Held()
	})
	value, err := seal.Seal(rand.Reader, seal.Native(recipients...), seal.Strict, w.ns, "app", []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "app"}}
	obj.Spec.EncryptedData = map[string]string{"k": value}
	if err := w.client.Create(ctx, obj); err != nil {
		t.Fatal(err)
	}
	w.opened("app")
	r.Stop(30 * time.Second)
	if left, err := server.Tokens(ctx, auth); err != nil || len(left) > 0 {
		t.Errorf("%d logins outlive the controller: %v", len(left), err)
	}
	log, err := os.ReadFile(r.Log())
	if err != nil || strings.Contains(string(log), canary) || strings.Contains(string(log), token) {
		t.Errorf("the log shows a value or the token: %v", err)
	}
}

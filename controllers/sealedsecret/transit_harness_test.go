package sealedsecret_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/plugins/transit"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

const sealing = "sealing"

// held is a world whose values Vault holds the key of, and that Vault.
type held struct {
	*world
	vault       *vault.Server
	mount, auth string
	policy      string
	token       string
	timeout     time.Duration
}

// policies of the controller: what docs/operations.md tells to grant, or a part of it.
func (h *held) allow(capabilities ...string) {
	h.t.Helper()
	rules := ""
	for _, c := range capabilities {
		path := map[string]string{"read": h.mount + "/keys/" + sealing, "update": h.mount + "/decrypt/" + sealing}[c]
		rules += fmt.Sprintf("path %q { capabilities = [%q] }\n", path, c)
	}
	if err := h.vault.Policy(h.t.Context(), h.policy, rules); err != nil {
		h.t.Fatal(err)
	}
}

// write is vault write.
func (h *held) write(path string, data map[string]any) {
	h.t.Helper()
	if err := h.vault.Write(h.t.Context(), path, data); err != nil {
		h.t.Fatal(err)
	}
}

// prepared returns a world that has a key in a Vault, and no controller yet.
func prepared(t *testing.T, server *vault.Server) *held {
	t.Helper()
	w := newWorld(t)
	h := &held{world: w, vault: server, mount: server.Transit(t), auth: "kubernetes-" + w.ns, policy: w.ns, timeout: 20 * time.Second}
	ctx := t.Context()
	h.write(h.mount+"/keys/"+sealing, map[string]any{"type": "rsa-2048", "exportable": true})
	h.allow("read", "update")
	reviewer, err := w.cp.TokenReviewer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = server.EnableKubernetes(ctx, h.auth, vault.Cluster{Host: w.cp.URL(), CA: w.cp.CA(), ReviewerToken: reviewer})
	if err != nil {
		t.Fatal(err)
	}
	err = server.KubernetesRole(ctx, h.auth, "sealbridge", vault.KubernetesRole{
		ServiceAccounts: []string{"sealbridge-controller"}, Namespaces: []string{w.ns}, Audience: "vault", Policies: []string{h.policy}, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.cp.ServiceAccountToken(ctx, w.ns, "sealbridge-controller", "vault")
	if err != nil {
		t.Fatal(err)
	}
	h.token = token
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	h.hold(file)
	return h
}

// hold gives the next controller a client of Vault.
func (h *held) hold(file string) {
	h.t.Helper()
	c, err := transit.New(transit.Options{
		Address: h.vault.Address(), CA: h.vault.CA(), Mount: h.mount, Key: sealing, AuthMount: h.auth, Role: "sealbridge",
		Token: func() ([]byte, error) { return os.ReadFile(file) }, Now: time.Now, Timeout: h.timeout,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	h.held = c
}

// checkCanary searches for the token, too.
func (h *held) checkCanary() {
	h.t.Helper()
	h.world.checkCanary()
	if text := h.logs.String(); strings.Contains(text, h.token) || strings.Contains(text, "hvs.") {
		h.t.Error("the log shows a token")
	}
}

// recipients asks the controller whom to seal to, as the CLI does.
func (h *held) recipients() (string, int) {
	h.t.Helper()
	resp, err := http.Get(h.url + "/v1/recipients")
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text), resp.StatusCode
}

// recipient waits for the version of the key that is sealed to.
func (h *held) recipient(version string) *agebox.Recipient {
	h.t.Helper()
	var found []*agebox.Recipient
	h.eventually("version "+version+" of the key is sealed to", func() bool {
		text, code := h.recipients()
		var err error
		found, err = agebox.ParseRecipients([]byte(text))
		return code == 200 && err == nil && strings.Contains(text, "/"+sealing+" "+version+" ")
	})
	return found[0]
}

// asked returns how often Vault was asked to decrypt.
func (h *held) asked() int {
	h.t.Helper()
	requests, err := h.vault.Requests()
	if err != nil {
		h.t.Fatal(err)
	}
	n := 0
	for _, r := range requests {
		if r.Path == h.mount+"/decrypt/"+sealing {
			n++
		}
	}
	return n
}

// apply makes a SealedSecret whose values are sealed to a recipient.
func (h *held) apply(name string, to *agebox.Recipient, values map[string]string) {
	h.t.Helper()
	h.create(h.sealedObject(name, to, values))
}

// sealedObject returns what apply makes.
func (h *held) sealedObject(name string, to *agebox.Recipient, values map[string]string) *v1alpha1.SealedSecret {
	h.t.Helper()
	obj := h.object(name, nil)
	for key, value := range values {
		obj.Spec.EncryptedData[key] = h.sealedNative(seal.Strict, h.ns, name, value, to)
	}
	return obj
}

// private returns the primes and PEM of every version of the key, which only this test may see.
func (h *held) private() [][]byte {
	h.t.Helper()
	exported, err := h.vault.Client().Logical().ReadWithContext(h.t.Context(), h.mount+"/export/encryption-key/"+sealing)
	if err != nil {
		h.t.Fatal(err)
	}
	var out [][]byte
	for _, text := range exported.Data["keys"].(map[string]any) {
		block, _ := pem.Decode([]byte(text.(string)))
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, []byte(strings.Split(text.(string), "\n")[5]), key.Primes[0].Bytes(), key.Primes[1].Bytes(), key.D.Bytes())
	}
	if len(out) == 0 {
		h.t.Fatal("no key was exported")
	}
	return out
}

// post sends a SealedSecret to the controller.
func (h *held) post(path string, obj *v1alpha1.SealedSecret) (int, []byte) {
	h.t.Helper()
	obj = obj.DeepCopy()
	obj.APIVersion, obj.Kind = "bitnami.com/v1alpha1", "SealedSecret"
	body, err := json.Marshal(obj)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.Post(h.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// signal stops or continues the process of Vault.
func (h *held) signal(s syscall.Signal) {
	h.t.Helper()
	if err := syscall.Kill(h.vault.PID(), s); err != nil {
		h.t.Fatal(err)
	}
}

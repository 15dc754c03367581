package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/forwardproxy"
	"github.com/sealbridge/sealbridge/test/harness/gcp"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

// proxyCanary is the password of a proxy.
const proxyCanary = "canary-90c1f7d2"

// forwarded are the stores of a controller that has a proxy, by their names.
func (w *storeWorld) forwarded(secured, plain *httptest.Server, key []byte) map[string]stores.Provider {
	login := func(key string) *stores.SecretKeySelector { return &stores.SecretKeySelector{Name: "login", Key: key} }
	w.make(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "login"}, Data: map[string][]byte{"id": []byte("id"), "key": []byte("key"), "google": key}})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw})
	hook := func(url string) stores.Provider {
		return stores.Provider{Webhook: &stores.Webhook{URL: url, CABundle: ca, Timeout: &metav1.Duration{Duration: 10 * time.Second}}}
	}
	slow := hook("https://slow.test/")
	slow.Webhook.Timeout.Duration = time.Second
	_, port, err := net.SplitHostPort(plain.Listener.Addr().String())
	must(w.t, err)
	return map[string]stores.Provider{
		"secured": hook("https://example.com/{{ .remoteRef.key }}"), "plain": hook("http://plain.test/{{ .remoteRef.key }}"), "loopback": hook("http://localhost:" + port + "/{{ .remoteRef.key }}"),
		"except": hook("https://except.test/"), "page": hook("https://page.test/"), "slow": slow, "metadata": hook("http://169.254.169.254/latest/{{ .remoteRef.key }}"),
		"vault":      {Vault: &stores.Vault{Server: "https://forbidden.test:8200", Path: "kv", Auth: &stores.VaultAuth{TokenSecretRef: login("key")}}},
		"kubernetes": {Kubernetes: &stores.Kubernetes{Server: stores.KubernetesServer{URL: "https://api.test", CABundle: ca}, Auth: &stores.KubernetesAuth{Token: &stores.KubernetesTokenAuth{BearerToken: *login("key")}}}},
		"aws":        {AWS: &stores.AWS{Service: stores.AWSSecretsManager, Region: moto.Region, Auth: stores.AWSAuth{SecretRef: &stores.AWSAuthSecretRef{AccessKeyID: login("id"), SecretAccessKey: login("key")}}}},
		"azure":      {AzureKV: &stores.AzureKV{VaultURL: "https://kv.test", TenantID: "8cf1a1b0-0000-4000-8000-000000000000", AuthSecretRef: &stores.AzureAuthSecretRef{ClientID: login("id"), ClientSecret: login("key")}}},
		"google":     {GCPSM: &stores.GCPSM{ProjectID: "p-one", Auth: stores.GCPAuth{SecretRef: &stores.GCPAuthSecretRef{SecretAccessKey: login("google")}}}},
		// The identity of the controller, at the metadata addresses of the clouds.
		"own-aws": {AWS: &stores.AWS{Service: stores.AWSSecretsManager, Region: moto.Region}}, "own-google": {GCPSM: &stores.GCPSM{}},
		"own-azure": {AzureKV: &stores.AzureKV{VaultURL: "https://example.com", AuthType: stores.AzureManagedIdentity}},
	}
}

// TestStoresAreReachedThroughTheProxyOfTheEnvironment: what goes through it does, what shall not does not, and what it refuses is
// told apart from what a store does. Its password is nowhere.
func TestStoresAreReachedThroughTheProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	w, login := newStoreWorld(t), url.UserPassword("bridge", proxyCanary)
	w.private = func() []string {
		return []string{proxyCanary, base64.StdEncoding.EncodeToString([]byte("bridge:" + proxyCanary)), base64.StdEncoding.EncodeToString([]byte("bridge:not-" + proxyCanary))}
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, storeCanary+r.URL.Path) })
	secured, plain := httptest.NewTLSServer(answer), httptest.NewServer(answer)
	defer secured.Close()
	defer plain.Close()
	p := forwardproxy.New(t, login)
	p.Lead("example.com", secured.Listener.Addr().String())
	p.Lead("plain.test", plain.Listener.Addr().String())
	p.Say("forbidden.test", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>"+storeCanary, http.StatusForbidden)
	})
	p.Say("page.test", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>"+storeCanary) })
	p.Say("slow.test", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cloud, err := gcp.Start(t.Context())
	must(t, err)
	defer func() { must(t, cloud.Stop()) }()
	key, err := cloud.Key("reader@p-one.iam.gserviceaccount.com")
	must(t, err)
	clean := []string{
		"AWS_SECRETSMANAGER_ENDPOINT=https://aws.test", "AWS_STS_ENDPOINT=https://aws.test", "AWS_EC2_METADATA_DISABLED=", "AWS_CONFIG_FILE=none", "AWS_SHARED_CREDENTIALS_FILE=none",
		"AWS_ACCESS_KEY_ID=", "AWS_WEB_IDENTITY_TOKEN_FILE=", "GOOGLE_APPLICATION_CREDENTIALS=", "GCE_METADATA_HOST=", "IDENTITY_ENDPOINT=", "SSL_CERT_FILE=",
	}
	w.env = slices.Concat(clean, p.Environment("except.test"))
	all := w.forwarded(secured, plain, key)
	for name, provider := range all {
		w.make(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: esv1.SecretStoreSpec{Controller: w.class(), Provider: provider}},
			w.externalSecret(w.ns, name, esv1.StoreRef{Name: name}, esv1.RemoteRef{Key: "app"}))
	}
	w.run()
	for _, name := range []string{"secured", "plain", "loopback"} {
		w.holds(w.ns, name, storeCanary+"/app")
	}
	at := "the proxy http://" + p.Address()
	for name, text := range map[string]string{
		"vault":      "cannot reach https://forbidden.test:8200: " + at + " does not let requests through to it (403 Forbidden); allow them there, or name its host in NO_PROXY",
		"kubernetes": "cannot reach https://api.test: " + at + " does not reach it (502 Bad Gateway)",
		"aws":        "cannot reach https://aws.test: " + at + " does not reach it (502 Bad Gateway)",
		"azure":      "cannot reach https://kv.test: " + at + " does not reach it (502 Bad Gateway)",
		"google":     "cannot reach oauth2.googleapis.com: " + at + " does not reach it (502 Bad Gateway)",
		"page":       "cannot reach https://page.test through " + at + ": ",
		"slow":       "cannot reach https://slow.test through " + at + ": it did not answer in time",
		"except":     "cannot reach https://except.test: its name cannot be resolved",
		"metadata":   "cannot reach http://169.254.169.254: link-local and metadata addresses are refused",
		"own-aws":    "", "own-google": "", "own-azure": "", // whatever there is where the test runs
	} {
		w.says(name, text)
	}
	want := []string{"api.test", "aws.test", "example.com", "forbidden.test", "kv.test", "oauth2.googleapis.com", "page.test", "plain.test", "slow.test"}
	if got := p.Asked(); !slices.Equal(got, want) {
		t.Errorf("the proxy was asked for %v", got)
	}

	// The same proxy with another password, and without it.
	w.end()
	w.env = append(w.env, "HTTPS_PROXY=http://bridge:not-"+proxyCanary+"@"+p.Address(), "https_proxy=http://bridge:not-"+proxyCanary+"@"+p.Address(),
		"HTTP_PROXY=http://"+p.Address(), "http_proxy=http://"+p.Address())
	w.start()
	w.says("secured", "cannot reach https://example.com: "+at+" does not accept the name and password in HTTPS_PROXY of the controller (407 Proxy Authentication Required); correct them")
	w.says("plain", "cannot reach http://plain.test: "+at+" wants a login (407 Proxy Authentication Required); put name and password into HTTP_PROXY of the controller")
	w.holds(w.ns, "secured", storeCanary+"/app")
	p.Stop()
	w.says("secured", "cannot reach https://example.com: "+at+": it refuses connections; check it, and HTTPS_PROXY of the controller")
	w.says("azure", "cannot reach https://kv.test: "+at+": it refuses connections")
	w.holds(w.ns, "secured", storeCanary+"/app")
	if strings.Contains(at, "@") {
		t.Error("the address of the proxy has a login")
	}
}

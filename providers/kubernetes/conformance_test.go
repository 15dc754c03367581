package kubernetes_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clients "k8s.io/client-go/kubernetes"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/kubernetes"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

const canary = providertest.Canary

func admin(t *testing.T, cp *controlplane.ControlPlane) clients.Interface {
	t.Helper()
	c, err := clients.NewForConfig(cp.Config())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func create(t *testing.T, cp *controlplane.ControlPlane, secret *corev1.Secret) {
	t.Helper()
	if _, err := admin(t, cp).CoreV1().Secrets(secret.Namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// reader returns a token of a ServiceAccount that may read the Secrets of its namespace.
func reader(t *testing.T, cp *controlplane.ControlPlane, namespace string) string {
	t.Helper()
	token, err := cp.ServiceAccountToken(t.Context(), namespace, "reader")
	if err != nil {
		t.Fatal(err)
	}
	allow(t, cp, controlplane.ServiceAccount(namespace, "reader"), namespace)
	return token
}

func allow(t *testing.T, cp *controlplane.ControlPlane, who rbacv1.Subject, namespace string, names ...string) {
	t.Helper()
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: names}
	if len(names) == 0 {
		rule.Verbs = append(rule.Verbs, "list")
	}
	if err := cp.Allow(t.Context(), who, namespace, rule); err != nil {
		t.Fatal(err)
	}
}

func tokenRef() providers.ObjectRef { return providers.ObjectRef{Name: "bearer", Key: "token"} }

func tokenEnv(token string) *providertest.Env {
	return &providertest.Env{Secrets: map[providers.ObjectRef][]byte{tokenRef(): []byte(token + "\n")}}
}

func config(spec *stores.Kubernetes) providers.Config {
	return providers.Config{Store: "SecretStore team-a/cluster", Spec: spec}
}

func tokenStore(url string, ca []byte, namespace string) *stores.Kubernetes {
	return &stores.Kubernetes{
		Server: stores.KubernetesServer{URL: url, CABundle: ca}, RemoteNamespace: namespace,
		Auth: &stores.KubernetesAuth{Token: &stores.KubernetesTokenAuth{BearerToken: stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key}}},
	}
}

func TestKubernetesConforms(t *testing.T) {
	cp := controlplane.New(t)
	namespaces := [2]string{cp.Namespace(t), cp.Namespace(t)}
	tokens := [2]string{reader(t, cp, namespaces[0]), reader(t, cp, namespaces[1])}
	store := func(i int) func(*testing.T) (providers.Config, providers.Env) {
		return func(*testing.T) (providers.Config, providers.Env) {
			return config(tokenStore(cp.URL(), cp.CA(), namespaces[i])), tokenEnv(tokens[i])
		}
	}
	providertest.Run(t, providertest.Harness{
		Provider: kubernetes.Provider{},
		Configs:  [2]func(*testing.T) (providers.Config, providers.Env){store(0), store(1)},
		Put: func(t *testing.T, i int, name string, fields map[string]string) providers.Ref {
			t.Helper()
			data := make(map[string][]byte, len(fields))
			for k, v := range fields {
				data[k] = []byte(v)
			}
			create(t, cp, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespaces[i], Name: name}, Data: data})
			return providers.Ref{Key: name}
		},
		Missing: providers.Ref{Key: "nowhere"},
		Binary:  true,
		Hang: serve(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // a server learns of a client that went only once it has read the request
			<-r.Context().Done()
		}),
		HTTP: func(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
			t.Helper()
			return serve(handler)(t)
		},
		Faults: faults(cp, namespaces, tokens),
		Invalid: map[string]providers.Config{
			"kubernetes":  config(nil),
			"authRef.key": config(&stores.Kubernetes{AuthRef: &stores.SecretKeySelector{Name: "kubeconfig"}}),
		},
	})
}

// serve is a store on a server of our own, for faults that the real one cannot be made to show.
func serve(handler http.HandlerFunc) func(*testing.T) (providers.Config, providers.Env) {
	return func(t *testing.T) (providers.Config, providers.Env) {
		t.Helper()
		server := httptest.NewUnstartedServer(handler)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.Start()
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
		})
		return config(tokenStore(server.URL, nil, "remote")), tokenEnv(canary)
	}
}

func says(status int, body string) func(*testing.T) (providers.Config, providers.Env) {
	return serve(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	})
}

func faults(cp *controlplane.ControlPlane, namespaces, tokens [2]string) map[string]providertest.Fault {
	const strange = "not a Kubernetes API server's"
	status := func(reason, kind, name string) string {
		return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"reason":%q,"details":{"kind":%q,"name":%q}}`, canary, reason, kind, name)
	}
	return map[string]providertest.Fault{
		"the token is wrong": {Class: providers.ErrDenied, Says: []string{"does not accept the credentials of the owner of the token in Secret bearer"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(cp.URL(), cp.CA(), namespaces[0])), tokenEnv(canary)
			}},
		"the namespace of others": {Class: providers.ErrDenied, Says: []string{`grant it the verb "get" on secrets in namespace ` + namespaces[1]},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(cp.URL(), cp.CA(), namespaces[1])), tokenEnv(tokens[0])
			}},
		"the authority is unknown": {Class: providers.ErrUnavailable, Says: []string{"set caBundle or caProvider"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(cp.URL(), nil, namespaces[0])), tokenEnv(tokens[0])
			}},
		"the Secret with the token is missing": {Class: providers.ErrUnavailable, Says: []string{"auth.token.bearerToken", "bearer"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(cp.URL(), cp.CA(), namespaces[0])), &providertest.Env{}
			}},
		"the bundle is missing": {Class: providers.ErrUnavailable, Says: []string{"server.caProvider"}, Open: func(*testing.T) (providers.Config, providers.Env) {
			spec := tokenStore(cp.URL(), nil, namespaces[0])
			spec.Server.CAProvider = &stores.CAProvider{Type: stores.CAProviderConfigMap, Name: "none", Key: "ca.crt"}
			return config(spec), tokenEnv(tokens[0])
		}},
		"the certificate is missing": {Class: providers.ErrUnavailable, Says: []string{"auth.cert.clientCert"}, Open: func(*testing.T) (providers.Config, providers.Env) {
			spec := tokenStore(cp.URL(), cp.CA(), namespaces[0])
			spec.Auth = &stores.KubernetesAuth{Cert: &stores.KubernetesCertAuth{
				ClientCert: stores.SecretKeySelector{Name: "none", Key: "crt"}, ClientKey: stores.SecretKeySelector{Name: "none", Key: "key"},
			}}
			return config(spec), tokenEnv(tokens[0])
		}},
		"the ServiceAccount is missing": {Class: providers.ErrUnavailable, Says: []string{"auth.serviceAccount"}, Open: func(*testing.T) (providers.Config, providers.Env) {
			spec := tokenStore(cp.URL(), cp.CA(), namespaces[0])
			spec.Auth = &stores.KubernetesAuth{ServiceAccount: &stores.ServiceAccountSelector{Name: "none"}}
			return config(spec), tokenEnv(tokens[0])
		}},
		"throttled": {Throttled: true, Says: []string{"throttled by the store"}, Open: serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
		})},
		"a proxy without a server":        {Class: providers.ErrUnavailable, Says: []string{"503"}, Open: says(503, "<html>"+canary)},
		"a page instead of a Secret":      {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(200, "<html>"+canary)},
		"another kind":                    {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(200, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"nowhere"},"data":{"k":"`+canary+`"}}`)},
		"a Secret of another version":     {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(200, `{"kind":"Secret","apiVersion":"v2","metadata":{"name":"nowhere"},"data":{"k":"`+canary+`"}}`)},
		"another Secret":                  {Class: providers.ErrUnavailable, Says: []string{`asked for Secret remote/nowhere, it answers "other"`}, Open: says(200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"other"},"data":{}}`)},
		"a Secret of another namespace":   {Class: providers.ErrUnavailable, Says: []string{`it answers "others/nowhere"`}, Open: says(200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"nowhere","namespace":"others"},"data":{}}`)},
		"a Secret without a name":         {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(200, `{"kind":"Secret","apiVersion":"v1","metadata":{},"data":{}}`)},
		"data that is not base64":         {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"nowhere"},"data":{"k":"`+canary+`"}}`)},
		"metadata that are not UTF-8":     {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(200, "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"nowhere\",\"annotations\":{\"a\":\"\xff\"}}}")},
		"an answer that is cut off":       {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"nowhere"},"data":{"k":"`)},
		"a page that was not found":       {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(404, "404 page not found "+canary)},
		"something else was not found":    {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(404, status("NotFound", "namespaces", "remote"))},
		"a Secret of another name is not": {Class: providers.ErrUnavailable, Says: []string{strange}, Open: says(404, status("NotFound", "secrets", "other"))},
		"a refusal that quotes":           {Class: providers.ErrDenied, Says: []string{"Secret remote/nowhere"}, Open: says(403, status("Forbidden", "secrets", "nowhere"))},
		"a redirect":                      {Class: providers.ErrUnavailable, Says: []string{"redirects elsewhere"}, Open: says(302, "")},
		"an answer of 5 MiB":              {Class: providers.ErrInvalid, Says: []string{"larger than 4 MiB"}, Open: says(200, strings.Repeat(canary, 5<<20/len(canary)))},
	}
}

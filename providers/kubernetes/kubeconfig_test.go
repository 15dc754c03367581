package kubernetes_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/kubernetes"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// kubeconfig returns one with a cluster, a user, and others of each that count for nothing.
func kubeconfig(cluster, user string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
preferences: {}
current-context: here
contexts:
- {name: elsewhere, context: {cluster: wrong, user: wrong}}
- {name: here, context: {cluster: right, user: me, namespace: kube-system}}
clusters:
- {name: wrong, cluster: {server: "https://192.0.2.1"}}
- {name: right, cluster: {%s}}
- {name: right, cluster: {server: "https://192.0.2.2"}}
users:
- {name: wrong, user: {exec: {command: /bin/false, apiVersion: client.authentication.k8s.io/v1}}}
- {name: me, user: {%s}}
`, cluster, user)
}

func encoded(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// fromKubeconfig is a store with a kubeconfig. What else it says about server and identity has no meaning.
func fromKubeconfig(namespace, content string) (*stores.Kubernetes, *providertest.Env) {
	spec := &stores.Kubernetes{
		AuthRef: &stores.SecretKeySelector{Name: "kc", Key: "config"}, RemoteNamespace: namespace,
		Server: stores.KubernetesServer{URL: "https://192.0.2.3"}, Auth: &stores.KubernetesAuth{},
	}
	return spec, &providertest.Env{Secrets: map[providers.ObjectRef][]byte{{Name: "kc", Key: "config"}: []byte(content)}}
}

func TestAKubeconfigSaysWhereAndAsWhom(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	create(t, cp, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"}, Data: map[string][]byte{"k": []byte(canary)}})
	name := "user-of-" + ns
	user, err := cp.UserConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	allow(t, cp, controlplane.User(name), ns)
	server := fmt.Sprintf("server: %q, certificate-authority-data: %s", cp.URL(), encoded(cp.CA()))
	certificate := fmt.Sprintf("client-certificate-data: %s, client-key-data: %s", encoded(user.CertData), encoded(user.KeyData))
	for title, tc := range map[string]struct {
		content string
		expires bool
	}{
		"a token":                {kubeconfig(server+`, insecure-skip-tls-verify: false, extensions: []`, "token: "+reader(t, cp, ns)+`, tokenFile: ""`), false},
		"a client certificate":   {kubeconfig(server, certificate), true},
		"a name of the server":   {kubeconfig(server+", tls-server-name: kubernetes.default.svc", certificate), true},
		"JSON, without a scheme": {`{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"server":"` + strings.TrimPrefix(cp.URL(), "https://") + `","certificate-authority-data":"` + encoded(cp.CA()) + `"}}],"users":[{"name":"u","user":{"token":"` + reader(t, cp, ns) + `"}}]}`, false},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			session := open(t, first(fromKubeconfig(ns, tc.content)), second(fromKubeconfig(ns, tc.content)))
			if got := fieldsOf(t, fetchOne(t, session, providers.Ref{Key: "app"}), ""); got["k"] != canary {
				t.Error("read another value")
			}
			if err := check(t, session); err != nil {
				t.Error(err)
			}
			expirer, ok := providers.As[providers.Expirer](session)
			if !ok || expirer.Expires().IsZero() == tc.expires {
				t.Errorf("expires at %v", expirer.Expires())
			}
		})
	}
}

func first[A, B any](a A, _ B) A  { return a }
func second[A, B any](_ A, b B) B { return b }

// TestAKubeconfigCannotReachOutOfItself: a kubeconfig can name programs to run and files to read where it is read, which is the
// controller (CVE-2022-24817 of Flux). None is opened, and nothing is sent anywhere.
func TestAKubeconfigCannotReachOutOfItself(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a server was asked") }))
	t.Cleanup(server.Close)
	at := fmt.Sprintf("server: %q", server.URL)
	for title, tc := range map[string]struct{ content, says string }{
		"a program":                   {kubeconfig(at, `exec: {command: /bin/sh, args: ["-c", "`+canary+`"]}`), "a user with exec"},
		"a plugin":                    {kubeconfig(at, `auth-provider: {name: `+canary+`}`), "a user with auth-provider"},
		"a file with a token":         {kubeconfig(at, `token: x, tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token`), "a user with tokenFile"},
		"a file with a certificate":   {kubeconfig(at, `client-certificate: /etc/`+canary), "a user with client-certificate"},
		"a file with a key":           {kubeconfig(at, `client-key: /etc/`+canary), "a user with client-key"},
		"a file with an authority":    {kubeconfig(at+`, certificate-authority: /etc/`+canary, ""), "a cluster with certificate-authority"},
		"a password":                  {kubeconfig(at, `username: a, password: `+canary), "a user with password"},
		"a user with a name":          {kubeconfig(at, `username: `+canary), "a user with username"},
		"another uid":                 {kubeconfig(at, `token: x, as-uid: `+canary), "a user with as-uid"},
		"other groups":                {kubeconfig(at, `token: x, as-groups: [`+canary+`]`), "a user with as-groups"},
		"other extras":                {kubeconfig(at, `token: x, as-user-extra: {a: [`+canary+`]}`), "a user with as-user-extra"},
		"another identity":            {kubeconfig(at, `token: x, as: `+canary), "a user with as"},
		"a server that nobody checks": {kubeconfig(at+`, insecure-skip-tls-verify: true`, ""), "a cluster with insecure-skip-tls-verify"},
		"a proxy":                     {kubeconfig(at+`, proxy-url: "http://`+canary+`"`, ""), "a cluster with proxy-url"},
		"a field of tomorrow":         {kubeconfig(at, canary+`: x`), "a user with a field that is not known"},
		"fields in other letters":     {kubeconfig(at, `Exec: {command: x}`), "a user with a field that is not known"},
		"another type":                {kubeconfig(at, `token: [`+canary+`]`), "has a user that cannot be read"},
		"no YAML":                     {canary + ": [", "is not a kubeconfig"},
		"nothing":                     {"", "has no current-context"},
		"a list":                      {"[" + canary + "]", "is not a kubeconfig"},
		"aliases that make gigabytes": {"a: &a " + strings.Repeat("x", 400_000) + "\nb: [" + strings.Repeat("*a,", 20_000) + "]\n" + kubeconfig(at, "token: x"), "has aliases that expand to more than 1 MiB; write out what they name"},
		"another context":             {strings.Replace(kubeconfig(at, "token: x"), "current-context: here", "current-context: "+canary, 1), "has no current-context that is among"},
		"no such cluster":             {strings.ReplaceAll(kubeconfig(at, "token: x"), "name: right", "name: left"), "does not have the cluster"},
		"no such user":                {strings.Replace(kubeconfig(at, "token: x"), "name: me", "name: you", 1), "does not have the user"},
		"no server":                   {kubeconfig("", "token: x"), "has a cluster whose server is required"},
		"an address with a password":  {kubeconfig(`server: "https://u:`+canary+`@x"`, "token: x"), "has a cluster whose server must hold no user name"},
		"an authority that is none":   {kubeconfig(at+", certificate-authority-data: "+encoded([]byte(canary)), "token: x"), "holds no PEM certificate"},
		"a key that is none":          {kubeconfig(at, "client-certificate-data: "+encoded([]byte(canary))), "are not a certificate and its key"},
		"a key that is too large":     {kubeconfig(at, "client-certificate-data: "+encoded([]byte(canary))+", client-key-data: "+encoded(make([]byte, 16<<10+1))), "has a user whose client-key-data has 16385 bytes, a private key may have 16384"},
		"a token of two lines":        {kubeconfig(at, `token: "`+canary+`\nX: y"`), "not printable ASCII"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			spec, env := fromKubeconfig("remote", tc.content)
			session, err := kubernetes.Provider{}.Open(t.Context(), config(spec), env)
			switch {
			case err == nil:
				_ = session.(io.Closer).Close()
				t.Fatal("it was opened")
			case !errors.Is(err, providers.ErrInvalid), !strings.HasPrefix(err.Error(), "SecretStore team-a/cluster: authRef: the kubeconfig in Secret kc "), !strings.Contains(err.Error(), tc.says):
				t.Errorf("%v; want %q", err, tc.says)
			case strings.Contains(err.Error(), canary):
				t.Errorf("the error shows content of the Secret: %v", err)
			}
		})
	}
	spec, _ := fromKubeconfig("remote", "")
	if _, err := (kubernetes.Provider{}).Open(t.Context(), config(spec), &providertest.Env{}); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "authRef: ") {
		t.Errorf("without the Secret: %v", err)
	}
}

func TestAKubeconfigWithoutAUserIsNobody(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(server.Close)
	at := fmt.Sprintf("server: %q, disable-compression: true, extensions: [{name: a}]", server.URL)
	for user, class := range map[string]error{
		"extensions: [{name: b}]":           providers.ErrDenied, // nobody asks, and nobody is refused the right to ask alone
		"extensions: [{name: b}], token: x": providers.ErrUnverified,
	} {
		spec, env := fromKubeconfig("remote", kubeconfig(at, user))
		if err := check(t, open(t, spec, env)); !errors.Is(err, class) || !strings.Contains(err.Error(), "the user of the kubeconfig in Secret kc may not ask") {
			t.Errorf("%s: %v", user, err)
		}
	}
}

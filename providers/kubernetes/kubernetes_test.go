package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/kubernetes"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func open(t *testing.T, spec *stores.Kubernetes, env providers.Env) providers.Session {
	t.Helper()
	session, err := kubernetes.Provider{}.Open(t.Context(), config(spec), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if closer, ok := providers.As[io.Closer](session); ok {
			_ = closer.Close()
		}
	})
	return session
}

func fetchOne(t *testing.T, session providers.Session, ref providers.Ref) providers.Result {
	t.Helper()
	results, err := session.Fetch(t.Context(), []providers.Ref{ref})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func fieldsOf(t *testing.T, r providers.Result, path string) map[string]string {
	t.Helper()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	fields, err := r.Document.Fields(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for k, v := range fields {
		out[k] = string(v.Bytes())
	}
	return out
}

func TestPropertiesOfASecret(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	create(t, cp, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app", Labels: map[string]string{"app.kubernetes.io/name": "shop"}, Annotations: map[string]string{"team": "<a>", "json": `{"x":{"y":1}}`}},
		Data: map[string][]byte{
			"user": []byte("<admin>"), "file.json": []byte("exact"), "file": []byte(`{"json":"nested","a":{"b":9007199254740993},"s":"t"}`), "bin": {0, 0xff},
		},
	})
	session := open(t, tokenStore(cp.URL(), cp.CA(), ns), tokenEnv(reader(t, cp, ns)))
	data, meta := fetchOne(t, session, providers.Ref{Key: "app"}), fetchOne(t, session, providers.Ref{Key: "app", Metadata: true})
	if data.Version == "" || data.Version != meta.Version {
		t.Errorf("versions %q and %q", data.Version, meta.Version)
	}
	for name, tc := range map[string]struct {
		from           providers.Result
		property, want string
	}{
		"a data key":                       {data, "user", "<admin>"},
		"a data key with a dot":            {data, "file.json", "exact"},
		"a path in a data key":             {data, "file.a.b", "9007199254740993"},
		"an object in a data key":          {data, "file.a", `{"b":9007199254740993}`},
		"binary":                           {data, "bin", "\x00\xff"},
		"the whole Secret":                 {data, "", `{"bin":"\u0000\ufffd","file":"{\"json\":\"nested\",\"a\":{\"b\":9007199254740993},\"s\":\"t\"}","file.json":"exact","user":"<admin>"}`},
		"the labels":                       {meta, "labels", `{"app.kubernetes.io/name":"shop"}`},
		"a label with dots":                {meta, "labels.app.kubernetes.io/name", "shop"},
		"an annotation":                    {meta, "annotations.team", "<a>"},
		"a path in an annotation":          {meta, "annotations.json.x.y", "1"},
		"the whole metadata of the Secret": {meta, "", `{"annotations":{"json":"{\"x\":{\"y\":1}}","team":"<a>"},"labels":{"app.kubernetes.io/name":"shop"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := tc.from.Document.Value(tc.property)
			if err != nil || string(v.Bytes()) != tc.want {
				t.Errorf("got %q, %v, want %q", v.Bytes(), err, tc.want)
			}
		})
	}
	for _, missing := range []string{"nope", "nope.a", "user.a", ".user", "user.", "file.", "file.x", "labels"} {
		if _, err := data.Document.Value(missing); !errors.Is(err, providers.ErrPropertyNotFound) {
			t.Errorf("data %q: %v", missing, err)
		}
	}
	for _, missing := range []string{"nope", "user", "labels.nope", "annotations.json.z", "annotations.json.", "annotations.team.x", "labels."} {
		if _, err := meta.Document.Value(missing); !errors.Is(err, providers.ErrPropertyNotFound) {
			t.Errorf("metadata %q: %v", missing, err)
		}
	}
	for property, want := range map[string]error{"annotations.team": providers.ErrInvalid, "nope": providers.ErrPropertyNotFound, "labels.nope": providers.ErrPropertyNotFound} {
		if fields, err := meta.Document.Fields(property); !errors.Is(err, want) {
			t.Errorf("fields of %q: %d, %v", property, len(fields), err)
		}
	}
	if diff := cmp.Diff(map[string]string{"json": `"nested"`, "a": `{"b":9007199254740993}`, "s": `"t"`}, fieldsOf(t, data, "file")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"labels": `{"app.kubernetes.io/name":"shop"}`, "annotations": `{"json":"{\"x\":{\"y\":1}}","team":"<a>"}`}, fieldsOf(t, meta, "")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"app.kubernetes.io/name": `"shop"`}, fieldsOf(t, meta, "labels")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"x": `{"y":1}`}, fieldsOf(t, meta, "annotations.json")); diff != "" {
		t.Error(diff)
	}
}

func TestAMissingSecretIsNamed(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	session := open(t, tokenStore(cp.URL(), cp.CA(), ns), tokenEnv(reader(t, cp, ns)))
	for key, want := range map[string]string{
		"nope":           "SecretStore team-a/cluster: Secret " + ns + "/nope does not exist",
		"../configmaps":  `SecretStore team-a/cluster: key "../configmaps" is not the name of a Secret`,
		"UPPER":          `SecretStore team-a/cluster: key "UPPER" is not the name of a Secret`,
		"":               `SecretStore team-a/cluster: key "" is not the name of a Secret`,
		"a/../../events": `SecretStore team-a/cluster: key "a/../../events" is not the name of a Secret`,
	} {
		if r := fetchOne(t, session, providers.Ref{Key: key}); r.Err == nil || r.Err.Error() != want {
			t.Errorf("key %q: %v", key, r.Err)
		}
	}
}

func TestEachWayToAuthenticateReads(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	create(t, cp, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "app"}, Data: map[string][]byte{"k": []byte(canary)}})
	user := "user-of-" + ns
	cfg, err := cp.UserConfig(user)
	if err != nil {
		t.Fatal(err)
	}
	allow(t, cp, controlplane.User(user), ns)
	token := reader(t, cp, ns)
	expires := time.Now().Add(time.Hour)
	env := tokenEnv(token)
	env.ConfigMaps = map[providers.ObjectRef][]byte{{Name: "kube-root-ca.crt", Key: "ca.crt"}: cp.CA()}
	env.SetSecret(providers.ObjectRef{Name: "client", Key: "tls.crt"}, cfg.CertData)
	env.SetSecret(providers.ObjectRef{Name: "client", Key: "tls.key"}, cfg.KeyData)
	env.Token = func(ctx context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
		token, err := cp.ServiceAccountToken(ctx, ref.Namespace, ref.Name, audiences...)
		return providers.Token{Value: providers.NewValue([]byte(token)), Expires: expires}, err
	}
	for name, tc := range map[string]struct {
		auth    *stores.KubernetesAuth
		expires func(time.Time) bool
	}{
		"token": {tokenStore("", nil, ns).Auth, time.Time.IsZero},
		"client certificate": {&stores.KubernetesAuth{Cert: &stores.KubernetesCertAuth{
			ClientCert: stores.SecretKeySelector{Name: "client", Key: "tls.crt"}, ClientKey: stores.SecretKeySelector{Name: "client", Key: "tls.key"},
		}}, func(at time.Time) bool { return at.After(time.Now()) }},
		"ServiceAccount": {&stores.KubernetesAuth{ServiceAccount: &stores.ServiceAccountSelector{Namespace: ns, Name: "reader"}},
			func(at time.Time) bool { return at.Equal(expires) }},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &stores.Kubernetes{Auth: tc.auth, RemoteNamespace: ns, Server: stores.KubernetesServer{
				URL:        strings.TrimPrefix(cp.URL(), "https://"),
				CAProvider: &stores.CAProvider{Type: stores.CAProviderConfigMap, Name: "kube-root-ca.crt", Key: "ca.crt"},
			}}
			session := open(t, spec, env)
			v, err := fetchOne(t, session, providers.Ref{Key: "app"}).Document.Value("k")
			if err != nil || string(v.Bytes()) != canary {
				t.Errorf("not read: %v", err)
			}
			e, _ := providers.As[providers.Expirer](session)
			if !tc.expires(e.Expires()) {
				t.Errorf("expires %s", e.Expires())
			}
			if err := check(t, session); err != nil {
				t.Error(err)
			}
		})
	}
	anonymous := open(t, &stores.Kubernetes{RemoteNamespace: ns, Server: stores.KubernetesServer{URL: cp.URL(), CABundle: cp.CA()}}, env)
	if r := fetchOne(t, anonymous, providers.Ref{Key: "app"}); !errors.Is(r.Err, providers.ErrDenied) || !strings.Contains(r.Err.Error(), "system:anonymous") {
		t.Errorf("anonymous: %v", r.Err)
	}
}

func check(t *testing.T, session providers.Session) error {
	t.Helper()
	checker, ok := providers.As[providers.Checker](session)
	if !ok {
		t.Fatal("no checker")
	}
	return checker.Check(t.Context())
}

func TestTheCheckKnowsWhatTheIdentityMayRead(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	account := func(name string) providers.Env {
		token, err := cp.ServiceAccountToken(t.Context(), ns, name)
		if err != nil {
			t.Fatal(err)
		}
		return tokenEnv(token)
	}
	spec := tokenStore(cp.URL(), cp.CA(), ns)
	nobody := check(t, open(t, spec, account("nobody")))
	want := "SecretStore team-a/cluster: the owner of the token in Secret bearer may not read Secrets in namespace " + ns + `: grant it the verb "get" on secrets there`
	if !errors.Is(nobody, providers.ErrDenied) || nobody.Error() != want {
		t.Error(nobody)
	}
	env := account("by-name")
	allow(t, cp, controlplane.ServiceAccount(ns, "by-name"), ns, "app")
	if err := check(t, open(t, spec, env)); err != nil {
		t.Error(err)
	}
	if err := check(t, open(t, spec, tokenEnv(canary))); !errors.Is(err, providers.ErrDenied) || strings.Contains(err.Error(), canary) {
		t.Error(err)
	}
}

func TestARightToSomeSecretsIsOneToReadThem(t *testing.T) {
	t.Parallel()
	rule := func(verbs, groups, resources string) string {
		return fmt.Sprintf(`{"verbs":[%s],"apiGroups":[%s],"resources":[%s],"resourceNames":["app"]}`, verbs, groups, resources)
	}
	for name, tc := range map[string]struct {
		allowed    bool
		rules      string
		incomplete bool
		want       error
	}{
		"all Secrets":                          {allowed: true},
		"one of them":                          {rules: rule(`"list","get"`, `"apps",""`, `"pods","secrets"`)},
		"everything":                           {rules: rule(`"*"`, `"*"`, `"*"`)},
		"nothing":                              {want: providers.ErrDenied},
		"a list of them":                       {rules: rule(`"list"`, `""`, `"secrets"`), want: providers.ErrDenied},
		"Secrets of another group":             {rules: rule(`"get"`, `"example.com"`, `"secrets"`), want: providers.ErrDenied},
		"ConfigMaps":                           {rules: rule(`"get"`, `""`, `"configmaps"`), want: providers.ErrDenied},
		"parts of several rules":               {rules: rule(`"get"`, `""`, `"configmaps"`) + "," + rule(`"list"`, `""`, `"secrets"`), want: providers.ErrDenied},
		"one of them, and more that is unsaid": {rules: rule(`"get"`, `""`, `"secrets"`), incomplete: true},
		"ConfigMaps, and more that is unsaid":  {rules: rule(`"get"`, `""`, `"configmaps"`), incomplete: true, want: providers.ErrUnverified},
	} {
		var asked []string
		cfg, env := serve(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body))
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, `{"status":{"allowed":%t,"resourceRules":[%s],"incomplete":%t}}`, tc.allowed, tc.rules, tc.incomplete)
		})(t)
		if err := check(t, open(t, cfg.Spec.(*stores.Kubernetes), env)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		want := []string{
			`POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews {"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{},"spec":{"resourceAttributes":{"namespace":"remote","verb":"get","resource":"secrets"}},"status":{"allowed":false}}`,
			`POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews {"kind":"SelfSubjectRulesReview","apiVersion":"authorization.k8s.io/v1","metadata":{},"spec":{"namespace":"remote"},"status":{"resourceRules":null,"nonResourceRules":null,"incomplete":false}}`,
		}
		if tc.allowed {
			want = want[:1]
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAReviewThatFailsProvesNothing(t *testing.T) {
	t.Parallel()
	const good = `{"status":{"allowed":false,"resourceRules":[{"verbs":["get"],"apiGroups":[""],"resources":["secrets"]}]}}`
	for name, tc := range map[string]struct {
		access, rules int
		class         error
		want          string
	}{
		"both are answered":       {201, 201, nil, ""},
		"the first fails":         {500, 201, providers.ErrUnavailable, "the API server answered 500"},
		"the second fails":        {201, 500, providers.ErrUnavailable, "the API server answered 500"},
		"the second is refused":   {201, 403, providers.ErrUnverified, "may not ask the API server for its rights (create selfsubjectrulesreviews)"},
		"the first is refused":    {403, 201, providers.ErrUnverified, "may not ask the API server for its rights (create selfsubjectaccessreviews)"},
		"the token is no more":    {401, 401, providers.ErrDenied, "does not accept the credentials"},
		"the second is no review": {201, 200, providers.ErrUnavailable, "not a Kubernetes API server's"},
	} {
		cfg, env := serve(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(map[bool]int{true: tc.access, false: tc.rules}[strings.HasSuffix(r.URL.Path, "accessreviews")])
			_, _ = io.WriteString(w, good)
		})(t)
		spec := cfg.Spec.(*stores.Kubernetes)
		if err := check(t, open(t, spec, env)); !errors.Is(err, tc.class) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if !errors.Is(tc.class, providers.ErrUnverified) {
			continue
		}
		spec.Auth = nil
		if err := check(t, open(t, spec, env)); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s, and nobody asks: %v", name, err)
		}
	}
}

func TestAnIdentityThatMayNotAskForItsRightsMayReadAllTheSame(t *testing.T) {
	t.Parallel()
	cfg, env := serve(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // a review; hardened clusters take the right to it away
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprint(w, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"app"},"data":{"k":"dg=="}}`)
	})(t)
	spec := cfg.Spec.(*stores.Kubernetes)
	session := open(t, spec, env)
	if err := check(t, session); !errors.Is(err, providers.ErrUnverified) || !strings.Contains(err.Error(), "may not ask the API server for its rights") {
		t.Errorf("the check says %v", err)
	}
	if got := fieldsOf(t, fetchOne(t, session, providers.Ref{Key: "app"}), ""); got["k"] != "v" {
		t.Errorf("read %v", got)
	}
	nobody := *spec
	nobody.Auth = nil
	if err := check(t, open(t, &nobody, env)); !errors.Is(err, providers.ErrDenied) {
		t.Errorf("without an identity the check says %v", err)
	}
}

func TestAProblemNamesTheField(t *testing.T) {
	t.Parallel()
	sel := stores.SecretKeySelector{Name: "s", Key: "k"}
	token := &stores.KubernetesAuth{Token: &stores.KubernetesTokenAuth{BearerToken: sel}}
	for name, tc := range map[string]struct {
		spec stores.Kubernetes
		want []string
	}{
		"nothing is this cluster, anonymously": {stores.Kubernetes{}, nil},
		"a token":                              {stores.Kubernetes{Auth: token}, nil},
		"an address without scheme":            {stores.Kubernetes{Server: stores.KubernetesServer{URL: "kubernetes.default:443"}}, nil},
		"an address with a path":               {stores.Kubernetes{Server: stores.KubernetesServer{URL: "https://rancher/k8s/clusters/c-x"}}, nil},
		"an address with a password":           {stores.Kubernetes{Server: stores.KubernetesServer{URL: "https://u:p@x"}}, []string{"server.url"}},
		"a bundle that is none":                {stores.Kubernetes{Server: stores.KubernetesServer{CABundle: []byte("x")}}, []string{"server.caBundle"}},
		"a CA provider without key": {stores.Kubernetes{Server: stores.KubernetesServer{CAProvider: &stores.CAProvider{Type: "Secret", Name: "x"}}},
			[]string{"server.caProvider.key"}},
		"a namespace that is none": {stores.Kubernetes{RemoteNamespace: "../x"}, []string{"remoteNamespace"}},
		"a kubeconfig":             {stores.Kubernetes{AuthRef: &sel}, nil},
		"a kubeconfig without key": {stores.Kubernetes{AuthRef: &stores.SecretKeySelector{Name: "x"}}, []string{"authRef.key"}},
		"no method":                {stores.Kubernetes{Auth: &stores.KubernetesAuth{}}, []string{"auth"}},
		"two methods": {stores.Kubernetes{Auth: &stores.KubernetesAuth{Token: token.Token, ServiceAccount: &stores.ServiceAccountSelector{Name: "x"}}},
			[]string{"auth"}},
		"an empty certificate": {stores.Kubernetes{Auth: &stores.KubernetesAuth{Cert: &stores.KubernetesCertAuth{}}},
			[]string{"auth.cert.clientCert.name", "auth.cert.clientKey.name"}},
		"a token without key": {stores.Kubernetes{Auth: &stores.KubernetesAuth{Token: &stores.KubernetesTokenAuth{BearerToken: stores.SecretKeySelector{Name: "x"}}}},
			[]string{"auth.token.bearerToken.key"}},
		"an account without name": {stores.Kubernetes{Auth: &stores.KubernetesAuth{ServiceAccount: &stores.ServiceAccountSelector{}}},
			[]string{"auth.serviceAccount.name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range (kubernetes.Provider{}).Validate(config(&tc.spec)) {
				got = append(got, p.Field)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("problems with %q, want %q", got, tc.want)
			}
		})
	}
}

func TestEmptyMetadataHasEmptyFields(t *testing.T) {
	t.Parallel()
	cfg, env := says(200, `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"app"}}`)(t)
	session := open(t, cfg.Spec.(*stores.Kubernetes), env)
	meta := fetchOne(t, session, providers.Ref{Key: "app", Metadata: true})
	if diff := cmp.Diff(map[string]string{}, fieldsOf(t, meta, "labels")); diff != "" {
		t.Error(diff)
	}
	v, err := meta.Document.Value("")
	if err != nil || string(v.Bytes()) != `{"annotations":null,"labels":null}` {
		t.Errorf("%s, %v", v.Bytes(), err)
	}
	if fields := fieldsOf(t, fetchOne(t, session, providers.Ref{Key: "app"}), ""); len(fields) != 0 {
		t.Errorf("fields of an empty Secret: %d", len(fields))
	}
}

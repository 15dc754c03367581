package kubernetes_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestSecretsAreFoundByNameAndLabels(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	for i := range 70 { // more than a page
		labels := map[string]string{"tier": "gold", "n": fmt.Sprint(i % 10)}
		create(t, cp, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("app-%02d", i), Labels: labels},
			Data: map[string][]byte{"k": fmt.Append(nil, i), "html": []byte("<&>")}})
	}
	create(t, cp, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "other"}})
	finder, _ := providers.As[providers.Finder](open(t, tokenStore(cp.URL(), cp.CA(), ns), tokenEnv(reader(t, cp, ns))))
	for name, tc := range map[string]struct {
		query providers.Query
		want  int
	}{
		"all":               {providers.Query{}, 71},
		"by name":           {providers.Query{Name: regexp.MustCompile("^app-0")}, 10},
		"by label":          {providers.Query{Tags: map[string]string{"tier": "gold", "n": "3"}}, 7},
		"by both":           {providers.Query{Name: regexp.MustCompile("-1"), Tags: map[string]string{"n": "3"}}, 1},
		"a path is none":    {providers.Query{Path: new("x"), Name: regexp.MustCompile("other")}, 1},
		"a path and labels": {providers.Query{Path: new("x"), Tags: map[string]string{"n": "3"}}, 7},
		"nothing has that":  {providers.Query{Tags: map[string]string{"tier": "lead"}}, 0},
	} {
		got, err := finder.Find(t.Context(), tc.query)
		if err != nil || len(got) != tc.want {
			t.Errorf("%s: found %d, want %d: %v", name, len(got), tc.want, err)
		}
		if name == "by both" && string(got[0].Value.Bytes()) != `{"html":"<&>","k":"13"}` {
			t.Errorf("got %s", got[0].Value.Bytes())
		}
	}
	if _, err := finder.Find(t.Context(), providers.Query{Path: new("x")}); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("a path alone: %v", err)
	}
	if _, err := finder.Find(t.Context(), providers.Query{Tags: map[string]string{"a b": "c"}}); !errors.Is(err, providers.ErrInvalid) {
		t.Error(err)
	}
}

func TestLargeSecretsAreFoundAFewAtATime(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	for i := range 8 {
		create(t, cp, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprint("large-", i)}, Data: map[string][]byte{"k": make([]byte, 700<<10)}})
	}
	create(t, cp, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "small"}})
	finder, _ := providers.As[providers.Finder](open(t, tokenStore(cp.URL(), cp.CA(), ns), tokenEnv(reader(t, cp, ns))))
	if got, err := finder.Find(t.Context(), providers.Query{Name: regexp.MustCompile("small")}); err != nil || len(got) != 1 {
		t.Errorf("a small one among large ones: %d, %v", len(got), err)
	}
	if _, err := finder.Find(t.Context(), providers.Query{}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "narrow find") {
		t.Errorf("all of them: %v", err)
	}
}

func TestAListWithoutAnEndIsNotFollowed(t *testing.T) {
	t.Parallel()
	cfg, env := says(200, `{"kind":"SecretList","apiVersion":"v1","metadata":{"continue":"more"},"items":[]}`)(t)
	spec, _ := cfg.Spec.(*stores.Kubernetes)
	finder, _ := providers.As[providers.Finder](open(t, spec, env))
	if _, err := finder.Find(t.Context(), providers.Query{}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "more than 100000 Secrets") {
		t.Error(err)
	}
}

// An API server keeps a list for some minutes, and what etcd has compacted it does not have.
func TestAListThatIsForgottenWhileItIsReadIsNoAnswerOfAStranger(t *testing.T) {
	t.Parallel()
	cfg, env := serve(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("continue") {
			w.WriteHeader(http.StatusGone)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`)
			return
		}
		_, _ = io.WriteString(w, `{"kind":"SecretList","apiVersion":"v1","metadata":{"continue":"more"},"items":[]}`)
	})(t)
	finder, _ := providers.As[providers.Finder](open(t, cfg.Spec.(*stores.Kubernetes), env))
	if _, err := finder.Find(t.Context(), providers.Query{}); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "it is asked again by itself") {
		t.Error(err)
	}
}

func TestASearchThatIsNotGrantedSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	token, err := cp.ServiceAccountToken(t.Context(), ns, "one")
	if err != nil {
		t.Fatal(err)
	}
	allow(t, cp, controlplane.ServiceAccount(ns, "one"), ns, "only-this")
	finder, _ := providers.As[providers.Finder](open(t, tokenStore(cp.URL(), cp.CA(), ns), tokenEnv(token)))
	_, err = finder.Find(t.Context(), providers.Query{})
	if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), `grant it the verb "list" on secrets there`) {
		t.Error(err)
	}
}

func TestAListThatIsNoneIsNotBelieved(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"", "<html>" + canary, `{"kind":"SecretList","items":null}`, `{"kind":"ConfigMapList","items":[]}`, `{"kind":"SecretList","items":[{"data":{"k":"` + canary,
		`{"kind":"SecretList","items":[{"metadata":{"name":"good"}},{"metadata":{"name":"` + canary + `\nbad"}}]}`, `{"kind":"SecretList","items":[{}]}`,
		`{"kind":"SecretList","items":[{"metadata":{"name":"good","namespace":"remote"}},{"metadata":{"name":"other","namespace":"others"},"data":{}}]}`,
	} {
		cfg, env := says(200, body)(t)
		finder, _ := providers.As[providers.Finder](open(t, cfg.Spec.(*stores.Kubernetes), env))
		_, err := finder.Find(t.Context(), providers.Query{})
		if !errors.Is(err, providers.ErrUnavailable) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// What stands between may answer in the place of the API server, also with what looks like a list or a review.
func TestAnAnswerOfAnotherServerIsNone(t *testing.T) {
	t.Parallel()
	const list, review = `{"kind":"SecretList","apiVersion":"v1","items":[]}`, `{"kind":"SelfSubjectAccessReview","status":{"allowed":true}}`
	find := func(s providers.Session) error {
		f, _ := providers.As[providers.Finder](s)
		_, err := f.Find(t.Context(), providers.Query{})
		return err
	}
	check := func(s providers.Session) error {
		c, _ := providers.As[providers.Checker](s)
		return c.Check(t.Context())
	}
	for name, tc := range map[string]struct {
		status int
		body   string
		ask    func(providers.Session) error
		good   bool
	}{
		"a list":                    {200, list, find, true},
		"a list with another code":  {201, list, find, false},
		"a page instead of a list":  {200, "<html>", find, false},
		"a list of another kind":    {200, `{"kind":"ConfigMapList","items":[]}`, find, false},
		"a list without items":      {200, `{"kind":"SecretList"}`, find, false},
		"a review":                  {201, review, check, true},
		"a review that was made up": {200, review, check, false},
		"a page instead of it":      {201, "<html>", check, false},
	} {
		cfg, env := says(tc.status, tc.body)(t)
		spec, _ := cfg.Spec.(*stores.Kubernetes)
		err := tc.ask(open(t, spec, env))
		if (err == nil) != tc.good || err != nil && (!errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "not a Kubernetes API server's")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsFoundHasBounds(t *testing.T) {
	t.Parallel()
	secret := func(name string, size int) string {
		value := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), size-len(`{"k":""}`)))
		return fmt.Sprintf(`{"metadata":{"name":%q,"resourceVersion":"7"},"data":{"k":%q}}`, name, value)
	}
	const quarter = providers.MaxFoundSize / 4
	for name, tc := range map[string]struct {
		count, size int // of Secrets
		fits        bool
	}{
		"as many as may be": {providers.MaxFound, 8, true}, "one more": {providers.MaxFound + 1, 8, false},
		"as large as may be": {4, quarter, true}, "larger": {4, quarter + 1, false},
	} {
		cfg, env := serve(func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("continue"))
			more, from, to := "", 0, tc.count
			if tc.size > 8 { // each on a page of its own
				if from, to = n, n+1; to < tc.count {
					more = strconv.Itoa(to)
				}
			}
			var items []string
			for i := from; i < to; i++ {
				items = append(items, secret(fmt.Sprintf("s%04d", i), tc.size))
			}
			_, _ = fmt.Fprintf(w, `{"kind":"SecretList","metadata":{"continue":%q},"items":[%s]}`, more, strings.Join(items, ","))
		})(t)
		finder, _ := providers.As[providers.Finder](open(t, cfg.Spec.(*stores.Kubernetes), env))
		found, err := finder.Find(t.Context(), providers.Query{})
		switch {
		case tc.fits && (err != nil || len(found) != tc.count || found[0].Version != "7" || found[0].Value.Len() != tc.size):
			t.Errorf("%s: %d found, %v", name, len(found), err)
		case !tc.fits && (!errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "more than 1000 Secrets, or 4 MiB of them")):
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
}

func TestWhatIsFoundIsInTheOrderOfTheNamesAndOnce(t *testing.T) {
	t.Parallel()
	cfg, env := says(200, `{"kind":"SecretList","items":[{"metadata":{"name":"b"}},{"metadata":{"name":"c"}},{"metadata":{"name":"a"}},{"metadata":{"name":"c"}}]}`)(t)
	finder, _ := providers.As[providers.Finder](open(t, cfg.Spec.(*stores.Kubernetes), env))
	found, err := finder.Find(t.Context(), providers.Query{})
	if err != nil || len(found) != 3 || found[0].Name != "a" || found[1].Name != "b" || found[2].Name != "c" {
		t.Error(found, err)
	}
}

package webhook_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/providers/webhook"
)

// open opens a session that is closed when the test ends.
func open(t *testing.T, spec *stores.Webhook, env providers.Env) providers.Session {
	t.Helper()
	session, err := webhook.Provider{}.Open(t.Context(), config(spec), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.(io.Closer).Close() })
	return session
}

func fetchOne(t *testing.T, session providers.Session, ref providers.Ref) providers.Document {
	t.Helper()
	results, err := session.Fetch(t.Context(), []providers.Ref{ref})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	return results[0].Document
}

func value(t *testing.T, doc providers.Document, property string) string {
	t.Helper()
	v, err := doc.Value(property)
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Bytes())
}

// answering is a store whose API gives the same answer to everybody.
func answering(t *testing.T, body string) *stores.Webhook {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	t.Cleanup(server.Close)
	return &stores.Webhook{URL: server.URL}
}

func TestThePathSelectsAsTheOperatorDoes(t *testing.T) {
	t.Parallel()
	const answer = `{"_h":"hidden","s":"x\"y","i":42,"big":9007199254740993,"f":1.5,"e":1e3,"z":null,"b":true,"o":{"b":1.0,"a":"<"},
		"l":["first","second"],"ll":[["deep"],"x"],"none":[],"inner":"{\"k\":\"v\",\"n\":2}","list":[{"name":"a","v":"1"},{"name":"b","v":"2"}],"m":{"z":"last","y":"early","7":"seven"},
		"typed":[{"w":"none"},{"type":"x","w":"x","a":1},{"type":"y","w":"y","a":1,"b":1,"x \" != @.w":1},{"type":null,"w":"null"}]}`
	for path, want := range map[string]string{
		"":                           answer,
		"  ":                         answer,
		"$.s":                        `x"y`,
		"$['s']":                     `x"y`,
		"$.i":                        "42",
		"$.big":                      "9007199254740993",
		"$.f":                        "1.5", // External Secrets Operator makes "2" of it
		"$.e":                        "1000",
		"$.z":                        "",
		"$.b":                        "true",
		"$.o":                        `{"a":"\u003c","b":1}`,
		"$.l":                        "first",
		"$.l[1]":                     "second",
		"$.l[*]":                     "first",
		"$.ll":                       "deep",
		"$.list[?(@.name==\"b\")].v": "2",
		"$.list[?@.name=='b'].v":     "2",
		"$..v":                       "1",
		"$.m.*":                      "seven",
		" $.i\n":                     "42",
		"$.none":                     "missing",
		"$.nope":                     "missing",
		"$.l[7]":                     "missing",
		"$.list[?(@.name==\"c\")].v": "missing",
		"$.s.below":                  "missing",
		// What follows was selected by External Secrets Operator 2.9, which follows a name without a root, and whose filters pass
		// over what lacks a field that they compare.
		"s":                            `x"y`,
		"_h":                           "hidden",
		"list[1].v":                    "2",
		` o["a"]`:                      "<",
		"l":                            "first",
		`$.typed[?(@.type!="x")].w`:    "y",
		`$.typed[?@.type != "x"].w`:    "y",
		`$.typed[?("x"!=@.type)].w`:    "y",
		`$..[?(@["type"]!="x")].w`:     "y",
		`$.m[7]`:                       "seven", // an element of an object whose name is a number
		`$.l["1"]`:                     "second",
		`$.l["0"]`:                     "first",
		`$.l["2"]`:                     "missing",
		`$.l["-1"]`:                    "missing",
		`$.l["x"]`:                     "missing",
		`$.m[8]`:                       "missing",
		`$.m[-1]`:                      "missing",
		`$.typed[?(@.type!=null)].w`:   "x",
		`$.typed[?(@.type==null)].w`:   "null",
		`$.typed[?(@.type!=@.w)].w`:    "null",
		`$.typed[?(@.a==@.b)].w`:       "y",
		`$.typed[?(@.a!=@.b)].w`:       "missing",
		`$.typed[?(@.no==@.none)].w`:   "missing",
		`$.typed[?(@.type.no!="x")].w`: "missing",
		// The operator knows no other filters: these are those of RFC 9535.
		`$.typed[?@.type!="x" && @.w!="y"].w`:  "none",
		`$.typed[?@.type!="x" || @.a==1].w`:    "none",
		`$.typed[?!(@.type=="x")].w`:           "none",
		`$.typed[?@.a<2].w`:                    "x",
		`$.typed[?length(@.type)==1].w`:        "x",
		`$.typed[?(@["x \" != @.w"]!="no")].w`: "y", // the operator in a quoted name is none
		// Nothing is there, of which the operator makes an empty value.
		"nope":         "missing",
		"list[0].nope": "missing",
	} {
		spec := answering(t, answer)
		spec.Result.JSONPath = path
		got, err := fetchOne(t, open(t, spec, lent("t")), providers.Ref{Key: "k"}).Value("")
		if want == "missing" {
			if !errors.Is(err, providers.ErrPropertyNotFound) || !strings.HasSuffix(err.Error(), "finds nothing in the answer") {
				t.Errorf("%s: %q, %v", path, got.Bytes(), err)
			}
			continue
		}
		if err != nil || string(got.Bytes()) != want {
			t.Errorf("%s: got %q, %v; want %q", path, got.Bytes(), err, want)
		}
	}
}

func TestWhoAsksAWebhookForMetadataGetsTheValue(t *testing.T) {
	t.Parallel()
	session := open(t, answering(t, `{"k":"`+canary+`"}`), lent("t"))
	for _, metadata := range []bool{true, false} {
		if got := value(t, fetchOne(t, session, providers.Ref{Key: "k", Metadata: metadata}), ""); got != `{"k":"`+canary+`"}` {
			t.Errorf("with metadata %t: %d bytes of another value", metadata, len(got))
		}
	}
}

// TestWhatAWebhookDoesNotHaveIsAnError: External Secrets Operator runs the script.
func TestWhatAWebhookDoesNotHaveIsAnError(t *testing.T) {
	t.Parallel()
	session := open(t, answering(t, `{"k":"`+canary+`"}`), lent("t"))
	if _, ok := providers.As[providers.Finder](session); ok {
		t.Error("a webhook says that it can be searched")
	}
	for path, want := range map[string]string{"$.l[(@.length-1)]": "result.jsonPath", "$.l[-1]": ""} {
		spec := answering(t, `{"l":["`+canary+`","last"]}`)
		spec.Result.JSONPath = path
		problems := webhook.Provider{}.Validate(config(spec))
		if want == "" {
			if got := value(t, fetchOne(t, open(t, spec, lent("t")), providers.Ref{Key: "k"}), ""); len(problems) > 0 || got != "last" {
				t.Errorf("%s: %v, %q", path, problems, got)
			}
			continue
		}
		if len(problems) != 1 || problems[0].Field != want {
			t.Errorf("%s: problems %v, want one with %s", path, problems, want)
		}
	}
}

func TestFieldsAreThoseOfTheObject(t *testing.T) {
	t.Parallel()
	const answer = `{"data":{"s":"x","i":42,"f":1.50,"big":12345678901234567890,"o":{"a":1},"l":[1,"2"],"z":null,"b":false},"text":"{\"k\":\"v\"}","n":1}`
	all := map[string]string{"s": "x", "i": "42", "f": "1.5", "big": "12345678901234567890", "o": `{"a":1}`, "l": `[1,"2"]`, "z": "", "b": "false"}
	for path, want := range map[string]map[string]string{
		"$.data": all, "$.text": {"k": "v"}, "$.n": nil, "$.data.l": nil, "$..data": nil, "$.data.s": nil,
	} {
		spec := answering(t, answer)
		spec.Result.JSONPath = path
		fields, err := fetchOne(t, open(t, spec, lent("t")), providers.Ref{Key: "k"}).Fields("")
		if want == nil {
			if !strings.Contains(errText(err), "no fields to extract") {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		got := map[string]string{}
		for k, v := range fields {
			got[k] = string(v.Bytes())
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", path, err, diff)
		}
	}
	for body, ok := range map[string]bool{`{"k":"v"}`: true, `"{\"k\":\"v\"}"`: true, "plain": false, "[1]": false, manyParts(249_997): true, manyParts(249_998): false, strconv.Quote(manyParts(249_997)): true, strconv.Quote(manyParts(249_998)): false, "{\"k\":\"\xff\"}": false, `{"k":1} x`: false} {
		_, err := fetchOne(t, open(t, answering(t, body), lent("t")), providers.Ref{Key: "k"}).Fields("")
		if (err == nil) != ok {
			t.Errorf("%.40q: %v", body, err)
		}
	}
}

// manyParts is an object that counts as n parts and three more.
func manyParts(n int) string { return `{"k":[0` + strings.Repeat(",0", n) + `]}` }

func TestWhatAStoreSaysIsCheckedBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	secret := func(name string) []stores.WebhookSecret {
		return []stores.WebhookSecret{{Name: name, SecretRef: stores.SecretKeySelector{Name: "s"}}}
	}
	for name, tc := range map[string]struct {
		spec stores.Webhook
		want string // the field, "" when nothing is wrong
	}{
		"an address":                       {stores.Webhook{URL: "https://x"}, ""},
		"an address that a template makes": {stores.Webhook{URL: "{{ .auth.url }}/x"}, ""},
		"a host that a template makes":     {stores.Webhook{URL: "http://{{ .auth.host }}/x"}, ""},
		"no scheme":                        {stores.Webhook{URL: "host/path"}, "url"},
		"another scheme":                   {stores.Webhook{URL: "ftp://host"}, "url"},
		"another scheme before a template": {stores.Webhook{URL: "file:///{{ .remoteRef.key }}"}, "url"},
		"no host":                          {stores.Webhook{URL: "https:///path"}, "url"},
		"a host that is none":              {stores.Webhook{URL: "https://a b"}, "url"},
		"every letter of a method":         {stores.Webhook{URL: "https://x", Method: "AZaz"}, ""},
		"a sign in a method":               {stores.Webhook{URL: "https://x", Method: "A{"}, "method"},
		"every sign of a header":           {stores.Webhook{URL: "https://x", Headers: map[string]string{"AZaz09!#$%&'*+-.^_`|~": "v"}}, ""},
		"a header without a name":          {stores.Webhook{URL: "https://x", Headers: map[string]string{"": "v"}}, "headers"},
		"a header with a bracket":          {stores.Webhook{URL: "https://x", Headers: map[string]string{"a[": "v"}}, "headers"},
		"a header with a brace":            {stores.Webhook{URL: "https://x", Headers: map[string]string{"a{": "v"}}, "headers"},
		"a login without a password": {stores.Webhook{URL: "https://x", Auth: &stores.WebhookAuth{NTLM: &stores.WebhookNTLM{
			UsernameSecret: stores.SecretKeySelector{Name: "s", Key: "user"}, PasswordSecret: stores.SecretKeySelector{Name: "s"},
		}}}, "auth.ntlm.passwordSecret.key"},
		"a header with a colon":              {stores.Webhook{URL: "https://x", Headers: map[string]string{"a:": "v"}}, "headers"},
		"no timeout":                         {stores.Webhook{URL: "https://x", Timeout: &metav1.Duration{}}, ""},
		"a Secret without a name":            {stores.Webhook{URL: "https://x", Secrets: secret("")}, "secrets[0].name"},
		"a path that costs too much":         {stores.Webhook{URL: "https://x", Result: stores.WebhookResult{JSONPath: "$..*..*..*"}}, "result.jsonPath"},
		"a template of as much as there may": {stores.Webhook{URL: "https://x", Body: "{{ .a }}" + strings.Repeat("x", 256<<10-8)}, ""},
		"a template of a byte more":          {stores.Webhook{URL: "https://x", Body: "{{ .a }}" + strings.Repeat("x", 256<<10-7)}, "body"},
	} {
		problems := webhook.Provider{}.Validate(config(&tc.spec))
		if tc.want == "" && len(problems) > 0 || tc.want != "" && (len(problems) != 1 || problems[0].Field != tc.want) {
			t.Errorf("%s: %v, want %q", name, problems, tc.want)
		}
	}
	spec := answering(t, "v")
	spec.Timeout = &metav1.Duration{}
	if got := value(t, fetchOne(t, open(t, spec, lent("t")), providers.Ref{Key: "k"}), ""); got != "v" {
		t.Errorf("no timeout: %q", got)
	}
}

// Who uses the store writes the property: what it makes of the path is his fault, and no reason to ask others again.
func TestAPropertyThatMakesNoPathIsRefused(t *testing.T) {
	t.Parallel()
	spec := answering(t, `{"k":"`+canary+`"}`)
	spec.Result.JSONPath = "$.{{ .remoteRef.property }}"
	doc := fetchOne(t, open(t, spec, lent("t")), providers.Ref{Key: "k"})
	for property, want := range map[string]string{"[[": "makes no JSONPath", "*..*..*..*": "too complex", "k": ""} {
		_, valueErr := doc.Value(property)
		_, fieldsErr := doc.Fields(property)
		for _, err := range []error{valueErr, fieldsErr} {
			if want != "" && (!errors.Is(err, providers.ErrInvalid) || !strings.Contains(errText(err), want)) || strings.Contains(errText(err), canary) {
				t.Errorf("%s: %v", property, err)
			}
		}
		if (valueErr == nil) != (want == "") {
			t.Errorf("%s: %v", property, valueErr)
		}
	}
}

func TestTLSIsCheckedAgainstTheBundleOfTheStore(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "v") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	env := lent("t")
	env.ConfigMaps = map[providers.ObjectRef][]byte{{Name: "ca", Key: "ca.crt"}: ca}
	env.SetSecret(providers.ObjectRef{Name: "ca", Key: "ca.crt"}, ca)
	for name, tc := range map[string]struct {
		spec stores.Webhook
		want string
	}{
		"a bundle":               {stores.Webhook{CABundle: ca}, ""},
		"a bundle encoded twice": {stores.Webhook{CABundle: []byte(base64.StdEncoding.EncodeToString(ca))}, ""},
		"a ConfigMap":            {stores.Webhook{CAProvider: &stores.CAProvider{Type: stores.CAProviderConfigMap, Name: "ca", Key: "ca.crt"}}, ""},
		"a Secret":               {stores.Webhook{CAProvider: &stores.CAProvider{Type: stores.CAProviderSecret, Name: "ca", Key: "ca.crt"}}, ""},
		"the system's roots":     {stores.Webhook{}, "signed by an unknown authority; set caBundle or caProvider"},
	} {
		tc.spec.URL = server.URL
		_, err := open(t, &tc.spec, env).Fetch(t.Context(), []providers.Ref{{Key: "k"}})
		if got := errText(err); (tc.want == "") != (err == nil) || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestARedirectIsNotFollowedWithTheCredentials(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	cfg, env := serving(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+"/?t="+canary, http.StatusTemporaryRedirect)
	})(t)
	_, err := open(t, cfg.Spec.(*stores.Webhook), env).Fetch(t.Context(), []providers.Ref{{Key: "k"}})
	if stolen.Load() != 0 || !strings.Contains(errText(err), "redirects elsewhere") || strings.Contains(errText(err), canary) {
		t.Errorf("%d requests, %v", stolen.Load(), err)
	}
}

func TestAHostFromASecretIsNotSaid(t *testing.T) {
	t.Parallel()
	spec := keyed("http://127.0.0.1:1")
	spec.URL = "http://{{ .auth.token }}.invalid/"
	env := lent(canary)
	env.SetSecret(providers.ObjectRef{Name: "webhook-auth", Key: "token"}, []byte(canary))
	_, err := open(t, spec, env).Fetch(t.Context(), []providers.Ref{{Key: "k"}})
	if !strings.Contains(errText(err), "cannot reach the server of url: ") || strings.Contains(errText(err), canary) {
		t.Error(err)
	}
}

func TestTheCheckAsksWhetherSomebodyIsThere(t *testing.T) {
	t.Parallel()
	spec := answering(t, "v")
	for address, want := range map[string]string{
		spec.URL + "/{{ .remoteRef.key }}": "", "http://127.0.0.1:1/x": "refuses connections", "http://{{ .remoteRef.key }}:1/": "",
		"http://127.0.0.1:{{ .remoteRef.key }}":     "", // half a host is none
		"http://127.0.0.1:1?k={{ .remoteRef.key }}": "refuses connections", "http://127.0.0.1:1#{{ .remoteRef.key }}": "refuses connections", "http://127.0.0.1:1": "refuses connections",
		"http://169.254.169.254/latest": "metadata addresses are refused",
	} {
		checker, _ := providers.As[providers.Checker](open(t, &stores.Webhook{URL: address}, &providertest.Env{}))
		err := checker.Check(t.Context())
		if got := errText(err); (want == "") != (got == "") || !strings.Contains(got, want) || err != nil && !errors.Is(err, providers.ErrUnavailable) {
			t.Errorf("%s: %q", address, got)
		}
	}
}

func TestTheStoreSaysHowLongAnAnswerMayTake(t *testing.T) {
	t.Parallel()
	for want, timeout := range map[time.Duration]*metav1.Duration{0: nil, time.Minute: {Duration: time.Minute}} {
		spec := answering(t, "v")
		spec.Timeout = timeout
		patient, ok := providers.As[providers.Patient](open(t, spec, lent("t")))
		if !ok || patient.Patience() != want {
			t.Errorf("patience %v, want %s", patient, want)
		}
	}
}

func TestOneKeyThatFailsInTheAPIIsNotTheWholeAPI(t *testing.T) {
	t.Parallel()
	cfg, env := serving(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/doc/broken", "/doc/broken2":
			w.WriteHeader(http.StatusInternalServerError)
		case "/doc/busy":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	})(t)
	session := open(t, cfg.Spec.(*stores.Webhook), env)
	for name, tc := range map[string]struct {
		keys  []string
		whole bool
	}{
		"one that fails":        {[]string{"broken"}, false},
		"all that were asked":   {[]string{"broken", "broken2"}, true},
		"one of several":        {[]string{"broken", "good", "busy"}, false},
		"busy is about the API": {[]string{"busy"}, true},
	} {
		var refs []providers.Ref
		for _, key := range tc.keys {
			refs = append(refs, providers.Ref{Key: key})
		}
		_, err := session.Fetch(t.Context(), refs)
		if (err != nil) != tc.whole {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && tc.keys[0] == "busy" && strings.Contains(err.Error(), "key") {
			t.Errorf("%s: %v names a key, and is told to everybody who uses the store", name, err)
		}
	}
}

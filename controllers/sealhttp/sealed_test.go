package sealhttp_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

const (
	canary      = "canary-91f0ab3d"
	cannotOpen  = "the SealedSecret cannot be decrypted: no key of this cluster opens it under its namespace, name and scope\n"
	notOne      = "the body is not one SealedSecret in JSON or YAML\n"
	clusterWide = "sealedsecrets.bitnami.com/cluster-wide"
)

func sealed(t *testing.T, to *keyring.Pair, scope seal.Scope, namespace, name string) string {
	t.Helper()
	text, err := seal.Seal(rand.Reader, seal.Compat(to.Public()), scope, namespace, name, []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// damaged returns a sealed value with another byte at a place, from its end where that is below nought.
func damaged(t *testing.T, text string, at int) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	raw[(at+len(raw))%len(raw)] ^= 1
	return base64.StdEncoding.EncodeToString(raw)
}

// post sends a body to a server of its own, which has not yet answered anybody.
func post(t *testing.T, ring *keyring.Ring, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	server(t, keys{ring}, sealhttp.Options{}).Handler().ServeHTTP(w, request)
	if strings.Contains(w.Body.String(), canary) || strings.Contains(w.Body.String(), "PRIVATE") {
		t.Errorf("%s answered with what nobody may see", path)
	}
	return w
}

func document(meta, spec string) string {
	return "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {" + meta + "}\nspec:\n" + spec
}

func TestWhatOpensIsTheOnlyThingThatVerifyTells(t *testing.T) {
	t.Parallel()
	old, newest, foreign := generate(t, time.Hour), generate(t, 0), generate(t, 0)
	ring := keyring.New(old, newest)
	strict := func(to *keyring.Pair) string { return sealed(t, to, seal.Strict, "ns", "db") }
	one := func(meta, value string) string { return document(meta, "  encryptedData: {k: "+value+"}\n") }
	const here = "name: db, namespace: ns"
	for name, test := range map[string]struct {
		body string
		code int
	}{
		"by the newest key":                          {one(here, strict(newest)), 200},
		"by an older key":                            {one(here, strict(old)), 200},
		"without values":                             {document(here, "  encryptedData: {}\n"), 200},
		"namespace-wide, under any name":             {one("name: x, namespace: ns, annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}", sealed(t, old, seal.NamespaceWide, "ns", "")), 200},
		"cluster-wide, anywhere":                     {one("name: x, annotations: {"+clusterWide+": 'true'}", sealed(t, old, seal.ClusterWide, "", "")), 200},
		"under a name that no object can have":       {one("name: Db_1, namespace: NS", sealed(t, newest, seal.Strict, "NS", "Db_1")), 200},
		"a template that fails":                      {one(here, strict(old)) + "  template: {data: {x: '{{ fail .k }}'}}\n", 200},
		"a template that is none":                    {one(here, strict(old)) + "  template: {data: {x: '{{'}}\n", 200},
		"the deprecated format, which is not parsed": {document(here, "  encryptedData: {}\n  data: "+strict(old)+"\n"), 200},
		"another key":                                {one(here, strict(foreign)), 409},
		"another name":                               {one("name: web, namespace: ns", strict(newest)), 409},
		"another namespace":                          {one("name: db, namespace: other", strict(newest)), 409},
		"no namespace":                               {one("name: db", strict(newest)), 409},
		"a wider scope":                              {one(here+", annotations: {"+clusterWide+": 'true'}", strict(newest)), 409},
		"a wider scope by the template":              {one("name: web, namespace: ns", strict(newest)) + "  template: {metadata: {annotations: {" + clusterWide + ": 'true'}}}\n", 409},
		"a damaged value":                            {one(here, damaged(t, strict(newest), -5)), 409},
		"a damaged session key":                      {one(here, damaged(t, strict(newest), 16)), 409},
		"half a value":                               {one(here, strict(newest)[:120]), 409},
		"no base64":                                  {one(here, "'!!'"), 409},
		"an empty value":                             {one(here, "''"), 409},
		"one of two values is another's":             {document(here, "  encryptedData: {a: "+strict(newest)+", b: "+strict(foreign)+"}\n"), 409},
		"both formats":                               {document(here, "  encryptedData: {a: "+strict(newest)+"}\n  data: "+strict(newest)+"\n"), 409},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := map[int]string{200: "", 409: cannotOpen}[test.code]
			if w := post(t, ring, "/v1/verify", test.body); w.Code != test.code || w.Body.String() != want {
				t.Errorf("verify: %d %q", w.Code, w.Body.String())
			}
			w := post(t, ring, "/v1/rotate", test.body)
			if test.code == 200 && w.Code != 200 || test.code != 200 && (w.Code != 500 || w.Body.String() != cannotOpen) {
				t.Errorf("rotate: %d %q", w.Code, w.Body.String())
			}
		})
	}
}

func TestABodyThatIsNotOneSealedSecretIsRefused(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0)
	ring := keyring.New(pair)
	good := document("name: db, namespace: ns", "  encryptedData: {k: "+sealed(t, pair, seal.Strict, "ns", "db")+"}\n")
	for name, test := range map[string]struct {
		body string
		code int
		text string
	}{
		"nothing":                          {"", 500, notOne},
		"text":                             {canary, 500, notOne},
		"a Secret":                         {"apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {k: " + canary + "}\n", 500, notOne},
		"two documents":                    {good + "---\n" + good, 500, notOne},
		"a list":                           {`{"apiVersion":"v1","kind":"List","items":[]}`, 500, notOne},
		"half of it":                       {`{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret"`, 500, notOne},
		"values of another type":           {document("name: db, namespace: ns", "  encryptedData: {k: 1}\n"), 500, notOne},
		"deprecated data that is a number": {document("name: db, namespace: ns", "  data: 1\n"), 500, notOne},
		"deprecated data that is no text":  {document("name: db, namespace: ns", "  data: '!'\n"), 500, notOne},
		"a namespace with another's name":  {strings.Replace(good, "namespace: ns", "namespace: ns/db, annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}", 1), 500, notOne},
		"a name with a slash":              {strings.Replace(good, "name: db", "name: a/b", 1), 500, notOne},
		"aliases that multiply":            {bomb(), 500, notOne},
		"more than 10 MiB":                 {good + strings.Repeat("#", 10<<20), 413, "the body is over 10 MiB\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/v1/verify", "/v1/rotate"} {
				if w := post(t, ring, path, test.body); w.Code != test.code || w.Body.String() != test.text {
					t.Errorf("%s: %d %q", path, w.Code, w.Body.String())
				}
			}
		})
	}
	w := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/verify", iotest.ErrReader(io.ErrUnexpectedEOF))
	server(t, keys{ring}, sealhttp.Options{}).Handler().ServeHTTP(w, request)
	if w.Code != 400 {
		t.Errorf("a body that breaks off got %d", w.Code)
	}
}

func bomb() string {
	var b strings.Builder
	b.WriteString("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a, namespace: b}\na: &a [x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c < 'k'; c++ {
		b.WriteString(string(c) + ": &" + string(c) + " [")
		b.WriteString(strings.Repeat("*"+string(c-1)+", ", 9) + "x]\n")
	}
	return b.String()
}

// Everything that is not a sealed value comes back as it was sent, but for what only a server knows.
func TestRotateLosesNothing(t *testing.T) {
	t.Parallel()
	old, newest := generate(t, time.Hour), generate(t, 0)
	value := sealed(t, old, seal.NamespaceWide, "ns", "")
	const kept = `{
	  "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
	  "metadata": {"name": "db", "namespace": "ns", "labels": {"team": "a"}, "finalizers": ["x/y"],
	    "annotations": {"sealedsecrets.bitnami.com/namespace-wide": "true", "note": "<b>"}%s},
	  "spec": {"encryptedData": {"a": %q, "b": %q}, "unknown": {"n": 9007199254740993, "f": 1.5},
	    "template": {"type": "kubernetes.io/basic-auth", "immutable": true,
	      "metadata": {"name": "other", "labels": {"l": "1"}, "annotations": {"sealedsecrets.bitnami.com/cluster-wide": "true", "sealedsecrets.bitnami.com/managed": "true"}, "creationTimestamp": null},
	      "data": {"url": "pg://{{ .a }}", "b": null}}}%s
	}`
	added := `, "uid": "u", "resourceVersion": "7", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": []`
	sent := sprint(kept, added, value, value, `, "status": {"observedGeneration": 3}`)
	sent = strings.Replace(sent, `"note":`, `"kubectl.kubernetes.io/last-applied-configuration": "{}", "note":`, 1)
	w := post(t, keyring.New(old, newest), "/v1/rotate", sent)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", w.Code, w.Body.String())
	}
	got := decode(t, w.Body.String())
	spec, _ := got["spec"].(map[string]any)
	values, _ := spec["encryptedData"].(map[string]any)
	for _, key := range []string{"a", "b"} {
		text, _ := values[key].(string)
		opened, err := seal.NewOpener(keyring.New(newest), "", 0).Open(t.Context(), seal.NamespaceWide, "ns", "db", text)
		if err != nil || string(opened) != canary || text == value {
			t.Errorf("%s does not open with the newest key: %v", key, err)
		}
		if _, err := seal.NewOpener(keyring.New(newest), "", 0).Open(t.Context(), seal.ClusterWide, "ns", "db", text); err == nil {
			t.Errorf("%s has got a wider scope", key)
		}
		values[key] = value
	}
	if diff := cmp.Diff(decode(t, sprint(kept, "", value, value, "")), got); diff != "" {
		t.Error(diff)
	}
	// What the command line makes of it.
	file, err := sealing.ReadSealed(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := file.In(sealing.YAML)
	if err != nil || !strings.Contains(string(manifest), "9007199254740993") {
		t.Errorf("the client reads\n%s\n%v", manifest, err)
	}
}

func TestTheDeprecatedFormatIsRotatedToo(t *testing.T) {
	t.Parallel()
	old, newest := generate(t, time.Hour), generate(t, 0)
	w := post(t, keyring.New(old, newest), "/v1/rotate", document("name: db, namespace: ns", "  data: "+sealed(t, old, seal.Strict, "ns", "db")+"\n"))
	spec, _ := decode(t, w.Body.String())["spec"].(map[string]any)
	text, _ := spec["data"].(string)
	opened, err := seal.NewOpener(keyring.New(newest), "", 0).Open(t.Context(), seal.Strict, "ns", "db", text)
	if err != nil || string(opened) != canary || len(spec) != 1 {
		t.Errorf("%v: %v", spec, err)
	}
}

// Whoever asks to keep what is current learns of values that open which key they are sealed to, and of others nothing.
func TestRotateKeepsWhatIsSealedToTheNewestKeyWhereItIsAskedTo(t *testing.T) {
	t.Parallel()
	old, newest, foreign := generate(t, time.Hour), generate(t, 0), generate(t, 0)
	ring := keyring.New(old, newest)
	stale, current := sealed(t, old, seal.Strict, "ns", "db"), sealed(t, newest, seal.Strict, "ns", "db")
	both := document("name: db, namespace: ns", "  encryptedData: {stale: "+stale+", current: "+current+"}\n")
	whole := document("name: db, namespace: ns", "  data: "+current+"\n")
	spec := func(path, body string) (values map[string]any, data any) {
		spec, _ := decode(t, post(t, ring, path, body).Body.String())["spec"].(map[string]any)
		values, _ = spec["encryptedData"].(map[string]any)
		return values, spec["data"]
	}
	for query, keeps := range map[string]bool{"": false, "?keep=current": true, "?keep=": false, "?keep=all": false} {
		values, _ := spec("/v1/rotate"+query, both)
		if values["stale"] == stale || (values["current"] == current) != keeps {
			t.Errorf("%q: the old one is kept: %t, the current one: %t", query, values["stale"] == stale, values["current"] == current)
		}
		if _, data := spec("/v1/rotate"+query, whole); (data == current) != keeps {
			t.Errorf("%q: the deprecated format is kept: %t", query, data == current)
		}
	}
	for name, body := range map[string]string{
		"of another place": strings.Replace(both, "name: db", "name: web", 1),
		"with one of another cluster": document("name: db, namespace: ns",
			"  encryptedData: {a: "+current+", b: "+sealed(t, foreign, seal.Strict, "ns", "db")+"}\n"),
	} {
		if w := post(t, ring, "/v1/rotate?keep=current", body); w.Code != 500 || w.Body.String() != cannotOpen {
			t.Errorf("%s: %d %q", name, w.Code, w.Body.String())
		}
	}
}

// renewed are keys of which others take the place when a body is read.
type renewed struct {
	io.Reader
	current atomic.Pointer[keyring.Ring]
	next    *keyring.Ring
}

func (r *renewed) Ring() (*keyring.Ring, <-chan struct{}) { return r.current.Load(), nil }

func (r *renewed) Read(p []byte) (int, error) {
	r.current.Store(r.next)
	return r.Reader.Read(p)
}

// A key that somebody retires while a SealedSecret arrives would never open what is sealed to it.
func TestNothingIsSealedToAKeyThatWasRetiredBeforeItArrived(t *testing.T) {
	t.Parallel()
	old, retired, newest := generate(t, time.Hour), generate(t, time.Minute), generate(t, 0)
	k := &renewed{next: keyring.New(old, newest)}
	k.current.Store(keyring.New(old, retired))
	k.Reader = strings.NewReader(document("name: db, namespace: ns", "  encryptedData: {a: "+sealed(t, old, seal.Strict, "ns", "db")+"}\n"))
	w := httptest.NewRecorder()
	server(t, k, sealhttp.Options{}).Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/rotate", k))
	spec, _ := decode(t, w.Body.String())["spec"].(map[string]any)
	values, _ := spec["encryptedData"].(map[string]any)
	text, _ := values["a"].(string)
	if _, err := seal.NewOpener(keyring.New(newest), "", 0).Open(t.Context(), seal.Strict, "ns", "db", text); err != nil {
		t.Error(err)
	}
}

func sprint(format string, meta, a, b, status string) string {
	return strings.NewReplacer("%s},\n", meta+"},\n", `"a": %q`, `"a": "`+a+`"`, `"b": %q`, `"b": "`+b+`"`, "}%s\n", "}"+status+"\n").Replace(format)
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// In a bubble, so that the requests come at one moment however busy the machine is.
func TestOnlyTwoRequestsASecondAreJudgedWhoeverSendsThem(t *testing.T) {
	t.Parallel()
	ring := keyring.New(generate(t, 0))
	synctest.Test(t, func(t *testing.T) {
		handler := server(t, keys{ring}, sealhttp.Options{}).Handler()
		send := func(path, from string, body io.Reader) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, body)
			request.Header.Set("X-Forwarded-For", from)
			handler.ServeHTTP(w, request)
			return w
		}
		for _, path := range []string{"/v1/verify", "/v1/rotate"} {
			for _, from := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} { // two, and the one that the rate allows
				if w := send(path, from, http.NoBody); w.Code != 500 {
					t.Errorf("%s: %d", path, w.Code)
				}
			}
			body := &endless{}
			if w := send(path, "192.0.2.4", body); w.Code != 429 || w.Header().Get("Retry-After") != "1" || body.read {
				t.Errorf("%s: %d, body read: %t", path, w.Code, body.read)
			}
			time.Sleep(time.Second)
			if w := send(path, "", http.NoBody); w.Code != 500 {
				t.Errorf("%s, after a second: %d", path, w.Code)
			}
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/cert.pem", http.NoBody))
		if w.Code != 200 {
			t.Errorf("the certificate is limited: %d", w.Code)
		}
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 30 seconds")
		}
	}
}

// slow is a body that never comes, until it is let go.
type slow struct {
	reading atomic.Bool
	release chan struct{}
}

func (s *slow) Read([]byte) (int, error) {
	s.reading.Store(true)
	<-s.release
	return 0, io.EOF
}

func TestOneAtATimeIsReadAndOthersAreToldToComeAgain(t *testing.T) {
	t.Parallel()
	handler := server(t, keys{keyring.New(generate(t, 0))}, sealhttp.Options{}).Handler()
	body := &slow{release: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/verify", body))
	}()
	eventually(t, body.reading.Load)
	// The other is not ready to wait long.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w, second := httptest.NewRecorder(), &endless{}
	handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/rotate", second))
	if w.Code != 503 || second.read {
		t.Errorf("%d, body read: %t", w.Code, second.read)
	}
	close(body.release)
	<-ended
}

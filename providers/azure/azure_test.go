package azure_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// fetch reads one ref.
func fetch(t *testing.T, session providers.Session, ref providers.Ref) providers.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results, err := session.Fetch(ctx, []providers.Ref{ref})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func document(t *testing.T, session providers.Session, ref providers.Ref) providers.Document {
	t.Helper()
	r := fetch(t, session, ref)
	if r.Err != nil {
		t.Fatalf("%+v: %v", ref, r.Err)
	}
	return r.Document
}

// value is what a document has at a property; class is that of its error.
func value(t *testing.T, doc providers.Document, property string) (string, error) {
	t.Helper()
	v, err := doc.Value(property)
	return string(v.Bytes()), err
}

func TestASecretIsReadByKindNameAndVersion(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "versions")
	first := w.vault.SetSecret("db", azurecloud.Object{Value: "one"})
	second := w.vault.SetSecret("db", azurecloud.Object{Value: "two"})
	session := w.open(t)
	for ref, want := range map[providers.Ref][2]string{
		{Key: "db"}:        {"two", second},
		{Key: "secret/db"}: {"two", second},
		{Key: "secret/db/what-follows-is-ignored"}: {"two", second},
		{Key: "db", Version: first}:                {"one", first},
		{Key: "secret/db", Version: second}:        {"two", second},
	} {
		r := fetch(t, session, ref)
		if r.Err != nil {
			t.Errorf("%+v: %v", ref, r.Err)
			continue
		}
		if got, _ := value(t, r.Document, ""); got != want[0] || r.Version != want[1] {
			t.Errorf("%+v: got %q in version %q", ref, got, r.Version)
		}
	}
	for ref, want := range map[providers.Ref]struct {
		class error
		says  string
	}{
		{Key: "db", Version: strings.Repeat("0", 32)}: {providers.ErrNotFound, `no version "000`},
		{Key: "absent"}:             {providers.ErrNotFound, `no secret "absent"`},
		{Key: "cert/absent"}:        {providers.ErrNotFound, `no certificate "absent"`},
		{Key: "key/absent"}:         {providers.ErrNotFound, `no key "absent"`},
		{Key: "password/db"}:        {providers.ErrInvalid, "secret/, cert/ or key/"},
		{Key: "under_score"}:        {providers.ErrInvalid, "letters, digits and dashes"},
		{Key: "secret/"}:            {providers.ErrInvalid, "names nothing"},
		{Key: ""}:                   {providers.ErrInvalid, "names nothing"},
		{Key: "secret/../keys"}:     {providers.ErrInvalid, "names nothing"},
		{Key: "db", Version: "../"}: {providers.ErrInvalid, "cannot be one"},
	} {
		if err := fetch(t, session, ref).Err; !errors.Is(err, want.class) || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%+v: got %v", ref, err)
		}
	}
}

func TestADeletedSecretIsNotFoundAndADisabledOneIsNoDenial(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "states")
	w.vault.SetSecret("gone", azurecloud.Object{Value: "x"})
	w.vault.DeleteSecret("gone")
	w.vault.SetSecret("off", azurecloud.Object{Value: "x", Disabled: true})
	past := time.Now().Add(-time.Hour)
	w.vault.SetSecret("expired", azurecloud.Object{Value: "old", Expires: past})
	session := w.open(t)
	if err := fetch(t, session, providers.Ref{Key: "gone"}).Err; !errors.Is(err, providers.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if err := fetch(t, session, providers.Ref{Key: "off"}).Err; !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "enable it") {
		t.Errorf("disabled: %v", err)
	}
	if got, _ := value(t, document(t, session, providers.Ref{Key: "expired"}), ""); got != "old" {
		t.Errorf("key vault answers with an expired secret, and we with %q", got)
	}
}

func TestAPropertyIsAPathFirstAndAFieldWithDotsThen(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "properties")
	w.vault.SetSecret("doc", azurecloud.Object{Value: `{"a":{"b":"path"},"a.b":"field","c.d":"dotted","list":[{"n":"x","v":1},{"n":"y","v":9007199254740993}],"nil":null,"t":true}`})
	w.vault.SetSecret("plain", azurecloud.Object{Value: "no JSON"})
	session := w.open(t)
	doc := document(t, session, providers.Ref{Key: "doc"})
	for property, want := range map[string]string{
		"a.b": "path", `a\.b`: "field", "c.d": "dotted", `list.#(n=="y").v`: "9007199254740993", "list.#": "2", "nil": "", "t": "true", "a": `{"b":"path"}`,
	} {
		if got, err := value(t, doc, property); err != nil || got != want {
			t.Errorf("%s: got %q, %v", property, got, err)
		}
	}
	for _, property := range []string{"x", "x.y", "a.b.c"} {
		if _, err := value(t, doc, property); !errors.Is(err, providers.ErrPropertyNotFound) {
			t.Errorf("%s: %v", property, err)
		}
	}
	plain := document(t, session, providers.Ref{Key: "plain"})
	if _, err := value(t, plain, "x"); !errors.Is(err, providers.ErrPropertyNotFound) {
		t.Errorf("a property of what is no JSON: %v", err)
	}
	if _, err := plain.Fields(""); !errors.Is(err, providers.ErrInvalid) || strings.Contains(err.Error(), "no JSON") {
		t.Errorf("fields of what is no JSON: %v", err)
	}
	fields, err := doc.Fields("a")
	if err != nil || len(fields) != 1 || string(fields["b"].Bytes()) != "path" {
		t.Errorf("fields at a property: %d, %v", len(fields), err)
	}
}

func texts(fields map[string]providers.Value) map[string]string {
	out := map[string]string{}
	for name, v := range fields {
		out[name] = string(v.Bytes())
	}
	return out
}

func TestMetadataAreTagsAndTimes(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "metadata")
	at := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	w.vault.SetSecret("db", azurecloud.Object{
		Value: "x", Created: at(1), Updated: at(2), NotBefore: at(3), Expires: at(4),
		Tags: map[string]string{"env": "prod", "json": `{"a":"1","b.c":"2"}`, "mixed": `{"a":1}`, "<tag>": "&"},
	})
	times := `"attribute.created":"2026-01-02T01:00:00Z","attribute.expires":"2026-01-02T04:00:00Z","attribute.notBefore":"2026-01-02T03:00:00Z","attribute.updated":"2026-01-02T02:00:00Z"`
	tags := `"env":"prod","json":"{\"a\":\"1\",\"b.c\":\"2\"}","mixed":"{\"a\":1}"`
	session := w.open(t)
	doc := document(t, session, providers.Ref{Key: "db", Metadata: true})
	for property, want := range map[string]string{
		"":    `{"\u003ctag\u003e":"\u0026",` + times + "," + tags + "}",
		"env": "prod", "attribute.expires": "2026-01-02T04:00:00Z", "json": `{"a":"1","b.c":"2"}`, "json.a": "1", "json.b.c": "2", "mixed.a": "1",
	} {
		if got, err := value(t, doc, property); err != nil || got != want {
			t.Errorf("%q: got %q, %v", property, got, err)
		}
	}
	for _, property := range []string{"absent", "env.x", ".env", "attribute.none"} {
		if _, err := value(t, doc, property); !errors.Is(err, providers.ErrPropertyNotFound) {
			t.Errorf("%q: %v", property, err)
		}
	}
	fields, err := doc.Fields("")
	want := map[string]string{
		"db_env": "prod", "db_json_a": "1", "db_json_b.c": "2", "db_mixed": `{"a":1}`, "db_<tag>": "&", "db_attribute.created": "2026-01-02T01:00:00Z",
		"db_attribute.updated": "2026-01-02T02:00:00Z", "db_attribute.notBefore": "2026-01-02T03:00:00Z", "db_attribute.expires": "2026-01-02T04:00:00Z",
	}
	if err != nil || fmt.Sprint(texts(fields)) != fmt.Sprint(want) {
		t.Errorf("fields: %v, %v", texts(fields), err)
	}
	doc = document(t, session, providers.Ref{Key: "secret/db", Metadata: true})
	if fields, err := doc.Fields("json.a"); err != nil || fmt.Sprint(texts(fields)) != fmt.Sprint(map[string]string{"secret/db_json.a": "1"}) {
		t.Errorf("fields at a property: %v, %v", texts(fields), err)
	}
	if _, err := doc.Fields("absent"); !errors.Is(err, providers.ErrPropertyNotFound) {
		t.Errorf("fields at no property: %v", err)
	}

	spec, env := w.store()
	spec.UseAzureSDK = new(true)
	doc = document(t, open(t, spec, env), providers.Ref{Key: "db", Metadata: true})
	if got, _ := value(t, doc, ""); got != `{"\u003ctag\u003e":"\u0026",`+tags+"}" {
		t.Errorf("with useAzureSDK there are no times, but: %s", got)
	}
}

func TestCertificatesAreDERAndKeysAreJSON(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "kinds")
	pair := newPair(t, "web")
	w.vault.SetCertificate("web", azurecloud.Object{DER: pair.cert.Raw, Tags: map[string]string{"of": "cert"}})
	version := w.vault.SetKey("web", azurecloud.Object{Key: &pair.key.PublicKey, Tags: map[string]string{"of": "key"}})
	w.vault.SetSecret("web", azurecloud.Object{Value: "the secret of the same name"})
	session := w.open(t)
	doc := document(t, session, providers.Ref{Key: "cert/web"})
	for _, property := range []string{"", "ignored"} {
		if got, err := value(t, doc, property); err != nil || got != string(pair.cert.Raw) {
			t.Errorf("property %q: not the certificate: %v", property, err)
		}
	}
	if _, err := doc.Fields(""); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("a certificate is extracted: %v", err)
	}
	doc = document(t, session, providers.Ref{Key: "key/web"})
	n := base64.RawURLEncoding.EncodeToString(pair.key.N.Bytes())
	id := w.vault.URL() + "/keys/web/" + version
	if got, _ := value(t, doc, ""); got != `{"kid":"`+id+`","kty":"RSA","key_ops":["sign","verify"],"n":"`+n+`","e":"AQAB"}` {
		t.Errorf("the key is %s", got)
	}
	if got, err := value(t, doc, "key_ops.1"); err != nil || got != "verify" {
		t.Errorf("a part of the key: %q, %v", got, err)
	}
	if _, err := doc.Fields(""); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("a key is extracted: %v", err)
	}
	for _, kind := range []string{"cert", "key"} {
		doc := document(t, session, providers.Ref{Key: kind + "/web", Metadata: true})
		if got, err := value(t, doc, "of"); err != nil || got != kind {
			t.Errorf("the metadata of the %s: %q, %v", kind, got, err)
		}
		if _, err := doc.Fields(""); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("the metadata of a %s are extracted: %v", kind, err)
		}
	}
	spec, env := w.store()
	spec.UseAzureSDK = new(true)
	doc = document(t, open(t, spec, env), providers.Ref{Key: "key/web"})
	if got, _ := value(t, doc, ""); got != `{"e":"AQAB","key_ops":["sign","verify"],"kid":"`+id+`","kty":"RSA","n":"`+n+`"}` {
		t.Errorf("with useAzureSDK the key is %s", got)
	}
}

type pair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newPair(t *testing.T, name string) pair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template(name), template(name), key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, cert}
}

func TestWhatIsMissingIsNamedByItsRight(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "rightless", []string{}...)
	w.vault.Grant("somebody else", azurecloud.GetSecrets)
	session := w.open(t)
	for key, want := range map[string]string{
		"a": "secrets/get (the role Key Vault Secrets User", "cert/a": "certificates/get (the role Key Vault Certificate User", "key/a": "keys/get (the role Key Vault Crypto User",
	} {
		if err := fetch(t, session, providers.Ref{Key: key}).Err; !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", key, err)
		}
	}
	finder, _ := providers.As[providers.Finder](session)
	if _, err := finder.Find(t.Context(), providers.Query{}); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "secrets/list") {
		t.Errorf("a search: %v", err)
	}
	checker, _ := providers.As[providers.Checker](session)
	if err := checker.Check(t.Context()); !errors.Is(err, providers.ErrUnverified) {
		t.Errorf("a check: %v", err)
	}
}

func TestASearchFindsEnabledSecretsByNameAndTags(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "search")
	for i := range 60 { // three pages
		w.vault.SetSecret(fmt.Sprintf("app-%02d", i), azurecloud.Object{Value: fmt.Sprint(i), Tags: map[string]string{"odd": fmt.Sprint(i % 2), "all": "1"}})
	}
	w.vault.SetSecret("app-off", azurecloud.Object{Value: "x", Disabled: true, Tags: map[string]string{"all": "1"}})
	w.vault.SetSecret("other", azurecloud.Object{Value: "x"})
	session := w.open(t)
	finder, _ := providers.As[providers.Finder](session)
	for name, tc := range map[string]struct {
		query providers.Query
		first string
		count int
	}{
		"everything":     {providers.Query{}, "app-00", 61},
		"by name":        {providers.Query{Name: regexp.MustCompile("^app-")}, "app-00", 60},
		"by tags":        {providers.Query{Tags: map[string]string{"odd": "1", "all": "1"}}, "app-01", 30},
		"by both":        {providers.Query{Name: regexp.MustCompile("5"), Tags: map[string]string{"odd": "1"}}, "app-05", 10},
		"a path is void": {providers.Query{Path: new("x"), Name: regexp.MustCompile("other")}, "other", 1},
		"of no tag":      {providers.Query{Tags: map[string]string{"none": ""}}, "", 0},
	} {
		found, err := finder.Find(t.Context(), tc.query)
		if err != nil || len(found) != tc.count || tc.count > 0 && found[0].Name != tc.first {
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
		if !slices.IsSortedFunc(found, func(a, b providers.Found) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%s: not sorted", name)
		}
	}
}

func TestTheAddressOfAVaultHasManySpellings(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "spellings")
	for _, address := range []string{"https://spellings.vault.azure.net/", "https://Spellings.Vault.azure.net", "https://spellings.vault.azure.net:443", "https://SPELLINGS.vault.azure.net:443/"} {
		spec, env := w.store()
		spec.VaultURL = address
		w.reads(t, spec, env)
	}
}

func TestAPageOfAnotherHostIsNotAskedFor(t *testing.T) {
	t.Parallel()
	cloud := azurecloud.New(t)
	cloud.Handle("thief.vault.azure.net", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the token went to another host") }))
	cfg, env := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"value":[],"nextLink":"https://thief.vault.azure.net/secrets"}`)
	})
	session := openConfig(t, cfg, env)
	finder, _ := providers.As[providers.Finder](session)
	if _, err := finder.Find(t.Context(), providers.Query{}); !errors.Is(err, providers.ErrUnavailable) {
		t.Error(err)
	}
}

func TestASessionAsksOnceForEachObjectAndLogsInOnce(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "frugal")
	w.vault.SetSecret("a", azurecloud.Object{Value: "1"})
	before := len(w.cloud.Requests(w.vault.Host()))
	session := w.open(t)
	for range 2 {
		if _, err := session.Fetch(t.Context(), []providers.Ref{{Key: "a"}, {Key: "secret/a"}, {Key: "a", Metadata: true}, {Key: "b"}}); err != nil {
			t.Fatal(err)
		}
	}
	var asked, without int
	for _, r := range w.cloud.Requests(w.vault.Host())[before:] {
		if asked++; !r.Authorized {
			without++
		}
	}
	if without != 1 || asked != 1+2*2 {
		t.Errorf("%d requests, %d of them without a token; want 5 and 1", asked, without)
	}
}

func TestASessionThatLostItsTokenIsDenied(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "revoked")
	session := w.open(t)
	w.cloud.RevokeAll(w.client)
	if err := fetch(t, session, providers.Ref{Key: "a"}).Err; !errors.Is(err, providers.ErrDenied) {
		t.Error(err)
	}
	expires, _ := providers.As[providers.Expirer](session)
	if left := time.Until(expires.Expires()); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the session says that it ends in %s", left)
	}
}

package gcp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	harness "github.com/sealbridge/sealbridge/test/harness/gcp"
)

// read fetches one ref and returns the part that property names, with its version.
func read(t *testing.T, session providers.Session, ref providers.Ref, property string) (value, version string, err error) {
	t.Helper()
	results, err := session.Fetch(t.Context(), []providers.Ref{ref})
	if err != nil {
		return "", "", err
	}
	if results[0].Err != nil {
		return "", "", results[0].Err
	}
	v, err := results[0].Document.Value(property)
	return string(v.Bytes()), results[0].Version, err
}

func TestAVersionIsReadByNumberAliasOrLatest(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, content := range []string{"one", "two", "three"} {
		p.Put(p.parent(), "app", []byte(content))
	}
	p.Alias(p.parent(), "app", "stable", 2)
	session := open(t, keyStore(p.project), keyEnv(p.key))
	for version, want := range map[string][2]string{"": {"three", "3"}, "latest": {"three", "3"}, "1": {"one", "1"}, "stable": {"two", "2"}} {
		if got, number, err := read(t, session, providers.Ref{Key: "app", Version: version}, ""); err != nil || got != want[0] || number != want[1] {
			t.Errorf("version %q: %q, %q, %v", version, got, number, err)
		}
	}
	for version, want := range map[string]error{"9": providers.ErrNotFound, "unknown": providers.ErrNotFound, "1/2": providers.ErrInvalid} {
		if _, _, err := read(t, session, providers.Ref{Key: "app", Version: version}, ""); !errors.Is(err, want) {
			t.Errorf("version %q: %v, want %v", version, err, want)
		}
	}
	p.Describe(p.parent(), "empty", nil, nil)
	if _, _, err := read(t, session, providers.Ref{Key: "empty"}, ""); !errors.Is(err, providers.ErrNotFound) {
		t.Errorf("a secret without a version: %v", err)
	}
}

func TestAKeyIsTheNameOfASecretAndNothingElse(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.Put(p.parent(), "app", []byte("one"))
	session := open(t, keyStore(p.project), keyEnv(p.key))
	for _, key := range []string{"", p.parent() + "/secrets/app", "app/versions/1", "../app", "app name", "äpp", strings.Repeat("a", 256)} {
		if _, _, err := read(t, session, providers.Ref{Key: key}, ""); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	if got, _, err := read(t, session, providers.Ref{Key: "app"}, ""); got != "one" {
		t.Error(got, err)
	}
}

func TestADisabledOrDestroyedVersionIsNoMissingSecret(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, content := range []string{"one", "two", "three", "four"} {
		p.Put(p.parent(), "app", []byte(content))
	}
	p.Disable(p.parent(), "app", 3)
	p.Destroy(p.parent(), "app", 4)
	fail, fetch := keyStore(p.project), keyStore(p.project)
	fail.SecretVersionSelectionPolicy, fetch.SecretVersionSelectionPolicy = stores.GCPLatestOrFail, stores.GCPLatestOrFetch
	failing, fetching := open(t, fail, keyEnv(p.key)), open(t, fetch, keyEnv(p.key))
	for version := range 3 {
		ref := providers.Ref{Key: "app", Version: []string{"", "3", "latest"}[version]}
		if _, _, err := read(t, failing, ref, ""); !errors.Is(err, providers.ErrDenied) || errors.Is(err, providers.ErrNotFound) || !strings.Contains(err.Error(), "disabled or destroyed") {
			t.Errorf("version %q: %v", ref.Version, err)
		}
	}
	if got, version, err := read(t, fetching, providers.Ref{Key: "app"}, ""); got != "two" || version != "2" || err != nil {
		t.Errorf("the newest that is enabled: %q, %q, %v", got, version, err)
	}
	if _, _, err := read(t, fetching, providers.Ref{Key: "app", Version: "3"}, ""); !errors.Is(err, providers.ErrDenied) {
		t.Errorf("a version that is named and disabled: %v", err)
	}
	p.Disable(p.parent(), "app", 1)
	p.Disable(p.parent(), "app", 2)
	if _, _, err := read(t, fetching, providers.Ref{Key: "app"}, ""); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "no version of") {
		t.Errorf("none is enabled: %v", err)
	}
	p.Revoke("serviceAccount:"+p.email, p.parent(), "secretmanager.versions.list")
	if _, _, err := read(t, fetching, providers.Ref{Key: "app"}, ""); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "secretmanager.versions.list") {
		t.Errorf("versions may not be listed: %v", err)
	}
}

func TestARegionalSecretIsReadAtItsEndpoint(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.Put(p.parent(), "app", []byte("global"))
	p.Put(p.parent()+"/locations/"+harness.Region, "app", []byte("regional"))
	p.Disable(p.parent()+"/locations/"+harness.Region, "app", 1)
	p.Put(p.parent()+"/locations/"+harness.Region, "app", []byte("regional 2"))
	p.Describe(p.parent()+"/locations/"+harness.Region, "app", map[string]string{"team": "a"}, nil)
	spec := keyStore(p.project)
	spec.Location = harness.Region
	session := open(t, spec, keyEnv(p.key))
	if got, _, err := read(t, session, providers.Ref{Key: "app"}, ""); got != "regional 2" {
		t.Errorf("%q, %v", got, err)
	}
	if got, _, err := read(t, session, providers.Ref{Key: "app", Metadata: true}, "labels.team"); got != "a" {
		t.Errorf("%q, %v", got, err)
	}
	found, err := session.(providers.Finder).Find(t.Context(), providers.Query{Tags: map[string]string{"team": "a"}})
	if err != nil || len(found) != 1 || found[0].Name != "app" || string(found[0].Value.Bytes()) != "regional 2" {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestWhatIsMissingIsNamedWithThePermission(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.Put(p.parent(), "app", []byte("one"))
	p.Revoke("serviceAccount:"+p.email, p.parent(), harness.Reading()...)
	session := open(t, keyStore(p.project), keyEnv(p.key))
	for permission, ref := range map[string]providers.Ref{
		"secretmanager.versions.access": {Key: "app"},
		"secretmanager.secrets.get":     {Key: "app", Metadata: true},
	} {
		_, _, err := read(t, session, ref, "")
		if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "grant "+permission+" on it") ||
			!strings.Contains(err.Error(), p.parent()+"/secrets/app") || !strings.Contains(err.Error(), "the service account "+p.email) {
			t.Errorf("%s: %v", permission, err)
		}
	}
	_, err := session.(providers.Finder).Find(t.Context(), providers.Query{})
	if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "grant secretmanager.secrets.list on it (roles/secretmanager.viewer)") {
		t.Error(err)
	}
	if err := session.(providers.Checker).Check(t.Context()); err != nil {
		t.Errorf("rights on single secrets are enough, and the check says: %v", err)
	}
	p.Grant("serviceAccount:"+p.email, p.parent()+"/secrets/app", "secretmanager.versions.access")
	if got, _, err := read(t, session, providers.Ref{Key: "app"}, ""); got != "one" {
		t.Errorf("with the right on one secret: %q, %v", got, err)
	}
}

func TestACheckFindsWhatMakesAStoreUseless(t *testing.T) {
	t.Parallel()
	cfg, env := breaks(codes.Unauthenticated, canary)(t)
	if err := open(t, cfg.Spec.(*stores.GCPSM), env).(providers.Checker).Check(t.Context()); !errors.Is(err, providers.ErrDenied) {
		t.Errorf("a token that is refused: %v", err)
	}
	for what, at := range map[string]func(*testing.T) (providers.Config, providers.Env){
		"nobody is there":         elsewhere("nowhere2", nil),
		"a proxy refuses":         elsewhere("refused1", says(403, "text/html", "<html>"+canary)),
		"a proxy wants a login":   elsewhere("refused2", says(401, "text/html", "<html>"+canary)),
		"a proxy finds no page":   elsewhere("refused3", says(404, "text/html", "<html>"+canary)),
		"something else is there": elsewhere("refused4", says(200, "text/html", "<html>"+canary)),
	} {
		cfg, env := at(t)
		if err := open(t, cfg.Spec.(*stores.GCPSM), env).(providers.Checker).Check(t.Context()); !errors.Is(err, providers.ErrUnavailable) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, tc := range []struct {
		code  codes.Code
		why   string
		class error
	}{
		{codes.PermissionDenied, "IAM_PERMISSION_DENIED", nil}, {codes.NotFound, "", nil},
		{codes.PermissionDenied, "SERVICE_DISABLED", providers.ErrDenied}, {codes.InvalidArgument, "", providers.ErrInvalid}, {codes.Internal, "", providers.ErrUnavailable},
	} {
		cfg, env := breaks(tc.code, "it "+canary, &errdetails.ErrorInfo{Reason: tc.why})(t)
		if err := open(t, cfg.Spec.(*stores.GCPSM), env).(providers.Checker).Check(t.Context()); !errors.Is(err, tc.class) {
			t.Errorf("%s, %s: %v", tc.code, tc.why, err)
		}
	}
	cfg, env = breaks(codes.NotFound, "Project not found "+canary)(t)
	if err := open(t, cfg.Spec.(*stores.GCPSM), env).(providers.Checker).Check(t.Context()); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("there is no project: %v", err)
	}
}

func TestMetadataIsADocument(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.Describe(p.parent(), "app", map[string]string{"team": "a", "x": "y"}, map[string]string{"note": `{"k":"<v>"}`, "a.b": "dotted"})
	p.Describe(p.parent(), "bare", nil, nil)
	session := open(t, keyStore(p.project), keyEnv(p.key))
	ref := providers.Ref{Key: "app", Metadata: true}
	for property, want := range map[string]string{
		"":                `{"annotations":{"a.b":"dotted","note":"{\"k\":\"\u003cv\u003e\"}"},"labels":{"team":"a","x":"y"}}`,
		"labels":          `{"team":"a","x":"y"}`,
		"labels.team":     "a",
		"annotations.a.b": "dotted",
	} {
		if got, version, err := read(t, session, ref, property); err != nil || got != want || version != "" {
			t.Errorf("%q: %q, %q, %v", property, got, version, err)
		}
	}
	for property, want := range map[string]error{"labels.none": providers.ErrPropertyNotFound, "annotations.": providers.ErrInvalid, "other": providers.ErrInvalid} {
		if _, _, err := read(t, session, ref, property); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", property, err, want)
		}
	}
	if _, _, err := read(t, session, ref, "labels.none"); !strings.Contains(err.Error(), `has no label "none"`) {
		t.Error(err)
	}
	if got, _, err := read(t, session, providers.Ref{Key: "bare", Metadata: true}, ""); got != `{"annotations":null,"labels":null}` {
		t.Errorf("without any: %q, %v", got, err)
	}
	for _, tc := range []struct {
		key, property string
		want          map[string]string
	}{
		{"app", "", map[string]string{"annotations": `{"a.b":"dotted","note":"{\"k\":\"\u003cv\u003e\"}"}`, "labels": `{"team":"a","x":"y"}`}},
		{"app", "labels", map[string]string{"team": "a", "x": "y"}},
		{"app", "annotations.note", map[string]string{"k": "<v>"}},
		{"bare", "labels", map[string]string{}},
		{"bare", "", map[string]string{"annotations": "", "labels": ""}},
	} {
		results, err := session.Fetch(t.Context(), []providers.Ref{{Key: tc.key, Metadata: true}})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results[0].Err)
		}
		fields, err := results[0].Document.Fields(tc.property)
		got := map[string]string{}
		for name, value := range fields {
			got[name] = string(value.Bytes())
		}
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("fields of %s %q: %v\n%s", tc.key, tc.property, err, diff)
		}
	}
	if _, _, err := read(t, session, providers.Ref{Key: "nowhere", Metadata: true}, ""); !errors.Is(err, providers.ErrNotFound) {
		t.Error(err)
	}
}

// TestReadsOfOneFetchRunTogetherAndBounded has reads wait for one another: that many are under way at once, and no more.
func TestReadsOfOneFetchRunTogetherAndBounded(t *testing.T) {
	t.Parallel()
	const together, all = 32, 70
	p := newPlace(t)
	refs := make([]providers.Ref, all)
	for i := range refs {
		refs[i].Key = fmt.Sprint("s", i)
		p.Put(p.parent(), refs[i].Key, []byte(refs[i].Key))
	}
	crowd := providertest.NewCrowd(together)
	p.Break(p.project, func(ctx context.Context, _ string) error {
		crowd.Join(ctx)
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results, err := open(t, keyStore(p.project), keyEnv(p.key)).Fetch(ctx, refs)
	if err != nil || crowd.Most() != together {
		t.Fatalf("%d reads are under way at once, %v", crowd.Most(), err)
	}
	for i, r := range results {
		if value, err := r.Document.Value(""); err != nil || string(value.Bytes()) != refs[i].Key {
			t.Errorf("%d: %v", i, err)
		}
	}
}

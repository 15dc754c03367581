package gcp_test

import (
	"errors"
	"strings"
	"testing"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	harness "github.com/sealbridge/sealbridge/test/harness/gcp"
)

// rename has the answers about a project be for what name makes of the name that is true.
func rename(p place, name func(string) string) {
	p.Tamper(p.project, func(answer any) {
		switch a := answer.(type) {
		case *pb.AccessSecretVersionResponse:
			a.Name = name(a.GetName())
		case *pb.Secret:
			a.Name = name(a.GetName())
		}
	})
}

// Google answers with the number of the project, which the store names by its ID.
func TestAnAnswerForAnotherSecretOrVersionIsNotUsed(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, at := range []string{p.parent(), p.parent() + "/locations/" + harness.Region} {
		p.Put(at, "app", []byte(canary))
		p.Put(at, "app", []byte(canary))
	}
	global, regional := keyStore(p.project), keyStore(p.project)
	regional.Location = harness.Region
	replaced := func(from, to string) func(string) string {
		return func(name string) string { return strings.Replace(name, from, to, 1) }
	}
	for what, tc := range map[string]struct {
		store *stores.GCPSM
		ref   providers.Ref
		name  func(string) string
		shows string // what the answer is for; empty when it is used
	}{
		"another secret":            {global, providers.Ref{Key: "app"}, replaced("/app/", "/other/"), "secrets/other/versions/2"},
		"another version":           {global, providers.Ref{Key: "app", Version: "1"}, replaced("versions/1", "versions/2"), "secrets/app/versions/2"},
		"no version":                {global, providers.Ref{Key: "app", Version: "latest"}, replaced("/versions/2", ""), "secrets/app"},
		"what is no version":        {global, providers.Ref{Key: "app"}, replaced("versions/2", "versions/"+strings.Repeat("2", 64)), "versions/2"},
		"a secret of another place": {global, providers.Ref{Key: "app"}, replaced("/secrets/", "/locations/"+harness.Region+"/secrets/"), "locations/" + harness.Region},
		"one of another region":     {regional, providers.Ref{Key: "app"}, replaced(harness.Region, "us-east5"), "locations/us-east5/secrets/app"},
		"one of another project":    {global, providers.Ref{Key: "app"}, func(string) string { return "projects/other/secrets/app/versions/2" }, "projects/other"},
		"what is no name":           {global, providers.Ref{Key: "app"}, func(string) string { return "it is " + canary }, "a text that is no name"},
		"metadata of another":       {global, providers.Ref{Key: "app", Metadata: true}, replaced("/app", "/other"), "secrets/other"},
		"no name":                   {global, providers.Ref{Key: "app", Version: "1"}, func(string) string { return "" }, ""},
		"metadata without a name":   {global, providers.Ref{Key: "app", Metadata: true}, func(string) string { return "" }, ""},
		"the project by its ID":     {global, providers.Ref{Key: "app"}, func(string) string { return p.parent() + "/secrets/app/versions/2" }, ""},
		"the number of an alias":    {global, providers.Ref{Key: "app", Version: "latest"}, func(name string) string { return name }, ""},
	} {
		rename(p, tc.name)
		session := open(t, tc.store, keyEnv(p.key))
		results, err := session.Fetch(t.Context(), []providers.Ref{tc.ref})
		switch {
		case err != nil:
			t.Errorf("%s: all who use the store are told: %v", what, err)
		case tc.shows == "" && results[0].Err != nil:
			t.Errorf("%s: %v", what, results[0].Err)
		case tc.shows != "" && (!errors.Is(results[0].Err, providers.ErrUnavailable) || !strings.Contains(results[0].Err.Error(), "secrets/app") ||
			!strings.Contains(results[0].Err.Error(), tc.shows) || strings.Contains(results[0].Err.Error(), canary)):
			t.Errorf("%s: %v", what, results[0].Err)
		}
	}
	rename(p, replaced("/app/", "/other/"))
	found, err := open(t, global, keyEnv(p.key)).(providers.Finder).Find(t.Context(), providers.Query{}) //nolint:forcetypeassert // it is one
	if found != nil || !errors.Is(err, providers.ErrUnavailable) || strings.Contains(err.Error(), "app") || !strings.Contains(err.Error(), "asked for one document, it answers another") {
		t.Errorf("a search: %d found, %v", len(found), err)
	}
}

// Secret Manager makes a checksum for each version; what imitates it may have none.
func TestAPayloadWithoutAChecksumIsRead(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.Put(p.parent(), "app", []byte("one"))
	p.Tamper(p.project, func(answer any) {
		if a, ok := answer.(*pb.AccessSecretVersionResponse); ok {
			a.Payload.DataCrc32C = nil
		}
	})
	if got, _, err := read(t, open(t, keyStore(p.project), keyEnv(p.key)), providers.Ref{Key: "app"}, ""); got != "one" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

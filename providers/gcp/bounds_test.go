package gcp_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

// crowded is a Secret Manager that has as many secrets, or versions of each, as it is told: the newest is the first, and latest is disabled.
type crowded struct {
	pb.UnimplementedSecretManagerServiceServer
	secrets, versions int
	// named is what a secret's name begins with, s when it is empty.
	named string
	// asked is how many secrets were asked for in a page.
	asked atomic.Int32
}

// inPage is how much comes in one answer, whatever was asked for.
const inPage = 20_000

// page returns the items of the page that a token names, by their numbers, and the token of the one that follows.
func page[T any](all int, token string, item func(number int) T) (items []T, next string) {
	from := 0
	_, _ = fmt.Sscan(token, &from)
	for len(items) < inPage && from < all {
		from++
		items = append(items, item(from))
	}
	if from < all {
		next = fmt.Sprint(from)
	}
	return items, next
}

func (c *crowded) ListSecrets(_ context.Context, r *pb.ListSecretsRequest) (*pb.ListSecretsResponse, error) {
	c.asked.Store(r.GetPageSize())
	secrets, next := page(c.secrets, r.GetPageToken(), func(number int) *pb.Secret {
		return &pb.Secret{Name: fmt.Sprint(r.GetParent(), "/secrets/", cmp.Or(c.named, "s"), number)}
	})
	return &pb.ListSecretsResponse{Secrets: secrets, NextPageToken: next}, nil
}

func (c *crowded) ListSecretVersions(_ context.Context, r *pb.ListSecretVersionsRequest) (*pb.ListSecretVersionsResponse, error) {
	versions, next := page(c.versions, r.GetPageToken(), func(number int) *pb.SecretVersion {
		return &pb.SecretVersion{Name: fmt.Sprint(r.GetParent(), "/versions/", number)}
	})
	return &pb.ListSecretVersionsResponse{Versions: versions, NextPageToken: next}, nil
}

func (c *crowded) AccessSecretVersion(_ context.Context, r *pb.AccessSecretVersionRequest) (*pb.AccessSecretVersionResponse, error) {
	if strings.HasSuffix(r.GetName(), "/latest") {
		return nil, status.Error(codes.FailedPrecondition, "Secret Version [x] is in DISABLED state.")
	}
	return &pb.AccessSecretVersionResponse{Name: r.GetName(), Payload: &pb.SecretPayload{Data: []byte("x")}}, nil
}

// open opens a session on it.
func (c *crowded) open(t *testing.T, location string) providers.Session {
	t.Helper()
	return served(t, location, c)
}

// served opens a session on a Secret Manager of its own, at a location.
func served(t *testing.T, location string, by pb.SecretManagerServiceServer) providers.Session {
	t.Helper()
	server := grpc.NewServer()
	t.Cleanup(server.Stop)
	pb.RegisterSecretManagerServiceServer(server, by)
	cfg, env := elsewhere(location, server)(t)
	spec := cfg.Spec.(*stores.GCPSM)
	spec.SecretVersionSelectionPolicy = stores.GCPLatestOrFetch
	return open(t, spec, env)
}

func TestASearchLooksAtSoManySecretsAndNoMore(t *testing.T) {
	t.Parallel()
	for _, secrets := range []int{100_000, 100_001} {
		c := &crowded{secrets: secrets}
		finder, _ := providers.As[providers.Finder](c.open(t, fmt.Sprint("secrets", secrets)))
		found, err := finder.Find(t.Context(), providers.Query{Name: regexp.MustCompile("^none$")})
		if tooMany := secrets > 100_000; tooMany != (err != nil) || tooMany && (!errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "more than 100000 secrets are in")) {
			t.Errorf("of %d: %d found, %v", secrets, len(found), err)
		}
		if asked := c.asked.Load(); asked != 200 { // the size of a page that fits in one message, whatever the secrets are labelled with
			t.Errorf("a page is asked for with %d secrets", asked)
		}
	}
}

func TestASecretThatIsListedUnderANameThatNoneHasIsNoAnswer(t *testing.T) {
	t.Parallel()
	c := &crowded{secrets: 1, named: strings.Repeat("n", 255)}
	finder, _ := providers.As[providers.Finder](c.open(t, "long-names"))
	if found, err := finder.Find(t.Context(), providers.Query{Name: regexp.MustCompile("n")}); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "not one of Secret Manager's") {
		t.Errorf("%d found, %v", len(found), err)
	}
}

func TestTheNewestEnabledIsLookedForAmongSoManyVersionsAndNoMore(t *testing.T) {
	t.Parallel()
	for _, versions := range []int{10_000, 10_001} {
		_, version, err := read(t, (&crowded{versions: versions}).open(t, fmt.Sprint("versions", versions)), providers.Ref{Key: "app"}, "")
		tooMany := versions > 10_000
		if tooMany != (err != nil) || tooMany && (!errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "more than 10000 versions")) || !tooMany && version != "1" {
			t.Errorf("of %d: version %q, %v", versions, version, err)
		}
	}
}

// endless is a Secret Manager that says after each page of its lists that there is another, which is empty.
type endless struct {
	pb.UnimplementedSecretManagerServiceServer
	// after returns the token of the page that follows.
	after func(token string) string
	asked atomic.Int32
}

func (e *endless) ListSecrets(_ context.Context, r *pb.ListSecretsRequest) (*pb.ListSecretsResponse, error) {
	e.asked.Add(1)
	return &pb.ListSecretsResponse{NextPageToken: e.after(r.GetPageToken())}, nil
}

func (e *endless) ListSecretVersions(_ context.Context, r *pb.ListSecretVersionsRequest) (*pb.ListSecretVersionsResponse, error) {
	e.asked.Add(1)
	return &pb.ListSecretVersionsResponse{NextPageToken: e.after(r.GetPageToken())}, nil
}

func (e *endless) AccessSecretVersion(context.Context, *pb.AccessSecretVersionRequest) (*pb.AccessSecretVersionResponse, error) {
	return nil, status.Error(codes.FailedPrecondition, "Secret Version [x] is in DISABLED state.")
}

func TestAListEndsThoughItsPagesDoNot(t *testing.T) {
	t.Parallel()
	again := func(string) string { return "again" }
	turns := func(token string) string { return map[string]string{"one": "two"}[token] + "one" }
	for name, tc := range map[string]struct {
		after func(token string) string
		finds bool
		asked int32
		class error
		says  string
	}{
		"secrets-again":  {again, true, 2, providers.ErrUnavailable, "not one of Secret Manager's"},
		"versions-again": {again, false, 2, providers.ErrUnavailable, "not one of Secret Manager's"},
		"secrets-turns":  {turns, true, 2500, providers.ErrInvalid, "it takes more than 2500 pages to list the secrets of projects/"},
	} {
		e := &endless{after: tc.after}
		session := served(t, name, e)
		var err error
		if finder, _ := providers.As[providers.Finder](session); tc.finds {
			_, err = finder.Find(t.Context(), providers.Query{})
		} else {
			_, _, err = read(t, session, providers.Ref{Key: "app"}, "")
		}
		if !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.says) || e.asked.Load() != tc.asked {
			t.Errorf("%s: %v after %d requests", name, err, e.asked.Load())
		}
	}
}

// A version's name becomes a part of the next request.
func TestAVersionThatIsListedUnderANameThatNoneHasIsNoAnswer(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"", "projects/p/secrets/app/versions/", "projects/p/secrets/app/versions/1?x", strings.Repeat("1", 64)} {
		_, _, err := read(t, served(t, fmt.Sprint("misnamed", i), &misnamed{name: name}), providers.Ref{Key: "app"}, "")
		if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "not one of Secret Manager's") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// misnamed has one version of each secret that is enabled, and calls it as it is told.
type misnamed struct {
	crowded
	name string
}

func (m *misnamed) ListSecretVersions(context.Context, *pb.ListSecretVersionsRequest) (*pb.ListSecretVersionsResponse, error) {
	return &pb.ListSecretVersionsResponse{Versions: []*pb.SecretVersion{{Name: m.name}}}, nil
}

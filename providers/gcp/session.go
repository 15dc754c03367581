package gcp

import (
	"cmp"
	"context"
	"hash/crc32"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// parallel is how many reads of one Fetch run at once, over one connection: Secret Manager has no request for several secrets.
const parallel = 32

type session struct {
	store             string
	api               *secretmanager.Client
	project, location string
	who               string
	expires           time.Time
	// latestEnabled is set when the newest version that is enabled stands in for one that is not.
	latestEnabled bool
}

var (
	_ providers.Checker = (*session)(nil)
	_ providers.Expirer = (*session)(nil)
	_ providers.Finder  = (*session)(nil)
)

// Expires implements providers.Expirer.
func (s *session) Expires() time.Time { return s.expires }

// Close ends the connection.
func (s *session) Close() error {
	_ = s.api.Close() // it fails when it is closed already
	return nil
}

// Fetch implements providers.Session: one read for each distinct ref, some at a time.
func (s *session) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	return reading.Each(refs, parallel, func(ref providers.Ref) (providers.Result, error) { return s.document(ctx, ref) })
}

func (s *session) document(ctx context.Context, ref providers.Ref) (providers.Result, error) {
	switch {
	case !isSecretName(ref.Key):
		return providers.Result{}, s.errorf(providers.ErrInvalid,
			"key %q is no name of a secret: letters, digits, - and _, without projects/ and what else stands before it", ref.Key)
	case ref.Metadata:
		return s.metadata(ctx, ref.Key)
	case ref.Version != "" && !isVersionName(ref.Version):
		return providers.Result{}, s.errorf(providers.ErrInvalid, "version %q of key %q is none: a version is a number, an alias or latest", ref.Version, ref.Key)
	}
	return s.payload(ctx, ref.Key, ref.Version)
}

// secret is the resource name of a secret.
func (s *session) secret(key string) string {
	return parent(s.project, s.location) + "/secrets/" + key
}

// payload reads the content of a version, the latest when none is named.
func (s *session) payload(ctx context.Context, key, version string) (providers.Result, error) {
	name := s.secret(key)
	at := name + "/versions/" + cmp.Or(version, latest)
	answer, err := s.api.AccessSecretVersion(ctx, &pb.AccessSecretVersionRequest{Name: at})
	if err != nil && s.latestEnabled && version == "" && unreadable(err) {
		if at, err = s.newestEnabled(ctx, name); err != nil {
			return providers.Result{}, err
		}
		answer, err = s.api.AccessSecretVersion(ctx, &pb.AccessSecretVersionRequest{Name: at})
	}
	if err != nil {
		return providers.Result{}, s.refused(err, request{at, "read", "secretmanager.versions.access", "roles/secretmanager.secretAccessor"})
	}
	if got := answer.GetName(); got != "" && !answers(got, at) {
		return providers.Result{}, reading.Crossed(s.store, at, got)
	}
	data := answer.GetPayload().GetData()
	if data == nil {
		return providers.Result{}, s.errorf(providers.ErrUnavailable, "the answer of Secret Manager holds no payload")
	}
	// Secret Manager makes one for each version (SecretPayload.data_crc32c); what imitates it may have none.
	if sum := answer.GetPayload().DataCrc32C; sum != nil && *sum != int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))) {
		return providers.Result{}, s.errorf(providers.ErrUnavailable, "a payload was damaged on its way: its checksum differs")
	}
	return providers.Result{Document: payload{name: s.store + ": " + name, data: data}, Version: lastPart(answer.GetName())}, nil
}

// maxVersions bounds how many versions of one secret are looked at.
const maxVersions = 10_000

// newestEnabled returns the resource name of the newest version of a secret that is enabled.
func (s *session) newestEnabled(ctx context.Context, name string) (string, error) {
	var newest *pb.SecretVersion
	seen := 0
	for v, err := range entries(s.api.ListSecretVersions(ctx, &pb.ListSecretVersionsRequest{Parent: name, Filter: "state:ENABLED"}).InternalFetch) {
		if err != nil {
			return "", s.refused(err, request{name, "list the versions of", "secretmanager.versions.list", "roles/secretmanager.viewer"})
		}
		if seen++; seen > maxVersions {
			return "", s.errorf(providers.ErrInvalid, "more than %d versions of %s are enabled; disable or destroy old ones", maxVersions, name)
		}
		if newest == nil || v.GetCreateTime().AsTime().After(newest.GetCreateTime().AsTime()) {
			newest = v
		}
	}
	switch version := lastPart(newest.GetName()); {
	case newest == nil:
		return "", s.errorf(providers.ErrDenied, "no version of %s is enabled; enable one or add another", name)
	case !isVersionName(version):
		return "", s.foreign()
	default:
		return name + "/versions/" + version, nil
	}
}

// metadata reads the labels and annotations of a secret.
func (s *session) metadata(ctx context.Context, key string) (providers.Result, error) {
	name := s.secret(key)
	secret, err := s.api.GetSecret(ctx, &pb.GetSecretRequest{Name: name})
	if err != nil {
		return providers.Result{}, s.refused(err, request{name, "read the metadata of", "secretmanager.secrets.get", "roles/secretmanager.viewer"})
	}
	if got := secret.GetName(); got != "" && !answers(got, name) {
		return providers.Result{}, reading.Crossed(s.store, "the metadata of "+name, got)
	}
	return providers.Result{Document: metadataOf(s.store+": "+name, secret.GetAnnotations(), secret.GetLabels())}, nil
}

// checked is the secret whose rights Check asks for. It need not exist.
const checked = "sealbridge-check"

// Check implements providers.Checker: it asks which rights the identity has, which everybody may ask of themselves, on a secret
// that need not exist. So nothing is read, and no denial is logged.
func (s *session) Check(ctx context.Context) error {
	_, err := s.api.TestIamPermissions(ctx, testPermissions(s.secret(checked)))
	about := code(err) == codes.PermissionDenied && !aboutProject(err) || code(err) == codes.NotFound && !noProject(err)
	if err == nil || about && !foreign(err) {
		return nil // it knows who asks; rights may be on single secrets
	}
	return s.refused(err, request{parent(s.project, s.location), "be asked about", "resourcemanager.projects.get", "roles/secretmanager.viewer"})
}

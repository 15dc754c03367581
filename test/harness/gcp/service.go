package gcp

import (
	"context"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/iam/apiv1/iampb"
	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// secretManager is google.cloud.secretmanager.v1.SecretManagerService.
type secretManager struct {
	pb.UnimplementedSecretManagerServiceServer
	*Cloud
}

// principalKey is where intercept leaves who asks.
type principalKey struct{}

// intercept counts a request, has it wait or fail, and finds out who asks.
func (c *Cloud) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	resource := ""
	switch r := request.(type) {
	case interface{ GetName() string }:
		resource = r.GetName()
	case interface{ GetParent() string }:
		resource = r.GetParent()
	case interface{ GetResource() string }:
		resource = r.GetResource()
	}
	kind, ofIAM := method, method == "GenerateAccessToken" || method == "SignJwt"
	if ofIAM {
		kind = strings.ToLower(method[:1]) + method[1:]
	}
	if err := c.count(ctx, kind); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	md, _ := metadata.FromIncomingContext(ctx)
	c.mu.Lock()
	resource = c.named(resource)
	fault := c.faults[projectOf(resource)]
	principal, known := c.principal(strings.TrimPrefix(strings.Join(md.Get("authorization"), ""), "Bearer "))
	c.mu.Unlock()
	if fault != nil {
		if err := fault(ctx, method); err != nil {
			return nil, err
		}
	}
	if !known {
		return nil, status.Error(codes.Unauthenticated, "Request had invalid authentication credentials.")
	}
	if !ofIAM && !rightHost(strings.Join(md.Get(":authority"), ""), resource) {
		return nil, status.Error(codes.InvalidArgument, "The resource is in another location than this endpoint.")
	}
	return handler(context.WithValue(ctx, principalKey{}, principal), request)
}

// rightHost reports whether a resource is asked for where it is: regional ones at the endpoint of their region.
func rightHost(authority, resource string) bool {
	host, _, _ := strings.Cut(authority, ":")
	if _, at, regional := strings.Cut(resource, "/locations/"); regional {
		location, _, _ := strings.Cut(at, "/")
		return host == "secretmanager."+location+".rep.googleapis.com"
	}
	return host == "secretmanager.googleapis.com"
}

// allow fails unless who asks has the permission. The caller holds the lock.
func (c *Cloud) allow(ctx context.Context, resource, permission string) error {
	principal, _ := ctx.Value(principalKey{}).(string)
	if c.may(principal, resource, permission) {
		return nil
	}
	st, err := status.Newf(codes.PermissionDenied, "Permission '%s' denied for resource '%s' (or it may not exist).", permission, resource).
		WithDetails(&errdetails.ErrorInfo{Reason: "IAM_PERMISSION_DENIED", Domain: "iam.googleapis.com", Metadata: map[string]string{"permission": permission, "resource": resource}})
	if err != nil {
		return err
	}
	return st.Err()
}

// AccessSecretVersion implements the service.
func (s *secretManager) AccessSecretVersion(ctx context.Context, r *pb.AccessSecretVersionRequest) (*pb.AccessSecretVersionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.named(r.GetName())
	if err := s.allow(ctx, asked, "secretmanager.versions.access"); err != nil {
		return nil, err
	}
	held, _, name, err := s.find(asked)
	if err != nil {
		return nil, err
	}
	number, err := held.resolve(name)
	secretName, _, _ := strings.Cut(asked, "/versions/")
	at := s.numbered(secretName)
	if err != nil && name == "latest" {
		return nil, status.Errorf(codes.NotFound, "Secret [%s] not found or has no versions.", at)
	}
	at += "/versions/" + strconv.Itoa(number)
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "Secret Version [%s/versions/%s] not found.", s.numbered(secretName), name)
	}
	v := held.versions[number-1]
	if v.state != pb.SecretVersion_ENABLED {
		return nil, status.Errorf(codes.FailedPrecondition, "Secret Version [%s] is in %s state.", at, v.state)
	}
	sum := int64(crc32.Checksum(v.data, crc32.MakeTable(crc32.Castagnoli)))
	answer := &pb.AccessSecretVersionResponse{Name: at, Payload: &pb.SecretPayload{Data: slices.Clone(v.data), DataCrc32C: &sum}}
	s.tamper(asked, answer)
	return answer, nil
}

// tamper changes an answer about a resource if a test wants that. The caller holds the lock.
func (s *secretManager) tamper(asked string, answer any) {
	if change := s.tampers[projectOf(asked)]; change != nil {
		change(answer)
	}
}

// resolve returns the number that the name of a version means.
func (s *secret) resolve(name string) (int, error) {
	number := len(s.versions)
	if name != "latest" {
		if alias, ok := s.aliases[name]; ok {
			number = int(alias)
		} else if n, err := strconv.Atoi(name); err == nil {
			number = n
		} else {
			number = 0
		}
	}
	if number < 1 || number > len(s.versions) {
		return 0, strconv.ErrRange
	}
	return number, nil
}

// GetSecret implements the service.
func (s *secretManager) GetSecret(ctx context.Context, r *pb.GetSecretRequest) (*pb.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.named(r.GetName())
	if err := s.allow(ctx, asked, "secretmanager.secrets.get"); err != nil {
		return nil, err
	}
	held, _, _, err := s.find(asked)
	if err != nil {
		return nil, err
	}
	answer := &pb.Secret{Name: s.numbered(asked), Labels: maps.Clone(held.labels), Annotations: maps.Clone(held.annotations)}
	s.tamper(asked, answer)
	return answer, nil
}

// ListSecrets implements the service.
func (s *secretManager) ListSecrets(ctx context.Context, r *pb.ListSecretsRequest) (*pb.ListSecretsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.named(r.GetParent())
	if err := s.allow(ctx, asked, "secretmanager.secrets.list"); err != nil {
		return nil, err
	}
	terms, err := parseFilter(r.GetFilter())
	if err != nil {
		return nil, err
	}
	var all []*pb.Secret
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(s.secrets[asked]))) { // in no order that anybody should rely on
		held := s.secrets[asked][name]
		if terms.match(name, held.labels) {
			all = append(all, &pb.Secret{Name: s.numbered(asked) + "/secrets/" + name, Labels: maps.Clone(held.labels), Annotations: maps.Clone(held.annotations)})
		}
	}
	page, next, err := paged(all, r.GetPageToken(), r.GetPageSize())
	return &pb.ListSecretsResponse{Secrets: page, NextPageToken: next, TotalSize: int32(len(all))}, err //nolint:gosec // a handful
}

// ListSecretVersions implements the service, with the one filter state:ENABLED.
func (s *secretManager) ListSecretVersions(ctx context.Context, r *pb.ListSecretVersionsRequest) (*pb.ListSecretVersionsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.named(r.GetParent())
	if err := s.allow(ctx, asked, "secretmanager.versions.list"); err != nil {
		return nil, err
	}
	held, _, _, err := s.find(asked)
	if err != nil {
		return nil, err
	}
	var all []*pb.SecretVersion
	for i, v := range held.versions {
		if r.GetFilter() != "state:ENABLED" || v.state == pb.SecretVersion_ENABLED {
			all = append(all, &pb.SecretVersion{Name: s.numbered(asked) + "/versions/" + strconv.Itoa(i+1), State: v.state, CreateTime: timestamppb.New(v.created)})
		}
	}
	page, next, err := paged(all, r.GetPageToken(), r.GetPageSize())
	return &pb.ListSecretVersionsResponse{Versions: page, NextPageToken: next}, err
}

// TestIamPermissions implements the service: it needs no permission and no secret.
func (s *secretManager) TestIamPermissions(ctx context.Context, r *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.named(r.GetResource())
	answer := &iampb.TestIamPermissionsResponse{}
	for _, permission := range r.GetPermissions() {
		if s.allow(ctx, asked, permission) == nil {
			answer.Permissions = append(answer.Permissions, permission)
		}
	}
	return answer, nil
}

// defaultPage is how many come at once when nobody says how many.
const defaultPage = 3

// paged returns one page of a list. Pages are small, so that those who read the first only are found out.
func paged[T any](all []T, token string, size int32) ([]T, string, error) {
	from := 0
	if token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from > len(all) {
			return nil, "", status.Error(codes.InvalidArgument, "The provided page token is invalid.")
		}
	}
	if size <= 0 || size > defaultPage {
		size = defaultPage
	}
	to := min(from+int(size), len(all))
	if to == len(all) {
		return all[from:to], "", nil
	}
	return all[from:to], strconv.Itoa(to), nil
}

// filter is one that Secret Manager knows, as far as terms that all must hold go.
type filter []struct{ field, op, value string }

func parseFilter(text string) (filter, error) {
	var f filter
	for _, term := range strings.Fields(text) {
		i := strings.IndexAny(term, ":=")
		if i < 0 || term == "OR" || term == "AND" {
			return nil, status.Errorf(codes.InvalidArgument, "Field [filter] is invalid: %s", term)
		}
		f = append(f, struct{ field, op, value string }{term[:i], term[i : i+1], term[i+1:]})
	}
	return f, nil
}

func (f filter) match(name string, labels map[string]string) bool {
	for _, term := range f {
		label, isLabel := strings.CutPrefix(term.field, "labels.")
		value, has := labels[label]
		switch {
		case term.field == "name" && term.op == ":":
			if !strings.Contains(strings.ToLower(name), strings.ToLower(term.value)) {
				return false
			}
		case isLabel && term.op == "=":
			if !has || value != term.value {
				return false
			}
		case isLabel && term.value == "*":
			if !has {
				return false
			}
		default:
			return false
		}
	}
	return true
}

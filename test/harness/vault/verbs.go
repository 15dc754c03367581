package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// EnableKV mounts a KV engine of version 1 or 2 at the mount path.
func (s *Server) EnableKV(ctx context.Context, mount string, version int) error {
	input := &api.MountInput{Type: "kv", Options: map[string]string{"version": strconv.Itoa(version)}}
	if err := s.client.Sys().MountWithContext(ctx, mount, input); err != nil {
		return fmt.Errorf("mount kv version %d at %s: %w", version, mount, err)
	}
	if version != 2 {
		return nil
	}
	// Version 2 upgrades its storage in the background and answers 400 until it has.
	return poll(ctx, "kv version 2 at "+mount+" is ready", func() error {
		_, err := s.client.Logical().ListWithContext(ctx, mount+"/metadata")
		return err
	})
}

// PutV1 writes all fields of a secret of a KV version 1 mount.
func (s *Server) PutV1(ctx context.Context, mount, path string, fields map[string]any) error {
	if err := s.client.KVv1(mount).Put(ctx, path, fields); err != nil {
		return fmt.Errorf("put %s/%s: %w", mount, path, err)
	}
	return nil
}

// Put writes a new version of a secret of a KV version 2 mount, and returns its number. To rotate one field, put again.
func (s *Server) Put(ctx context.Context, mount, path string, fields map[string]any) (int, error) {
	secret, err := s.client.KVv2(mount).Put(ctx, path, fields)
	if err != nil {
		return 0, fmt.Errorf("put %s/%s: %w", mount, path, err)
	}
	return secret.VersionMetadata.Version, nil
}

// Rotate sets fields of a secret of a KV version 2 mount and keeps the others, and returns the number of the version.
func (s *Server) Rotate(ctx context.Context, mount, path string, fields map[string]any) (int, error) {
	all, err := s.Get(ctx, mount, path)
	if err != nil {
		return 0, err
	}
	maps.Copy(all, fields)
	return s.Put(ctx, mount, path, all)
}

// Get returns the fields of the newest version of a secret of a KV version 2 mount.
func (s *Server) Get(ctx context.Context, mount, path string) (map[string]any, error) {
	secret, err := s.client.KVv2(mount).Get(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("get %s/%s: %w", mount, path, err)
	}
	return secret.Data, nil
}

// Delete deletes the newest version of a secret of a KV version 2 mount; its metadata and older versions stay.
func (s *Server) Delete(ctx context.Context, mount, path string) error {
	if err := s.client.KVv2(mount).Delete(ctx, path); err != nil {
		return fmt.Errorf("delete %s/%s: %w", mount, path, err)
	}
	return nil
}

// Policy writes a policy in Vault's own language.
func (s *Server) Policy(ctx context.Context, name, rules string) error {
	if err := s.client.Sys().PutPolicyWithContext(ctx, name, rules); err != nil {
		return fmt.Errorf("write policy %s: %w", name, err)
	}
	return nil
}

// ReadPolicy returns a policy that lets read and list what lies under the path of a KV mount of either version.
func ReadPolicy(mount, path string) string {
	var b strings.Builder
	for _, infix := range []string{"", "data/", "metadata/"} {
		fmt.Fprintf(&b, "path %q { capabilities = [\"read\", \"list\"] }\n", mount+"/"+infix+path)
	}
	return b.String()
}

// NewToken returns a token with the policies that lives for ttl.
func (s *Server) NewToken(ctx context.Context, ttl time.Duration, policies ...string) (string, error) {
	secret, err := s.client.Auth().Token().CreateWithContext(ctx, &api.TokenCreateRequest{Policies: policies, TTL: ttl.String(), NoDefaultPolicy: false})
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return secret.Auth.ClientToken, nil
}

// Revoke revokes a token.
func (s *Server) Revoke(ctx context.Context, token string) error {
	if err := s.client.Auth().Token().RevokeTreeWithContext(ctx, token); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// Tokens returns how long each token still lives that logins at auth/<mount> have brought.
func (s *Server) Tokens(ctx context.Context, mount string) ([]time.Duration, error) {
	list, err := s.client.Logical().ListWithContext(ctx, "auth/token/accessors")
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	accessors, _ := list.Data["keys"].([]any)
	var left []time.Duration
	for _, a := range accessors {
		token, err := s.client.Auth().Token().LookupAccessorWithContext(ctx, fmt.Sprint(a))
		if err != nil || !strings.HasPrefix(fmt.Sprint(token.Data["path"]), "auth/"+mount+"/login") { // it may be gone by now
			continue
		}
		ttl, err := token.TokenTTL()
		if err != nil {
			return nil, fmt.Errorf("read the life of a token: %w", err)
		}
		left = append(left, ttl)
	}
	return left, ctx.Err()
}

// EnableAppRole enables logins by AppRole at auth/<mount>.
func (s *Server) EnableAppRole(ctx context.Context, mount string) error {
	return s.enableAuth(ctx, mount, "approle")
}

// AppRole writes a role of an AppRole mount and returns its id and a new secret id. Tokens live for ttl.
func (s *Server) AppRole(ctx context.Context, mount, role string, ttl time.Duration, policies ...string) (roleID, secretID string, err error) {
	path := "auth/" + mount + "/role/" + role
	if err := s.write(ctx, path, map[string]any{"token_policies": policies, "token_ttl": ttl.String()}); err != nil {
		return "", "", err
	}
	id, err := s.client.Logical().ReadWithContext(ctx, path+"/role-id")
	if err != nil {
		return "", "", fmt.Errorf("read role id of %s: %w", role, err)
	}
	secret, err := s.client.Logical().WriteWithContext(ctx, path+"/secret-id", nil)
	if err != nil {
		return "", "", fmt.Errorf("create secret id of %s: %w", role, err)
	}
	roleID, _ = id.Data["role_id"].(string)
	secretID, _ = secret.Data["secret_id"].(string)
	return roleID, secretID, nil
}

// Cluster is a Kubernetes cluster whose service accounts may log in.
type Cluster struct {
	// Host is the API server's URL, CA the PEM of its authority.
	Host string
	CA   []byte
	// ReviewerToken is a token of a service account with the role system:auth-delegator, by which Vault asks the API
	// server about the tokens that it is shown (controlplane.TokenReviewer).
	ReviewerToken string
}

// EnableKubernetes enables logins by service accounts of the cluster at auth/<mount>.
func (s *Server) EnableKubernetes(ctx context.Context, mount string, cluster Cluster) error {
	if err := s.enableAuth(ctx, mount, "kubernetes"); err != nil {
		return err
	}
	return s.write(ctx, "auth/"+mount+"/config", map[string]any{
		"kubernetes_host":      cluster.Host,
		"kubernetes_ca_cert":   string(cluster.CA),
		"token_reviewer_jwt":   cluster.ReviewerToken,
		"disable_local_ca_jwt": true,
	})
}

// KubernetesRole says which service accounts may take a role.
type KubernetesRole struct {
	// ServiceAccounts and Namespaces may be "*".
	ServiceAccounts, Namespaces []string
	// Audience is demanded of the tokens; empty means that of the API server.
	Audience string
	Policies []string
	// TTL is the life of the Vault tokens that the role gives.
	TTL time.Duration
}

// KubernetesRole writes a role of a Kubernetes mount.
func (s *Server) KubernetesRole(ctx context.Context, mount, name string, role KubernetesRole) error {
	return s.write(ctx, "auth/"+mount+"/role/"+name, map[string]any{
		"bound_service_account_names":      role.ServiceAccounts,
		"bound_service_account_namespaces": role.Namespaces,
		"audience":                         role.Audience,
		"token_policies":                   role.Policies,
		"token_ttl":                        role.TTL.String(),
	})
}

// Write writes to any path, as vault write does.
func (s *Server) Write(ctx context.Context, path string, data map[string]any) error {
	return s.write(ctx, path, data)
}

func (s *Server) enableAuth(ctx context.Context, mount, kind string) error {
	if err := s.client.Sys().EnableAuthWithOptionsWithContext(ctx, mount, &api.EnableAuthOptions{Type: kind}); err != nil {
		return fmt.Errorf("enable %s logins at %s: %w", kind, mount, err)
	}
	return nil
}

func (s *Server) write(ctx context.Context, path string, data map[string]any) error {
	if _, err := s.client.Logical().WriteWithContext(ctx, path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func poll(ctx context.Context, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

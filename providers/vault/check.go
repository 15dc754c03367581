package vault

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/sealbridge/sealbridge/providers"
)

// mountsPath is where Vault describes a mount on which a token has rights, whatever its policies say of this path.
const mountsPath = "sys/internal/ui/mounts/"

// Check implements providers.Checker: a configured token is still accepted, and the mount is a KV engine of the configured
// version, as far as the identity may see it. A token that this session was given ends only as Expires says or by revocation,
// which reads show.
func (s *session) Check(ctx context.Context) error {
	if s.proven {
		if _, err := s.api.lookup(ctx); err != nil {
			return err
		}
	}
	mount := clean(s.engine.mount)
	if mount == "" {
		return s.alive(ctx)
	}
	r, err := s.api.do(ctx, http.MethodGet, mountsPath+mount, nil, nil)
	if err != nil {
		return err
	}
	var data struct {
		Type    string            `json:"type"`
		Options map[string]string `json:"options"`
	}
	switch {
	case r.genuine && (r.status == http.StatusForbidden || r.status == http.StatusNotFound):
		// No proof of anything: Vault hides a mount on which it sees no rights, and what speaks its API may not have the path.
		return nil
	case r.status != http.StatusOK || json.Unmarshal(r.Data, &data) != nil:
		return s.api.unexpected(r)
	case data.Type != "kv" && data.Type != "generic":
		return s.api.errorf(providers.ErrInvalid, "the secrets engine at %s is not a KV engine; correct path in the store", mount)
	case (data.Options["version"] == "2") == s.engine.v1:
		return s.api.errorf(providers.ErrInvalid, "the secrets engine at %s is KV version %s; set version in the store", mount, kvVersion(data.Options))
	default:
		return nil
	}
}

// alive asks Vault what it tells everybody, when there is no mount to ask for.
func (s *session) alive(ctx context.Context) error {
	if s.proven {
		return nil // it has just answered
	}
	const path = "sys/seal-status"
	r, err := s.api.do(ctx, http.MethodGet, path, nil, nil)
	switch {
	case err != nil:
		return err
	case r.Sealed == nil:
		return s.api.unexpected(r)
	case *r.Sealed:
		return s.api.sealed()
	default:
		return nil
	}
}

func kvVersion(options map[string]string) string {
	if options["version"] == "2" {
		return "2"
	}
	return "1"
}

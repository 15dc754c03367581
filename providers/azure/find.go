package azure

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// The bounds of a search, beside those of the contract: secrets that are looked at, and pages of them, which may be empty and
// not the last.
const (
	maxNames = 25_000
	maxPages = 2_500
)

// Find implements providers.Finder: all secrets are listed, and those that are enabled and match are read. A vault has no
// paths.
func (s *session) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	names, err := s.list(ctx, q)
	if err != nil {
		return nil, err
	}
	out, size := []providers.Found{}, 0
	for chunk := range slices.Chunk(names, parallel) {
		objects := make([]object, len(chunk))
		for i, name := range chunk {
			objects[i] = object{kind: kindSecret, name: name}
		}
		held, errs := s.read(ctx, objects)
		for i, h := range held {
			if errors.Is(errs[i], providers.ErrNotFound) {
				continue // deleted meanwhile
			}
			if errs[i] != nil {
				return nil, reading.OfAll(errs[i])
			}
			out = append(out, providers.Found{Name: h.name, Value: providers.NewValue(h.content), Version: h.version})
			if size += len(h.content); size > providers.MaxFoundSize || len(out) > providers.MaxFound {
				return nil, s.errorf(providers.ErrInvalid, "more than %d secrets, or %d MiB of them, match; narrow find", providers.MaxFound, providers.MaxFoundSize>>20)
			}
		}
	}
	return out, nil
}

// list returns the names of the secrets that match, sorted.
func (s *session) list(ctx context.Context, q providers.Query) ([]string, error) {
	all := object{kind: kindList}
	var names []string
	seen, pages := 0, 0
	for pager := s.secrets.NewListSecretPropertiesPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, s.of(err, all)
		}
		if page.Value == nil {
			return nil, s.unexpected(200)
		}
		pages++
		if seen += len(page.Value); seen > maxNames || pages > maxPages {
			return nil, s.errorf(providers.ErrInvalid, "the vault has more than %d secrets, or %d pages of them, which is more than a search looks at", maxNames, maxPages)
		}
		for _, secret := range page.Value {
			if secret == nil || secret.ID == nil || secret.Attributes == nil {
				return nil, s.unexpected(200)
			}
			name := string(*secret.ID)[strings.LastIndexByte(string(*secret.ID), '/')+1:]
			if !validName(name) {
				return nil, s.unexpected(200)
			}
			if enabled(secret) && q.Matches(name) && tagged(secret, q.Tags) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func enabled(s *azsecrets.SecretProperties) bool {
	return s.Attributes.Enabled == nil || *s.Attributes.Enabled
}

func tagged(s *azsecrets.SecretProperties, want map[string]string) bool {
	for name, value := range want {
		if got := s.Tags[name]; got == nil || *got != value {
			return false
		}
	}
	return true
}

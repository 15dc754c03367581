package azure

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

var (
	// errNoToken ends the request of a session that has not logged in yet.
	errNoToken = errors.New("no token yet")
	// errOtherAudience ends a request whose answer asks for a token of another audience than that of the login.
	errOtherAudience = errors.New("another audience")
)

// token is the login of a session, as the SDK asks for it: nothing until it is set, then always the same.
type token struct {
	mu    sync.Mutex
	scope string
	value azcore.AccessToken
}

// GetToken implements azcore.TokenCredential.
func (t *token) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.value.Token == "" && len(o.Scopes) == 1:
		t.scope = o.Scopes[0]
		return azcore.AccessToken{}, errNoToken
	case len(o.Scopes) != 1 || o.Scopes[0] != t.scope:
		return azcore.AccessToken{}, errOtherAudience
	default:
		return t.value, nil
	}
}

// wanted returns the scope that the vault asked for.
func (t *token) wanted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.scope
}

func (t *token) set(value azcore.AccessToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value = value
}

func (t *token) expires() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.value.ExpiresOn
}

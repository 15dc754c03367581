package vault_test

import (
	"context"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/vault"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

// TestALoginThatNobodyWaitsForAnyMoreLeavesNoToken: when the controller ends, and when Vault takes too long, it may have made the token
// already.
func TestALoginThatNobodyWaitsForAnyMoreLeavesNoToken(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	for name, bound := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"canceled": context.WithCancel,
		"too long": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mount := server.KV(t, 2)
			if err := server.EnableAppRole(t.Context(), mount); err != nil {
				t.Fatal(err)
			}
			roleID, secretID, err := server.AppRole(t.Context(), mount, "app", time.Hour, "default")
			if err != nil {
				t.Fatal(err)
			}
			late := server.Late(t)
			ctx, cancel := bound(t.Context())
			defer cancel()
			go func() {
				select {
				case <-late.Answered:
				case <-t.Context().Done():
				}
				if name == "canceled" {
					cancel()
				}
				<-ctx.Done()
				time.Sleep(100 * time.Millisecond) // so that a request that ends with its context has ended
				late.Release()
			}()
			session, err := vault.Provider{}.Open(ctx, config(&stores.Vault{Server: late.Address, Path: mount, Auth: &stores.VaultAuth{AppRole: &stores.VaultAppRole{
				Path: mount, RoleID: roleID, SecretRef: stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key},
			}}}), tokenEnv(secretID))
			if err == nil {
				closeNow(t, session)
			}
			if left, err := server.Tokens(t.Context(), mount); err != nil || len(left) > 0 {
				t.Errorf("%d tokens are left: %v", len(left), err)
			}
		})
	}
}

package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// starterEnv makes this test binary start a server, print its process id, and wait to be killed.
const starterEnv = "SEALBRIDGE_TEST_STARTER"

func TestMain(m *testing.M) {
	if os.Getenv(starterEnv) != "" {
		server, err := vault.Start(context.Background(), vault.Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(server.PID(), filepath.Dir(server.Log()))
		select {}
	}
	os.Exit(vault.Run(m))
}

func TestNothingIsLeftWhenTheStarterIsKilled(t *testing.T) {
	t.Parallel()
	process.Require(t, "vault")
	process.LeavesNothing(t, starterEnv, 1)
}

func TestValuesOfBothKVVersionsComeBack(t *testing.T) {
	t.Parallel()
	server := vault.New(t)
	ctx := t.Context()
	v1, v2 := server.KV(t, 1), server.KV(t, 2)
	if err := server.PutV1(ctx, v1, "app/db", map[string]any{"password": "one"}); err != nil {
		t.Fatal(err)
	}
	old, err := server.Client().KVv1(v1).Get(ctx, "app/db")
	if err != nil || old.Data["password"] != "one" {
		t.Errorf("version 1 answers %v, %v", old, err)
	}
	if _, err := server.Put(ctx, v2, "app/db", map[string]any{"password": "one", "host": "db"}); err != nil {
		t.Fatal(err)
	}
	version, err := server.Rotate(ctx, v2, "app/db", map[string]any{"password": "two"})
	if err != nil || version != 2 {
		t.Fatalf("rotate: version %d, %v", version, err)
	}
	fields, err := server.Get(ctx, v2, "app/db")
	if err != nil || fields["password"] != "two" || fields["host"] != "db" {
		t.Errorf("version 2 answers %v, %v", fields, err)
	}
}

func TestTokensReadOnlyWhatTheirPolicyAllows(t *testing.T) {
	t.Parallel()
	server := vault.New(t)
	ctx := t.Context()
	mount := server.KV(t, 2)
	for _, path := range []string{"mine/a", "theirs/a"} {
		if _, err := server.Put(ctx, mount, path, map[string]any{"k": "v"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Policy(ctx, mount, vault.ReadPolicy(mount, "mine/*")); err != nil {
		t.Fatal(err)
	}
	token, err := server.NewToken(ctx, time.Hour, mount)
	if err != nil {
		t.Fatal(err)
	}
	client := clientWith(t, server, token)
	if _, err := client.KVv2(mount).Get(ctx, "mine/a"); err != nil {
		t.Errorf("own path: %v", err)
	}
	if _, err := client.KVv2(mount).Get(ctx, "theirs/a"); !isStatus(err, 403) {
		t.Errorf("path of another: %v, want 403", err)
	}
}

func TestAppRolesLogIn(t *testing.T) {
	t.Parallel()
	server := vault.New(t)
	ctx := t.Context()
	mount := "approle-" + server.KV(t, 1)
	if err := server.EnableAppRole(ctx, mount); err != nil {
		t.Fatal(err)
	}
	roleID, secretID, err := server.AppRole(ctx, mount, "app", time.Hour, "default")
	if err != nil {
		t.Fatal(err)
	}
	login, err := clientWith(t, server, "").Logical().WriteWithContext(ctx, "auth/"+mount+"/login",
		map[string]any{"role_id": roleID, "secret_id": secretID})
	if err != nil || login.Auth.ClientToken == "" {
		t.Errorf("login: %v", err)
	}
}

func TestServiceAccountsLogInWithATokenForTheRoleAudience(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	server := vault.New(t)
	ctx := t.Context()
	ns := cp.Namespace(t)
	reviewer, err := cp.TokenReviewer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mount := "kubernetes-" + ns
	if err := server.EnableKubernetes(ctx, mount, vault.Cluster{Host: cp.URL(), CA: cp.CA(), ReviewerToken: reviewer}); err != nil {
		t.Fatal(err)
	}
	role := vault.KubernetesRole{ServiceAccounts: []string{"app"}, Namespaces: []string{ns}, Audience: "vault", Policies: []string{"default"}, TTL: time.Hour}
	if err := server.KubernetesRole(ctx, mount, "app", role); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		account, audience string
		want              bool
	}{
		"the account and audience of the role": {"app", "vault", true},
		"another account":                      {"other", "vault", false},
		"another audience":                     {"app", "elsewhere", false},
	} {
		token, err := cp.ServiceAccountToken(ctx, ns, test.account, test.audience)
		if err != nil {
			t.Fatal(err)
		}
		_, err = clientWith(t, server, "").Logical().WriteWithContext(ctx, "auth/"+mount+"/login", map[string]any{"role": "app", "jwt": token})
		if (err == nil) != test.want {
			t.Errorf("%s: login answers %v, want success %t", name, err, test.want)
		}
	}
}

func TestRequestsAreListedWithoutValues(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3e19"
	server := vault.New(t)
	mount := server.KV(t, 2)
	if _, err := server.Put(t.Context(), mount, "a", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Get(t.Context(), mount, "a"); err != nil {
		t.Fatal(err)
	}
	requests, err := server.Requests()
	if err != nil {
		t.Fatal(err)
	}
	want := vault.Request{Operation: "read", Path: mount + "/data/a", User: "token"}
	if !slices.Contains(requests, want) {
		t.Errorf("%+v is not in %+v", want, requests)
	}
	if strings.Contains(fmt.Sprint(requests), canary) {
		t.Error("the list holds a value")
	}
}

func TestSealedServerAnswers503UntilItIsUnsealed(t *testing.T) {
	t.Parallel()
	process.Require(t, "vault")
	server, err := vault.Start(t.Context(), vault.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := server.EnableKV(t.Context(), "kv", 1); err != nil {
		t.Fatal(err)
	}
	if err := server.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.PutV1(t.Context(), "kv", "a", map[string]any{"k": "v"}); !isStatus(err, 503) {
		t.Errorf("while sealed: %v, want 503", err)
	}
	if err := server.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it serves again", func() error {
		return server.PutV1(t.Context(), "kv", "a", map[string]any{"k": "v"})
	})
}

func clientWith(t *testing.T, server *vault.Server, token string) *api.Client {
	t.Helper()
	client, err := server.Client().Clone()
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(token)
	return client
}

func isStatus(err error, status int) bool {
	var response *api.ResponseError
	return errors.As(err, &response) && response.StatusCode == status
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not after 30 s: %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

package vault_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/api"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/vault"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

func closeNow(t *testing.T, session providers.Session) {
	t.Helper()
	if closer, ok := providers.As[io.Closer](session); ok {
		if err := closer.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func fetchOne(t *testing.T, session providers.Session, ref providers.Ref) providers.Result {
	t.Helper()
	results, err := session.Fetch(t.Context(), []providers.Ref{ref})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

func mustFail(t *testing.T, r providers.Result, want string) {
	t.Helper()
	if r.Err == nil || r.Err.Error() != want {
		t.Errorf("got error  %v\nwant       %s", r.Err, want)
	}
}

func value(t *testing.T, r providers.Result, property string) string {
	t.Helper()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	v, err := r.Document.Value(property)
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Bytes())
}

// write writes to Vault as the administrator.
func write(t *testing.T, server *harness.Server, path string, data map[string]any) {
	t.Helper()
	if _, err := server.Client().Logical().WriteWithContext(t.Context(), path, data); err != nil {
		t.Fatal(err)
	}
}

func TestVersionsOfKV2AreReadByNumber(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 2)
	for _, v := range []string{"one", "two", "three", "four"} {
		if _, err := server.Put(t.Context(), mount, "app/db", map[string]any{"password": v}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, server, mount+"/delete/app/db", map[string]any{"versions": []int{2}})
	write(t, server, mount+"/destroy/app/db", map[string]any{"versions": []int{3}})
	session := open(t, tokenStore(server.Address(), mount), tokenEnv(reader(t, server, mount)))
	current := fetchOne(t, session, providers.Ref{Key: "app/db"})
	if got := value(t, current, "password"); got != "four" || current.Version != "4" {
		t.Errorf("current is %q, version %q", got, current.Version)
	}
	first := fetchOne(t, session, providers.Ref{Key: "app/db", Version: "1"})
	if got := value(t, first, "password"); got != "one" || first.Version != "1" {
		t.Errorf("version 1 is %q, version %q", got, first.Version)
	}
	const store = "SecretStore team-a/vault: "
	path := mount + "/data/app/db"
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "app/db", Version: "2"}), store+"version 2 of "+path+" is deleted; undelete it, write a new one or reference another")
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "app/db", Version: "3"}), store+"version 3 of "+path+" is destroyed; write a new one or reference another")
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "app/db", Version: "9"}), store+`vault has no version "9" of `+path)
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "app/db", Version: "AWSCURRENT"}), store+`vault does not accept version "AWSCURRENT" of `+path+"; a version is a number")
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "nope"}), store+"vault has nothing at "+mount+"/data/nope")
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "a/../../sys/mounts"}), store+`key "a/../../sys/mounts" must not hold . or .. as a part of the path, or control characters`)
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "/"}), store+`key "/" names no secret`)
	if err := server.Delete(t.Context(), mount, "app/db"); err != nil {
		t.Fatal(err)
	}
	write(t, server, mount+"/metadata/later", map[string]any{"delete_version_after": "1h"})
	if _, err := server.Put(t.Context(), mount, "later", map[string]any{"password": "until then"}); err != nil {
		t.Fatal(err)
	}
	if got := value(t, fetchOne(t, session, providers.Ref{Key: "later"}), "password"); got != "until then" {
		t.Errorf("a version that is going to be deleted is %q", got)
	}
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "app/db"}), store+"version 4 of "+path+" is deleted; undelete it, write a new one or reference another")
}

func TestMetadataOfKV2IsADocument(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 2)
	if _, err := server.Put(t.Context(), mount, "app", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	write(t, server, mount+"/metadata/app", map[string]any{"custom_metadata": map[string]any{"owner": "team <a>", "dotted.key": "x"}})
	session := open(t, tokenStore(server.Address(), mount), tokenEnv(reader(t, server, mount)))
	for _, key := range []string{"app", mount + "/app", mount + "/data/app"} {
		doc := fetchOne(t, session, providers.Ref{Key: key, Metadata: true})
		for property, want := range map[string]string{"owner": "team <a>", "dotted.key": "x", "current_version": "1", "delete_version_after": "0s"} {
			if got := value(t, doc, property); got != want {
				t.Errorf("key %s: %s is %q", key, property, got)
			}
		}
		if fields, err := doc.Document.Fields(""); err != nil || len(fields) != 5 {
			t.Errorf("key %s: fields %v, %v", key, fields, err)
		}
	}
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "nope", Metadata: true}), "SecretStore team-a/vault: vault has nothing at "+mount+"/metadata/nope")
}

func TestAVersionThatSomebodyElseDoesNotFindIsNotMissing(t *testing.T) {
	t.Parallel()
	for body, class := range map[string]error{`{"errors":[]}`: providers.ErrNotFound, `{"errors":["upstream gone"]}`: providers.ErrUnavailable, "<html>": providers.ErrUnavailable} {
		cfg, env := says(http.StatusNotFound, body)(t)
		results, err := open(t, cfg.Spec.(*stores.Vault), env).Fetch(t.Context(), []providers.Ref{{Key: "app", Version: "7"}})
		if err == nil {
			err = results[0].Err
		}
		if !errors.Is(err, class) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestMetadataAreThoseThatVaultAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		class  error
		want   string
	}{
		"a refusal":      {403, `{"errors":["permission denied"]}`, providers.ErrDenied, `vault refuses to read kv/metadata/app: the policies of the token must grant "read"`},
		"a page":         {200, "<html>" + canary, providers.ErrUnavailable, "not one of vault's"},
		"a seal":         {503, `{"errors":["Vault is sealed"]}`, providers.ErrUnavailable, "unseal it"},
		"what is none":   {200, `{"data":["` + canary + `"]}`, providers.ErrUnavailable, "not one of vault's"},
		"what is no map": {200, `{"data":{"custom_metadata":["` + canary + `"],"created_time":null,"current_version":1}}`, nil, ""},
	} {
		cfg, env := says(tc.status, tc.body)(t)
		results, err := open(t, cfg.Spec.(*stores.Vault), env).Fetch(t.Context(), []providers.Ref{{Key: "app", Metadata: true}})
		if err == nil {
			err = results[0].Err
		}
		if !errors.Is(err, tc.class) || !strings.Contains(errText(err), tc.want) || strings.Contains(errText(err), canary) {
			t.Errorf("%s: %v", name, err)
		}
		if tc.class == nil {
			if got := value(t, results[0], ""); got != `{"current_version":"1"}` {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}

func TestValuesAreSpelledAsExistingManifestsExpect(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	// Version 2 of the engine keeps numbers as float64 itself (Vault 1.13); version 1 keeps them as they are.
	mount := server.KV(t, 1)
	raw := `{"s":"<a&b>","n":null,"i":9007199254740993,"f":1.50,"e":1e3,"t":true,"l":["a","b"],"o":{"x":{"y":"z"},"n":12345678901234567890},"o.x":"exact","a.b":"dot"}`
	request := server.Client().NewRequest(http.MethodPut, "/v1/"+mount+"/app")
	request.BodyBytes = []byte(raw)
	resp, err := server.Client().RawRequestWithContext(t.Context(), request) //nolint:staticcheck // the numbers must arrive as they are written here
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	spec := tokenStore(server.Address(), mount)
	spec.Version = stores.VaultKVv1
	doc := fetchOne(t, open(t, spec, tokenEnv(reader(t, server, mount))), providers.Ref{Key: "app"})
	for property, want := range map[string]string{
		"s": "<a&b>", "n": "", "i": "9007199254740993", "t": "true", "l": `["a","b"]`, "l.1": "b",
		"o": `{"n":12345678901234567890,"x":{"y":"z"}}`, "o.x": "exact", "o.x.y": "z", "o.n": "12345678901234567890", "a.b": "dot",
	} {
		if got := value(t, doc, property); got != want {
			t.Errorf("property %s is %q, want %q", property, got, want)
		}
	}
	if whole := value(t, doc, ""); !strings.Contains(whole, `"i":9007199254740993`) || !strings.Contains(whole, `"s":"\u003ca\u0026b\u003e"`) {
		t.Errorf("whole document: %s", whole)
	}
	texts := func(path string) map[string]string {
		fields, err := doc.Document.Fields(path)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for k, v := range fields {
			out[k] = string(v.Bytes())
		}
		return out
	}
	want := map[string]string{
		"s": "<a&b>", "n": "", "i": "9007199254740993", "f": "1.5", "e": "1000", "t": "true", "l": `["a","b"]`,
		"o": `{"n":12345678901234567890,"x":{"y":"z"}}`, "o.x": "exact", "a.b": "dot",
	}
	if diff := cmp.Diff(want, texts("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"x": `{"y":"z"}`, "n": "12345678901234567890"}, texts("o")); diff != "" {
		t.Error(diff)
	}
}

func TestKV1HasNeitherVersionsNorMetadata(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 1)
	if err := server.PutV1(t.Context(), mount, "app/db", map[string]any{"password": canary}); err != nil {
		t.Fatal(err)
	}
	spec := tokenStore(server.Address(), mount)
	spec.Version = stores.VaultKVv1
	session := open(t, spec, tokenEnv(reader(t, server, mount)))
	for _, ref := range []providers.Ref{{Key: "app/db"}, {Key: mount + "/app/db"}, {Key: "app/db", Version: "3"}} {
		r := fetchOne(t, session, ref)
		if got := value(t, r, "password"); got != canary || r.Version != "" {
			t.Errorf("%v: %q, version %q", ref, got, r.Version)
		}
	}
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "nope"}), "SecretStore team-a/vault: vault has nothing at "+mount+"/nope")
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "app/db", Metadata: true}),
		`SecretStore team-a/vault: key "app/db": KV version v1 has no metadata; remove metadataPolicy or set version v2`)
}

func TestAWrongPathOrVersionOfTheEngineIsNamed(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	v1, v2 := server.KV(t, 1), server.KV(t, 2)
	env := tokenEnv(server.Token())
	spec := tokenStore(server.Address(), v2)
	spec.Version = stores.VaultKVv1
	wrong := open(t, spec, env)
	mustFail(t, fetchOne(t, wrong, providers.Ref{Key: "app"}), "SecretStore team-a/vault: the engine of "+v2+"/app is KV version 2; set version: v2 in the store")
	mustCheck(t, wrong, "SecretStore team-a/vault: the secrets engine at "+v2+" is KV version 2; set version in the store")
	mustCheck(t, open(t, tokenStore(server.Address(), v1), env), "SecretStore team-a/vault: the secrets engine at "+v1+" is KV version 1; set version in the store")
	mustCheck(t, open(t, tokenStore(server.Address(), "sys"), env), "SecretStore team-a/vault: the secrets engine at sys is not a KV engine; correct path in the store")
	mustCheck(t, open(t, tokenStore(server.Address(), v2), env), "")
	mustCheck(t, open(t, tokenStore(server.Address(), v2), tokenEnv(reader(t, server, v2))), "")
	mustFail(t, fetchOne(t, open(t, tokenStore(server.Address(), "not-mounted"), env), providers.Ref{Key: "app"}),
		"SecretStore team-a/vault: vault has no secrets engine for not-mounted/data/app; mount one or correct path in the store")
}

func mustCheck(t *testing.T, session providers.Session, want string) {
	t.Helper()
	checker, ok := providers.As[providers.Checker](session)
	if !ok {
		t.Fatal("no checker")
	}
	err := checker.Check(t.Context())
	if got := errText(err); got != want {
		t.Errorf("check says %q, want %q", got, want)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestARevokedTokenIsDenied(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 2)
	token := reader(t, server, mount)
	session := open(t, tokenStore(server.Address(), mount), tokenEnv(token))
	mustCheck(t, session, "")
	if err := server.Revoke(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "app"}), "SecretStore team-a/vault: vault refuses to read "+mount+
		`/data/app: the policies of the token must grant "read" on that path`)
	mustCheck(t, session, `SecretStore team-a/vault: vault refuses the token: it is wrong, has expired or was revoked (or may not read auth/token/lookup-self, which the policy "default" grants)`)
}

func TestATokenThatMayNotLookItselfUpReadsAllTheSame(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 2)
	if _, err := server.Put(t.Context(), mount, "app", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	reader(t, server, mount) // writes the policy
	token := func(policy string) string {
		secret, err := server.Client().Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{policy}, NoDefaultPolicy: true, TTL: "1h"})
		if err != nil {
			t.Fatal(err)
		}
		return secret.Auth.ClientToken
	}
	session := open(t, tokenStore(server.Address(), mount), tokenEnv(token(mount)))
	if got := value(t, fetchOne(t, session, providers.Ref{Key: "app"}), "k"); got != canary {
		t.Error("the value was not read")
	}
	mustCheck(t, session, "")
	for name, tc := range map[string]struct{ mount, token string }{
		"no rights on the mount":  {mount, token("none")},
		"no mount to ask for":     {"", token(mount)},
		"a token that is unknown": {mount, "hvs." + canary},
	} {
		_, err := vault.Provider{}.Open(t.Context(), config(tokenStore(server.Address(), tc.mount)), tokenEnv(tc.token))
		if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "may not read auth/token/lookup-self") || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATokenSaysWhenItEnds(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 2)
	expires := func(token string) time.Time {
		e, ok := providers.As[providers.Expirer](open(t, tokenStore(server.Address(), mount), tokenEnv(token)))
		if !ok {
			t.Fatal("no expirer")
		}
		return e.Expires()
	}
	if at := expires(server.Token()); !at.IsZero() {
		t.Errorf("the root token ends at %s", at)
	}
	if left := time.Until(expires(reader(t, server, mount))); left > time.Hour || left < 50*time.Minute {
		t.Errorf("a token of an hour ends in %s", left)
	}
}

func TestTheEnvironmentIsNotPartOfAStore(t *testing.T) {
	server := harness.New(t)
	mount := server.KV(t, 2)
	if _, err := server.Put(t.Context(), mount, "app", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	token := reader(t, server, mount)
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": server.Token(), "VAULT_NAMESPACE": "elsewhere", "VAULT_WRAP_TTL": "60s",
		"VAULT_CACERT": "/nowhere/ca.pem", "VAULT_SKIP_VERIFY": "maybe", "VAULT_HEADERS": "{", "VAULT_RATE_LIMIT": "x",
		"VAULT_CLIENT_TIMEOUT": "1ns", "VAULT_PROXY_ADDR": "http://127.0.0.1:1", "VAULT_AGENT_ADDR": "http://127.0.0.1:1", "VAULT_MAX_RETRIES": "x",
	} {
		t.Setenv(name, value)
	}
	session := open(t, tokenStore(server.Address(), mount), tokenEnv(token))
	if got := value(t, fetchOne(t, session, providers.Ref{Key: "app"}), "k"); got != canary {
		t.Error("the value was not read")
	}
	if r := fetchOne(t, session, providers.Ref{Key: "sys/policies/acl/root"}); r.Err == nil {
		t.Error("the token of the environment was used")
	}
	anonymous := open(t, &stores.Vault{Server: server.Address(), Path: mount}, tokenEnv(token))
	mustFail(t, fetchOne(t, anonymous, providers.Ref{Key: "app"}), "SecretStore team-a/vault: vault refuses to read "+mount+
		`/data/app: the policies of the agent's token must grant "read" on that path`)
}

// requests counts what the server was asked about paths below the mount or by logins, after the first n.
func requests(t *testing.T, server *harness.Server, under string) int {
	t.Helper()
	all, err := server.Requests()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range all {
		if strings.HasPrefix(r.Path, under) {
			n++
		}
	}
	return n
}

func TestManyPropertiesOfOnePathAreOneReadAndOneLogin(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 2)
	reader(t, server, mount)
	if err := server.EnableAppRole(t.Context(), mount); err != nil {
		t.Fatal(err)
	}
	roleID, secretID, err := server.AppRole(t.Context(), mount, "app", 10*time.Minute, mount)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Put(t.Context(), mount, "one", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	before := requests(t, server, mount+"/data/one")
	env := tokenEnv(secretID)
	env.SetSecret(providers.ObjectRef{Name: "role", Key: "id"}, []byte(roleID))
	spec := &stores.Vault{Server: server.Address(), Path: mount, Auth: &stores.VaultAuth{AppRole: &stores.VaultAppRole{
		Path: mount, RoleRef: &stores.SecretKeySelector{Name: "role", Key: "id"},
		SecretRef: stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key},
	}}}
	session, err := vault.Provider{}.Open(t.Context(), config(spec), env)
	if err != nil {
		t.Fatal(err)
	}
	refs := make([]providers.Ref, 20)
	for i := range refs {
		refs[i] = providers.Ref{Key: "one"}
	}
	if _, err := session.Fetch(t.Context(), refs); err != nil {
		t.Fatal(err)
	}
	e, _ := providers.As[providers.Expirer](session)
	if left := time.Until(e.Expires()); left > 10*time.Minute || left < 9*time.Minute {
		t.Errorf("the login ends in %s", left)
	}
	closeNow(t, session)
	if reads := requests(t, server, mount+"/data/one") - before; reads != 1 {
		t.Errorf("%d reads", reads)
	}
	if logins := requests(t, server, "auth/"+mount+"/login"); logins != 1 {
		t.Errorf("%d logins", logins)
	}
	mustRevoked(t, server, mount, session)
}

// mustRevoked checks that a closed session's token is accepted no more, which only the server can say.
func mustRevoked(t *testing.T, server *harness.Server, mount string, session providers.Session) {
	t.Helper()
	r := fetchOne(t, session, providers.Ref{Key: "one"})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "vault refuses to read "+mount+"/data/one") {
		t.Errorf("after close: %v", r.Err)
	}
	if n := requests(t, server, "auth/token/revoke-self"); n == 0 {
		t.Error("nothing was revoked")
	}
}

func TestAWrongSecretIDIsDenied(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 2)
	if err := server.EnableAppRole(t.Context(), mount); err != nil {
		t.Fatal(err)
	}
	roleID, _, err := server.AppRole(t.Context(), mount, "app", time.Minute, "default")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ mount, role string }{
		"secret id": {mount, roleID},
		"role id":   {mount, canary},
		"mount":     {"elsewhere", roleID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := vault.Provider{}.Open(t.Context(), config(&stores.Vault{Server: server.Address(), Auth: &stores.VaultAuth{AppRole: &stores.VaultAppRole{
				Path: tc.mount, RoleID: tc.role, SecretRef: stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key},
			}}}), tokenEnv(canary))
			want := "SecretStore team-a/vault: vault refuses the AppRole login at auth/" + tc.mount + ": the role id or the secret id is wrong, " +
				"expired or used up, or bound to other addresses, or nothing is mounted there; make a new secret id or correct the mount path"
			if got := errText(err); got != want || !errors.Is(err, providers.ErrDenied) {
				t.Error(got)
			}
		})
	}
}

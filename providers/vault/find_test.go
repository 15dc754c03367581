package vault_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

func found(t *testing.T, session providers.Session, q providers.Query) (map[string]string, error) {
	t.Helper()
	finder, ok := providers.As[providers.Finder](session)
	if !ok {
		t.Fatal("vault finds nothing")
	}
	list, err := finder.Find(t.Context(), q)
	out := map[string]string{}
	for _, f := range list {
		out[f.Name] = string(f.Value.Bytes())
	}
	return out, err
}

func TestSecretsAreFoundByPathNameAndTags(t *testing.T) {
	t.Parallel()
	server, ctx := harness.New(t), t.Context()
	for version, mount := range map[stores.VaultKVVersion]string{stores.VaultKVv2: server.KV(t, 2), stores.VaultKVv1: server.KV(t, 1)} {
		put := func(path, value string) {
			t.Helper()
			err := server.PutV1(ctx, mount, path, map[string]any{"k": value})
			if version == stores.VaultKVv2 {
				_, err = server.Put(ctx, mount, path, map[string]any{"k": value})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		put("top", "0")
		put("apps/db", "1")
		put("apps/db/replica", "2")
		put("apps/web/tls", "3")
		put("other/db", "4")
		put(mount+"/own", "6") // a folder of the mount's name
		put("own", "7")
		if version == stores.VaultKVv2 {
			put("apps/gone", "5")
			if err := server.Delete(ctx, mount, "apps/gone"); err != nil {
				t.Fatal(err)
			}
			put("other/db", "4") // once more
			write(t, server, mount+"/metadata/apps/db", map[string]any{"custom_metadata": map[string]string{"env": "prod", "team": "a"}})
			write(t, server, mount+"/metadata/other/db", map[string]any{"custom_metadata": map[string]string{"env": "prod"}})
		}
		spec := tokenStore(server.Address(), mount)
		spec.Version = version
		session := open(t, spec, tokenEnv(reader(t, server, mount)))
		doc := func(names ...string) map[string]string {
			out := map[string]string{}
			for i := 0; i < len(names); i += 2 {
				out[names[i]] = fmt.Sprintf(`{"k":"%s"}`, names[i+1])
			}
			return out
		}
		tests := map[string]struct {
			query providers.Query
			want  map[string]string
		}{
			"everything":       {providers.Query{}, doc("top", "0", "apps/db", "1", "apps/db/replica", "2", "apps/web/tls", "3", "other/db", "4", mount+"/own", "6", "own", "7")},
			"an empty path":    {providers.Query{Path: new(""), Name: regexp.MustCompile("^/(top|apps/db$)")}, doc("/top", "0", "/apps/db", "1")}, // as External Secrets Operator names them
			"a slash too many": {providers.Query{Path: new("apps/"), Name: regexp.MustCompile("web")}, doc("apps//web/tls", "3")},
			"the mount's name": {providers.Query{Path: &mount}, doc(mount+"/own", "6")},
			"below a path":     {providers.Query{Path: new("apps")}, doc("apps/db", "1", "apps/db/replica", "2", "apps/web/tls", "3")},
			"by name":          {providers.Query{Name: regexp.MustCompile("db$")}, doc("apps/db", "1", "other/db", "4")},
			"by path and name": {providers.Query{Path: new("apps"), Name: regexp.MustCompile("^apps/db")}, doc("apps/db", "1", "apps/db/replica", "2")},
			"nothing":          {providers.Query{Name: regexp.MustCompile("nope")}, doc()},
		}
		if version == stores.VaultKVv2 {
			tests["by tags"] = struct {
				query providers.Query
				want  map[string]string
			}{providers.Query{Tags: map[string]string{"env": "prod"}}, doc("apps/db", "1", "other/db", "4")}
			tests["by what Vault records itself"] = struct {
				query providers.Query
				want  map[string]string
			}{providers.Query{Tags: map[string]string{"current_version": "2", "delete_version_after": "0s"}}, doc("other/db", "4")}
			tests["by all"] = struct {
				query providers.Query
				want  map[string]string
			}{providers.Query{Path: new("apps"), Name: regexp.MustCompile("db"), Tags: map[string]string{"env": "prod", "team": "a"}}, doc("apps/db", "1")}
		}
		for name, tc := range tests {
			got, err := found(t, session, tc.query)
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("%s, %s: %v %s", version, name, err, diff)
			}
		}
		if _, err := found(t, session, providers.Query{Path: new("nowhere")}); !errors.Is(err, providers.ErrNotFound) || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("%s: a path that does not exist: %v", version, err)
		}
		if version == stores.VaultKVv1 {
			if _, err := found(t, session, providers.Query{Tags: map[string]string{"a": "b"}}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "KV version v1 has no metadata") {
				t.Errorf("tags of KV 1: %v", err)
			}
		}
		for _, path := range []string{"../sys", "apps/../..", "a\x00b"} {
			if _, err := found(t, session, providers.Query{Path: new(path)}); !errors.Is(err, providers.ErrInvalid) {
				t.Errorf("path %q: %v", path, err)
			}
		}
	}
}

func TestAMountInThePathIsSearchedWithoutOneInTheStore(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := server.KV(t, 2)
	if _, err := server.Put(t.Context(), mount, "a/b", map[string]any{"k": "v"}); err != nil {
		t.Fatal(err)
	}
	session := open(t, tokenStore(server.Address(), ""), tokenEnv(reader(t, server, mount)))
	for path, want := range map[string]string{mount: mount + "/a/b", mount + "/a": mount + "/a/b", mount + "/data/a": mount + "/data/a/b", mount + "/data": mount + "/data/a/b"} {
		got, err := found(t, session, providers.Query{Path: new(path)})
		if err != nil || got[want] != `{"k":"v"}` {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	for _, nowhere := range []*string{nil, new(""), new("/")} {
		if _, err := found(t, session, providers.Query{Path: nowhere}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "find.path is required") {
			t.Error(err)
		}
	}
	first := server.KV(t, 1)
	if err := server.PutV1(t.Context(), first, "a/b", map[string]any{"k": "v"}); err != nil {
		t.Fatal(err)
	}
	spec := tokenStore(server.Address(), "")
	spec.Version = stores.VaultKVv1
	session = open(t, spec, tokenEnv(reader(t, server, first)))
	if got, err := found(t, session, providers.Query{Path: new(first + "/a")}); err != nil || got[first+"/a/b"] != `{"k":"v"}` {
		t.Errorf("version 1: %v, %v", got, err)
	}
}

func TestASearchThatIsNotGrantedSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	server, ctx := harness.New(t), t.Context()
	mount := server.KV(t, 2)
	for _, path := range []string{"open/a", "closed/a"} {
		if _, err := server.Put(ctx, mount, path, map[string]any{"k": canary}); err != nil {
			t.Fatal(err)
		}
	}
	rules := fmt.Sprintf(`path "%[1]s/metadata/open" { capabilities = ["list"] }
path "%[1]s/metadata/" { capabilities = ["list"] }
path "%[1]s/data/*" { capabilities = ["read"] }`, mount)
	if err := server.Policy(ctx, mount, rules); err != nil {
		t.Fatal(err)
	}
	token, err := server.NewToken(ctx, time.Hour, mount)
	if err != nil {
		t.Fatal(err)
	}
	session := open(t, tokenStore(server.Address(), mount), tokenEnv(token))
	if got, err := found(t, session, providers.Query{Path: new("open")}); err != nil || len(got) != 1 {
		t.Errorf("what is granted: %v", err)
	}
	for name, tc := range map[string]struct {
		query providers.Query
		want  string
	}{
		"a folder":       {providers.Query{Path: new("closed")}, `must grant "list" on that path`},
		"one of several": {providers.Query{}, mount + `/metadata/closed: the policies of the token must grant "list"`},
		"tags":           {providers.Query{Path: new("open"), Tags: map[string]string{"a": "b"}}, mount + `/metadata/open/a: the policies of the token must grant "read"`},
	} {
		got, err := found(t, session, tc.query)
		if len(got) > 0 || !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %d, %v", name, len(got), err)
		}
	}
}

// A server that lies about what lies where is not followed without end.
func TestASearchIsBounded(t *testing.T) {
	t.Parallel()
	large := `{"data":{"data":{"k":"` + strings.Repeat("x", 1<<20) + `"},"metadata":{"version":1}}}`
	for name, tc := range map[string]struct{ keys, want string }{
		"folders without bottom": {`["down/"]`, "more than 32 folders"},
		"names without end":      {`["x` + strings.Repeat(`","x`, 20_000) + `"]`, "more than 10000 names"},
		"too much":               {`["1","2","3","4","5","6","7","8"]`, "more than 1000 secrets, or 4 MiB"},
		"a way out":              {`["../"]`, "not one of vault's"},
		"an empty name":          {`[""]`, "not one of vault's"},
		"no list":                {`null`, "not one of vault's"},
		"something else":         {`{"` + canary + `":1}`, "not one of vault's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "lookup-self"):
					lookedUp(w)
				case r.URL.Query().Get("list") == "true":
					answer(w, http.StatusOK, `{"data":{"keys":`+tc.keys+`}}`)
				default:
					answer(w, http.StatusOK, large)
				}
			})
			got, err := found(t, open(t, cfg.Spec.(*stores.Vault), env), providers.Query{})
			if len(got) > 0 || !strings.Contains(errText(err), tc.want) || strings.Contains(errText(err), canary) {
				t.Errorf("%d, %v", len(got), err)
			}
		})
	}
}

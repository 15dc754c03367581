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
	for _, path := range []string{"open/a", "closed/a", "shown/a"} {
		if _, err := server.Put(ctx, mount, path, map[string]any{"k": canary}); err != nil {
			t.Fatal(err)
		}
	}
	rules := fmt.Sprintf(`path "%[1]s/metadata/open" { capabilities = ["list"] }
path "%[1]s/metadata/shown" { capabilities = ["list"] }
path "%[1]s/metadata/" { capabilities = ["list"] }
path "%[1]s/data/open/*" { capabilities = ["read"] }`, mount)
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
		"the content":    {providers.Query{Path: new("shown")}, mount + `/data/shown/a: the policies of the token must grant "read"`},
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
	const strange = "not one of vault's"
	// names are so many as a list in JSON, each of which begins with a letter.
	names := func(letter string, count int) string {
		all := make([]string, count)
		for i := range all {
			all[i] = fmt.Sprintf(`"%s%d"`, letter, i)
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	for name, tc := range map[string]struct {
		keys string
		name string // what is looked for; empty means all
		want string // empty means that it ends well
		all  int
	}{
		"folders without bottom": {`["down/"]`, "", "more than 32 folders", 0},
		"names without end":      {names("x", 10_001), "none", "more than 10000 names", 0},
		"names of which few":     {names("x", 10_000), "x12$", "", 1},
		"as many as may be":      {names("x", 1000), "", "", 1000},
		"one more":               {names("x", 1001), "", "more than 1000 secrets, or 4 MiB", 0},
		"as large as may be":     {names("m", 4), "", "", 4},
		"too large":              {`["m1","m2","m3","m4","m5"]`, "", "more than 1000 secrets, or 4 MiB", 0},
		"too large by a little":  {`["m1","m2","m3","m4","x"]`, "", "more than 1000 secrets, or 4 MiB", 0},
		"a long name":            {`["` + strings.Repeat("x", 4096) + `"]`, "", "", 1},
		"a longer name":          {`["` + strings.Repeat("x", 4097) + `"]`, "", "a name in kv/metadata has more than 4096 bytes", 0},
		"long folders":           {`["` + strings.Repeat("x", 1000) + `/"]`, "", "has more than 4096 bytes", 0},
		"a way out":              {`["../"]`, "", strange, 0},
		"an empty name":          {`[""]`, "", strange, 0},
		"a folder without name":  {`["/"]`, "", strange, 0},
		"a name that is none":    {`["x",1]`, "", strange, 0},
		"no list":                {`null`, "", strange, 0},
		"something else":         {`{"` + canary + `":1}`, "", strange, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
				size := 1
				switch {
				case strings.HasSuffix(r.URL.Path, "lookup-self"):
					lookedUp(w)
					return
				case r.URL.Query().Get("list") == "true":
					answer(w, http.StatusOK, `{"data":{"keys":`+tc.keys+`}}`)
					return
				case strings.HasPrefix(r.URL.Path, "/v1/kv/data/m"):
					size = 1<<20 - len(`{"k":""}`)
				}
				answer(w, http.StatusOK, `{"data":{"data":{"k":"`+strings.Repeat("x", size)+`"},"metadata":{"version":1}}}`)
			})
			got, err := found(t, open(t, cfg.Spec.(*stores.Vault), env), providers.Query{Name: regexp.MustCompile(tc.name)})
			class := providers.ErrInvalid
			if tc.want == strange {
				class = providers.ErrUnavailable
			}
			if len(got) != tc.all || tc.want != "" && !errors.Is(err, class) || !strings.Contains(errText(err), tc.want) || tc.want == "" && err != nil || strings.Contains(errText(err), canary) {
				t.Errorf("%d, %v", len(got), err)
			}
		})
	}
}

func TestAFolderIsListedOrTheSearchFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		depth, status int
		body          string
		class         error
		want          string
	}{
		"nothing at all":             {0, 404, `{"errors":[]}`, providers.ErrNotFound, "vault has nothing at kv/metadata"},
		"a folder that was emptied":  {1, 404, `{"errors":[]}`, nil, ""},
		"one that is said to be not": {1, 404, `{"errors":["x"]}`, providers.ErrUnavailable, "not one of vault's"},
		"a page instead of it":       {1, 404, "<html>" + canary, providers.ErrUnavailable, "not one of vault's"},
		"a request that is wrong":    {1, 400, `{"errors":[]}`, providers.ErrInvalid, "vault cannot read kv/metadata/down (status 400)"},
		"a refusal":                  {1, 403, `{"errors":["permission denied"]}`, providers.ErrDenied, `vault refuses to list kv/metadata/down: the policies of the token must grant "list"`},
		"a refusal of others":        {1, 403, "<html>" + canary, providers.ErrUnavailable, "not one of vault's"},
		"a list with another status": {1, 202, `{"data":{"keys":["a"]}}`, providers.ErrUnavailable, "not one of vault's"},
		"as deep as may be":          {32, 200, `{"data":{"keys":["a"]}}`, nil, ""},
		"deeper":                     {33, 200, `{"data":{"keys":["a"]}}`, providers.ErrInvalid, "more than 32 folders"},
	} {
		cfg, env := reads(func(w http.ResponseWriter, r *http.Request) {
			if strings.Count(r.URL.Path, "/down") == tc.depth {
				answer(w, tc.status, tc.body)
				return
			}
			answer(w, http.StatusOK, `{"data":{"keys":["down/"]}}`)
		})(t)
		got, err := found(t, open(t, cfg.Spec.(*stores.Vault), env), providers.Query{Name: regexp.MustCompile("none")})
		if len(got) > 0 || !errors.Is(err, tc.class) || !strings.Contains(errText(err), tc.want) || strings.Contains(errText(err), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsFoundIsInTheOrderOfTheNamesAndOnce(t *testing.T) {
	t.Parallel()
	cfg, env := reads(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("list") == "true" {
			answer(w, http.StatusOK, `{"data":{"keys":["b","c","a","c"]}}`)
			return
		}
		answer(w, http.StatusOK, `{"data":{"data":{},"metadata":{"version":1}}}`)
	})(t)
	finder, _ := providers.As[providers.Finder](open(t, cfg.Spec.(*stores.Vault), env))
	list, err := finder.Find(t.Context(), providers.Query{})
	if err != nil || len(list) != 3 || list[0].Name != "a" || list[1].Name != "b" || list[2].Name != "c" {
		t.Error(list, err)
	}
}

package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

// find returns the names that a search finds, after a look at their values.
func find(t *testing.T, s providers.Session, q providers.Query) []string {
	t.Helper()
	f, ok := providers.As[providers.Finder](s)
	if !ok {
		t.Fatal("the session finds nothing")
	}
	found, err := f.Find(t.Context(), q)
	if err != nil {
		t.Errorf("%+v: %v", q, err)
	}
	names := []string{}
	for _, d := range found {
		names = append(names, d.Name)
		if string(d.Value.Bytes()) != canary+d.Name || d.Version == "" {
			t.Errorf("%s is %q in version %q", d.Name, d.Value.Bytes(), d.Version)
		}
	}
	return names
}

func findError(t *testing.T, s providers.Session, q providers.Query) error {
	t.Helper()
	f, _ := providers.As[providers.Finder](s)
	found, err := f.Find(t.Context(), q)
	if err == nil || len(found) > 0 {
		t.Errorf("%+v finds %d documents", q, len(found))
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("the error shows a value: %v", err)
	}
	return err
}

// populate puts documents with a tag "team" and, for the second half, "tier".
func populate(t *testing.T, account *moto.Account, service string, names ...string) {
	t.Helper()
	for i, name := range names {
		tags := []map[string]string{{"Key": "team", "Value": "a"}}
		if i >= len(names)/2 {
			tags = append(tags, map[string]string{"Key": "tier", "Value": "gold"})
		}
		if service == "ssm" {
			do(t, account, service, "PutParameter", map[string]any{"Name": name, "Value": canary + name, "Type": "SecureString", "Tags": tags}, nil)
			continue
		}
		do(t, account, service, "CreateSecret", map[string]any{"Name": name, "SecretString": canary + name, "Tags": tags, "ClientRequestToken": "00000000-0000-4000-8000-000000000000"}, nil)
	}
}

func searches() map[string]struct {
	q    providers.Query
	want []string
} {
	return map[string]struct {
		q    providers.Query
		want []string
	}{
		"by name":                {providers.Query{Name: regexp.MustCompile("db")}, []string{"/a/db", "/b/db"}},
		"by name below a path":   {providers.Query{Name: regexp.MustCompile("db"), Path: new("/b")}, []string{"/b/db"}},
		"by tags":                {providers.Query{Tags: map[string]string{"team": "a", "tier": "gold"}}, []string{"/b/db", "/b/web"}},
		"by tags below a path":   {providers.Query{Tags: map[string]string{"team": "a"}, Path: new("/a")}, []string{"/a/db", "/a/web"}},
		"by name and tags":       {providers.Query{Name: regexp.MustCompile("web"), Tags: map[string]string{"tier": "gold"}}, []string{"/b/web"}},
		"what is not there":      {providers.Query{Name: regexp.MustCompile("mail")}, []string{}},
		"tags that nothing has":  {providers.Query{Tags: map[string]string{"team": "z"}}, []string{}},
		"everything":             {providers.Query{}, []string{"/a/db", "/a/web", "/b/db", "/b/web"}},
		"everything, explicitly": {providers.Query{Name: regexp.MustCompile(".*"), Path: new("/")}, []string{"/a/db", "/a/web", "/b/db", "/b/web"}},
	}
}

func TestSecretsAreFoundByTheirWholeNamesWhateverThePrefix(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	populate(t, account, "secretsmanager", "/b/web", "/a/web", "/a/db", "/b/db")
	populateTiers(t, account)
	for _, prefix := range []string{"", "/a/"} {
		spec := keyStore(stores.AWSSecretsManager)
		spec.Prefix = prefix
		s := openIn(t, server, account, spec)
		for name, tc := range searches() {
			if got := find(t, s, tc.q); !slices.Equal(got, tc.want) {
				t.Errorf("prefix %q, %s: found %q, want %q", prefix, name, got, tc.want)
			}
		}
		if err := findError(t, s, providers.Query{Path: new("/a")}); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("by path alone: %v", err)
		}
	}
}

// populateTiers gives the tag "tier" to what lies below /b and to nothing else.
func populateTiers(t *testing.T, account *moto.Account) {
	t.Helper()
	gold := []map[string]string{{"Key": "tier", "Value": "gold"}}
	for _, name := range []string{"/b/web", "/b/db"} {
		do(t, account, "secretsmanager", "TagResource", map[string]any{"SecretId": name, "Tags": gold}, nil)
	}
	do(t, account, "secretsmanager", "UntagResource", map[string]any{"SecretId": "/a/db", "TagKeys": []string{"tier"}}, nil)
}

func TestParametersAreFoundByTheirWholeNamesWhateverThePrefix(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	populate(t, account, "ssm", "/a/web", "/a/db", "/b/web", "/b/db")
	for _, prefix := range []string{"", "/a/"} {
		spec := keyStore(stores.AWSParameterStore)
		spec.Prefix = prefix
		s := openIn(t, server, account, spec)
		for name, tc := range searches() {
			if got := find(t, s, tc.q); !slices.Equal(got, tc.want) {
				t.Errorf("prefix %q, %s: found %q, want %q", prefix, name, got, tc.want)
			}
		}
		if err := findError(t, s, providers.Query{Path: new("/a")}); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("by path alone: %v", err)
		}
	}
}

func TestParametersAreDescribedWhereThoseBelowAPathMayNotBeRead(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	populate(t, account, "ssm", "/a/web", "/a/db", "/b/db")
	role, keys := reader(t, server, account, moto.Role{Deny: []string{"ssm:GetParametersByPath", "ssm:GetParameters"}})
	s := open(t, at(server.URL()), keyStore(stores.AWSParameterStore), keyEnv(keys))
	if got := find(t, s, providers.Query{Name: regexp.MustCompile("db"), Path: new("/a")}); !slices.Equal(got, []string{"/a/db"}) {
		t.Errorf("found %q", got)
	}
	if got := actions(server, role); !slices.Equal(got, []string{"GetParametersByPath", "DescribeParameters", "GetParameter"}) {
		t.Errorf("the requests are %v", got)
	}
	_, keys = reader(t, server, account, moto.Role{Deny: []string{"ssm:GetParametersByPath", "ssm:DescribeParameters"}})
	s = open(t, at(server.URL()), keyStore(stores.AWSParameterStore), keyEnv(keys))
	if err := findError(t, s, providers.Query{Name: regexp.MustCompile("db"), Path: new("/a")}); !errors.Is(err, providers.ErrDenied) ||
		!strings.Contains(err.Error(), "ssm:GetParametersByPath on the parameters below /a") {
		t.Errorf("with neither right: %v", err)
	}
	if err := findError(t, s, providers.Query{Tags: map[string]string{"team": "a"}}); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "ssm:DescribeParameters") {
		t.Errorf("by tags without the right: %v", err)
	}
}

func TestSecretsAreFoundByWhomeverMayListAndReadThem(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	populate(t, account, "secretsmanager", "/a/web", "/a/db", "/b/db")
	for name, tc := range map[string]struct {
		deny []string
		says string
	}{
		"nothing is denied":    {nil, ""},
		"no batches":           {[]string{"secretsmanager:BatchGetSecretValue"}, ""},
		"no lists":             {[]string{"secretsmanager:ListSecrets"}, "secretsmanager:ListSecrets"},
		"no reads, no batches": {[]string{"secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue"}, "secretsmanager:GetSecretValue"},
	} {
		_, keys := reader(t, server, account, moto.Role{Deny: tc.deny})
		s := open(t, at(server.URL()), keyStore(stores.AWSSecretsManager), keyEnv(keys))
		q := providers.Query{Name: regexp.MustCompile("db")}
		if tc.says == "" {
			if got := find(t, s, q); !slices.Equal(got, []string{"/a/db", "/b/db"}) {
				t.Errorf("%s: found %q", name, got)
			}
			continue
		}
		if err := findError(t, s, q); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// listing is a server with n secrets in pages of a hundred.
func listing(t *testing.T, n int, value func(id string) (map[string]any, map[string]string)) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, c call) {
		if c.Action == "ListSecrets" {
			from := 0
			if token, ok := c.Body["NextToken"].(string); ok {
				_, _ = fmt.Sscanf(token, "page-%d", &from)
			}
			list := []any{}
			for i := from; i < min(from+100, n); i++ {
				list = append(list, map[string]string{"Name": fmt.Sprintf("s-%04d", i)})
			}
			answer := map[string]any{"SecretList": list}
			if from+100 < n {
				answer["NextToken"] = fmt.Sprintf("page-%d", from+100)
			}
			says(w, 200, answer)
			return
		}
		ids, ok := c.Body["SecretIdList"].([]any)
		if !ok {
			ids = []any{c.Body["SecretId"]}
		}
		values, failures := []any{}, []any{}
		for _, id := range ids {
			id, _ := id.(string)
			v, failure := value(id)
			if failure != nil {
				failures = append(failures, failure)
				continue
			}
			values = append(values, v)
		}
		switch {
		case ok:
			says(w, 200, map[string]any{"SecretValues": values, "Errors": failures})
		case len(values) == 1:
			says(w, 200, values[0])
		default:
			fails(w, 400, "ResourceNotFoundException", "")
		}
	})
}

func TestASearchFindsAllOrNothing(t *testing.T) {
	t.Parallel()
	failing := func(code string) func(id string) (map[string]any, map[string]string) {
		return func(id string) (map[string]any, map[string]string) {
			if id == "s-0003" {
				return nil, map[string]string{"SecretId": id, "ErrorCode": code, "Message": canary}
			}
			v := secretAnswer(id)
			v["SecretString"] = canary + id
			return v, nil
		}
	}
	s := open(t, at(listing(t, 205, failing("ResourceNotFoundException"))), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	if got := find(t, s, providers.Query{Name: regexp.MustCompile(".")}); len(got) != 204 || slices.Contains(got, "s-0003") {
		t.Errorf("found %d, one of 205 was deleted meanwhile", len(got))
	}
	s = open(t, at(listing(t, 205, failing("AccessDeniedException"))), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	if err := findError(t, s, providers.Query{Name: regexp.MustCompile(".")}); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), `"s-0003"`) {
		t.Errorf("one of 205 is denied: %v", err)
	}
	s = open(t, at(listing(t, 1001, failing(""))), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	if err := findError(t, s, providers.Query{Name: regexp.MustCompile(".")}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "narrow find") {
		t.Errorf("1001 match: %v", err)
	}
	large := func(id string) (map[string]any, map[string]string) {
		v := secretAnswer(id)
		v["SecretString"] = strings.Repeat("x", 60<<10)
		return v, nil
	}
	s = open(t, at(listing(t, 100, large)), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	if err := findError(t, s, providers.Query{Name: regexp.MustCompile(".")}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "narrow find") {
		t.Errorf("6 MiB match: %v", err)
	}
}

package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

func TestAParameterIsReadInTheVersionThatIsAskedFor(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	for _, v := range []string{canary + "-1", canary + "-2"} {
		if err := account.PutParameter(t.Context(), "/app/db", v); err != nil {
			t.Fatal(err)
		}
	}
	do(t, account, "ssm", "LabelParameterVersion", map[string]any{"Name": "/app/db", "ParameterVersion": 1, "Labels": []string{"stable"}}, nil)
	s := openIn(t, server, account, keyStore(stores.AWSParameterStore))
	for version, want := range map[string]string{"": "-2", "2": "-2", "1": "-1", "stable": "-1"} {
		ref := providers.Ref{Key: "/app/db", Version: version}
		if got := value(t, s, ref, ""); got != canary+want {
			t.Errorf("version %q is %q", version, got)
		}
		if got := fetch(t, s, ref)[0].Version; "-"+got != want {
			t.Errorf("version %q is of version %q", version, got)
		}
	}
	for _, version := range []string{"7", "unstable"} {
		if err := fetch(t, s, providers.Ref{Key: "/app/db", Version: version})[0].Err; !errors.Is(err, providers.ErrNotFound) || !strings.Contains(err.Error(), "/app/db:"+version) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

func TestTheTagsOfAParameterAreReadWhenTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	do(t, account, "ssm", "PutParameter", map[string]any{"Name": "/db", "Value": canary, "Type": "SecureString", "Tags": []map[string]string{{"Key": "team", "Value": "a"}}}, nil)
	do(t, account, "ssm", "PutParameter", map[string]any{"Name": "/bare", "Value": canary, "Type": "SecureString"}, nil)
	role, keys := reader(t, server, account, moto.Role{})
	s := open(t, at(server.URL()), keyStore(stores.AWSParameterStore), keyEnv(keys))
	for name, want := range map[string]string{"/db": `{"team":"a"}`, "/bare": `{}`} {
		if got := value(t, s, providers.Ref{Key: name, Metadata: true, Version: "1"}, ""); got != want {
			t.Errorf("the tags of %s are %q", name, got)
		}
	}
	if got := actions(server, role); !slices.Equal(got, []string{"ListTagsForResource", "ListTagsForResource"}) {
		t.Errorf("the requests are %v", got)
	}
	if err := fetch(t, s, providers.Ref{Key: "/nowhere", Metadata: true})[0].Err; !errors.Is(err, providers.ErrNotFound) {
		t.Errorf("tags of nothing: %v", err)
	}
	_, keys = reader(t, server, account, moto.Role{Deny: []string{"ssm:ListTagsForResource"}})
	s = open(t, at(server.URL()), keyStore(stores.AWSParameterStore), keyEnv(keys))
	if err := fetch(t, s, providers.Ref{Key: "/db", Metadata: true})[0].Err; !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), `ssm:ListTagsForResource on parameter "/db"`) {
		t.Errorf("without the right: %v", err)
	}
}

// keysOfParameters makes n parameters below /app and returns refs to them, relative to it.
func keysOfParameters(t *testing.T, account *moto.Account, n int) []providers.Ref {
	t.Helper()
	refs := make([]providers.Ref, n)
	for i := range refs {
		refs[i].Key = fmt.Sprintf("p-%02d", i)
		if err := account.PutParameter(t.Context(), "/app/"+refs[i].Key, canary+refs[i].Key); err != nil {
			t.Fatal(err)
		}
	}
	return refs
}

func TestParametersAreReadTenAtOnceAndOneByItself(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	refs := keysOfParameters(t, account, 21)
	role, keys := reader(t, server, account, moto.Role{})
	spec := keyStore(stores.AWSParameterStore)
	spec.Prefix = "/app/"
	s := open(t, at(server.URL()), spec, keyEnv(keys))
	wantKeys(t, refs, fetch(t, s, refs...))
	fetch(t, s, refs[0])
	got := actions(server, role)
	slices.Sort(got)
	if !slices.Equal(got, []string{"GetParameter", "GetParameter", "GetParameters", "GetParameters"}) {
		t.Errorf("the requests are %v", got)
	}
	// One that does not exist is asked for by itself: it fails alone.
	results := fetch(t, s, refs[0], providers.Ref{Key: "nowhere"}, refs[1])
	if results[0].Err != nil || results[2].Err != nil || !errors.Is(results[1].Err, providers.ErrNotFound) {
		t.Errorf("got %v, %v, %v", results[0].Err, results[1].Err, results[2].Err)
	}
}

func TestWhoMayNotReadParametersTogetherReadsThemOneByOne(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	refs := keysOfParameters(t, account, 3)
	role, keys := reader(t, server, account, moto.Role{Deny: []string{"ssm:GetParameters"}})
	spec := keyStore(stores.AWSParameterStore)
	spec.Prefix = "/app/"
	s := open(t, at(server.URL()), spec, keyEnv(keys))
	wantKeys(t, refs, fetch(t, s, refs...))
	wantKeys(t, refs, fetch(t, s, refs...))
	if b, _ := providers.As[providers.Batcher](s); b.Batch() != 1 {
		t.Errorf("after the denial: %d at once", b.Batch())
	}
	if n := len(slices.DeleteFunc(actions(server, role), func(a string) bool { return a != "GetParameters" })); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
}

// Parameter Store denies the whole request when one of the parameters in it is denied.
func TestOneDeniedParameterDoesNotEndReadingTogether(t *testing.T) {
	t.Parallel()
	parameter := func(name string) map[string]any {
		return map[string]any{"Name": name, "ARN": "arn:aws:ssm:" + region + ":1:parameter" + name, "Value": canary + name, "Version": 3, "Type": "SecureString"}
	}
	url := serve(t, func(w http.ResponseWriter, c call) {
		names, _ := c.Body["Names"].([]any)
		name, _ := c.Body["Name"].(string)
		switch {
		case name == "/denied" || slices.Contains(names, any("/denied")):
			fails(w, 400, "AccessDeniedException", "User is not authorized to perform: ssm:"+c.Action)
		case name != "":
			says(w, 200, map[string]any{"Parameter": parameter(name)})
		default:
			var all []any
			for _, n := range names {
				n, _ := n.(string)
				all = append(all, parameter(strings.TrimPrefix(n, "arn:aws:ssm:"+region+":1:parameter")))
			}
			says(w, 200, map[string]any{"Parameters": all, "InvalidParameters": []any{}})
		}
	})
	s := open(t, at(url), keyStore(stores.AWSParameterStore), keyEnv(fakeKeys()))
	results := fetch(t, s, providers.Ref{Key: "/a"}, providers.Ref{Key: "/denied"}, providers.Ref{Key: "/b"})
	if results[0].Err != nil || results[2].Err != nil {
		t.Errorf("the others: %v, %v", results[0].Err, results[2].Err)
	}
	if err := results[1].Err; !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), `ssm:GetParameter on parameter "/denied"`) {
		t.Errorf("the denied one: %v", err)
	}
	if b, _ := providers.As[providers.Batcher](s); b.Batch() != 10 {
		t.Errorf("%d at once afterwards", b.Batch())
	}
	arn := "arn:aws:ssm:" + region + ":1:parameter/a"
	for i, r := range fetch(t, s, providers.Ref{Key: arn}, providers.Ref{Key: "/b"}, providers.Ref{Key: "/a"}) {
		if want := []string{"/a", "/b", "/a"}[i]; r.Err != nil || r.Version != "3" {
			t.Errorf("%s: %v in version %q", want, r.Err, r.Version)
		} else if v, _ := r.Document.Value(""); string(v.Bytes()) != canary+want {
			t.Errorf("%d is %q", i, v.Bytes())
		}
	}
}

// parameters is a server with n of them in pages of a hundred.
type parameters struct {
	n       int
	padding string
	// deniesPaths says that those below a path may only be described.
	deniesPaths bool
	// gone is deleted after it was listed, and denied is not read.
	gone, denied string
	asked        tally
	// below is which path is described.
	below atomic.Value
}

func (p *parameters) answer(w http.ResponseWriter, c call) {
	p.asked.add(c.Action)
	parameter := func(name string) any {
		return map[string]any{"Name": name, "Value": canary + name + p.padding, "Version": 1}
	}
	list, from := []any{}, 0
	switch c.Action {
	case "GetParametersByPath", "DescribeParameters":
		if c.Action == "GetParametersByPath" && p.deniesPaths {
			fails(w, 400, "AccessDeniedException", "")
			return
		}
		if filters, ok := c.Body["ParameterFilters"].([]any); ok {
			p.below.Store(filters[0].(map[string]any)["Values"]) //nolint:forcetypeassert // so AWS has it
		}
		token, _ := c.Body["NextToken"].(string)
		_, _ = fmt.Sscan(token, &from)
		for i := from; i < min(from+100, p.n); i++ {
			list = append(list, parameter(fmt.Sprintf("/p-%04d", i)))
		}
		answer := map[string]any{"Parameters": list}
		if from+100 < p.n {
			answer["NextToken"] = fmt.Sprint(from + 100)
		}
		says(w, 200, answer)
	case "GetParameters":
		names, _ := c.Body["Names"].([]any)
		if slices.Contains(names, any(p.denied)) {
			fails(w, 400, "AccessDeniedException", "")
			return
		}
		for _, name := range names {
			if name != p.gone {
				list = append(list, parameter(name.(string))) //nolint:forcetypeassert // so AWS has it
			}
		}
		says(w, 200, map[string]any{"Parameters": list})
	default:
		name, _ := c.Body["Name"].(string)
		switch name {
		case p.denied:
			fails(w, 400, "AccessDeniedException", "")
		case p.gone:
			fails(w, 400, "ParameterNotFound", "")
		default:
			says(w, 200, map[string]any{"Parameter": parameter(name)})
		}
	}
}

func TestASearchOfParametersFindsAllOrNothing(t *testing.T) {
	t.Parallel()
	byName, byTag := providers.Query{Name: regexp.MustCompile(".")}, providers.Query{Tags: map[string]string{"team": "a"}}
	for name, tc := range map[string]struct {
		backend *parameters
		q       providers.Query
		class   error
		says    string
		// unread says that what was found too often is not read.
		unread bool
	}{
		"1000 below a path":             {backend: &parameters{n: 1000}, q: byName},
		"1001 below a path":             {backend: &parameters{n: 1001}, q: byName, class: providers.ErrInvalid, says: "narrow find"},
		"5 MiB below a path":            {backend: &parameters{n: 700, padding: strings.Repeat("x", 7<<10)}, q: byName, class: providers.ErrInvalid, says: "narrow find"},
		"1000 with a tag":               {backend: &parameters{n: 1000}, q: byTag},
		"1001 with a tag":               {backend: &parameters{n: 1001}, q: byTag, class: providers.ErrInvalid, says: "narrow find", unread: true},
		"5 MiB with a tag":              {backend: &parameters{n: 700, padding: strings.Repeat("x", 7<<10)}, q: byTag, class: providers.ErrInvalid, says: "narrow find"},
		"one of 205 is denied":          {backend: &parameters{n: 205, denied: "/p-0100"}, q: byTag, class: providers.ErrDenied, says: `ssm:GetParameter on parameter "/p-0100"`},
		"one of 205 is denied by name":  {backend: &parameters{n: 205, denied: "/p-0100", deniesPaths: true}, q: byName, class: providers.ErrDenied, says: `ssm:GetParameter on parameter "/p-0100"`},
		"1001 that are described":       {backend: &parameters{n: 1001, deniesPaths: true}, q: byName, class: providers.ErrInvalid, says: "narrow find", unread: true},
		"1000 that are described":       {backend: &parameters{n: 1000, deniesPaths: true}, q: byName},
		"one is deleted after its name": {backend: &parameters{n: 205, gone: "/p-0100"}, q: byTag},
	} {
		backend := tc.backend
		s := open(t, at(serve(t, backend.answer)), keyStore(stores.AWSParameterStore), keyEnv(fakeKeys()))
		if tc.class != nil {
			if err := findError(t, s, tc.q); !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v", name, err)
			}
			if tc.unread && backend.asked.of("GetParameters") > 0 {
				t.Errorf("%s: is read", name)
			}
			continue
		}
		want := backend.n
		if backend.gone != "" {
			want--
		}
		if got := find(t, s, tc.q); len(got) != want || slices.Contains(got, backend.gone) {
			t.Errorf("%s: found %d", name, len(got))
		}
		if backend.deniesPaths && fmt.Sprint(backend.below.Load()) != "[/]" {
			t.Errorf("%s: what is described lies below %v", name, backend.below.Load())
		}
	}
}

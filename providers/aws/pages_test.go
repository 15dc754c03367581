package aws_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

// pages is a request that AWS answers in pages: how one without entries looks, and who asks for them.
type pages struct {
	service stores.AWSService
	empty   map[string]any
	ask     func(t *testing.T, s providers.Session) error
}

// paged are the requests that AWS answers in pages, by their action.
func paged() map[string]pages {
	search := func(q providers.Query) func(*testing.T, providers.Session) error {
		return func(t *testing.T, s providers.Session) error {
			t.Helper()
			f, _ := providers.As[providers.Finder](s)
			_, err := f.Find(t.Context(), q)
			return err
		}
	}
	byName, byTag := providers.Query{Name: regexp.MustCompile("")}, providers.Query{Tags: map[string]string{"team": "a"}}
	return map[string]pages{
		"ListSecrets":         {stores.AWSSecretsManager, map[string]any{"SecretList": []any{}}, search(byName)},
		"GetParametersByPath": {stores.AWSParameterStore, map[string]any{"Parameters": []any{}}, search(byName)},
		"DescribeParameters":  {stores.AWSParameterStore, map[string]any{"Parameters": []any{}}, search(byTag)},
		"BatchGetSecretValue": {stores.AWSSecretsManager, map[string]any{"SecretValues": []any{}}, func(t *testing.T, s providers.Session) error {
			t.Helper()
			_, err := s.Fetch(t.Context(), []providers.Ref{{Key: "a"}, {Key: "b"}})
			return err
		}},
	}
}

func TestPagesThatDoNotEndAreNoAnswer(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]map[any]string{
		"one that follows itself":          {nil: "again", "again": "again"},
		"two that follow one another":      {nil: "one", "one": "other", "other": "one"},
		"three, the first of which is not": {nil: "first", "first": "one", "one": "other", "other": "one"},
	} {
		for action, tc := range paged() {
			asked := &tally{}
			url := serve(t, func(w http.ResponseWriter, c call) {
				asked.add(c.Action)
				answer := maps.Clone(tc.empty)
				answer["NextToken"] = after[c.Body["NextToken"]]
				says(w, 200, answer)
			})
			err := tc.ask(t, open(t, at(url), keyStore(tc.service), keyEnv(fakeKeys())))
			if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "not one of AWS's") || asked.of(action) != len(after) {
				t.Errorf("%s, %s: %v after %d requests", action, name, err, asked.of(action))
			}
		}
	}
}

// An endpoint that says for ever that there is more keeps nobody asking, and fills no memory.
func TestAListEndsThoughItsPagesDoNot(t *testing.T) {
	t.Parallel()
	asked := &tally{}
	url := serve(t, func(w http.ResponseWriter, c call) {
		asked.add(c.Action)
		says(w, 200, map[string]any{"SecretList": []any{}, "NextToken": fmt.Sprint("page-", asked.of(c.Action))})
	})
	err := paged()["ListSecrets"].ask(t, open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys())))
	if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "more than 2500 pages") || !strings.Contains(err.Error(), "narrow find") || asked.of("ListSecrets") != 2501 {
		t.Errorf("%v after %d requests", err, asked.of("ListSecrets"))
	}
}

func TestWhatIsListedUnderANameThatNoneHasIsNoAnswer(t *testing.T) {
	t.Parallel()
	for what, name := range map[string]string{"a long one": strings.Repeat("n", 2049), "none": "", "a blank": " "} {
		for action, answer := range map[string]map[string]any{
			"ListSecrets":         {"SecretList": []any{map[string]any{"Name": name}}},
			"GetParametersByPath": {"Parameters": []any{map[string]any{"Name": name, "Value": "v", "Version": 1}}},
			"DescribeParameters":  {"Parameters": []any{map[string]any{"Name": name}}},
			"BatchGetSecretValue": {"Errors": []any{map[string]any{"SecretId": "1"}, map[string]any{"SecretId": "2"}, map[string]any{"SecretId": "3"}}}, // of two
		} {
			url := serve(t, func(w http.ResponseWriter, _ call) { says(w, 200, answer) })
			err := paged()[action].ask(t, open(t, at(url), keyStore(paged()[action].service), keyEnv(fakeKeys())))
			if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "not one of AWS's") {
				t.Errorf("%s, %s: %v", action, what, err)
			}
		}
	}
}

// What AWS's own clients take for the last page is one: an empty token, as some that imitate AWS write.
func TestAnEmptyTokenIsThatOfTheLastPage(t *testing.T) {
	t.Parallel()
	for action, tc := range paged() {
		asked := &tally{}
		url := serve(t, func(w http.ResponseWriter, c call) {
			asked.add(c.Action)
			if c.Action == "GetSecretValue" {
				says(w, 200, secretAnswer("a"))
				return
			}
			tc.empty["NextToken"] = ""
			says(w, 200, tc.empty)
		})
		if err := tc.ask(t, open(t, at(url), keyStore(tc.service), keyEnv(fakeKeys()))); err != nil || asked.of(action) != 1 {
			t.Errorf("%s: %v after %d requests", action, err, asked.of(action))
		}
	}
}

func TestABatchThatAnswersMoreThanItWasAskedIsNoAnswer(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, c call) {
		token, _ := c.Body["NextToken"].(string)
		says(w, 200, map[string]any{"SecretValues": []any{secretAnswer("x"), secretAnswer("y")}, "NextToken": token + "."})
	})
	_, err := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys())).Fetch(t.Context(), []providers.Ref{{Key: "a"}, {Key: "b"}})
	if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "not one of AWS's") {
		t.Error(err)
	}
}

// A search finds nothing to delete a Secret for when AWS does not list.
func TestAListIsNeverMissing(t *testing.T) {
	t.Parallel()
	for action, tc := range paged() {
		if action == "BatchGetSecretValue" {
			continue
		}
		url := serve(t, func(w http.ResponseWriter, _ call) { fails(w, 400, "ResourceNotFoundException", "") })
		err := tc.ask(t, open(t, at(url), keyStore(tc.service), keyEnv(fakeKeys())))
		if !errors.Is(err, providers.ErrInvalid) || errors.Is(err, providers.ErrNotFound) || !strings.Contains(err.Error(), "find.path") || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", action, err)
		}
	}
}

// What changes while it is listed can be on two pages.
func TestWhatIsListedTwiceIsFoundOnce(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]providers.Query{"read": {Name: regexp.MustCompile(".")}, "described": {Tags: map[string]string{"team": "a"}}} {
		for service, prefix := range map[stores.AWSService]string{stores.AWSSecretsManager: "s", stores.AWSParameterStore: "/s"} {
			url := serve(t, func(w http.ResponseWriter, c call) { listsTwice(w, c, prefix) })
			if got := find(t, open(t, at(url), keyStore(service), keyEnv(fakeKeys())), q); !slices.Equal(got, []string{prefix + "-1", prefix + "-2", prefix + "-3"}) {
				t.Errorf("%s, %s: found %q", service, name, got)
			}
		}
	}
}

// listsTwice answers lists of three documents in two pages, the second of which begins with the end of the first.
func listsTwice(w http.ResponseWriter, c call, prefix string) {
	names, token := []string{prefix + "-1", prefix + "-2"}, any("second")
	if c.Body["NextToken"] == "second" {
		names, token = []string{prefix + "-2", prefix + "-3"}, nil
	}
	all := func(each func(name string) any) []any {
		var out []any
		for _, name := range names {
			out = append(out, each(name))
		}
		return out
	}
	parameter := func(name string) any { return map[string]any{"Name": name, "Value": canary + name, "Version": 1} }
	secret := func(name string) any {
		v := secretAnswer(name)
		v["SecretString"] = canary + name
		return v
	}
	switch c.Action {
	case "ListSecrets":
		says(w, 200, map[string]any{"SecretList": all(secret), "NextToken": token})
	case "GetParametersByPath", "DescribeParameters":
		says(w, 200, map[string]any{"Parameters": all(parameter), "NextToken": token})
	default: // one request reads all three
		names = []string{prefix + "-1", prefix + "-2", prefix + "-3"}
		says(w, 200, map[string]any{"SecretValues": all(secret), "Parameters": all(parameter)})
	}
}

// What stands between may answer in the place of AWS: what lacks something that AWS always says is no answer.
func TestAnAnswerThatLacksWhatItMustHoldIsNone(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	both, one, tags := []providers.Ref{{Key: "a"}, {Key: "b"}}, []providers.Ref{{Key: "a"}}, []providers.Ref{{Key: "a", Metadata: true}}
	byName, byTag := providers.Query{Name: regexp.MustCompile(".")}, providers.Query{Tags: map[string]string{"team": "a"}}
	for name, tc := range map[string]struct {
		service stores.AWSService
		answer  object
		refs    []providers.Ref
		find    providers.Query
	}{
		"a secret of nothing":             {stores.AWSSecretsManager, object{}, one, byName},
		"a secret without a content":      {stores.AWSSecretsManager, object{"Name": "a", "ARN": "arn:a"}, one, byName},
		"a secret without a name":         {stores.AWSSecretsManager, object{"ARN": "arn:a", "SecretString": "x"}, one, byName},
		"a secret without an ARN":         {stores.AWSSecretsManager, object{"Name": "a", "SecretString": "x"}, one, byName},
		"no secrets":                      {stores.AWSSecretsManager, object{}, both, byName},
		"the tags of nothing":             {stores.AWSSecretsManager, object{"Tags": []object{}}, tags, byName},
		"the tags of no ARN":              {stores.AWSSecretsManager, object{"Name": "a"}, tags, byName},
		"a list of no secrets":            {stores.AWSSecretsManager, object{}, nil, byName},
		"a listed secret without a name":  {stores.AWSSecretsManager, object{"SecretList": []object{{"ARN": "arn:a"}}}, nil, byName},
		"a parameter of nothing":          {stores.AWSParameterStore, object{}, one, byName},
		"a parameter without a value":     {stores.AWSParameterStore, object{"Parameter": object{"Name": "a"}}, one, byName},
		"a parameter without a name":      {stores.AWSParameterStore, object{"Parameter": object{"Value": "a"}}, one, byName},
		"no parameters":                   {stores.AWSParameterStore, object{}, both, byName},
		"no tags of a parameter":          {stores.AWSParameterStore, object{}, tags, byName},
		"a list of no parameters":         {stores.AWSParameterStore, object{}, nil, byTag},
		"a listed one without a name":     {stores.AWSParameterStore, object{"Parameters": []object{{"ARN": "arn:a"}}}, nil, byTag},
		"no parameters below a path":      {stores.AWSParameterStore, object{}, nil, byName},
		"one below a path without a name": {stores.AWSParameterStore, object{"Parameters": []object{{"Value": "x"}}}, nil, byName},
		"one below a path of no value":    {stores.AWSParameterStore, object{"Parameters": []object{{"Name": "/a"}}}, nil, byName},
	} {
		asked := atomic.Int64{}
		url := serve(t, func(w http.ResponseWriter, _ call) {
			asked.Add(1)
			says(w, 200, tc.answer)
		})
		session := open(t, at(url), keyStore(tc.service), keyEnv(fakeKeys()))
		var err error
		if tc.refs == nil {
			f, _ := providers.As[providers.Finder](session)
			_, err = f.Find(t.Context(), tc.find)
		} else if results, whole := session.Fetch(t.Context(), tc.refs); whole != nil {
			err = whole
		} else {
			err = results[0].Err
		}
		if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "not one of AWS's") || asked.Load() != 1 {
			t.Errorf("%s: %v after %d requests", name, err, asked.Load())
		}
	}
}

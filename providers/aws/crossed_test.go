package aws_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

func TestAnAnswerForAnotherDocumentOrVersionIsNotUsed(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	const place = "arn:aws:secretsmanager:" + region + ":123456789012:secret:"
	with := func(answer object, more object) object {
		for name, value := range more {
			answer[name] = value
		}
		return answer
	}
	secret := func(more object) object { return with(secretAnswer("db"), more) }
	parameter := func(more object) object {
		return object{"Parameter": with(object{"Name": "/app/db", "ARN": "arn:aws:ssm:" + region + ":1:parameter/app/db", "Version": 3, "Value": canary}, more)}
	}
	const secrets, parameters = stores.AWSSecretsManager, stores.AWSParameterStore
	id := "00000000-0000-0000-0000-000000000001"
	for what, tc := range map[string]struct {
		service stores.AWSService
		ref     providers.Ref
		answer  object
		shows   string // what the answer is for; empty when it is used
	}{
		"another secret":                     {secrets, providers.Ref{Key: "other"}, secret(nil), place + "db-AbCdEf"},
		"a secret whose name is longer":      {secrets, providers.Ref{Key: place + "d"}, secret(nil), place + "db-AbCdEf"},
		"a secret of another account":        {secrets, providers.Ref{Key: strings.Replace(place, "123456789012", "1", 1) + "db"}, secret(nil), place + "db-AbCdEf"},
		"one that was made anew":             {secrets, providers.Ref{Key: place + "db-Abcdef"}, secret(nil), place + "db-AbCdEf"},
		"another version":                    {secrets, providers.Ref{Key: "db", Version: "uuid/00000000-0000-0000-0000-000000000002"}, secret(nil), id},
		"another stage":                      {secrets, providers.Ref{Key: "db", Version: "AWSPENDING"}, secret(object{"VersionStages": []string{"AWSCURRENT"}}), "AWSCURRENT"},
		"not the current version":            {secrets, providers.Ref{Key: "db"}, secret(object{"VersionStages": []string{"AWSPREVIOUS", "x"}}), "AWSPREVIOUS"},
		"the tags of another secret":         {secrets, providers.Ref{Key: "other", Metadata: true}, secret(nil), place + "db-AbCdEf"},
		"a name that is none":                {secrets, providers.Ref{Key: "db"}, secret(object{"Name": canary, "ARN": "the " + canary}), "a text that is no name"},
		"its name":                           {secrets, providers.Ref{Key: "db"}, secret(nil), ""},
		"its ARN":                            {secrets, providers.Ref{Key: place + "db-AbCdEf"}, secret(nil), ""},
		"its ARN without the end":            {secrets, providers.Ref{Key: place + "db"}, secret(nil), ""},
		"the ARN of its copy":                {secrets, providers.Ref{Key: strings.Replace(place, region, "us-east-1", 1) + "db-AbCdEf"}, secret(nil), ""},
		"its version":                        {secrets, providers.Ref{Key: "db", Version: "uuid/" + id}, secret(object{"VersionStages": []string{"AWSPREVIOUS"}}), ""},
		"its stage among others":             {secrets, providers.Ref{Key: "db", Version: "b"}, secret(object{"VersionStages": []string{"a", "b"}}), ""},
		"a version of which it says nothing": {secrets, providers.Ref{Key: "db", Version: "uuid/x"}, secret(object{"VersionId": nil}), ""},
		"its tags":                           {secrets, providers.Ref{Key: place + "db", Metadata: true}, secret(nil), ""},

		"another parameter":                  {parameters, providers.Ref{Key: "/app/other"}, parameter(nil), "/app/db"},
		"a parameter of another account":     {parameters, providers.Ref{Key: "arn:aws:ssm:" + region + ":2:parameter/app/db"}, parameter(nil), "arn:aws:ssm:" + region + ":1:parameter/app/db"},
		"another version of a parameter":     {parameters, providers.Ref{Key: "/app/db", Version: "2"}, parameter(nil), "3"},
		"another version in the key":         {parameters, providers.Ref{Key: "/app/db:2"}, parameter(nil), "3"},
		"another label":                      {parameters, providers.Ref{Key: "/app/db", Version: "stable"}, parameter(object{"Selector": ":next"}), "next"},
		"a parameter":                        {parameters, providers.Ref{Key: "/app/db", Version: "3"}, parameter(object{"Selector": ":3"}), ""},
		"a label":                            {parameters, providers.Ref{Key: "/app/db", Version: "stable"}, parameter(object{"Selector": ":stable"}), ""},
		"a label of which nothing is said":   {parameters, providers.Ref{Key: "/app/db", Version: "stable"}, parameter(nil), ""},
		"a parameter without the slash":      {parameters, providers.Ref{Key: "db"}, parameter(object{"Name": "/db"}), ""},
		"the ARN of a parameter":             {parameters, providers.Ref{Key: "arn:aws:ssm:" + region + ":1:parameter/app/db", Version: "3"}, parameter(nil), ""},
		"one that is named by its ARN":       {parameters, providers.Ref{Key: "arn:aws:ssm:" + region + ":1:parameter/app/db"}, parameter(object{"Name": "arn:aws:ssm:" + region + ":1:parameter/app/db"}), ""},
		"a version of which nothing is said": {parameters, providers.Ref{Key: "/app/db", Version: "2"}, parameter(object{"Version": 0}), ""},
		"a secret of Secrets Manager":        {parameters, providers.Ref{Key: "/aws/reference/secretsmanager/db", Version: "uuid"}, parameter(object{"Name": "/aws/reference/secretsmanager/db:uuid", "ARN": nil, "Version": 0}), ""},
	} {
		url := serve(t, func(w http.ResponseWriter, _ call) { says(w, 200, tc.answer) })
		result := fetch(t, open(t, at(url), keyStore(tc.service), keyEnv(fakeKeys())), tc.ref)[0]
		switch {
		case tc.shows == "" && result.Err != nil:
			t.Errorf("%s: %v", what, result.Err)
		case tc.shows != "" && (!errors.Is(result.Err, providers.ErrUnavailable) || !strings.Contains(result.Err.Error(), tc.ref.Key) ||
			!strings.Contains(result.Err.Error(), tc.shows) || strings.Contains(result.Err.Error(), canary)):
			t.Errorf("%s: %v", what, result.Err)
		}
	}
}

// One of several that were asked for together may be that of something else, and the others are used.
func TestOneOfSeveralAnswersIsForAnotherVersion(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, c call) {
		if c.Action == "ListSecrets" {
			says(w, 200, map[string]any{"SecretList": []any{secretAnswer("a"), secretAnswer("b")}})
			return
		}
		b := secretAnswer("b")
		b["VersionStages"] = []string{"AWSPREVIOUS"}
		says(w, 200, map[string]any{"SecretValues": []any{secretAnswer("a"), b}})
	})
	s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	results := fetch(t, s, providers.Ref{Key: "a"}, providers.Ref{Key: "b"})
	if results[0].Err != nil || !errors.Is(results[1].Err, providers.ErrUnavailable) || !strings.Contains(results[1].Err.Error(), `secret "b" in version "AWSCURRENT", it answers "AWSPREVIOUS"`) {
		t.Errorf("%v, %v", results[0].Err, results[1].Err)
	}
	found, err := s.(providers.Finder).Find(t.Context(), providers.Query{Name: regexp.MustCompile(".")}) //nolint:forcetypeassert // it is one
	if found != nil || !errors.Is(err, providers.ErrUnavailable) || strings.Contains(err.Error(), `"b"`) || !strings.Contains(err.Error(), "asked for one document") {
		t.Errorf("a search: %d found, %v", len(found), err)
	}
}

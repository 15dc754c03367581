package aws_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/aws"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

func secretsOf(t *testing.T) (*moto.Server, *moto.Account) {
	t.Helper()
	server := moto.New(t)
	return server, server.Account(t)
}

func TestASecretIsReadInTheVersionThatIsAskedFor(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	for _, v := range []string{canary + "-1", canary + "-2"} {
		if err := account.PutSecret(t.Context(), "db", v); err != nil {
			t.Fatal(err)
		}
	}
	var old struct{ VersionID string }
	do(t, account, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": "db", "VersionStage": "AWSPREVIOUS"}, &old)
	s := openIn(t, server, account, keyStore(stores.AWSSecretsManager))
	for version, want := range map[string]string{"": canary + "-2", "AWSCURRENT": canary + "-2", "AWSPREVIOUS": canary + "-1", "uuid/" + old.VersionID: canary + "-1"} {
		if got := value(t, s, providers.Ref{Key: "db", Version: version}, ""); got != want {
			t.Errorf("version %q is %q", version, got)
		}
	}
	if v := fetch(t, s, providers.Ref{Key: "db", Version: "AWSPREVIOUS"})[0].Version; v != old.VersionID {
		t.Errorf("the version is %q, want %q", v, old.VersionID)
	}
	for _, version := range []string{"NOSTAGE", "uuid/00000000-0000-0000-0000-000000000000"} {
		if err := fetch(t, s, providers.Ref{Key: "db", Version: version})[0].Err; !errors.Is(err, providers.ErrNotFound) || !strings.Contains(err.Error(), version) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

func TestABinarySecretIsReadAsItIsAndItsPropertiesAsJSON(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	for name, content := range map[string]string{"raw": "\x00\xff" + canary, "json": `{"k":"` + canary + `"}`} {
		do(t, account, "secretsmanager", "CreateSecret", map[string]any{
			"Name": name, "SecretBinary": base64.StdEncoding.EncodeToString([]byte(content)), "ClientRequestToken": "00000000-0000-4000-8000-00000000000" + name[:1],
		}, nil)
	}
	s := openIn(t, server, account, keyStore(stores.AWSSecretsManager))
	if got := value(t, s, providers.Ref{Key: "raw"}, ""); got != "\x00\xff"+canary {
		t.Errorf("the bytes are %q", got)
	}
	if got := value(t, s, providers.Ref{Key: "json"}, "k"); got != canary {
		t.Errorf("the property is %q", got)
	}
	both := fetch(t, s, providers.Ref{Key: "raw"}, providers.Ref{Key: "json"})
	if v, err := both[0].Document.Value(""); err != nil || string(v.Bytes()) != "\x00\xff"+canary {
		t.Errorf("read together, the bytes are %q, %v", v.Bytes(), err)
	}
	if _, err := both[0].Document.Fields(""); !errors.Is(err, providers.ErrInvalid) || strings.Contains(err.Error(), canary) {
		t.Errorf("bytes have fields: %v", err)
	}
}

// Some that imitate AWS answer text and bytes, one of which is empty.
func TestOfTextAndBytesTheOneIsReadThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text, binary any
		want         string
	}{
		"text":                    {"text", nil, "text"},
		"bytes":                   {nil, "Ynl0ZXM=", "bytes"},
		"text, and no bytes":      {"text", "", "text"},
		"bytes, and an empty one": {"", "Ynl0ZXM=", "bytes"},
		"both":                    {"text", "Ynl0ZXM=", "text"},
		"empty text":              {"", nil, ""},
		"empty bytes":             {nil, "", ""},
		"both empty":              {"", "", ""},
	} {
		url := serve(t, func(w http.ResponseWriter, c call) {
			answer := secretAnswer("a")
			answer["SecretString"], answer["SecretBinary"] = tc.text, tc.binary
			if c.Action == "BatchGetSecretValue" {
				other := maps.Clone(answer)
				other["Name"] = "b"
				says(w, 200, map[string]any{"SecretValues": []any{answer, other}})
				return
			}
			says(w, 200, answer)
		})
		session := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
		for _, refs := range [][]providers.Ref{{{Key: "a"}}, {{Key: "a"}, {Key: "b"}}} {
			for _, r := range fetch(t, session, refs...) {
				if r.Err != nil {
					t.Errorf("%s, %d at once: %v", name, len(refs), r.Err)
				} else if v, err := r.Document.Value(""); err != nil || string(v.Bytes()) != tc.want {
					t.Errorf("%s, %d at once: %q, %v", name, len(refs), v.Bytes(), err)
				}
			}
		}
	}
}

func TestTagsAreReadInsteadOfTheContentWhenTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	do(t, account, "secretsmanager", "CreateSecret", map[string]any{
		"Name": "db", "SecretString": canary, "Tags": []map[string]string{{"Key": "team", "Value": "a"}, {"Key": "tier.x", "Value": "1"}},
	}, nil)
	role, keys := reader(t, server, account, moto.Role{})
	s := open(t, at(server.URL()), keyStore(stores.AWSSecretsManager), keyEnv(keys))
	tags := providers.Ref{Key: "db", Metadata: true, Version: "AWSPREVIOUS"}
	for property, want := range map[string]string{"": `{"team":"a","tier.x":"1"}`, "team": "a", "tier.x": "1"} {
		if got := value(t, s, tags, property); got != want {
			t.Errorf("property %q is %q", property, got)
		}
	}
	if got := actions(server, role); slices.Contains(got, "GetSecretValue") {
		t.Errorf("the content was read: %v", got)
	}
	if err := fetch(t, s, providers.Ref{Key: "nowhere", Metadata: true})[0].Err; !errors.Is(err, providers.ErrNotFound) {
		t.Errorf("tags of nothing: %v", err)
	}
}

func TestASecretThatIsMarkedForDeletionIsNotFound(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	for _, name := range []string{"kept", "deleted"} {
		if err := account.PutSecret(t.Context(), name, canary); err != nil {
			t.Fatal(err)
		}
	}
	do(t, account, "secretsmanager", "DeleteSecret", map[string]any{"SecretId": "deleted"}, nil)
	s := openIn(t, server, account, keyStore(stores.AWSSecretsManager))
	alone := fetch(t, s, providers.Ref{Key: "deleted"})
	together := fetch(t, s, providers.Ref{Key: "deleted"}, providers.Ref{Key: "kept"})
	for _, r := range []providers.Result{alone[0], together[0]} {
		if !errors.Is(r.Err, providers.ErrNotFound) || !strings.Contains(r.Err.Error(), `"deleted"`) {
			t.Errorf("got %v", r.Err)
		}
	}
	if together[1].Err != nil {
		t.Error(together[1].Err)
	}
}

func TestThePrefixIsPutBeforeEachKey(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	for _, name := range []string{"team-a/db", "team-a/web"} {
		if err := account.PutSecret(t.Context(), name, canary+name); err != nil {
			t.Fatal(err)
		}
	}
	spec := keyStore(stores.AWSSecretsManager)
	spec.Prefix = "team-a/"
	s := openIn(t, server, account, spec)
	if got := value(t, s, providers.Ref{Key: "db"}, ""); got != canary+"team-a/db" {
		t.Errorf("alone: %q", got)
	}
	for i, r := range fetch(t, s, providers.Ref{Key: "db"}, providers.Ref{Key: "web"}) {
		if r.Err != nil {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
	if err := fetch(t, s, providers.Ref{Key: "team-a/db"})[0].Err; !errors.Is(err, providers.ErrNotFound) || !strings.Contains(err.Error(), "team-a/team-a/db") {
		t.Errorf("with the prefix in the key, too: %v", err)
	}
}

// keysOfSecrets makes n secrets and returns refs to them.
func keysOfSecrets(t *testing.T, account *moto.Account, n int) []providers.Ref {
	t.Helper()
	refs := make([]providers.Ref, n)
	for i := range refs {
		refs[i].Key = fmt.Sprintf("s-%02d", i)
		if err := account.PutSecret(t.Context(), refs[i].Key, canary+refs[i].Key); err != nil {
			t.Fatal(err)
		}
	}
	return refs
}

func wantKeys(t *testing.T, refs []providers.Ref, results []providers.Result) {
	t.Helper()
	for i, r := range results {
		if r.Err != nil {
			t.Errorf("%s: %v", refs[i].Key, r.Err)
			continue
		}
		if v, err := r.Document.Value(""); err != nil || string(v.Bytes()) != canary+refs[i].Key || r.Version == "" {
			t.Errorf("%s is %q in version %q, %v", refs[i].Key, v.Bytes(), r.Version, err)
		}
	}
}

func TestSecretsAreReadTwentyAtOnceAndOneByItself(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	refs := keysOfSecrets(t, account, 41)
	role, keys := reader(t, server, account, moto.Role{})
	s := open(t, at(server.URL()), keyStore(stores.AWSSecretsManager), keyEnv(keys))
	wantKeys(t, refs, fetch(t, s, refs...))
	fetch(t, s, refs[0])
	fetch(t, s, providers.Ref{Key: refs[0].Key, Version: "AWSCURRENT"}, providers.Ref{Key: refs[1].Key, Version: "AWSCURRENT"})
	got := actions(server, role)
	slices.Sort(got)
	want := []string{"BatchGetSecretValue", "BatchGetSecretValue", "GetSecretValue", "GetSecretValue", "GetSecretValue", "GetSecretValue"}
	if !slices.Equal(got, want) {
		t.Errorf("the requests are %v", got)
	}
}

func TestWhoMayNotReadSecretsTogetherReadsThemOneByOne(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	refs := keysOfSecrets(t, account, 3)
	role, keys := reader(t, server, account, moto.Role{Deny: []string{"secretsmanager:BatchGetSecretValue"}})
	s := open(t, at(server.URL()), keyStore(stores.AWSSecretsManager), keyEnv(keys))
	batch := func() int {
		b, _ := providers.As[providers.Batcher](s)
		return b.Batch()
	}
	if batch() != 20 {
		t.Errorf("before: %d at once", batch())
	}
	wantKeys(t, refs, fetch(t, s, refs...))
	wantKeys(t, refs, fetch(t, s, refs...))
	if batch() != 1 {
		t.Errorf("after the denial: %d at once", batch())
	}
	if n := len(slices.DeleteFunc(actions(server, role), func(a string) bool { return a != "BatchGetSecretValue" })); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
}

func TestEachFormOfASecretsNameFindsItAmongThoseReadTogether(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:secretsmanager:" + region + ":123456789012:secret:"
	url, asked := serveSecrets(t, "a", "b-AbCdEf", "b")
	s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	// The ARN of b is also that of b-AbCdEf without what AWS adds to it; AWS takes it for the whole one.
	refs := []providers.Ref{{Key: "a"}, {Key: arn + "a-AbCdEf"}, {Key: arn + "a"}, {Key: arn + "b-AbCdEf"}, {Key: arn + "b-AbCdEf-AbCdEf"}, {Key: "b-AbCdEf"}}
	results := fetch(t, s, refs...)
	if batches, single := asked.of("BatchGetSecretValue"), asked.of("GetSecretValue"); batches != 2 || single != 0 {
		t.Errorf("two pages cost %d and %d requests", batches, single)
	}
	for i, want := range []string{"a", "a", "a", "b", "b-AbCdEf", "b-AbCdEf"} {
		r := results[i]
		if r.Err != nil {
			t.Errorf("%s: %v", refs[i].Key, r.Err)
			continue
		}
		if v, err := r.Document.Value("k"); err != nil || string(v.Bytes()) != canary+want {
			t.Errorf("%s is %q, %v", refs[i].Key, v.Bytes(), err)
		}
	}
}

func TestTheErrorsOfABatchGoToTheirRefs(t *testing.T) {
	t.Parallel()
	url, _ := serveSecrets(t, "a", "b", "silent")
	s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	results := fetch(t, s, providers.Ref{Key: "a"}, providers.Ref{Key: "denied"}, providers.Ref{Key: "nowhere"}, providers.Ref{Key: ""}, providers.Ref{Key: "silent"}, providers.Ref{Key: "b"})
	for i, class := range []error{nil, providers.ErrDenied, providers.ErrNotFound, providers.ErrInvalid, nil, nil} {
		if !errors.Is(results[i].Err, class) {
			t.Errorf("ref %d: got %v, want %v", i, results[i].Err, class)
		}
	}
	if text := results[1].Err.Error(); !strings.Contains(text, "secretsmanager:GetSecretValue") || !strings.Contains(text, `"denied"`) || strings.Contains(text, canary) {
		t.Errorf("the denial says %q", text)
	}
}

func TestABatchOfWhichNothingCanBeReadHoldsErrorsAlone(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, c call) {
		answer := map[string]any{"NextToken": "second"}
		if c.Body["NextToken"] == "second" {
			missing := func(id string) any {
				return map[string]string{"SecretId": id, "ErrorCode": "ResourceNotFoundException"}
			}
			answer = map[string]any{"Errors": []any{missing("a"), missing("b")}}
		}
		says(w, 200, answer)
	})
	for i, r := range fetch(t, open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys())), providers.Ref{Key: "a"}, providers.Ref{Key: "b"}) {
		if !errors.Is(r.Err, providers.ErrNotFound) {
			t.Errorf("ref %d: %v", i, r.Err)
		}
	}
}

func TestABatchThatAWSRefusesIsReadOneByOneAndTriedAgain(t *testing.T) {
	t.Parallel()
	url, _ := serveSecrets(t, "a", "b")
	s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	results := fetch(t, s, providers.Ref{Key: "a"}, providers.Ref{Key: "!"}, providers.Ref{Key: "b"})
	if results[0].Err != nil || results[2].Err != nil || !errors.Is(results[1].Err, providers.ErrInvalid) {
		t.Errorf("got %v, %v, %v", results[0].Err, results[1].Err, results[2].Err)
	}
	if b, _ := providers.As[providers.Batcher](s); b.Batch() != 20 {
		t.Errorf("%d at once afterwards", b.Batch())
	}
}

func TestCredentialsThatAWSDoesNotAcceptAreShownOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"} {
		asked := &tally{}
		url := serve(t, func(w http.ResponseWriter, c call) {
			asked.add(c.Action)
			fails(w, 400, code, "")
		})
		s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
		for i, r := range fetch(t, s, providers.Ref{Key: "a"}, providers.Ref{Key: "b"}, providers.Ref{Key: "c"}) {
			if !errors.Is(r.Err, providers.ErrDenied) {
				t.Errorf("%s, ref %d: %v", code, i, r.Err)
			}
		}
		if batches, single := asked.of("BatchGetSecretValue"), asked.of("GetSecretValue"); batches != 1 || single != 0 {
			t.Errorf("%s: %d and %d requests", code, batches, single)
		}
	}
}

func TestABatchThatIsTooLargeIsReadOneByOne(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, c call) {
		id, _ := c.Body["SecretId"].(string)
		answer := secretAnswer(id)
		if c.Action == "BatchGetSecretValue" {
			answer["SecretString"] = strings.Repeat(canary, 5<<20/len(canary))
			says(w, 200, map[string]any{"SecretValues": []any{answer}})
			return
		}
		says(w, 200, answer)
	})
	s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	for i, r := range fetch(t, s, providers.Ref{Key: "a"}, providers.Ref{Key: "b"}) {
		if r.Err != nil {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
}

// A denial of reading several may be one of a secret among them, which an outage keeps from showing.
func TestInAnOutageADenialSaysNothingAboutReadingTogether(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	url := serve(t, func(w http.ResponseWriter, c call) {
		switch {
		case c.Action == "BatchGetSecretValue":
			fails(w, 400, "AccessDeniedException", "not authorized")
		case up.Load():
			says(w, 200, secretAnswer("a"))
		default:
			fails(w, 503, "ServiceUnavailable", "down")
		}
	})
	s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	for _, want := range []int{20, 1} {
		_, err := s.Fetch(t.Context(), []providers.Ref{{Key: "a"}, {Key: "b"}})
		if b, _ := providers.As[providers.Batcher](s); b.Batch() != want || (err == nil) != up.Load() {
			t.Errorf("up is %t: %d at once, want %d; %v", up.Load(), b.Batch(), want, err)
		}
		up.Store(true)
	}
}

func TestAnOutageOfSomeRequestsFailsTheirRefsAlone(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, c call) {
		if c.Action == "BatchGetSecretValue" {
			fails(w, 400, "ThrottlingException", "Rate exceeded")
			return
		}
		says(w, 200, secretAnswer("old"))
	})
	s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
	results := fetch(t, s, providers.Ref{Key: "a"}, providers.Ref{Key: "old", Version: "AWSPREVIOUS"}, providers.Ref{Key: "b"})
	for _, i := range []int{0, 2} {
		if throttled := new(providers.ThrottledError); !errors.As(results[i].Err, &throttled) {
			t.Errorf("ref %d: %v", i, results[i].Err)
		}
	}
	if results[1].Err != nil {
		t.Error(results[1].Err)
	}
	if _, err := s.Fetch(t.Context(), []providers.Ref{{Key: "a"}, {Key: "b"}}); err == nil || strings.Contains(err.Error(), `"a"`) {
		t.Errorf("when all fail: %v", err)
	}
}

func TestPropertiesAreThoseOfTheOperator(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	if err := account.PutSecret(t.Context(), "db", `{"a.b":"dotted","a":{"b":"nested","c":{"d":9007199254740993}},"l":["x","y"],"t":true}`); err != nil {
		t.Fatal(err)
	}
	s := openIn(t, server, account, keyStore(stores.AWSSecretsManager))
	for property, want := range map[string]string{"a.b": "dotted", "a.c.d": "9007199254740993", "l.1": "y", "l.#": "2", "a.c": `{"d":9007199254740993}`, "t": "true"} {
		if got := value(t, s, providers.Ref{Key: "db"}, property); got != want {
			t.Errorf("%s is %q, want %q", property, got, want)
		}
	}
	fields, err := fetch(t, s, providers.Ref{Key: "db"})[0].Document.Fields("a.c")
	if err != nil || len(fields) != 1 || string(fields["d"].Bytes()) != "9007199254740993" {
		t.Errorf("the fields are %v, %v", fields, err)
	}
}

var _ providers.Provider = aws.Provider{}

// A store whose identity may not read several secrets at once, or a backend that does not know how, is asked by no more requests at once
// for that.
func TestSecretsThatCannotBeReadTogetherAreReadByFewAtATime(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{"AccessDeniedException", "InvalidParameterException"} {
		var running, most atomic.Int64
		url := serve(t, func(w http.ResponseWriter, c call) {
			for now := running.Add(1); ; {
				if before := most.Load(); now <= before || most.CompareAndSwap(before, now) {
					break
				}
			}
			defer running.Add(-1)
			time.Sleep(5 * time.Millisecond)
			if c.Action != "GetSecretValue" {
				fails(w, 400, refused, "")
				return
			}
			id, _ := c.Body["SecretId"].(string)
			says(w, 200, secretAnswer(id))
		})
		refs := make([]providers.Ref, 160)
		for i := range refs {
			refs[i].Key = fmt.Sprint("s", i)
		}
		results, err := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys())).Fetch(t.Context(), refs)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil {
				t.Errorf("secret %d: %v", i, r.Err)
			}
		}
		if n := most.Load(); n > 8 || n < 2 {
			t.Errorf("%s: %d requests at once", refused, n)
		}
	}
}

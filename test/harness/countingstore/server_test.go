package countingstore_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

func get(t *testing.T, url string) (status int, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

func start(t *testing.T) *countingstore.Server {
	t.Helper()
	s, err := countingstore.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

func TestADocumentIsServedInVaultsDialectAndPlainAndEachReadIsCounted(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.Put("app", map[string]string{"password": "one"})
	s.Put("app", map[string]string{"password": "two"})
	for _, path := range []string{"/v1/kv/data/app", "/plain/app"} {
		if status, body, err := get(t, s.Address()+path); err != nil || status != http.StatusOK || !strings.Contains(body, `"password":"two"`) {
			t.Errorf("%s: status %d, %q, %v", path, status, body, err)
		}
	}
	if status, _, err := get(t, s.Address()+"/plain/nothing"); err != nil || status != http.StatusNotFound {
		t.Errorf("a key that does not exist: status %d, %v", status, err)
	}
	s.Remove("app")
	if status, _, err := get(t, s.Address()+"/plain/app"); err != nil || status != http.StatusNotFound {
		t.Errorf("a document that was taken away: status %d, %v", status, err)
	}
	got := s.Requests(0)
	if len(got) != 4 || s.Count() != 4 || got[0].Kind != countingstore.Read || got[0].Key != "app" || got[0].Version != 2 || got[2].Version != 0 {
		t.Errorf("requests %+v", got)
	}
	if later := s.Requests(4); len(later) != 0 {
		t.Errorf("requests after the last: %+v", later)
	}
}

func TestAWSReadsDocumentsOneByOneAndTogetherAndEachRequestIsCounted(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.Put("a", map[string]string{"password": "one"})
	s.Put("b", map[string]string{"password": "two"})
	const quoted = `\"password\":\"two\"`
	for _, test := range []struct {
		target, body string
		status       int
		want         []string
		kind         countingstore.Kind
	}{
		{"", "Action=AssumeRoleWithWebIdentity&RoleArn=x", http.StatusOK, []string{"<AccessKeyId>", "<Expiration>"}, countingstore.Login},
		{"secretsmanager.GetSecretValue", `{"SecretId":"b"}`, http.StatusOK, []string{quoted}, countingstore.Read},
		{"secretsmanager.GetSecretValue", `{"SecretId":"c"}`, http.StatusBadRequest, []string{"ResourceNotFoundException"}, countingstore.Read},
		{"secretsmanager.BatchGetSecretValue", `{"SecretIdList":["a","b","c"]}`, http.StatusOK, []string{quoted, `"SecretId":"c"`}, countingstore.Batch},
		{"secretsmanager.ListSecrets", `{}`, http.StatusBadRequest, nil, countingstore.Other},
	} {
		status, body := post(t, s.Address(), test.target, test.body)
		for _, want := range test.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s %s: the answer is %s, want %s in it", test.target, test.body, body, want)
			}
		}
		all := s.Requests(0)
		if last := all[len(all)-1]; status != test.status || last.Kind != test.kind {
			t.Errorf("%s %s: status %d, counted as %s; want %d, %s", test.target, test.body, status, last.Kind, test.status, test.kind)
		}
	}
	if got := s.Requests(3)[0].Keys; len(got) != 3 {
		t.Errorf("the batch is counted with the keys %v", got)
	}
}

func post(t *testing.T, url, target, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestFaultsAreThoseThatWereAskedFor(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.Put("app", map[string]string{"password": "one"})
	s.Fail(http.StatusServiceUnavailable)
	if status, body, err := get(t, s.Address()+"/plain/app"); err != nil || status != http.StatusServiceUnavailable || strings.Contains(body, "one") {
		t.Errorf("status %d, %q, %v", status, body, err)
	}
	s.Fail(-1)
	if status, _, err := get(t, s.Address()+"/plain/app"); err == nil {
		t.Errorf("status %d, want a broken connection", status)
	}
	s.Fail(0)
	const delay = 20 * time.Millisecond
	s.Delay(delay)
	if status, _, err := get(t, s.Address()+"/plain/app"); err != nil || status != http.StatusOK {
		t.Errorf("status %d, %v", status, err)
	}
	got := s.Requests(0)
	last := got[len(got)-1]
	if !got[0].Fault || last.Fault || last.Done.Sub(last.At) < delay {
		t.Errorf("requests %+v", got)
	}
}

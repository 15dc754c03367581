package sealedsecrets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// request is a question to the HTTP server of both.
type request struct {
	Case string
	// Send is method and path.
	Send string
	// Body is a SealedSecret but for what it says, Text any other body. As says how it is written: JSON if it does not.
	Body map[string]any `json:"body,omitempty"`
	Text string         `json:"text,omitempty"`
	As   string         `json:"as,omitempty"`

	Differs differences `json:"differs,omitempty"`
}

const sealedName = "app"

func TestTheSameRequestsHaveTheSameAnswersOfSealedSecretsAndUs(t *testing.T) {
	t.Parallel()
	const namespace = "requests"
	requests, metrics := readRequests(t)
	seals := &sealer{namespace: namespace, keys: map[string]*keyring.Pair{}}
	keys := []string{firstKey, "second"}
	for _, name := range keys {
		if _, err := seals.key(name); err != nil {
			t.Fatal(err)
		}
	}
	bodies := make([]string, len(requests))
	for i, r := range requests {
		var err error
		if bodies[i], err = r.body(seals); err != nil {
			t.Fatalf("%s: %v", r.Case, err)
		}
	}
	views := map[string][][]string{}
	for _, side := range sides(t) {
		c := controllerOf(t, side, []string{namespace}, []string{"--rate-limit=1000", "--rate-limit-burst=1000"})
		for _, name := range keys {
			if err := c.setKey(t.Context(), seals, name, "active"); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.stop)
		if _, err := c.rest(t.Context(), seals, 0); err != nil {
			t.Fatal(err)
		}
		for i, r := range requests {
			view, err := c.ask(t.Context(), seals, r.Send, bodies[i])
			if err != nil {
				t.Fatalf("%s: %s: %v", side.name, r.Case, err)
			}
			views[side.name] = append(views[side.name], view)
		}
		all, err := c.viewAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		views[side.name] = append(views[side.name], all)
	}
	if err := check(views["original"][len(requests)], views["ours"][len(requests)], metrics); err != nil {
		t.Errorf("in the metrics %v", err)
	}
	for i, r := range requests {
		t.Run(r.Case, func(t *testing.T) {
			if err := check(views["original"][i], views["ours"][i], r.Differs); err != nil {
				t.Error(err)
			}
		})
	}
}

// The limit of both is reached at once, whatever the machine does meanwhile: the next request would be answered after a second.
func TestTheSameNumberOfRequestsIsAnsweredAtOnceBySealedSecretsAndUs(t *testing.T) {
	t.Parallel()
	const sent, answered = 12, 4 // the one that the rate allows, and the burst
	for _, side := range sides(t) {
		c := controllerOf(t, side, []string{"limits"}, []string{"--rate-limit=1", "--rate-limit-burst=3", "--key-size=2048"})
		if err := c.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.stop)
		certificate := func(ctx context.Context) error { return process.Answers(ctx, "http://"+c.serves+"/v1/cert.pem") }
		if err := c.process.Ready(t.Context(), certificate); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/v1/verify", "/v1/rotate"} {
			views := make(chan string, sent)
			for range sent {
				go func() {
					view, err := c.ask(t.Context(), nil, "POST "+path, "")
					views <- fmt.Sprint(view, err)
				}()
			}
			got := map[string]int{}
			for range sent {
				got[<-views]++
			}
			want := map[string]int{"[code: 500] <nil>": answered, "[code: 429] <nil>": sent - answered}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s: %s", side.name, path, diff)
			}
		}
	}
}

// readRequests returns the requests, and the differences of the metrics after them.
func readRequests(t *testing.T) ([]request, differences) {
	t.Helper()
	var in struct {
		Requests []request
		Metrics  differences
	}
	raw, err := os.ReadFile("testdata/requests/requests.yaml")
	if err == nil {
		err = yaml.UnmarshalStrict(raw, &in)
	}
	if err != nil {
		t.Fatal(err)
	}
	all := []differences{in.Metrics}
	for _, r := range in.Requests {
		all = append(all, r.Differs)
	}
	rows := compatibility(t)
	for _, d := range all {
		for row := range d {
			if !rows[row] {
				t.Errorf("docs/compatibility.md has no row %q of Sealed Secrets", row)
			}
		}
	}
	return in.Requests, in.Metrics
}

// body returns what is sent.
func (r request) body(s *sealer) (string, error) {
	text := r.Text
	if r.Body != nil {
		object := map[string]any{"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret"}
		expanded, err := s.expand(r.Body, s.namespace, sealedName)
		if err != nil {
			return "", err
		}
		content, _ := expanded.(map[string]any)
		for key, value := range content {
			if object[key] = value; value == nil && key != "spec" {
				delete(object, key)
			}
		}
		metadata, _ := object["metadata"].(map[string]any)
		if metadata == nil {
			metadata = map[string]any{}
		}
		metadata["namespace"] = s.namespace
		if metadata["name"] == nil {
			metadata["name"] = sealedName
		}
		object["metadata"] = metadata
		raw, err := json.Marshal(object)
		if err != nil {
			return "", err
		}
		text = string(raw)
	}
	switch r.As {
	case "yaml", "stream", "twice":
		raw, err := yaml.JSONToYAML([]byte(text))
		if err != nil {
			return "", err
		}
		return map[string]string{"yaml": "", "stream": "---\n", "twice": string(raw) + "---\n"}[r.As] + string(raw), nil
	case "large":
		return text + strings.Repeat(" ", 11<<20), nil
	default:
		return text, nil
	}
}

// ask returns what a request is answered with.
func (c *controller) ask(ctx context.Context, s *sealer, send, body string) ([]string, error) {
	method, path, _ := strings.Cut(send, " ")
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.serves+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if errors.Is(err, io.EOF) {
		return []string{"code: none, the connection was closed"}, nil
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("code: %d", resp.StatusCode)}
	if resp.StatusCode == http.StatusOK { // a refusal is empty there, and says why here
		lines = append(lines, "content: "+resp.Header.Get("Content-Type"))
		lines = append(lines, s.viewAnswer(answer)...)
	}
	slices.Sort(lines)
	return lines, nil
}

// madeHere is what an answer says whose certificate is of none of the test's keys.
const madeHere = "certificate: one that the controller made"

// viewAnswer returns what an answer says: of a SealedSecret its fields, with what its values hold.
func (s *sealer) viewAnswer(answer []byte) []string {
	for name, key := range s.keys {
		if bytes.Equal(answer, key.CertificatePEM()) {
			return []string{"certificate: " + name}
		}
	}
	var object map[string]any
	if json.Unmarshal(answer, &object) != nil {
		if len(answer) == 0 {
			return nil
		}
		if bytes.HasPrefix(answer, []byte("-----BEGIN CERTIFICATE")) {
			return []string{madeHere}
		}
		return []string{fmt.Sprintf("body: %q", answer)}
	}
	var lines []string
	s.flatten("", object, &lines)
	return lines
}

// flatten lists the members of an object by their path; of a sealed value what it holds, for which scope and to which key.
func (s *sealer) flatten(path string, v any, lines *[]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			s.flatten(path+"."+key, value, lines)
		}
		if len(v) == 0 {
			*lines = append(*lines, "body "+path+": {}")
		}
	case string:
		*lines = append(*lines, "body "+path+": "+s.opened(v))
	default:
		*lines = append(*lines, fmt.Sprintf("body %s: %v", path, v))
	}
}

// opened returns what a text holds that is a sealed value, and any other text as it is.
func (s *sealer) opened(text string) string {
	for name, key := range s.keys {
		for _, scope := range []seal.Scope{seal.Strict, seal.NamespaceWide, seal.ClusterWide} {
			value, err := seal.NewOpener(keyring.New(key), "", 1).Open(context.Background(), scope, s.namespace, sealedName, text)
			if err == nil {
				return fmt.Sprintf("%s, %s, to the %s key", value, scope, name)
			}
		}
	}
	return text
}

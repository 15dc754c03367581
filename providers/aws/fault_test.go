package aws_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// serveSecrets answers as Secrets Manager does (API reference, BatchGetSecretValue and GetSecretValue): in pages of two, a
// secret once however often it was asked for, one that is denied or missing among the errors. "silent" is in neither, and a
// batch with "!" is refused as a whole.
func serveSecrets(t *testing.T, names ...string) (url string, asked *tally) {
	t.Helper()
	asked = &tally{}
	resolve := func(id string) string {
		const mark = ":secret:"
		name := id
		if at := strings.Index(id, mark); at >= 0 {
			name = id[at+len(mark):]
			if whole := strings.TrimSuffix(name, "-AbCdEf"); whole != name && slices.Contains(names, whole) {
				name = whole
			}
		}
		if !slices.Contains(names, name) {
			return ""
		}
		return name
	}
	return serve(t, func(w http.ResponseWriter, c call) {
		asked.add(c.Action)
		if c.Action == "GetSecretValue" {
			id, _ := c.Body["SecretId"].(string)
			switch name := resolve(id); {
			case id == "!":
				fails(w, 400, "ValidationException", "Invalid name")
			case name == "":
				fails(w, 400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
			default:
				says(w, 200, secretAnswer(name))
			}
			return
		}
		ids, _ := c.Body["SecretIdList"].([]any)
		values, failures := []any{}, []any{}
		seen := map[string]bool{"silent": true}
		for _, id := range ids {
			id, _ := id.(string)
			switch name := resolve(id); {
			case id == "!":
				fails(w, 400, "InvalidParameterException", "One of the ids is not valid.")
				return
			case id == "denied":
				failures = append(failures, map[string]string{"SecretId": id, "ErrorCode": "AccessDeniedException", "Message": "not authorized " + canary})
			case name == "":
				failures = append(failures, map[string]string{"SecretId": id, "ErrorCode": "ResourceNotFoundException", "Message": canary})
			case !seen[name]:
				seen[name] = true
				values = append(values, secretAnswer(name))
			}
		}
		token, _ := c.Body["NextToken"].(string)
		from := 0
		if token == "second" {
			from, failures = 2, []any{}
		}
		answer := map[string]any{"SecretValues": values[min(from, len(values)):min(from+2, len(values))], "Errors": failures}
		if from == 0 && len(values) > 2 {
			answer["NextToken"] = "second"
		}
		says(w, 200, answer)
	}), asked
}

// tally counts requests by their action.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) add(action string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[action]++
}

func (t *tally) of(action string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[action]
}

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// controllerUser is the controller's ServiceAccount: the audit log holds its requests and no others.
const controllerUser = "bench-controller"

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  users: ["system:serviceaccount:` + keyNamespace + `:` + controllerUser + `"]
- level: None
`

// call is one request of the controller to the API server.
type call struct {
	// Verb is in small letters: get, list, watch, create, update, patch (also server-side apply), delete.
	Verb string `json:"verb"`
	URI  string `json:"requestURI"`
	Ref  struct {
		Resource, Subresource, Namespace, Name string
	} `json:"objectRef"`
}

// writes reports whether the request changes something.
func (c call) writes() bool {
	return slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, c.Verb)
}

// kind returns what is counted together, as in "patch externalsecrets/status".
func (c call) kind() string {
	resource := c.Ref.Resource
	if c.Ref.Subresource != "" {
		resource += "/" + c.Ref.Subresource
	}
	return c.Verb + " " + resource
}

// audit is the API server's audit log.
type audit struct{ policy, log string }

func newAudit(dir string) (audit, error) {
	a := audit{policy: filepath.Join(dir, "audit-policy.yaml"), log: filepath.Join(dir, "audit.log")}
	if err := os.WriteFile(a.policy, []byte(auditPolicy), 0o600); err != nil {
		return a, fmt.Errorf("write audit policy: %w", err)
	}
	return a, nil
}

func (a audit) args() []string {
	return []string{"--audit-policy-file=" + a.policy, "--audit-log-path=" + a.log, "--audit-log-format=json"}
}

// calls returns the requests that have ended since the byte at offset, and the offset after them. Watches end when they
// are closed, and requests of discovery name no resource; both are left out.
func (a audit) calls(offset int64) (calls []call, next int64, err error) {
	file, err := os.Open(a.log)
	if os.IsNotExist(err) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read audit log: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(offset, 0); err != nil {
		return nil, 0, fmt.Errorf("read audit log: %w", err)
	}
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil { // the last line may be half written
			return calls, offset, nil
		}
		offset += int64(len(line))
		var c call
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, 0, fmt.Errorf("read audit log: %w", err)
		}
		if c.Ref.Resource != "" && c.Verb != "watch" && !strings.HasPrefix(c.Ref.Resource, "subjectaccessreview") {
			calls = append(calls, c)
		}
	}
}

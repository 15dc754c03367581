package externalsecrets_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// conformanceCase is a file of testdata.
type conformanceCase struct {
	file, namespace string

	// Account is the case's own AWS account; its keys are in the Secret aws of the case's namespace, which no answer shows.
	Account string `json:"account"`
	// Roles are those of the account that may be assumed, by each web identity too.
	Roles []string `json:"roles"`
	// AWS is what the account holds.
	AWS []awsCall `json:"aws"`
	// Vault is what is written to Vault for it. It then has an engine there, of KV version 2 and with one secret, and a policy that
	// reads it, all of the case's name.
	Vault []vaultWrite `json:"vault"`
	// Google are the secrets that it has in Google Cloud Secret Manager.
	Google []googleSecret `json:"google"`
	// Objects are manifests without apiVersion and, but for those elsewhere, without namespace.
	Objects []*unstructured.Unstructured `json:"objects"`
	// Steps are what happens after that, each when what came before has settled.
	Steps []step `json:"steps"`
	// Differs is where we differ from the operator on purpose.
	Differs []difference `json:"differs"`
	// Answers are what the operator made: of the objects, then of each step.
	Answers []answer `json:"answers"`
}

type step struct {
	// Apply are objects as they are from now on, Delete those that go; of these, kind and name matter.
	Apply  []*unstructured.Unstructured `json:"apply"`
	Delete []*unstructured.Unstructured `json:"delete"`
	// AWS is what happens in the case's account before that.
	AWS []awsCall `json:"aws"`
}

// awsCall is a request of AWS: the service, the action and what it is asked.
type awsCall struct {
	Call string         `json:"call"`
	With map[string]any `json:"with"`
}

// difference is a merge patch that makes our answer of the operator's.
type difference struct {
	// Row is the first column of a row of docs/compatibility.md.
	Row string `json:"row"`
	// Steps are the numbers of the answers that it is about, all when there are none.
	Steps []int `json:"steps"`
	// Ours is what we make instead.
	Ours json.RawMessage `json:"ours"`
}

// answer is what a controller made: by kind and name, what matters of each object.
type answer map[string]map[string]map[string]any

// apiVersions are those of the kinds that cases have.
var apiVersions = map[string]string{
	"ExternalSecret": "external-secrets.io/v1", "ClusterExternalSecret": "external-secrets.io/v1",
	"SecretStore": "external-secrets.io/v1", "ClusterSecretStore": "external-secrets.io/v1",
	"Secret": "v1", "ConfigMap": "v1", "Namespace": "v1", "ServiceAccount": "v1",
	"Role": "rbac.authorization.k8s.io/v1", "RoleBinding": "rbac.authorization.k8s.io/v1",
}

const answersBegin = "\n# What External Secrets Operator v2.9.0 made of it.\nanswers:\n"

// readCases reads all cases; values are what $SERVER, $CA and so on stand for in them, one after the other.
func readCases(t *testing.T, values ...string) []*conformanceCase {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata has %d cases: %v", len(files), err)
	}
	replacer := strings.NewReplacer(values...)
	cases := make([]*conformanceCase, len(files))
	for i, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := &conformanceCase{file: file, namespace: strings.TrimSuffix(filepath.Base(file), ".yaml")}
		if err := yaml.UnmarshalStrict([]byte(replacer.Replace(string(raw))), c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c.Steps = append([]step{{Apply: c.Objects, AWS: c.AWS}}, c.Steps...)
		for _, s := range c.Steps {
			for _, o := range append(s.Apply, s.Delete...) {
				c.complete(t, o)
			}
		}
		cases[i] = c
	}
	return cases
}

// complete adds what a manifest of a case leaves out.
func (c *conformanceCase) complete(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	version, ok := apiVersions[o.GetKind()]
	if !ok {
		t.Fatalf("%s: cases have no kind %q", c.file, o.GetKind())
	}
	if o.GetAPIVersion() == "" {
		o.SetAPIVersion(version)
	}
	if o.GetNamespace() == "" && o.GetKind() != "Namespace" && !strings.HasPrefix(o.GetKind(), "Cluster") {
		o.SetNamespace(c.namespace)
	}
}

// objects calls visit with each object that the case applies.
func (c *conformanceCase) objects(visit func(*unstructured.Unstructured)) {
	for _, s := range c.Steps {
		for _, o := range s.Apply {
			visit(o)
		}
	}
}

// ours is what we shall make of the objects and the first steps: what the operator makes, but for the differences.
func (c *conformanceCase) ours(t *testing.T, number int) answer {
	t.Helper()
	raw, err := json.Marshal(c.Answers[number])
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range c.Differs {
		if !d.about(number) {
			continue
		}
		patched, err := jsonpatch.MergePatch(raw, d.Ours)
		if err != nil {
			t.Fatalf("differs[%d]: %v", i, err)
		}
		if jsonpatch.Equal(raw, patched) {
			t.Errorf("differs[%d]: is no difference after step %d", i, number)
		}
		raw = patched
	}
	var out answer
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (d difference) about(number int) bool {
	for _, n := range d.Steps {
		if n == number {
			return true
		}
	}
	return len(d.Steps) == 0
}

// record writes the answers into the case's file.
func (c *conformanceCase) record(t *testing.T, answers []answer) {
	t.Helper()
	raw, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	made, err := yaml.Marshal(answers)
	if err != nil {
		t.Fatal(err)
	}
	question, _, _ := bytes.Cut(raw, []byte(answersBegin))
	text := fmt.Appendf(bytes.TrimRight(question, "\n"), "\n%s%s", answersBegin, made)
	if err := os.WriteFile(c.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// lines are the answer's fields, one a line.
func (a answer) lines() map[string]bool {
	out := map[string]bool{}
	for kind, objects := range a {
		for name, fields := range objects {
			out[kind+" "+name] = true
			for field, v := range fields {
				text, _ := json.Marshal(v)
				out[fmt.Sprintf("%s %s: %s %s", kind, name, field, text)] = true
			}
		}
	}
	return out
}

// differences are the lines that are in one answer alone; none when they are the same.
func differences(want, got answer) string {
	var out []string
	had, has := want.lines(), got.lines()
	for line := range had {
		if !has[line] {
			out = append(out, line+" -")
		}
	}
	for line := range has {
		if !had[line] {
			out = append(out, line+" +")
		}
	}
	slices.Sort(out)
	var b strings.Builder
	for _, line := range out {
		fmt.Fprintf(&b, "%s %s\n", line[len(line)-1:], line[:len(line)-2])
	}
	return b.String()
}

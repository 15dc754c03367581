package property

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each row of testdata/answers.jsonl is a document with what External Secrets Operator 2.9 itself read of it: by path the value,
// and the fields that it extracts, null where it fails.
func TestPropertiesAreThoseThatExternalSecretsOperatorReads(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/answers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compared := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var row struct {
			Document string
			Values   map[string]*string
			Fields   map[string]map[string]string
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		doc := []byte(row.Document)
		for path, want := range row.Values {
			compared++
			got, ok := Get(doc, path)
			if ok != (want != nil) || ok && string(got) != *want {
				t.Errorf("%q of %s is %q, %t", path, doc, got, ok)
			}
		}
		for path, want := range row.Fields {
			compared++
			part := doc
			if path != "" {
				part, _ = Get(doc, path)
			}
			fields, ok := RawFields(part)
			got := make(map[string]string, len(fields))
			for name, value := range fields {
				got[name] = string(value)
			}
			if ok != (want != nil) || ok && !cmp.Equal(want, got) {
				t.Errorf("%q of %s: -External Secrets Operator +ours:\n%s", path, doc, cmp.Diff(want, got))
			}
		}
	}
	if compared < 100 {
		t.Errorf("%d answers were compared", compared)
	}
}

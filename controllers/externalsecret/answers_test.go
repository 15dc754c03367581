package externalsecret

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/template"
)

// answers reads what External Secrets Operator 2.9 itself made of the cases in a file of testdata/answers: its functions for
// rewriting, naming, decoding and templates were called with what stands in each row.
func answers[T any](t *testing.T, name string) []T {
	t.Helper()
	f, err := os.Open("testdata/answers/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []T
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var row T
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if len(rows) < 50 {
		t.Fatalf("%s has %d rows", name, len(rows))
	}
	return rows
}

// texts are values as text, for the comparison with what is in a row.
func texts(values map[string][]byte) map[string]string {
	out := make(map[string]string, len(values))
	for k, v := range values {
		out[k] = string(v)
	}
	return out
}

func TestNamesAreRewrittenAsExternalSecretsOperatorDoes(t *testing.T) {
	t.Parallel()
	for _, row := range answers[struct {
		Rules         []esv1.Rewrite
		Values, Makes map[string]string
		Fails         bool
	}](t, "rewrite.jsonl") {
		fields := map[string][]byte{}
		for name, value := range row.Values {
			fields[name] = []byte(value)
		}
		got, err := finding{entry{rewrite: row.Rules}, fields}.values(t.Context(), newRenderer(nil))
		if row.Fails != (err != nil) {
			t.Errorf("%v of %q: error %v", row.Rules, row.Values, err)
		} else if diff := cmp.Diff(row.Makes, texts(got)); !row.Fails && diff != "" {
			t.Errorf("%v of %q: -External Secrets Operator +ours:\n%s", row.Rules, row.Values, diff)
		}
	}
}

func TestNamesBecomeTheKeysOfExternalSecretsOperator(t *testing.T) {
	t.Parallel()
	for _, row := range answers[struct {
		Strategy esv1.ConversionStrategy
		Names    []string
		// Keys are by the names.
		Keys  map[string]string
		Fails bool
	}](t, "names.jsonl") {
		for _, strategy := range []esv1.ConversionStrategy{row.Strategy, ""} {
			if strategy == "" && row.Strategy != esv1.ConversionDefault {
				continue
			}
			fields, want := map[string][]byte{}, map[string]string{}
			for _, name := range row.Names {
				fields[name] = []byte(name)
			}
			for name, key := range row.Keys {
				want[key] = name
			}
			got, err := finding{entry{remote: esv1.RemoteRef{ConversionStrategy: strategy}}, fields}.values(t.Context(), nil)
			if row.Fails != (err != nil) {
				t.Errorf("%q, %q: error %v", strategy, row.Names, err)
			} else if diff := cmp.Diff(want, texts(got)); !row.Fails && diff != "" {
				t.Errorf("%q, %q: -External Secrets Operator +ours:\n%s", strategy, row.Names, diff)
			}
		}
	}
}

func TestValuesAreDecodedAsExternalSecretsOperatorDoes(t *testing.T) {
	t.Parallel()
	for _, row := range answers[struct {
		Strategy     esv1.DecodingStrategy
		Value, Gives []byte
		Fails        bool
	}](t, "decoding.jsonl") {
		got, err := decodeValue(row.Value, row.Strategy, "")
		if row.Fails != (err != nil) || !row.Fails && string(got) != string(row.Gives) {
			t.Errorf("%s: %q becomes %q, %v, and with External Secrets Operator %q", row.Strategy, row.Value, got, err, row.Gives)
		}
	}
}

func TestLiteralsMakeWhatTheyMakeWithExternalSecretsOperator(t *testing.T) {
	t.Parallel()
	values := map[string][]byte{}
	for key, value := range map[string]string{
		"user": "app", "pw": `p:w "x"`, "multi": "l1\nl2", "json": `{"k":"v","n":1}`, "yaml": "p: q\nr: 5\n", "num": "5", "bool": "true", "b64": "aGVsbG8=",
		"b64url": "-_-_", "hash": "a # b", "star": "*x", "date": "2020-01-02", "oct": "010", "nul": "null",
	} {
		values[key] = []byte(value)
	}
	for _, row := range answers[struct {
		Literal, Target string
		Decoding        esv1.DecodingStrategy
		Makes           map[string]string
		Fails           bool
	}](t, "literals.jsonl") {
		es := &esv1.ExternalSecret{}
		es.Spec.Target.Template = &esv1.Template{TemplateFrom: []esv1.TemplateFrom{{Literal: &row.Literal, Target: row.Target, ValuesDecodingStrategy: row.Decoding}}}
		c, err := render(t.Context(), template.Options{}, es, values, nil)
		if row.Fails != (err != nil) {
			t.Errorf("%q: error %v", row.Literal, err)
			continue
		}
		got := texts(c.data)
		switch row.Target {
		case "Labels":
			got = c.labels
		case "annotations":
			got = c.annotations
		}
		if diff := cmp.Diff(row.Makes, got); !row.Fails && diff != "" {
			t.Errorf("%q in %q: -External Secrets Operator +ours:\n%s", row.Literal, row.Target, diff)
		}
	}
}

package sealing_test

import (
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/internal/sealing"
)

const ofOld = `# of 2018
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: db, namespace: ns} # kept
spec:
  data: AQAA # one value
  encryptedData: {}
`

// The controller of Sealed Secrets makes today's format of the deprecated one. That is taken of the same object alone, and for the
// deprecated format alone.
func TestWhatWasMadeOfTheDeprecatedFormatIsTaken(t *testing.T) {
	t.Parallel()
	const made = `{"metadata":{"name":"db","namespace":"ns","creationTimestamp":null},"spec":{"template":{"metadata":{"name":"db","namespace":"ns","creationTimestamp":null,` +
		`"labels":{"app":"db"},"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}},"type":"t","data":{"x":"y"}},"encryptedData":{"a":"AQA1","b":"AQA2"}}}`
	want := strings.NewReplacer("  data: AQAA # one value\n", "", " {}\n", `
    a: AQA1
    b: AQA2
  template:
    metadata:
      labels:
        app: db
      name: db
      namespace: ns
    type: t
`).Replace(ofOld)
	for name, c := range map[string]struct{ before, answer, want string }{
		"of the object":             {ofOld, made, want},
		"of another one":            {ofOld, strings.ReplaceAll(made, `"db"`, `"web"`), ""},
		"of a wider scope":          {ofOld, strings.Replace(made, `"creationTimestamp":null`, `"annotations":{"sealedsecrets.bitnami.com/cluster-wide":"true"}`, 1), ""},
		"without a value":           {ofOld, strings.Replace(made, `{"a":"AQA1","b":"AQA2"}`, "{}", 1), ""},
		"of an object of today":     {strings.NewReplacer("  data: AQAA # one value\n", "", "{}", "{k: AQAA}").Replace(ofOld), made, ""},
		"of an object in both":      {strings.Replace(ofOld, "{}", "{k: AQAA}", 1), made, ""},
		"a template that is none":   {ofOld, strings.Replace(made, `"type":"t"`, `"type":3`, 1), ""},
		"in the deprecated format":  {ofOld, strings.Replace(ofOld, "AQAA", "AQAB", 1), strings.Replace(ofOld, "AQAA", "AQAB", 1)},
		"in both formats, somewhat": {ofOld, strings.Replace(made, `"spec":{`, `"spec":{"data":"AQAB",`, 1), ""},
	} {
		file, err := sealing.ReadFile([]byte(c.before))
		if err != nil {
			t.Fatal(err)
		}
		renewal, err := file.Objects()[0].Renew([]byte(c.answer), "ns", nil)
		text, textErr := file.Text()
		if textErr != nil || c.want == "" && (err == nil || string(text) != c.before) {
			t.Errorf("%s: taken, or %v:\n%s", name, textErr, text)
		}
		if c.want != "" && (err != nil || renewal.Changed != 1 || string(text) != c.want) {
			t.Errorf("%s: %v %v\n%s", name, renewal, err, text)
		}
	}
}

func TestNothingIsPutBesideTheDeprecatedFormat(t *testing.T) {
	t.Parallel()
	file, err := sealing.ReadFile([]byte(ofOld))
	if err != nil {
		t.Fatal(err)
	}
	const refused = "document 1, line 1: has the deprecated spec.data, beside which nothing in spec.encryptedData opens"
	_, err = file.Objects()[0].SealValue(in(t, "", false), "k", []byte("v"))
	wantProblem(t, err, refused)
	s := readOne(t, "metadata: {name: db, namespace: ns}\nstringData: {a: v}\n")
	_, err = merge([]byte(ofOld), s, in(t, "", false), "")
	wantProblem(t, err, refused)
	// A whole Secret takes its place.
	if err := file.Update(s, in(t, "", false), sealing.YAML); err != nil {
		t.Fatal(err)
	}
	text, err := file.Text()
	if err != nil || strings.Contains(string(text), "data: AQAA") || !strings.HasPrefix(string(text), "# of 2018\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

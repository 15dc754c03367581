package manifest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const canary = "canary-7f3e5b"

func read(t testing.TB, text string) []Document {
	t.Helper()
	documents, err := Read(strings.NewReader(text), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return documents
}

func TestAStreamIsReadAsKubernetesReadsIt(t *testing.T) {
	t.Parallel()
	a, b := map[string]any{"a": int64(1)}, map[string]any{"b": int64(2)}
	for name, c := range map[string]struct {
		text string
		want []map[string]any
	}{
		"nothing":                            {"", nil},
		"white space and comments":           {" \n# comment\n---\n\n---\n# more\n", nil},
		"one YAML document":                  {"a: 1\n", []map[string]any{a}},
		"two":                                {"a: 1\n---\nb: 2\n", []map[string]any{a, b}},
		"separators around and between":      {"---\n---\na: 1\n---\n\n---\nb: 2\n---\n", []map[string]any{a, b}},
		"a separator with a comment":         {"--- # first\na: 1\n--- # second\nb: 2\n", []map[string]any{a, b}},
		"a document on the separator's line": {"--- {a: 1}\n--- {b: 2}", []map[string]any{a, b}},
		"Windows line ends":                  {"a: 1\r\n---\r\nb: 2\r\n", []map[string]any{a, b}},
		"a byte order mark":                  {"\ufeffa: 1\n", []map[string]any{a}},
		"an end marker":                      {"a: 1\n...\n---\nb: 2\n", []map[string]any{a, b}},
		"end markers of no document":         {"...\n---\na: 1\n---\n# none\n... # here\n\n...\n---\nb: 2\n---\r\n...\r\n", []map[string]any{a, b}},
		"dots that are no end marker":        {"....: 1\n---\na: |\n  x\n  ...\n", []map[string]any{{"....": int64(1)}, {"a": "x\n...\n"}}},
		"one JSON document":                  {`{"a": 1}`, []map[string]any{a}},
		"concatenated JSON":                  {`{"a": 1}{"b": 2}`, []map[string]any{a, b}},
		"JSON lines":                         {"{\"a\": 1}\n{\"b\": 2}\n", []map[string]any{a, b}},
		"JSON, then YAML":                    {"{\"a\": 1}\n---\nb: 2\n", []map[string]any{a, b}},
		"YAML in flow style":                 {"{a: 1}\n---\n{b: 2}\n", []map[string]any{a, b}},
		"dashes inside of a value":           {"a: |\n  x\n  ---\n  y\n", []map[string]any{{"a": "x\n---\ny\n"}}},
		"dashes at the start of a word":      {"a: |-\n  x\n----b: 1\n", []map[string]any{{"a": "x", "----b": int64(1)}}},
		"scalars of YAML 1.1":                {"a: yes\nb: 0644\nc: 1.5\nd: ~\ne: '1'\n", []map[string]any{{"a": true, "b": int64(420), "c": 1.5, "d": nil, "e": "1"}}},
		"an alias":                           {"a: &x {k: v}\nb: *x\n", []map[string]any{{"a": map[string]any{"k": "v"}, "b": map[string]any{"k": "v"}}}},
		"a merge key":                        {"a: &x {k: v}\nb:\n  <<: *x\n  l: w\n", []map[string]any{{"a": map[string]any{"k": "v"}, "b": map[string]any{"k": "v", "l": "w"}}}},
		"an emoji as two escapes of JSON":    {`{"a": "\ud83d\udd11"}`, []map[string]any{{"a": "🔑"}}},
		"a large number":                     {`{"a": 9007199254740993}`, []map[string]any{{"a": int64(9007199254740993)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []map[string]any
			for i, d := range read(t, c.text) {
				if d.Index != i+1 {
					t.Errorf("document %d has the index %d", i+1, d.Index)
				}
				got = append(got, d.Object)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestADocumentKnowsItsPlaceAndText(t *testing.T) {
	t.Parallel()
	got := read(t, "# head\na: 1 # why\n---\n\nb: 2\n---\n{\"c\": 3}\n\n{\"d\": 4}\n")
	want := []Document{
		{Index: 1, Line: 1, Object: map[string]any{"a": int64(1)}, Raw: []byte("# head\na: 1 # why\n")},
		{Index: 2, Line: 5, Offset: 21, Object: map[string]any{"b": int64(2)}, Raw: []byte("\n\nb: 2\n")},
		{Index: 3, Line: 7, Offset: 32, Object: map[string]any{"c": int64(3)}, Raw: []byte(`{"c": 3}`)},
		{Index: 4, Line: 9, Offset: 42, Object: map[string]any{"d": int64(4)}, Raw: []byte(`{"d": 4}`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func badStreams() map[string][2]string {
	deep := strings.Repeat("[", 20_000)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'l'; i++ {
		bomb += string(i) + ": &" + string(i) + " [" + strings.Repeat("*"+string(i-1)+",", 10) + "]\n"
	}
	return map[string][2]string{
		"a tab for indentation":         {"a:\n\tb: " + canary, "document 1, line 2: not valid YAML: found character that cannot start any token"},
		"a colon in a value":            {"a: 1\n---\nb: " + canary + ": x\n", "document 2, line 3: not valid YAML: mapping values are not allowed in this context"},
		"an open quote":                 {"a: \"" + canary + "\n", "document 1, line 2: not valid YAML: found unexpected end of stream"},
		"broken JSON":                   {"{\"a\":\n\"" + canary + "\" 1}", "document 1, line 2: not valid JSON"},
		"JSON that is cut off":          {`{"a": 1}{"b": "` + canary, "document 2, line 1: not valid JSON"},
		"text after JSON":               {`{"a": 1} ` + canary, "document 2, line 1: not valid JSON"},
		"a key twice in YAML":           {"a: 1\n" + canary + ": 1\n" + canary + ": 2\n", "document 1, line 3: a key is set twice"},
		"a key twice in JSON":           {`{"x": {"` + canary + `": 1, "` + canary + `": 2}}`, "document 1, line 1: a key is set twice"},
		"a document after an end mark":  {"a: 1\n...\nb: " + canary + "\n", "document 1, line 2: text after the end of the document; begin the next one with a line of ---"},
		"one after an end mark alone":   {"a: 1\n---\n# x\n...\n\nb: " + canary + "\n", "document 2, line 6: text after the end of the document; begin the next one with a line of ---"},
		"JSON after an end mark alone":  {"...\n{\"b\": \"" + canary + "\"}\n", "document 1, line 2: text after the end of the document; begin the next one with a line of ---"},
		"a list":                        {"- " + canary + "\n", "document 1, line 1: not an object with fields"},
		"a scalar":                      {canary + "\n", "document 1, line 1: not an object with fields"},
		"a JSON list after a JSON map":  {`{"a": 1} ["` + canary + `"]`, "document 2, line 1: not an object with fields"},
		"an alias without its anchor":   {"a: *" + canary + "\n", "document 1, line 1: an alias names an anchor that does not exist"},
		"an anchor in itself":           {"a: &x [*x]\n", "document 1, line 1: the aliases expand to more than is allowed"},
		"aliases of aliases of aliases": {bomb, "document 1, line 7: the aliases expand to more than is allowed"},
		"a long value, often":           {"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a,", 100) + "]\n", "document 1, line 2: the aliases expand to more than is allowed"},
		"bytes that are not UTF-8":      {"a: " + canary + "\xff\n", "document 1: not UTF-8 text"},
		"UTF-16":                        {"\xff\xfea\x00:\x00", "document 1, line 1: not UTF-8 text but UTF-16, as PowerShell writes it"},
		"a control character":           {"a: " + canary + "\x01\n", "document 1, line 1: not valid YAML: control characters are not allowed"},
		"a merge that was not finished": {"a: 1\n---\n<<<<<<< HEAD\nb: " + canary + "\n=======\nb: x\n>>>>>>> theirs\n", "document 2, line 3: a merge of Git was not finished here: resolve the conflict"},
		"one of JSON":                   {"{\n<<<<<<< HEAD\n\"b\": \"" + canary + "\"\n=======\n\"b\": 1\n>>>>>>> theirs\n}\n", "document 1, line 2: a merge of Git was not finished here: resolve the conflict"},
		"one of documents":              {"a: 1\n<<<<<<< HEAD\n---\nb: " + canary + "\n=======\n>>>>>>> theirs\n", "document 1, line 2: a merge of Git was not finished here: resolve the conflict"},
		"a value of the wrong tag":      {"a: !!int " + canary + "\n", "document 1, line 1: a value does not fit its tag"},
		"a key that is a map":           {"? {" + canary + ": 1}\n: 2\n", "document 1, line 1: not valid YAML"},
		"twenty thousand brackets":      {"a: " + deep + "\n", "document 1, line 1: not valid YAML"},
	}
}

func TestABrokenStreamIsRefusedWithItsPlaceAndWithoutItsText(t *testing.T) {
	t.Parallel()
	for name, c := range badStreams() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			documents, err := Read(strings.NewReader(c[0]), Limits{})
			if err == nil || documents != nil {
				t.Fatalf("accepted as %d documents", len(documents))
			}
			if got := err.Error(); got != c[1] {
				t.Errorf("\n got %s\nwant %s", got, c[1])
			}
			if strings.Contains(err.Error(), canary) {
				t.Error("the error quotes its input")
			}
		})
	}
}

func TestAStreamIsBounded(t *testing.T) {
	t.Parallel()
	limits := Limits{Bytes: 20, Documents: 2}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"as many bytes as allowed":     {"a: " + strings.Repeat("x", 17), nil},
		"one more":                     {"a: " + strings.Repeat("x", 18), ErrTooLarge},
		"as many documents as allowed": {"a: 1\n---\n---\nb: 2\n", nil},
		"one more document":            {"a: 1\n---\nb: 2\n---\nc: 3", ErrTooLarge},
		"one more in JSON":             {`{"":1}{"":1}{"":1}`, ErrTooMany},
		"one more in YAML":             {"a:\n---\nb:\n---\nc:\n", ErrTooMany},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := limits
			if _, err := Read(strings.NewReader(c.text), l); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAReaderThatFailsIsNotAnEmptyStream(t *testing.T) {
	t.Parallel()
	want := errors.New("the disk is gone")
	if _, err := Read(io.MultiReader(strings.NewReader("a: 1\n"), failing{want}), Limits{}); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestAListIsItsItems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
		bad  bool
	}{
		"a List":                              {`{apiVersion: v1, kind: List, items: [{kind: Secret, name: a}, {kind: ConfigMap, name: b}]}`, []string{"Secret a", "ConfigMap b"}, false},
		"a SecretList of the API":             {`{apiVersion: v1, kind: SecretList, items: [{name: a}]}`, []string{"Secret a"}, false},
		"an empty List":                       {`{apiVersion: v1, kind: List, items: []}`, nil, false},
		"a List without items":                {`{apiVersion: v1, kind: List}`, nil, false},
		"a List of something else":            {`{apiVersion: example.com/v1, kind: List, name: l, items: [{kind: Secret}]}`, []string{"List l"}, false},
		"a SealedSecretList of the API":       {`{apiVersion: bitnami.com/v1alpha1, kind: SealedSecretList, items: [{name: a}]}`, []string{"SealedSecret a"}, false},
		"a SecretList of another group":       {`{apiVersion: example.com/v1, kind: SecretList, name: l, items: [{name: a}]}`, []string{"SecretList l"}, false},
		"a SealedSecretList of another group": {`{apiVersion: example.com/v1, kind: SealedSecretList, name: l, items: [{name: a}]}`, []string{"SealedSecretList l"}, false},
		"an item that says what it is":        {`{apiVersion: v1, kind: SecretList, items: [{apiVersion: v1, kind: ConfigMap, name: a}]}`, []string{"ConfigMap a"}, false},
		"items that are no list":              {`{apiVersion: v1, kind: List, name: l, items: {kind: Secret}}`, []string{"List l"}, false},
		"lists as deep as they may be":        {strings.Repeat("{apiVersion: v1, kind: List, items: [", 16) + "{kind: Secret, name: a}" + strings.Repeat("]}", 16), []string{"Secret a"}, false},
		"a list in a list":                    {`{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: SecretList, items: [{name: a}]}, {kind: Secret, name: b}]}`, []string{"Secret a", "Secret b"}, false},
		"lists that never end":                {strings.Repeat("{apiVersion: v1, kind: List, items: [", 40) + strings.Repeat("]}", 40), nil, true},
		"an object":                           {`{apiVersion: v1, kind: Secret, name: a}`, []string{"Secret a"}, false},
		"an item that is no object":           {`{apiVersion: v1, kind: List, items: [` + canary + `, {kind: Secret, name: a}]}`, []string{"Secret a"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items, err := Items(read(t, c.text)[0])
			if c.bad != (err != nil) {
				t.Fatalf("got %v", err)
			}
			var got []string
			for _, d := range items {
				_, kind := d.Kind()
				name, _ := d.Object["name"].(string)
				got = append(got, kind+" "+name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzRead holds that no input makes reading panic, run past its limits or say anything but its fixed texts.
func FuzzRead(f *testing.F) {
	seeds, err := filepath.Glob("testdata/seeds/*")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for name, c := range badStreams() {
		if len(c[0]) > 1<<16 {
			continue
		}
		f.Logf("seed: %s", name)
		f.Add([]byte(c[0]))
	}
	known := []string{problemUTF8, problemUTF16, problemYAML, problemJSON, problemTwice, problemObject, problemAliases, problemAnchor, problemLoop, problemMore, problemTag, problemMerge, "more than 50 documents"}
	for _, e := range explanations() {
		known = append(known, e[1])
	}
	for i, k := range known {
		known[i] = regexp.QuoteMeta(k)
	}
	text := regexp.MustCompile(`^(document \d+(, line \d+)?: (` + strings.Join(known, "|") + `)|the stream has over 65536 bytes: larger than allowed)$`)
	f.Fuzz(func(t *testing.T, data []byte) {
		documents, err := Read(strings.NewReader(string(data)), Limits{Bytes: 1 << 16, Documents: 50})
		if err != nil {
			if !text.MatchString(err.Error()) {
				t.Errorf("an error says something of its own: %s", err)
			}
			return
		}
		if len(documents) > 50 {
			t.Errorf("got %d documents", len(documents))
		}
		for _, d := range documents {
			if d.Object == nil || d.Line < 1 {
				t.Error("a document without an object or place")
			}
			if _, err := Items(d); err != nil && !strings.Contains(err.Error(), problemItem) && !strings.Contains(err.Error(), problemNesting) {
				t.Errorf("an error says something of its own: %s", err)
			}
		}
	})
}

func TestTheTextOfADocumentStandsAtItsOffset(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{
		"a: b\n---\n# c\nd: e\n--- {f: g}\n---\n", "\ufeffa: b\n---\r\nc: d\r\n", "{\"a\": 1} {\"b\": 2}\n---\n{\"c\":3}", "---\na: b",
	} {
		documents, err := Read(strings.NewReader(stream), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range documents {
			if end := d.Offset + len(d.Raw); end > len(stream) || stream[d.Offset:end] != string(d.Raw) {
				t.Errorf("%q: document %d is not at %d", stream, d.Index, d.Offset)
			}
		}
	}
}

func TestUTF16IsNamedAndReadForWords(t *testing.T) {
	t.Parallel()
	for order, text := range map[string]string{"little": "\xff\xfea\x00:\x00\xe4\x00", "big": "\xfe\xff\x00a\x00:\x00\xe4"} {
		if got, is := FromUTF16([]byte(text)); !is || string(got) != "a:ä" {
			t.Errorf("%s: %v", order, is)
		}
		if _, err := Read(strings.NewReader(text), Limits{}); err == nil || !strings.Contains(err.Error(), "UTF-16") {
			t.Errorf("%s: %v", order, err)
		}
	}
	if got, is := FromUTF16([]byte("a: b")); is || string(got) != "a: b" {
		t.Error("UTF-8 is taken for UTF-16")
	}
}

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Limits bound what Read accepts. A zero field means its default.
type Limits struct {
	// Bytes of the whole stream, also after YAML aliases were expanded; default 16 MiB.
	Bytes int
	// Documents that are not empty; default 10000.
	Documents int
}

const (
	defaultBytes     = 16 << 20
	defaultDocuments = 10_000
)

// What Read refuses because of its size. Both reach errors.Is through an *Error or alone.
var (
	ErrTooLarge = errors.New("larger than allowed")
	ErrTooMany  = errors.New("more documents than allowed")
)

// Document is one object of a stream.
type Document struct {
	// Index counts the documents that are not empty, from 1.
	Index int
	// Line of the stream on which the document's text or first comment begins, from 1.
	Line int
	// Offset of the document's text in the stream, in bytes. A byte order mark counts.
	Offset int
	// Object is the document as Kubernetes reads it: YAML 1.1 scalars, whole numbers as int64, others as float64.
	Object map[string]any
	// Raw is the document's text without the separator lines around it, comments and order kept.
	Raw []byte
}

// Kind returns the document's apiVersion and kind; each is "" when it is missing or no string.
func (d Document) Kind() (apiVersion, kind string) {
	apiVersion, _ = d.Object["apiVersion"].(string)
	kind, _ = d.Object["kind"].(string)
	return apiVersion, kind
}

// RawLine returns the line of the stream on which Raw begins, of which the first may be empty.
func (d Document) RawLine() int {
	blank := len(d.Raw) - len(bytes.TrimLeft(d.Raw, " \t\r\n"))
	return d.Line - bytes.Count(d.Raw[:blank], []byte("\n"))
}

// Error says what is wrong with which document. Its text holds nothing of the document.
type Error struct {
	// Document counts the documents that are not empty, from 1.
	Document int
	// Line of the stream, from 1; zero when it is not known.
	Line int
	// Problem is one of a fixed set of texts.
	Problem string
	// Cause is ErrTooLarge, ErrTooMany or nil.
	Cause error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("document %d: %s", e.Document, e.Problem)
	}
	return fmt.Sprintf("document %d, line %d: %s", e.Document, e.Line, e.Problem)
}

func (e *Error) Unwrap() error { return e.Cause }

// Read returns the documents of a stream, without those that are empty or only comments. It returns no document at all
// when one is wrong: an *Error for what is in the stream, the reader's own error otherwise.
func Read(r io.Reader, limits Limits) ([]Document, error) {
	var documents []Document
	for d, err := range All(r, limits) {
		if err != nil {
			return nil, err
		}
		documents = append(documents, d)
	}
	return documents, nil
}

// All is Read for whoever can work on a document while the next one is parsed: the documents before a wrong one have been
// handed on when its error, which is the last of the sequence, comes.
func All(r io.Reader, limits Limits) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		s, data, err := newStream(r, limits)
		if err != nil {
			yield(Document{}, err)
			return
		}
		for _, c := range split(data) {
			before := len(s.documents)
			if err := s.add(c); err != nil {
				yield(Document{}, err)
				return
			}
			for _, d := range s.documents[before:] {
				if !yield(d, nil) {
					return
				}
			}
		}
	}
}

// newStream reads all of a stream, and returns its text without the byte order mark.
func newStream(r io.Reader, limits Limits) (*stream, []byte, error) {
	if limits.Bytes == 0 {
		limits.Bytes = defaultBytes
	}
	if limits.Documents == 0 {
		limits.Documents = defaultDocuments
	}
	whole, err := io.ReadAll(io.LimitReader(r, int64(limits.Bytes)+1))
	if err != nil {
		return nil, nil, err
	}
	if len(whole) > limits.Bytes {
		return nil, nil, fmt.Errorf("the stream has over %d bytes: %w", limits.Bytes, ErrTooLarge)
	}
	data := bytes.TrimPrefix(whole, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, nil, &Error{Document: 1, Problem: problemUTF8}
	}
	return &stream{limits: limits, skipped: len(whole) - len(data)}, data, nil
}

// Items returns the objects of a v1 List (kubectl get -o yaml) as documents of their own, which keep the place of the
// list, and other documents as they are. Lists in lists are not opened.
func Items(d Document) ([]Document, error) {
	apiVersion, kind := d.Kind()
	items, isList := d.Object["items"].([]any)
	if apiVersion != "v1" || !isList || (kind != "List" && kind != "SecretList") {
		return []Document{d}, nil
	}
	out := make([]Document, 0, len(items))
	for _, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, &Error{Document: d.Index, Line: d.Line, Problem: problemItem}
		}
		if kind == "SecretList" && object["kind"] == nil {
			object["apiVersion"], object["kind"] = "v1", "Secret"
		}
		out = append(out, Document{Index: d.Index, Line: d.Line, Offset: d.Offset, Object: object, Raw: d.Raw})
	}
	return out, nil
}

type stream struct {
	limits    Limits
	skipped   int // bytes before the first part
	documents []Document
}

// add reads one part of the stream between separators: a YAML document, or any number of JSON values.
func (s *stream) add(c chunk) error {
	text := bytes.TrimSpace(c.text)
	if len(text) == 0 {
		return nil
	}
	if text[0] != '{' {
		return s.addYAML(c)
	}
	before := len(s.documents)
	isJSON, err := s.addJSON(c)
	if isJSON {
		return err
	}
	// What begins like JSON and is not may still be YAML in flow style.
	s.documents = s.documents[:before]
	if s.addYAML(c) == nil {
		return nil
	}
	return err
}

// addJSON adds the values of the part, and says whether they are JSON at all.
func (s *stream) addJSON(c chunk) (isJSON bool, err error) {
	lineAt := func(offset int) int { return c.line + bytes.Count(c.text[:offset], []byte("\n")) }
	d := json.NewDecoder(bytes.NewReader(c.text))
	for {
		var raw json.RawMessage
		start := int(d.InputOffset())
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return true, nil
		} else if err != nil {
			at := len(c.text)
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				at = min(int(syntax.Offset), at)
			}
			return false, &Error{Document: len(s.documents) + 1, Line: lineAt(at), Problem: problemJSON}
		}
		start += bytes.Index(c.text[start:], raw)
		if err := s.append(raw, raw, c.start+start, lineAt(start)); err != nil {
			return true, err
		}
	}
}

func (s *stream) addYAML(c chunk) error {
	fail := func(line int, problem string, cause error) error {
		return &Error{Document: len(s.documents) + 1, Line: line, Problem: problem, Cause: cause}
	}
	if line, problem, cause := inspect(c.text, s.limits.Bytes); problem != "" {
		return fail(c.line+max(line-1, 0), problem, cause)
	}
	converted, err := yaml.YAMLToJSONStrict(c.text)
	if err != nil {
		line, problem := explain(err)
		return fail(c.line+max(line-1, 0), problem, nil)
	}
	if bytes.Equal(converted, []byte("null")) {
		return nil
	}
	blank := len(c.text) - len(bytes.TrimLeft(c.text, " \t\r\n"))
	return s.append(converted, c.text, c.start, c.line+bytes.Count(c.text[:blank], []byte("\n")))
}

// append adds a document from its JSON.
func (s *stream) append(data, raw []byte, offset, line int) error {
	index := len(s.documents) + 1
	if index > s.limits.Documents {
		return &Error{Document: index, Line: line, Problem: fmt.Sprintf("more than %d documents", s.limits.Documents), Cause: ErrTooMany}
	}
	var value any
	strict, err := kjson.UnmarshalStrict(data, &value, kjson.DisallowDuplicateFields)
	switch {
	case err != nil:
		return &Error{Document: index, Line: line, Problem: problemJSON}
	case len(strict) > 0:
		return &Error{Document: index, Line: line, Problem: problemTwice}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return &Error{Document: index, Line: line, Problem: problemObject}
	}
	s.documents = append(s.documents, Document{Index: index, Line: line, Offset: s.skipped + offset, Object: object, Raw: raw})
	return nil
}

type chunk struct {
	text  []byte
	start int // of its first byte in the stream
	line  int // of its first byte, from 1
}

// split cuts a stream at the lines that YAML reserves for it: "---" at the start of a line, alone or before a space, is a
// separator wherever it stands, and cannot stand in JSON. What follows the dashes belongs to the document.
func split(data []byte) []chunk {
	var chunks []chunk
	current := chunk{line: 1}
	start := 0
	for at, line := 0, 1; at < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if rest, ok := bytes.CutPrefix(data[at:end], []byte("---")); ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0]))) {
			current.text = data[start:at]
			chunks = append(chunks, current)
			start = at + len("---")
			current = chunk{start: start, line: line}
		}
		at = end
	}
	current.text = data[start:]
	return append(chunks, current)
}

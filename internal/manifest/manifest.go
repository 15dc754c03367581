package manifest

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
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

// ErrUnmerged is the cause of an *Error about a text in which a merge of Git has left a conflict.
var ErrUnmerged = errors.New("merge conflict")

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
	// Path leads from the top of Raw to the object, where that is an item of a list: items, 3.
	Path []string
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
	// Cause is ErrTooLarge, ErrTooMany, ErrUnmerged or nil.
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
			documents, err := s.read(c)
			if err != nil {
				yield(Document{}, unmerged(data, err))
				return
			}
			for _, d := range documents {
				if !yield(d, nil) {
					return
				}
			}
			s.before += len(documents)
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
	if _, is := FromUTF16(whole); is {
		return nil, nil, &Error{Document: 1, Line: 1, Problem: problemUTF16}
	}
	data := bytes.TrimPrefix(whole, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, nil, &Error{Document: 1, Problem: problemUTF8}
	}
	return &stream{limits: limits, skipped: len(whole) - len(data)}, data, nil
}

// FromUTF16 returns a text whose byte order mark says that it is UTF-16 as UTF-8, and whether it was, for whoever looks for
// words in what Read refuses.
func FromUTF16(data []byte) (text []byte, is bool) {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	default:
		return data, false
	}
	units := make([]uint16, 0, len(data)/2)
	for at := 2; at+1 < len(data); at += 2 {
		units = append(units, order.Uint16(data[at:]))
	}
	return []byte(string(utf16.Decode(units))), true
}

// Items returns the objects of a List (kubectl get -o yaml), a SecretList or a SealedSecretList as documents of their own, which
// keep the place of the list, and other documents as they are. Lists in lists are opened too. With the error, which is of the
// first item that cannot be read, come the items that can.
func Items(d Document) ([]Document, error) { return items(nil, d) }

// maxNesting bounds lists in lists, which nobody writes by hand.
const maxNesting = 16

// itemsOf returns which apiVersion and kind the items of a list have that name none; false for what is no list.
func itemsOf(apiVersion, kind string) (itemVersion, itemKind string, isList bool) {
	switch {
	case apiVersion == "v1" && kind == "List":
		return "", "", true
	case apiVersion == "v1" && kind == "SecretList":
		return "v1", "Secret", true
	case strings.HasPrefix(apiVersion, "bitnami.com/") && kind == "SealedSecretList":
		return apiVersion, "SealedSecret", true
	}
	return "", "", false
}

func items(out []Document, d Document) ([]Document, error) {
	apiVersion, kind, isList := itemsOf(d.Kind())
	list, ok := d.Object["items"].([]any)
	if !isList || !ok && d.Object["items"] != nil {
		return append(out, d), nil
	}
	if len(d.Path) >= 2*maxNesting {
		return out, &Error{Document: d.Index, Line: d.Line, Problem: problemNesting}
	}
	var wrong error
	for i, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			wrong = cmp.Or(wrong, error(&Error{Document: d.Index, Line: d.Line, Problem: problemItem}))
			continue
		}
		if kind != "" && object["kind"] == nil {
			object["apiVersion"], object["kind"] = apiVersion, kind
		}
		var err error
		out, err = items(out, Document{
			Index: d.Index, Line: d.Line, Offset: d.Offset, Object: object, Raw: d.Raw, Path: append(slices.Clip(d.Path), "items", strconv.Itoa(i)),
		})
		wrong = cmp.Or(wrong, err)
	}
	return out, wrong
}

type stream struct {
	limits  Limits
	skipped int // bytes before the first part
	before  int // documents of the parts before
}

// read returns the documents of one part of the stream between separators: of a YAML document, or any number of JSON
// values.
func (s *stream) read(c chunk) ([]Document, error) {
	text := bytes.TrimSpace(c.text)
	if len(text) == 0 {
		return nil, nil
	}
	if line, ended := endsOnly(c.text); ended && line == 0 {
		return nil, nil
	} else if ended {
		return nil, &Error{Document: s.before + 1, Line: c.line + line - 1, Problem: problemMore}
	}
	if text[0] != '{' {
		return s.readYAML(c)
	}
	documents, isJSON, err := s.readJSON(c)
	if isJSON {
		return documents, err
	}
	// What begins like JSON and is not may still be YAML in flow style.
	if documents, yamlError := s.readYAML(c); yamlError == nil {
		return documents, nil
	}
	return nil, err
}

// endsOnly reports whether a part begins with the end mark of a document that is none, "...", which the converter does not take and
// kubeseal passes over, and the line of the part on which something follows; 0 when nothing does.
func endsOnly(text []byte) (line int, ended bool) {
	n := 0
	for l := range bytes.Lines(text) {
		n++
		l = bytes.TrimRight(l, " \t\r\n")
		rest, isEnd := bytes.CutPrefix(l, []byte("..."))
		blank := bytes.TrimLeft(l, " \t")
		if isEnd {
			blank = bytes.TrimLeft(rest, " \t")
			isEnd = len(rest) == 0 || len(blank) < len(rest) && blank[0] == '#'
		}
		switch {
		case isEnd:
			ended = true
		case len(blank) > 0 && blank[0] != '#':
			return n, ended
		}
	}
	return 0, ended
}

// readJSON returns the values of the part, and says whether they are JSON at all.
func (s *stream) readJSON(c chunk) (documents []Document, isJSON bool, err error) {
	line, counted := c.line, 0
	lineAt := func(offset int) int { // which never goes back, so that no line is counted again for each document behind it
		line += bytes.Count(c.text[counted:offset], []byte("\n"))
		counted = offset
		return line
	}
	d := json.NewDecoder(bytes.NewReader(c.text))
	for {
		var raw json.RawMessage
		start := int(d.InputOffset())
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return documents, true, nil
		} else if err != nil {
			at := len(c.text)
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				at = min(int(syntax.Offset), at)
			}
			return nil, false, &Error{Document: s.before + len(documents) + 1, Line: lineAt(at), Problem: problemJSON}
		}
		start += bytes.Index(c.text[start:], raw)
		document, err := s.document(s.before+len(documents)+1, raw, raw, c.start+start, lineAt(start))
		if err != nil {
			return nil, true, err
		}
		documents = append(documents, document)
	}
}

func (s *stream) readYAML(c chunk) ([]Document, error) {
	fail := func(line int, problem string, cause error) ([]Document, error) {
		return nil, &Error{Document: s.before + 1, Line: line, Problem: problem, Cause: cause}
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
		return nil, nil
	}
	blank := len(c.text) - len(bytes.TrimLeft(c.text, " \t\r\n"))
	document, err := s.document(s.before+1, converted, c.text, c.start, c.line+bytes.Count(c.text[:blank], []byte("\n")))
	if err != nil {
		return nil, err
	}
	return []Document{document}, nil
}

// document returns a document from its JSON.
func (s *stream) document(index int, data, raw []byte, offset, line int) (Document, error) {
	if index > s.limits.Documents {
		return Document{}, &Error{Document: index, Line: line, Problem: fmt.Sprintf("more than %d documents", s.limits.Documents), Cause: ErrTooMany}
	}
	var value any
	strict, err := kjson.UnmarshalStrict(data, &value, kjson.DisallowDuplicateFields)
	switch {
	case err != nil:
		return Document{}, &Error{Document: index, Line: line, Problem: problemJSON}
	case len(strict) > 0:
		return Document{}, &Error{Document: index, Line: line, Problem: problemTwice}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return Document{}, &Error{Document: index, Line: line, Problem: problemObject}
	}
	return Document{Index: index, Line: line, Offset: s.skipped + offset, Object: object, Raw: raw}, nil
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

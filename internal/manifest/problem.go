package manifest

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The texts of an Error. They are fixed, because a parser's own text can quote the Secret that it failed to parse.
const (
	problemUTF8    = "not UTF-8 text"
	problemUTF16   = "not UTF-8 text but UTF-16, as PowerShell writes it"
	problemYAML    = "not valid YAML"
	problemJSON    = "not valid JSON"
	problemTwice   = "a key is set twice"
	problemObject  = "not an object with fields"
	problemItem    = "an item of the list is not an object with fields"
	problemNesting = "lists in lists in lists, deeper than is read"
	problemAliases = "the aliases expand to more than is allowed"
	problemAnchor  = "an alias names an anchor that does not exist"
	problemLoop    = "an anchor contains itself"
	problemMore    = "text after the end of the document; begin the next one with a line of ---"
	problemTag     = "a value does not fit its tag"
	problemMerge   = "a merge of Git was not finished here: resolve the conflict"
)

// explanations maps what a YAML parser says to what we say. What it says on its own behalf, without quoting, is kept.
func explanations() [][2]string {
	out := [][2]string{
		{"already set in map", problemTwice},
		{"excessive aliasing", problemAliases},
		{"unknown anchor", problemAnchor},
		{"value contains itself", problemLoop},
		{"cannot decode", problemTag},
		{"invalid base64", problemTag},
	}
	for _, said := range []string{
		"mapping values are not allowed in this context",
		"block sequence entries are not allowed in this context",
		"mapping keys are not allowed in this context",
		"found character that cannot start any token",
		"found a tab character that violates indentation",
		"found a tab character where an indentation space is expected",
		"could not find expected ':'",
		"could not find expected directive name",
		"did not find expected key",
		"did not find expected '-' indicator",
		"did not find expected ',' or ']'",
		"did not find expected ',' or '}'",
		"did not find expected node content",
		"did not find expected <document start>",
		"found unexpected end of stream",
		"found unexpected document indicator",
		"found unknown escape character",
		"control characters are not allowed",
	} {
		out = append(out, [2]string{said, problemYAML + ": " + said})
	}
	return out
}

var lineNumber = regexp.MustCompile(`\bline ([0-9]{1,9})\b`)

// explain reduces a YAML parser's error to a line of the document (0 when it names none) and one of our texts.
func explain(err error) (line int, problem string) {
	text := err.Error()
	if m := lineNumber.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
	}
	for _, e := range explanations() {
		if strings.Contains(text, e[0]) {
			return line, e[1]
		}
	}
	return line, problemYAML
}

// unmerged puts the conflict that a merge left in a stream in the place of what a parser says of its marks.
func unmerged(data []byte, err error) error {
	var said *Error
	if !errors.As(err, &said) || said.Cause != nil {
		return err
	}
	line := 0
	for l := range bytes.Lines(data) {
		line++
		if bytes.HasPrefix(l, []byte("<<<<<<< ")) {
			return &Error{Document: said.Document, Line: line, Problem: problemMerge, Cause: ErrUnmerged}
		}
	}
	return err
}

// inspect looks at what the conversion to JSON does not: that the text is one document to its end, of which the converter
// reads the first and drops the rest, and that it stays within size bytes once its aliases are copied to where they are
// named: the parser shares what an alias names, JSON cannot, and a kilobyte can name a gigabyte. It returns the line and
// the problem, or no problem.
func inspect(text []byte, size int) (line int, problem string, cause error) {
	var root yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&root); errors.Is(err, io.EOF) {
		return 0, "", nil
	} else if err != nil {
		line, problem = explain(err)
		return line, problem, nil
	}
	var more yaml.Node
	if err := d.Decode(&more); err == nil {
		return more.Line, problemMore, nil
	} else if !errors.Is(err, io.EOF) {
		line, _ = explain(err)
		return line, problemMore, nil
	}
	m := measure{left: size}
	m.node(&root, 0)
	if m.left < 0 {
		return m.line, problemAliases, ErrTooLarge
	}
	return 0, "", nil
}

// maxDepth bounds how deep aliases nest; an anchor that contains itself nests forever.
const maxDepth = 1000

type measure struct {
	left int
	line int // of the alias that is being copied, zero outside of any
}

// node takes what aliases copy from what is left, and stops when nothing is. depth counts from the outermost alias.
func (m *measure) node(n *yaml.Node, depth int) {
	if m.line != 0 {
		if m.left -= len(n.Value) + 1; depth > maxDepth {
			m.left = -1
		}
		depth++
	}
	if n.Kind == yaml.AliasNode && n.Alias != nil && m.left >= 0 {
		outermost := m.line == 0
		if outermost {
			m.line = n.Line
		}
		m.node(n.Alias, depth)
		if outermost && m.left >= 0 {
			m.line = 0
		}
	}
	for _, child := range n.Content {
		if m.left < 0 {
			return
		}
		m.node(child, depth)
	}
}

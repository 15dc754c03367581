package yamledit

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document is a text with its syntax tree, whose places are lines and columns.
type document struct {
	text  []byte
	lines []int // offset of each line
	root  *yaml.Node
	end   string // of a line
}

func parse(text []byte) (*document, bool) {
	root := tree(text)
	if root == nil || root.Kind != yaml.MappingNode {
		return nil, false
	}
	d := &document{text: text, lines: []int{0}, root: root, end: "\n"}
	for i, b := range text {
		if b == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	if len(d.lines) > 1 && d.lines[1] > 1 && text[d.lines[1]-2] == '\r' {
		d.end = "\r\n"
	}
	return d, true
}

// escaped is an escape of JSON, surrogate one of half a character beyond U+FFFF.
var (
	escaped   = regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|.)`)
	surrogate = regexp.MustCompile(`^\\u[dD][89a-fA-F]`)
)

// tree returns the syntax tree of a document, or nil. Of JSON it is good for places and plain names alone: what the parser of
// YAML does not take there, halves of characters and slashes that are escaped, is something else that is as long.
func tree(text []byte) *yaml.Node {
	if bytes.IndexByte(text, '\\') >= 0 && json.Valid(text) {
		text = escaped.ReplaceAllFunc(text, func(escape []byte) []byte {
			switch {
			case escape[1] == '/':
				return []byte("//")
			case surrogate.Match(escape):
				return []byte(`\u0020`)
			}
			return escape
		})
	}
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil || len(root.Content) != 1 {
		return nil
	}
	return root.Content[0]
}

// offset returns where a node begins.
func (d *document) offset(n *yaml.Node) (int, bool) {
	if n.Line < 1 || n.Line > len(d.lines) {
		return 0, false
	}
	at := d.lines[n.Line-1]
	for range n.Column - 1 { // columns count characters
		if at >= len(d.text) {
			return 0, false
		}
		_, size := utf8.DecodeRune(d.text[at:])
		at += size
	}
	return at, true
}

// span returns where a node begins, with its anchor and tag, and ends.
func (d *document) span(n *yaml.Node) (from, to int, ok bool) {
	if from, ok = d.offset(n); !ok {
		return 0, 0, false
	}
	switch {
	case n.Kind == yaml.AliasNode:
		to, ok = d.textEnd(from, "*"+n.Value)
	case n.Kind == yaml.ScalarNode:
		to, ok = d.scalarEnd(n, d.behindProperties(n, from))
	case n.Style&yaml.FlowStyle != 0:
		to, ok = d.flowEnd(d.behindProperties(n, from))
	case len(n.Content) == 0:
		return 0, 0, false
	default:
		_, to, ok = d.span(n.Content[len(n.Content)-1])
	}
	return from, to, ok
}

// behindProperties returns where the value of a node begins, behind its anchor and tag.
func (d *document) behindProperties(n *yaml.Node, at int) int {
	for at < len(d.text) && (n.Anchor != "" && d.text[at] == '&' || n.Style&yaml.TaggedStyle != 0 && d.text[at] == '!') {
		property := bytes.IndexAny(d.text[at:], " \t\r\n")
		if property < 0 {
			return len(d.text)
		}
		at += property
		at += len(d.text[at:]) - len(bytes.TrimLeft(d.text[at:], " \t\r\n"))
	}
	return at
}

// textEnd returns where a text ends that stands at an offset, and whether it does.
func (d *document) textEnd(from int, text string) (int, bool) {
	return from + len(text), bytes.HasPrefix(d.text[min(from, len(d.text)):], []byte(text))
}

func (d *document) scalarEnd(n *yaml.Node, from int) (int, bool) {
	switch n.Style &^ yaml.TaggedStyle {
	case yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle:
		return d.quoteEnd(from)
	case 0:
		if n.Value == "" && (n.Anchor != "" || n.Style != 0) { // which has no place behind them
			return 0, false
		}
		return d.textEnd(from, n.Value)
	default:
		return d.blockEnd(n)
	}
}

func (d *document) quoteEnd(from int) (int, bool) {
	if from >= len(d.text) || (d.text[from] != '"' && d.text[from] != '\'') {
		return 0, false
	}
	quote := d.text[from]
	for i := from + 1; i < len(d.text); i++ {
		switch {
		case d.text[i] == '\\' && quote == '"':
			i++
		case d.text[i] == quote && quote == '\'' && i+1 < len(d.text) && d.text[i+1] == quote:
			i++
		case d.text[i] == quote:
			return i + 1, true
		}
	}
	return 0, false
}

// blockEnd returns the end of the last line with text of a literal or folded scalar: lines that are indented deeper than
// the line on which it begins.
func (d *document) blockEnd(n *yaml.Node) (int, bool) {
	depth := d.indentOf(n.Line)
	to := d.lineEnd(n.Line)
	for line := n.Line + 1; line <= len(d.lines); line++ {
		if strings.TrimSpace(string(d.text[d.lines[line-1]:d.lineEnd(line)])) == "" {
			continue
		}
		if d.indentOf(line) <= depth {
			break
		}
		to = d.lineEnd(line)
	}
	return to, true
}

func (d *document) flowEnd(from int) (int, bool) {
	depth := 0
	for i := from; i < len(d.text); i++ {
		switch d.text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, true
			}
		case '"', '\'':
			end, ok := d.quoteEnd(i)
			if !ok {
				return 0, false
			}
			i = end - 1
		case '#':
			return 0, false
		}
	}
	return 0, false
}

func (d *document) indentOf(line int) int {
	text := d.text[d.lines[line-1]:d.lineEnd(line)]
	return len(text) - len(bytes.TrimLeft(text, " "))
}

// lineEnd returns where a line's text ends, without its line end.
func (d *document) lineEnd(line int) int {
	end := len(d.text)
	if line < len(d.lines) {
		end = d.lines[line] - 1
	}
	if end > 0 && end <= len(d.text) && d.text[end-1] == '\r' && end > d.lines[line-1] {
		end--
	}
	return end
}

// lineOf returns the line that an offset is on, from 1.
func (d *document) lineOf(at int) int {
	line, found := slices.BinarySearch(d.lines, at)
	if found {
		line++
	}
	return line
}

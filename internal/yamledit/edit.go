package yamledit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
	kyaml "sigs.k8s.io/yaml"
)

// Edit sets or deletes one field. Maps on the way that are missing, null or empty are made.
type Edit struct {
	// Path holds names of fields from the top of the document down, and decimal indexes where there is a list.
	Path []string
	// Value is what JSON can hold: nil, string, bool, number, []any or map[string]any.
	Value any
	// Delete removes the field; one that is not there is none to remove.
	Delete bool
}

// What Apply refuses. The texts say nothing of the document.
var (
	// ErrSyntax: the text is not one YAML or JSON document that holds a map.
	ErrSyntax = errors.New("not one document with fields")
	// ErrShape: the path leads through something that is no map: a text, or an alias, under which a change would show
	// in other places too. It comes as a *ShapeError where the place is known.
	ErrShape = errors.New("not a plain map")
)

// ShapeError is ErrShape with the place of it.
type ShapeError struct{ Path []string }

func (e *ShapeError) Error() string {
	place := "the document"
	if len(e.Path) > 0 {
		place = strings.Join(e.Path, ".")
	}
	return place + " is " + ErrShape.Error()
}

func (e *ShapeError) Unwrap() error { return ErrShape }

// Apply returns the text with all edits made, or ErrSyntax or ErrShape.
func Apply(text []byte, edits []Edit) ([]byte, error) {
	want, err := decode(text)
	if err != nil {
		return nil, err
	}
	var effective []Edit // what is so already keeps its spelling
	for _, e := range edits {
		if value, ok := lookup(want, e.Path); ok != e.Delete && (e.Delete || reflect.DeepEqual(value, e.Value)) {
			continue
		}
		if err := change(want, e); err != nil {
			return nil, err
		}
		effective = append(effective, e)
	}
	if len(effective) == 0 {
		return text, nil
	}
	if out, ok := spliceAll(text, effective); ok && says(out, want) {
		return out, nil
	}
	out, err := rewrite(text, effective)
	if err != nil {
		return nil, err
	}
	if says(out, want) {
		return out, nil
	}
	if len(effective) == 1 {
		return nil, &ShapeError{parentOf(effective[0])}
	}
	for _, e := range effective { // to tell of the one that cannot be made
		if text, err = Apply(text, []Edit{e}); err != nil {
			return nil, err
		}
	}
	return text, nil
}

func parentOf(e Edit) []string { return e.Path[:len(e.Path)-1] }

// Difference returns the edits that make have into want, maps field by field and all else as a whole, in the order of
// their paths.
func Difference(have, want map[string]any) []Edit { return difference(nil, have, want) }

func difference(path []string, have, want map[string]any) []Edit {
	var out []Edit
	names := slices.Sorted(maps.Keys(have))
	for name := range want {
		if _, ok := have[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		at := append(slices.Clone(path), name)
		before, had := have[name]
		after, has := want[name]
		a, aMap := before.(map[string]any)
		b, bMap := after.(map[string]any)
		switch {
		case !has:
			out = append(out, Edit{Path: at, Delete: true})
		case aMap && bMap:
			out = append(out, difference(at, a, b)...)
		case !had || !reflect.DeepEqual(before, after):
			out = append(out, Edit{Path: at, Value: after})
		}
	}
	return out
}

// decode reads a document as Kubernetes does.
func decode(text []byte) (map[string]any, error) {
	data := text
	if !json.Valid(text) {
		var err error
		if data, err = kyaml.YAMLToJSONStrict(text); err != nil {
			return nil, ErrSyntax
		}
	}
	var object map[string]any
	if strict, err := kjson.UnmarshalStrict(data, &object, kjson.DisallowDuplicateFields); err != nil || len(strict) > 0 || object == nil {
		return nil, ErrSyntax
	}
	return object, nil
}

func says(text []byte, want map[string]any) bool {
	got, err := decode(text)
	return err == nil && reflect.DeepEqual(got, want)
}

// lookup returns what stands at a path, and whether anything does.
func lookup(object map[string]any, path []string) (any, bool) {
	var at any = object
	for _, name := range path {
		switch container := at.(type) {
		case map[string]any:
			value, ok := container[name]
			if !ok {
				return nil, false
			}
			at = value
		case []any:
			index, err := strconv.Atoi(name)
			if err != nil || index < 0 || index >= len(container) {
				return nil, false
			}
			at = container[index]
		default:
			return nil, false
		}
	}
	return at, len(path) > 0
}

// change makes an edit in an object, in which a field that is to be deleted is there.
func change(object map[string]any, e Edit) error {
	if len(e.Path) == 0 {
		return ErrShape
	}
	var at any = object
	for i, name := range e.Path {
		last := i == len(e.Path)-1
		switch container := at.(type) {
		case map[string]any:
			switch {
			case last && e.Delete:
				delete(container, name)
			case last:
				container[name] = e.Value
			case container[name] == nil:
				container[name] = map[string]any{}
			}
			at = container[name]
		case []any:
			index, err := strconv.Atoi(name)
			if err != nil || index < 0 || index >= len(container) || last {
				return &ShapeError{e.Path[:i]}
			}
			at = container[index]
		default:
			return &ShapeError{e.Path[:i]}
		}
	}
	return nil
}

// rewrite makes the edits in the syntax tree and writes that, between the space before the document, which parts it from a
// separator, and its end mark.
func rewrite(text []byte, edits []Edit) ([]byte, error) {
	const blank = " \t\r\n"
	space := text[:len(text)-len(bytes.TrimLeft(text, blank))]
	if json.Valid(text) {
		written, err := rewriteJSON(text, edits)
		return slices.Concat(space, bytes.TrimRight(written, blank), text[len(bytes.TrimRight(text, blank)):]), err
	}
	end := len(text)
	if mark := endMark.FindIndex(text); mark != nil {
		end = mark[0] + 1
	}
	d, ok := parse(text)
	if !ok {
		return nil, ErrSyntax
	}
	written, err := rewriteYAML(text[:end], edits)
	if err != nil {
		return nil, err
	}
	return slices.Concat(space, bytes.ReplaceAll(written, []byte("\n"), []byte(d.end)), text[end:]), nil
}

// endMark is the end mark of a document, behind which only comments stand.
var endMark = regexp.MustCompile(`\n\.\.\.(?:[ \t\r\n]|$)`)

func rewriteYAML(text []byte, edits []Edit) ([]byte, error) {
	var root yaml.Node
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) // the parser takes each half of a line end for one when it looks for comments
	if err := yaml.Unmarshal(text, &root); err != nil || len(root.Content) != 1 {
		return nil, ErrSyntax
	}
	for _, e := range edits {
		if err := changeNode(root.Content[0], e); err != nil {
			return nil, err
		}
	}
	moveComments(&root)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if err := e.Encode(&root); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return out.Bytes(), nil
}

// moveComments moves the comment behind a value that has become one of several lines behind its name: it would be written
// behind the value, on the line of another one.
func moveComments(node *yaml.Node) {
	for i, value := range node.Content {
		moveComments(value)
		if node.Kind == yaml.MappingNode && i%2 == 1 && value.Style&yaml.FlowStyle == 0 && len(value.Content) > 0 && value.LineComment != "" {
			node.Content[i-1].LineComment, value.LineComment = value.LineComment, ""
		}
	}
}

func rewriteJSON(text []byte, edits []Edit) ([]byte, error) {
	object, err := decode(text)
	if err != nil {
		return nil, err
	}
	for _, e := range edits {
		if err := change(object, e); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(object); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return out.Bytes(), nil
}

func changeNode(node *yaml.Node, e Edit) error {
	parent := parentOf(e)
	for i, name := range parent {
		next := step(node, name)
		if next == nil && (e.Delete || node.Kind != yaml.MappingNode) {
			return &ShapeError{parent[:i]} // what is to be deleted is there, by an alias
		}
		if next == nil {
			next = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
			node.Content = append(node.Content, text(name), next)
		}
		if isNull(next) && !e.Delete {
			*next = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", HeadComment: next.HeadComment, LineComment: next.LineComment, FootComment: next.FootComment}
		}
		node = next
	}
	if node.Kind != yaml.MappingNode {
		return &ShapeError{parent}
	}
	if len(node.Content) == 0 {
		node.Style = 0 // {} would put all that is added into one line
	}
	name := e.Path[len(e.Path)-1]
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			if e.Delete {
				node.Content = slices.Delete(node.Content, i, i+2)
				return nil
			}
			return replaceNode(node.Content[i+1], e)
		}
	}
	if e.Delete {
		return &ShapeError{parent}
	}
	value := &yaml.Node{}
	node.Content = append(node.Content, text(name), value)
	return replaceNode(value, e)
}

func text(value string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	if special.MatchString(value) { // the parser of Kubernetes takes more words for truth values than this one
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}

func replaceNode(node *yaml.Node, e Edit) error {
	if node.Anchor != "" {
		return &ShapeError{parentOf(e)}
	}
	before := *node
	*node = yaml.Node{}
	if s, ok := e.Value.(string); ok {
		*node = *text(s)
	} else if err := node.Encode(e.Value); err != nil {
		return fmt.Errorf("write the value: %w", err)
	}
	node.HeadComment, node.LineComment, node.FootComment = before.HeadComment, before.LineComment, before.FootComment
	return nil
}

// step returns what stands under a name or index, or nil.
func step(node *yaml.Node, name string) *yaml.Node {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if index, err := strconv.Atoi(name); err == nil && index >= 0 && index < len(node.Content) {
			return node.Content[index]
		}
	}
	return nil
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// Lines finds the lines of fields of a document.
type Lines struct {
	root  *yaml.Node
	first int
}

// NewLines reads a document whose text begins on a line of its file. A text that cannot be read has only that line.
func NewLines(text []byte, first int) Lines {
	return Lines{root: tree(text), first: first}
}

// Of returns the line on which a field's name stands, or that of the nearest field above it that is there.
func (l Lines) Of(path ...string) int {
	if l.root == nil {
		return l.first
	}
	node, line := l.root, l.root.Line
	for _, name := range path {
		for node.Kind == yaml.AliasNode && node.Alias != nil {
			node = node.Alias
		}
		next := step(node, name)
		if next == nil {
			break
		}
		line = next.Line
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i+1] == next {
				line = node.Content[i].Line
			}
		}
		node = next
	}
	return l.first + line - 1
}

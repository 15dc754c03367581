package yamledit

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/yaml"
)

// splice replaces the bytes from one offset up to another.
type splice struct {
	from, to int
	with     string
}

// spliceAll makes the edits by replacing bytes; false when one of them cannot be made that way.
func spliceAll(text []byte, edits []Edit) ([]byte, bool) {
	// Fields that are there are replaced in one pass, as all values of an object are when it is sealed anew. What changes
	// the shape of the document is done one by one, because each moves what follows.
	var values []splice
	d, ok := parse(text)
	if !ok {
		return nil, false
	}
	var rest []Edit
	for _, e := range edits {
		if s, ok := d.replace(e); ok {
			values = append(values, s)
		} else {
			rest = append(rest, e)
		}
	}
	text = apply(text, values)
	for _, e := range rest {
		if d, ok = parse(text); !ok {
			return nil, false
		}
		s, ok := d.reshape(e)
		if !ok {
			return nil, false
		}
		text = apply(text, s)
	}
	return text, true
}

func apply(text []byte, splices []splice) []byte {
	slices.SortStableFunc(splices, func(a, b splice) int { return a.from - b.from })
	var out bytes.Buffer
	at := 0
	for _, s := range splices {
		if s.from < at {
			continue // two edits of one field; reading back finds it
		}
		out.Write(text[at:s.from])
		out.WriteString(s.with)
		at = s.to
	}
	out.Write(text[at:])
	return out.Bytes()
}

// find returns the map that holds the last name of a path, and how many names lead to what is there.
func (d *document) find(path []string) (node *yaml.Node, depth int) {
	node = d.root
	for depth < len(path)-1 {
		next := step(node, path[depth])
		if next == nil || isNull(next) {
			return node, depth
		}
		node = next
		depth++
	}
	return node, depth
}

// entry returns the place of a name in a map, or -1.
func entry(node *yaml.Node, name string) int {
	for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return i
		}
	}
	return -1
}

// replace sets a scalar that is there to a string. It keeps anchor and tag, in case they have a meaning: if it is another one
// now, reading back finds it.
func (d *document) replace(e Edit) (splice, bool) {
	value, isText := e.Value.(string)
	node, depth := d.find(e.Path)
	i := entry(node, e.Path[len(e.Path)-1])
	if e.Delete || !isText || depth != len(e.Path)-1 || i < 0 {
		return splice{}, false
	}
	old := node.Content[i+1]
	if old.Kind != yaml.ScalarNode || old.Value == "" && old.Style == 0 {
		return splice{}, false
	}
	from, to, ok := d.span(old)
	if !ok {
		return splice{}, false
	}
	from = d.behindProperties(old, from)
	switch style := old.Style &^ yaml.TaggedStyle; {
	case style == yaml.DoubleQuotedStyle:
		return splice{from, to, quoted(value)}, true
	case style == yaml.SingleQuotedStyle && !strings.ContainsAny(value, "\n\r\t"):
		return splice{from, to, "'" + strings.ReplaceAll(value, "'", "''") + "'"}, true
	default:
		return splice{from, to, scalar(value)}, true
	}
}

// reshape makes an edit that adds or removes a field, or gives one a value of another kind.
func (d *document) reshape(e Edit) ([]splice, bool) {
	node, depth := d.find(e.Path)
	name := e.Path[depth]
	if node.Kind != yaml.MappingNode {
		return nil, false
	}
	i := entry(node, name)
	switch {
	case e.Delete && (i < 0 || depth < len(e.Path)-1):
		return nil, true
	case e.Delete && len(node.Content) == 2 && depth > 0:
		return d.empty(e.Path[:depth], node)
	case e.Delete:
		return d.remove(node, i)
	}
	value := e.Value
	for j := len(e.Path) - 1; j > depth; j-- {
		value = map[string]any{e.Path[j]: value}
	}
	if i < 0 {
		return d.insert(node, name, value)
	}
	return d.refill(node, i, value)
}

// refill gives a field that is null or empty a value; the key's end is known, that of a missing value is not.
func (d *document) refill(node *yaml.Node, i int, value any) ([]splice, bool) {
	key, old := node.Content[i], node.Content[i+1]
	if !isNull(old) && (len(old.Content) > 0 || old.Kind == yaml.ScalarNode) {
		return nil, false
	}
	_, to, ok := d.span(key)
	if !ok {
		return nil, false
	}
	colon := bytes.IndexByte(d.text[to:], ':')
	if colon < 0 || len(bytes.TrimSpace(d.text[to:to+colon])) > 0 {
		return nil, false
	}
	from := to + colon + 1
	to = from
	if old.Value != "" || old.Kind != yaml.ScalarNode {
		if _, to, ok = d.span(old); !ok {
			return nil, false
		}
	}
	if node.Style&yaml.FlowStyle != 0 {
		return []splice{{from, to, " " + flow(value)}}, true
	}
	return []splice{{from, to, d.block(value, key.Column-1)}}, true
}

// insert adds a field to a map: in its place when the map is sorted, else at the end.
func (d *document) insert(node *yaml.Node, name string, value any) ([]splice, bool) {
	if len(node.Content) == 0 {
		if node.Style&yaml.FlowStyle == 0 {
			return nil, false
		}
		from, to, ok := d.span(node)
		parentIsFlow := node != d.root && d.isInFlow(from)
		if !ok || node == d.root && !json.Valid(d.text) {
			return nil, false
		}
		if parentIsFlow || node == d.root {
			return []splice{{from, to, "{" + quoted(name) + ": " + flow(value) + "}"}}, true
		}
		return d.unfold(from, to, name, value)
	}
	last := len(node.Content) - 2
	if node.Style&yaml.FlowStyle != 0 {
		_, to, ok := d.span(node.Content[last+1])
		if !ok {
			return nil, false
		}
		key := scalar(name)
		if node.Content[0].Style == yaml.DoubleQuotedStyle {
			key = quoted(name)
		}
		return d.insertInFlow(node.Content[0], to, key+": "+flow(value)), true
	}
	indent := strings.Repeat(" ", node.Content[0].Column-1)
	field := scalar(name) + ":" + d.block(value, node.Content[0].Column-1)
	if next := nextInOrder(node, name); next >= 0 && d.beginsLine(node.Content[next]) {
		line := node.Content[next].Line
		for line > 1 && strings.HasPrefix(strings.TrimSpace(string(d.text[d.lines[line-2]:d.lineEnd(line-1)])), "#") {
			line--
		}
		at := d.lines[line-1]
		return []splice{{at, at, indent + field + d.end}}, true
	}
	_, to, ok := d.span(node.Content[last+1])
	if !ok {
		if v := node.Content[last+1]; !isNull(v) || v.Value != "" {
			return nil, false
		}
		to = d.lines[node.Content[last].Line-1]
	}
	to = d.lineEnd(d.lineOf(to))
	return []splice{{to, to, d.end + indent + field}}, true
}

// insertInFlow adds a field behind the last of a map in brackets, which ends at an offset: in a line of its own where the first
// has one, below the last one's comment.
func (d *document) insertInFlow(first *yaml.Node, last int, field string) []splice {
	if !d.beginsLine(first) {
		return []splice{{last, last, ", " + field}}
	}
	start := d.lines[first.Line-1]
	line := d.end + string(d.text[start:start+first.Column-1]) + field
	end := d.lineEnd(d.lineOf(last))
	rest := bytes.TrimLeft(d.text[last:end], " \t")
	rest, hasComma := bytes.CutPrefix(rest, []byte(","))
	switch comment := bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte("#")); {
	case comment && hasComma:
		return []splice{{end, end, line + ","}}
	case comment:
		return []splice{{last, last, ","}, {end, end, line}}
	}
	return []splice{{last, last, "," + line}}
}

// unfold makes an empty map {} into one with a field below its name.
func (d *document) unfold(from, to int, name string, value any) ([]splice, bool) {
	line := d.lineOf(from)
	before := d.text[d.lines[line-1]:from]
	trimmed := bytes.TrimRight(before, " ")
	if !bytes.HasSuffix(trimmed, []byte(":")) {
		return nil, false
	}
	indent := d.indentOf(line)
	for dash := trimmed[indent:]; bytes.HasPrefix(dash, []byte("- ")); dash = dash[2:] {
		indent += 2
	}
	return []splice{{d.lines[line-1] + len(trimmed), to, d.block(map[string]any{name: value}, indent)}}, true
}

// isInFlow says whether an offset is inside of brackets, as far as its line's beginning up to the root can tell.
func (d *document) isInFlow(at int) bool {
	var inside func(n *yaml.Node) bool
	inside = func(n *yaml.Node) bool {
		if n.Style&yaml.FlowStyle != 0 && len(n.Content) > 0 {
			if from, to, ok := d.span(n); ok && from < at && at < to {
				return true
			}
		}
		return slices.ContainsFunc(n.Content, inside)
	}
	return inside(d.root)
}

// nextInOrder returns the place of the field before which a name belongs, or -1 when the fields have no order or it
// belongs to the end.
func nextInOrder(node *yaml.Node, name string) int {
	next := -1
	for i := 0; i < len(node.Content); i += 2 {
		if i > 0 && node.Content[i].Value < node.Content[i-2].Value {
			return -1
		}
		if next < 0 && node.Content[i].Value > name {
			next = i
		}
	}
	return next
}

// beginsLine says whether nothing but space stands before a node on its line.
func (d *document) beginsLine(n *yaml.Node) bool {
	at, ok := d.offset(n)
	return ok && len(bytes.TrimSpace(d.text[d.lines[n.Line-1]:at])) == 0
}

// empty writes {} for the map at a path, which holds one field.
func (d *document) empty(path []string, node *yaml.Node) ([]splice, bool) {
	holder, _ := d.find(path)
	i := entry(holder, path[len(path)-1])
	if i < 0 || holder.Content[i+1] != node {
		return nil, false
	}
	_, colon, ok := d.span(holder.Content[i])
	_, to, okValue := d.span(node)
	if !ok || !okValue {
		return nil, false
	}
	colon += bytes.IndexByte(d.text[colon:], ':') + 1
	return []splice{{colon, to, " {}"}}, true
}

func (d *document) remove(node *yaml.Node, i int) ([]splice, bool) {
	from, _, ok := d.span(node.Content[i])
	_, to, okValue := d.span(node.Content[i+1])
	if v := node.Content[i+1]; !okValue && isNull(v) && v.Value == "" {
		to, okValue = d.lineEnd(node.Content[i].Line), true
	}
	if !ok || !okValue || len(node.Content) == 2 {
		return nil, false
	}
	if node.Style&yaml.FlowStyle != 0 {
		return d.removeInFlow(node, i, from, to)
	}
	if !d.beginsLine(node.Content[i]) {
		return nil, false // a dash stands before it
	}
	return d.removeLines(node.Content[i], to), true
}

// removeLines removes the lines of a field that ends at an offset, and the comments that belong to it.
func (d *document) removeLines(key *yaml.Node, to int) []splice {
	start := d.lines[d.firstComment(key)-1]
	line := d.lineOf(to)
	if line < len(d.lines) {
		return []splice{{start, d.lines[line], ""}}
	}
	return []splice{{start, len(d.text), ""}}
}

// removeInFlow removes a field of a map in brackets with the comma behind it, or before the last one. Where there may be comments
// it removes the field's own lines, because YAML, which alone has comments, takes a comma behind the last field.
func (d *document) removeInFlow(node *yaml.Node, i, from, to int) ([]splice, bool) {
	cut := splice{from: from, to: to}
	var ok bool
	if i+2 < len(node.Content) {
		cut.to, _, ok = d.span(node.Content[i+2])
	} else {
		_, cut.from, ok = d.span(node.Content[i-1])
	}
	if !ok || !bytes.ContainsRune(d.text[cut.from:cut.to], '#') {
		return []splice{cut}, ok
	}
	behind := bytes.TrimLeft(bytes.TrimPrefix(bytes.TrimLeft(d.text[to:d.lineEnd(d.lineOf(to))], " \t"), []byte(",")), " \t")
	if !d.beginsLine(node.Content[i]) || len(behind) > 0 && behind[0] != '#' {
		return nil, false
	}
	return d.removeLines(node.Content[i], to), true
}

// firstComment returns the line on which a field begins, or the first of the comments that belong to it: those right above it
// and as far to the right as it is. An empty line ends them, as it does for readers.
func (d *document) firstComment(key *yaml.Node) int {
	line := key.Line
	for line > 1 && d.indentOf(line-1) == key.Column-1 && bytes.HasPrefix(d.text[d.lines[line-2]+key.Column-1:], []byte("#")) {
		line--
	}
	return line
}

// block returns what stands after the colon of a field that is indented so far.
func (d *document) block(value any, indent int) string {
	switch value := value.(type) {
	case string:
		return " " + scalar(value)
	case map[string]any:
		if len(value) == 0 {
			return " {}"
		}
		text, err := kyaml.Marshal(value)
		if err != nil {
			return " {}" // reading back finds it
		}
		var out strings.Builder
		for line := range strings.Lines(strings.TrimSuffix(string(text), "\n")) {
			out.WriteString(d.end + strings.Repeat(" ", indent+2) + strings.TrimSuffix(line, "\n"))
		}
		return out.String()
	default:
		return " " + flow(value)
	}
}

func flow(value any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return "{}" // reading back finds it
	}
	return strings.TrimSpace(out.String())
}

func quoted(value string) string { return flow(value) }

var (
	plain   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+/=._-]*$`)
	special = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null)$`)
)

// scalar returns a string as it stands in YAML.
func scalar(value string) string {
	if plain.MatchString(value) && !special.MatchString(value) {
		return value
	}
	return quoted(value)
}

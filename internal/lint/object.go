package lint

import (
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/internal/manifest"
	"github.com/sealbridge/sealbridge/internal/yamledit"
)

// object reads the fields of an object leniently: what has another type is not there.
type object struct {
	item  manifest.Document
	lines yamledit.Lines
}

func (o *object) at(path ...string) any {
	var value any = o.item.Object
	for _, name := range path {
		fields, _ := value.(map[string]any)
		value = fields[name]
	}
	return value
}

func (o *object) mapping(path ...string) map[string]any {
	fields, _ := o.at(path...).(map[string]any)
	return fields
}

func (o *object) text(path ...string) string {
	text, _ := o.at(path...).(string)
	return text
}

func (o *object) line(path ...string) int { return o.lines.Of(slices.Concat(o.item.Path, path)...) }

// name returns kind and name for people.
func (o *object) name() string {
	_, kind := o.item.Kind()
	name := o.text("metadata", "name")
	if name == "" {
		return printable(kind)
	}
	if namespace := o.text("metadata", "namespace"); namespace != "" {
		name = namespace + "/" + name
	}
	return printable(kind + " " + name)
}

// printable makes a name fit for one line of a terminal.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
}

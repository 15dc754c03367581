package template

import (
	"strings"
	"text/template/parse"
)

// Volatile reports whether a template may print something else for the same data the next time, because it calls a function
// that is random or looks at the clock. It parses the text; a Cache knows it of what it keeps.
func Volatile(text string, d Delims) bool {
	if strings.Count(text, d.left()) > maxActions {
		return false // it is not rendered
	}
	root, trees := parse.New(rootName), map[string]*parse.Tree{}
	root.Mode = parse.SkipFuncCheck
	if _, err := root.Parse(text, d.Left, d.Right, trees); err != nil {
		return false
	}
	var refs References
	for _, tree := range trees {
		refs.walk(tree.Root, false)
	}
	return refs.volatile
}

// Volatile is the function Volatile for a text that is rendered with this Cache.
func (c *Cache) Volatile(text string, d Delims) bool {
	p, err := c.get(text, dialect{MissingKeyError, d})
	return err == nil && p.refs.volatile
}

func volatileFunction(name string) bool {
	switch name {
	case "bcrypt", "htpasswd", "encryptAES", "shuffle", "uuidv4", "now", "ago", "durationRound",
		"date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone": // the clock's time stands in for what is no time
		return true
	default:
		return strings.HasPrefix(name, "rand") || strings.HasPrefix(name, "gen")
	}
}

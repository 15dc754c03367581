package template

import (
	"regexp"
	"strings"
)

// actions are the parts of a template that are code, and called what could be the name of a function in them: a word that
// is no field, key or variable.
var (
	actions = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	called  = regexp.MustCompile(`(?:^|[^.$\w])([A-Za-z]\w*)`)
)

// Volatile reports whether a template may print something else for the same data the next time, because it names a
// function that is random or looks at the clock. It errs on the side of true: such a name in a text of an action counts.
func Volatile(text string) bool {
	for _, action := range actions.FindAllString(text, -1) {
		for _, word := range called.FindAllStringSubmatch(action, -1) {
			if volatileFunction(word[1]) {
				return true
			}
		}
	}
	return false
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

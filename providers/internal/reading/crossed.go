package reading

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sealbridge/sealbridge/providers"
)

// Crossed returns the error of an answer that is about something else than was asked for: of a cache that mixes answers up, or a
// store that lies. It says nothing about the rest of what the store holds, so it is no outage (IsDown). asked is what was asked for,
// in words, and answered the name or version that the answer gives itself.
func Crossed(store, asked, answered string) error {
	if !isName(answered) {
		answered = "a text that is no name"
	} else {
		answered = fmt.Sprintf("%q", answered)
	}
	return &crossed{store: store, what: fmt.Sprintf("asked for %s, it answers %s, which is not used", asked, answered)}
}

type crossed struct{ store, what string }

func (c *crossed) Error() string {
	return c.store + ": " + c.what + "; check what is between that keeps or changes answers"
}

func (*crossed) Unwrap() error { return providers.ErrUnavailable }

// OfAll returns the error of a search for that of one document: what everybody is told who uses a store names none.
func OfAll(err error) error {
	var c *crossed
	if errors.As(err, &c) {
		return &crossed{c.store, "asked for one document, it answers another, which is not used"}
	}
	return err
}

// maxAnswered is how long a name of an answer is shown: no store has longer ones.
const maxAnswered = 1024

// isName reports whether a text can be a name, an identifier or a version in any store, and may be shown as one.
func isName(text string) bool {
	return text != "" && len(text) <= maxAnswered && strings.IndexFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("/_+=.@!:-", r)
	}) < 0
}

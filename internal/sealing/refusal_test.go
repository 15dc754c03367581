package sealing_test

import (
	"testing"

	"github.com/sealbridge/sealbridge/internal/sealing"
)

func TestOnlyAnAnswerThatIsARefusalIsOne(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]sealing.Refusal{
		string(sealing.NoKey) + "\n":            sealing.NoKey,
		string(sealing.Undecryptable):           sealing.Undecryptable,
		"":                                      "",
		"\n":                                    "",
		string(sealing.NoKey) + "\n\n":          "",
		string(sealing.NoKey) + " \x1b[2J":      "",
		"<html>" + string(sealing.NoKey) + "\n": "",
	} {
		if got := sealing.RefusalIn([]byte(answer)); got != want {
			t.Errorf("%q is taken for %q", answer, got)
		}
	}
}

package reading_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

func TestAnAnswerToAnotherQuestionIsNoOutageAndNamesBoth(t *testing.T) {
	t.Parallel()
	err := reading.Crossed("SecretStore a/b", `secret "x"`, "arn:aws:secretsmanager:eu-west-1:1:secret:team/y+z@w=1.2!-AbCdEf")
	if want := `SecretStore a/b: asked for secret "x", it answers "arn:aws:secretsmanager:eu-west-1:1:secret:team/y+z@w=1.2!-AbCdEf", which is not used; ` +
		"check what is between that keeps or changes answers"; err.Error() != want || !errors.Is(err, providers.ErrUnavailable) {
		t.Errorf("%v\nwant %s", err, want)
	}
	if reading.IsDown(err) || reading.Down([]providers.Result{{Err: err}}) != nil {
		t.Error("the store counts as down for all who use it")
	}
	for what, name := range map[string]string{"nothing": "", "a text": "the " + canary, "lines": canary + "\n", "what is long": strings.Repeat("x", 1025)} {
		if err := reading.Crossed("s", "x", name); !strings.Contains(err.Error(), "it answers a text that is no name, which") {
			t.Errorf("%s is shown: %.200v", what, err)
		}
	}
	if err := reading.Crossed("s", "x", strings.Repeat("x", 1024)); !strings.Contains(err.Error(), "xxx") {
		t.Errorf("a long name is not shown: %v", err)
	}
}

func TestWhatASearchSaysOfAnAnswerToAnotherQuestionNamesNothing(t *testing.T) {
	t.Parallel()
	err := reading.OfAll(reading.Crossed("SecretStore a/b", `secret "x"`, "y"))
	if !errors.Is(err, providers.ErrUnavailable) || reading.IsDown(err) || err.Error() !=
		"SecretStore a/b: asked for one document, it answers another, which is not used; check what is between that keeps or changes answers" {
		t.Error(err)
	}
	if denied := providers.Errorf(providers.ErrDenied, "x"); reading.OfAll(denied) != denied || reading.OfAll(nil) != nil { //nolint:errorlint // the very same
		t.Error("other errors change")
	}
}

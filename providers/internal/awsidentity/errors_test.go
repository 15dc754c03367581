package awsidentity

import "testing"

func TestWhatIsShownOfACodeIsAWord(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"ValidationException": "ValidationException", "a b": "an error of another kind", "x-1": "an error of another kind"} {
		if got := printable(code); got != want {
			t.Errorf("%q: %q", code, got)
		}
	}
}

package externalsecret

import (
	"errors"
	"strings"
	"testing"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/providers"
)

// One key that a Secret cannot have makes the API server refuse all of them, so that it is named before.
func TestWhatCannotBeAKeyOfASecretIsKnownBeforeItIsWritten(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ value, key bool }{
		"": {}, ".": {value: true}, "..": {value: true}, "..a": {value: true}, ".a": {true, true}, "a..": {true, true}, "-": {true, true}, "_": {true, true},
		"azAZ09": {true, true}, "a@": {}, "a[": {}, "a`": {}, "a{": {}, "a/": {}, "a:": {}, "a b": {}, "a\n": {}, "ä": {value: true}, "a٣": {value: true}, "\xff": {},
		strings.Repeat("a", 253): {true, true}, strings.Repeat("a", 254): {}, strings.Repeat("ä", 127): {},
	} {
		value, key := checkName(name), checkKey(name)
		if (value == nil) != want.value || (key == nil) != want.key {
			t.Errorf("%q: as the name of a value %v, as a key %v", name, value, key)
		}
		for _, err := range []error{value, key} {
			if err != nil && (!errors.Is(err, providers.ErrInvalid) || len(err.Error()) > 300) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

func TestOnlyAZeroByteIsWhatThePolicyForZeroBytesRefuses(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]map[esv1.NullBytePolicy]bool{
		"a":     {"": true, esv1.NullByteIgnore: true, esv1.NullByteFail: true},
		"a\x00": {"": true, esv1.NullByteIgnore: true, esv1.NullByteFail: false},
	} {
		for policy, taken := range want {
			if got, err := decodeValue([]byte(value), "", policy); (err == nil) != taken || taken && string(got) != value {
				t.Errorf("%q with %q: %q, %v", value, policy, got, err)
			}
		}
	}
}

package externalsecret

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/providers"
)

// FuzzANameBecomesAKeyOrIsRefused: whatever a store calls its fields, each is a key of letters, digits, '-', '_' and '.', none is
// lost or stands in for another, and what is one already stays as it is.
func FuzzANameBecomesAKeyOrIsRefused(f *testing.F) {
	for _, seed := range [][2]string{
		{"password", "user"}, {"a b", "a_b"}, {"a/ü", "a_U002f__U00fc_"}, {"", "."}, {"..", "..x"}, {"\xff\xfe", "\u2028"}, {strings.Repeat("a", 253), strings.Repeat("ä", 253)},
		{"😀", "_U1f600_"}, {"a\x00b", "a\nb"}, {"-", "_"}, {"ａ", "а"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, strategy := range []esv1.ConversionStrategy{"", esv1.ConversionDefault, esv1.ConversionUnicode} {
			for _, name := range []string{first, second} {
				key := convertKey(name, strategy)
				if strings.ContainsFunc(key, func(r rune) bool { return !nameRune(r) }) || (key == "") != (name == "") {
					t.Errorf("%q becomes %q", name, key)
				}
				if checkName(name) == nil && key != name {
					t.Errorf("%q is a key already and becomes %q", name, key)
				}
				if again := convertKey(key, strategy); again != key {
					t.Errorf("%q becomes %q, and that %q", name, key, again)
				}
			}
			want := 0
			found := finding{entry: entry{remote: esv1.RemoteRef{ConversionStrategy: strategy}}, fields: map[string][]byte{first: []byte("1"), second: []byte(secretValue)}}
			for name := range found.fields {
				if name != "" {
					want++
				}
			}
			got, err := found.values(t.Context(), newRenderer(nil))
			if err != nil {
				if !errors.Is(err, providers.ErrInvalid) || strings.Contains(err.Error(), secretValue) && !strings.Contains(first+second, secretValue) {
					t.Errorf("an error of another kind, or one that shows a value: %v", err)
				}
				continue
			}
			if len(got) != want {
				t.Errorf("%q and %q become %d keys", first, second, len(got))
			}
			for key := range got {
				if err := checkName(key); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// FuzzAValueIsDecodedOrRefused: what was encoded comes back, Auto refuses nothing, and no error says anything of a value.
func FuzzAValueIsDecodedOrRefused(f *testing.F) {
	for _, seed := range []string{"", "eA==", "eA", "-_8=", "+/8=", "p@ss", "\x00", "AA==", "e A\n==", "====", "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		for strategy, enc := range map[esv1.DecodingStrategy]*base64.Encoding{esv1.DecodingBase64: base64.StdEncoding, esv1.DecodingBase64URL: base64.URLEncoding} {
			for _, s := range []esv1.DecodingStrategy{strategy, esv1.DecodingAuto} {
				got, err := decodeValue([]byte(enc.EncodeToString(value)), s, esv1.NullByteIgnore)
				if err != nil || !bytes.Equal(got, value) {
					t.Errorf("%s: what was encoded does not come back: %v", s, err)
				}
			}
			if _, err := decodeValue(value, strategy, ""); err != nil && err.Error() != "the value is not encoded as decodingStrategy "+string(strategy)+" says" {
				t.Errorf("%s: %v", strategy, err)
			}
		}
		auto, err := decodeValue(value, esv1.DecodingAuto, "")
		if err != nil {
			t.Errorf("Auto: %v", err)
		}
		if _, err := decodeValue(value, esv1.DecodingAuto, esv1.NullByteFail); (err != nil) != bytes.Contains(auto, []byte{0}) {
			t.Errorf("a zero byte: %v", err)
		}
	})
}

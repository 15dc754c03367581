package seal_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func identity(t testing.TB, age time.Duration) *keyring.Identity {
	t.Helper()
	i, err := keyring.GenerateIdentity(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(-age))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func sealNative(t testing.TB, value string, to ...*keyring.Identity) string {
	t.Helper()
	var recipients []*agebox.Recipient
	for _, i := range to {
		recipients = append(recipients, i.Recipient())
	}
	text, err := seal.Seal(rand.Reader, seal.Native(recipients...), seal.Strict, "ns", "n", []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestANativeValueCostsOneOperationHoweverManyKeysAndRecipientsThereAre(t *testing.T) {
	t.Parallel()
	ring := keyring.New(generate(t, 0), generate(t, time.Hour))
	var all []*keyring.Identity
	for i := range 24 {
		all = append(all, identity(t, time.Duration(i)*time.Hour))
		ring = ring.With(all[i])
	}
	foreign := identity(t, 0)
	for name, c := range map[string]struct {
		to   []*keyring.Identity
		want int
		err  error
	}{
		"sealed to the oldest":                {all[23:], 1, nil},
		"sealed to the newest":                {all[:1], 1, nil},
		"sealed to others and one of them":    {[]*keyring.Identity{foreign, identity(t, 0), all[12]}, 1, nil},
		"sealed to no key of the cluster":     {[]*keyring.Identity{foreign}, 0, seal.ErrNoKey},
		"sealed to all, of which one will do": {all, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opener := seal.NewOpener(ring, "", 0)
			got, err := opener.Open(t.Context(), seal.Strict, "ns", "n", sealNative(t, "v", c.to...))
			if !errors.Is(err, c.err) || c.err == nil && string(got) != "v" {
				t.Errorf("%v", err)
			}
			if opener.Operations() != c.want {
				t.Errorf("%d private-key operations, want %d", opener.Operations(), c.want)
			}
		})
	}
}

func TestAValueThatNamesItsKeyDoesNotDisturbTheGuessForThoseThatDoNot(t *testing.T) {
	t.Parallel()
	newest, oldest, native := generate(t, 0), generate(t, time.Hour), identity(t, 0)
	opener := seal.NewOpener(keyring.New(newest, oldest).With(native), oldest.Fingerprint(), 0)
	for i, text := range []string{
		mustSeal(t, oldest, seal.Strict, "ns", "n", "v"), sealNative(t, "v", native), mustSeal(t, oldest, seal.Strict, "ns", "n", "v"),
	} {
		if _, err := opener.Open(t.Context(), seal.Strict, "ns", "n", text); err != nil {
			t.Fatal(err)
		}
		if opener.Operations() != i+1 {
			t.Errorf("%d values took %d private-key operations", i+1, opener.Operations())
		}
	}
	if opener.Hint() != oldest.Fingerprint() || opener.Opened() != oldest.Fingerprint() {
		t.Error("another key is remembered")
	}
}

func TestAWrongScopeDamageAndAWrongKeyHaveOneAnswer(t *testing.T) {
	t.Parallel()
	native, foreign := identity(t, 0), identity(t, 0)
	ring := keyring.New().With(native)
	text := sealNative(t, "canary-7f3e5b", native)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-5] ^= 1
	damaged := base64.StdEncoding.EncodeToString(raw)
	for name, c := range map[string]struct {
		scope seal.Scope
		name  string
		text  string
	}{
		"another name":   {seal.Strict, "other", text},
		"another scope":  {seal.ClusterWide, "n", text},
		"another key":    {seal.Strict, "n", sealNative(t, "v", foreign)},
		"damaged":        {seal.Strict, "n", damaged},
		"of no place":    {seal.NamespaceWide, "n", text},
		"damaged, moved": {seal.Strict, "other", damaged},
	} {
		got, err := seal.NewOpener(ring, "", 0).Open(t.Context(), c.scope, "ns", c.name, c.text)
		if got != nil || err == nil || err.Error() != seal.ErrNoKey.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResealingKeepsTheFormatAndWhatNeedsNoChange(t *testing.T) {
	t.Parallel()
	oldPair, newPair := generate(t, time.Hour), generate(t, 0)
	old, renewed, recovery := identity(t, time.Hour), identity(t, 0), identity(t, 0)
	ring := keyring.New(oldPair, newPair).With(old, renewed)
	to := seal.Newest{Compat: newPair.Public(), Native: renewed.Recipient()}
	reseal := func(to seal.Newest, text string) (string, error) {
		return seal.NewOpener(ring, "", 0).Reseal(t.Context(), rand.Reader, to, seal.Strict, "ns", "n", text)
	}
	for name, c := range map[string]struct {
		text string
		want seal.Info
	}{
		"compat":  {mustSeal(t, oldPair, seal.Strict, "ns", "n", "v"), seal.Info{Format: seal.FormatCompat}},
		"native":  {sealNative(t, "v", recovery, old), seal.Info{Format: seal.FormatNative, Keys: []string{recovery.Fingerprint(), renewed.Fingerprint()}}},
		"current": {sealNative(t, "v", renewed, recovery), seal.Info{Format: seal.FormatNative, Keys: []string{renewed.Fingerprint(), recovery.Fingerprint()}}},
	} {
		again, err := reseal(to, c.text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if (again == c.text) != (name == "current") {
			t.Errorf("%s: changed %t", name, again != c.text)
		}
		info, err := seal.Inspect(again)
		if err != nil || info.Format != c.want.Format || !slices.Equal(info.Keys, c.want.Keys) {
			t.Errorf("%s: %v %v", name, info, err)
		}
		if got, err := seal.NewOpener(keyring.New(newPair).With(renewed), "", 0).Open(t.Context(), seal.Strict, "ns", "n", again); err != nil || string(got) != "v" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := reseal(seal.Newest{}, c.text); !errors.Is(err, seal.ErrNoRecipient) {
			t.Errorf("%s, with nobody to seal to: %v", name, err)
		}
	}
	if _, err := reseal(to, sealNative(t, "v", recovery)); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("a value of others: %v", err)
	}
	for text, want := range map[string]error{"AAAA": rsahybrid.ErrMalformed, "%": seal.ErrEncoding, "YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==": agebox.ErrMalformed} {
		if _, err := seal.Inspect(text); !errors.Is(err, want) || !seal.IsFault(err) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAValueThatIsSealedToTheNewestKeyIsKeptWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	oldPair, newPair := generate(t, time.Hour), generate(t, 0)
	native, recovery := identity(t, 0), identity(t, 0)
	ring := keyring.New(oldPair, newPair).With(native)
	lines := func(text string) string { return text[:60] + "\n" + text[60:] }
	current := mustSeal(t, newPair, seal.Strict, "ns", "n", "v")
	for name, c := range map[string]struct {
		text string
		keep bool
		kept bool
	}{
		"compat, which nobody asked to keep": {current, false, false},
		"compat":                             {current, true, true},
		"compat in lines":                    {lines(current), true, true},
		"compat of an older key":             {mustSeal(t, oldPair, seal.Strict, "ns", "n", "v"), true, false},
		"native":                             {sealNative(t, "v", native, recovery), true, true},
		"native in lines":                    {lines(sealNative(t, "v", native)), false, true},
	} {
		to := seal.Newest{Compat: newPair.Public(), Native: native.Recipient(), KeepCurrent: c.keep}
		again, err := seal.NewOpener(ring, oldPair.Fingerprint(), 0).Reseal(t.Context(), rand.Reader, to, seal.Strict, "ns", "n", c.text)
		if err != nil || (again == c.text) != c.kept {
			t.Errorf("%s: kept %t, %v", name, again == c.text, err)
		}
		if _, err := seal.NewOpener(ring, "", 0).Reseal(t.Context(), rand.Reader, to, seal.Strict, "ns", "other", c.text); !errors.Is(err, seal.ErrNoKey) {
			t.Errorf("%s, in another place: %v", name, err)
		}
	}
}

// BenchmarkOpenNative is what opening one value costs with 24 keys.
func BenchmarkOpenNative(b *testing.B) {
	ring := keyring.New()
	var last *keyring.Identity
	for i := range 24 {
		last = identity(b, time.Duration(i)*time.Hour)
		ring = ring.With(last)
	}
	text := sealNative(b, strings.Repeat("x", 100), last)
	for b.Loop() {
		if _, err := seal.NewOpener(ring, "", 0).Open(b.Context(), seal.Strict, "ns", "n", text); err != nil {
			b.Fatal(err)
		}
	}
}

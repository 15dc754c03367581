package agebox_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/sealbridge/sealbridge/crypto/agebox"
)

const canary = "canary-5d1f0a"

var strict = agebox.Place{Scope: agebox.Strict, Namespace: "payments", Name: "db"}

func generate(t testing.TB) *agebox.Identity {
	t.Helper()
	i, err := agebox.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func mustSeal(t testing.TB, place agebox.Place, value string, to ...*agebox.Identity) []byte {
	t.Helper()
	var recipients []*agebox.Recipient
	for _, i := range to {
		recipients = append(recipients, i.Recipient())
	}
	sealed, err := agebox.Seal(recipients, place, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// open tries one identity at every lock, as a reader does.
func open(identity *agebox.Identity, place agebox.Place, value []byte) ([]byte, error) {
	box, err := agebox.Parse(value)
	if err != nil {
		return nil, err
	}
	for _, lock := range box.Locks() {
		if lock.Key != "" && lock.Key != identity.Fingerprint() {
			continue
		}
		fileKey, err := identity.Unwrap(lock)
		if errors.Is(err, agebox.ErrDecrypt) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return box.Open(fileKey, place)
	}
	return nil, agebox.ErrDecrypt
}

func TestEveryRecipientOpensAValueAndNobodyElseDoes(t *testing.T) {
	t.Parallel()
	cluster, other, recovery, stranger := generate(t), generate(t), generate(t), generate(t)
	for name, size := range map[string]int{"empty": 0, "one byte": 1, "a chunk of age less the header": 64<<10 - 30, "two chunks": 64<<10 + 1, "all a Secret holds": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			value := strings.Repeat("\x00\xff", size/2) + strings.Repeat("x", size%2)
			sealed := mustSeal(t, strict, value, cluster, other, recovery)
			for _, i := range []*agebox.Identity{cluster, other, recovery} {
				got, err := open(i, strict, sealed)
				if err != nil || string(got) != value || got == nil {
					t.Errorf("%s: %d bytes, %v", i, len(got), err)
				}
			}
			if _, err := open(stranger, strict, sealed); !errors.Is(err, agebox.ErrDecrypt) {
				t.Errorf("a stranger: %v", err)
			}
		})
	}
}

func TestAValueOpensInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	key := generate(t)
	places := []agebox.Place{
		strict,
		{Scope: agebox.Strict, Namespace: "payments", Name: "other"},
		{Scope: agebox.Strict, Namespace: "payment", Name: "sdb"}, // the same letters, cut elsewhere
		{Scope: agebox.Strict, Namespace: "staging", Name: "db"},
		{Scope: agebox.NamespaceWide, Namespace: "payments"},
		{Scope: agebox.NamespaceWide, Namespace: "paymentsdb"},
		{Scope: agebox.ClusterWide},
	}
	for _, sealedFor := range places {
		sealed := mustSeal(t, sealedFor, "v", key)
		for _, at := range places {
			_, err := open(key, at, sealed)
			if (err == nil) != (at == sealedFor) || err != nil && !errors.Is(err, agebox.ErrDecrypt) {
				t.Errorf("sealed for %v, opened at %v: %v", sealedFor, at, err)
			}
		}
	}
	wide := mustSeal(t, agebox.Place{Scope: agebox.NamespaceWide, Namespace: "payments", Name: "ignored"}, "v", key)
	if _, err := open(key, agebox.Place{Scope: agebox.NamespaceWide, Namespace: "payments", Name: "renamed"}, wide); err != nil {
		t.Errorf("the name counts in a namespace-wide value: %v", err)
	}
	for _, bad := range []agebox.Place{
		{}, {Scope: 4, Namespace: "a", Name: "b"}, {Scope: agebox.Strict, Namespace: "a"}, {Scope: agebox.Strict, Name: "b"},
		{Scope: agebox.NamespaceWide, Name: "b"}, {Scope: agebox.Strict, Namespace: strings.Repeat("a", 256), Name: "b"},
		{Scope: agebox.Strict, Namespace: "a", Name: strings.Repeat("b", 256)},
	} {
		if _, err := agebox.Seal([]*agebox.Recipient{key.Recipient()}, bad, nil); !errors.Is(err, agebox.ErrPlace) {
			t.Errorf("sealed for %v: %v", bad, err)
		}
		if _, err := open(key, bad, wide); !errors.Is(err, agebox.ErrPlace) {
			t.Errorf("opened at %v: %v", bad, err)
		}
	}
}

func TestNoChangedCutOrExtendedValueOpens(t *testing.T) {
	t.Parallel()
	key, other := generate(t), generate(t)
	sealed := mustSeal(t, strict, canary, key, other)
	refused := func(what string, value []byte) {
		t.Helper()
		got, err := open(key, strict, value)
		if err == nil || got != nil {
			t.Fatalf("%s: opened", what)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Fatalf("%s: the error quotes its input", what)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		refused(fmt.Sprintf("byte %d changed", i), changed)
	}
	for i := range sealed {
		refused(fmt.Sprintf("cut at %d", i), sealed[:i])
	}
	refused("a byte more", append(bytes.Clone(sealed), 0))
	refused("twice", append(bytes.Clone(sealed), sealed...))
}

func TestPartsOfTwoValuesDoNotCombine(t *testing.T) {
	t.Parallel()
	key := generate(t)
	one, two := mustSeal(t, strict, "one", key), mustSeal(t, strict, "two", key)
	end := bytes.Index(one, []byte("\n---"))
	for name, value := range map[string][]byte{
		"the locks of one and the rest of the other":  slices.Concat(one[:end], two[end:]),
		"the header of one, the payload of the other": slices.Concat(one[:end+49], two[end+49:]),
	} {
		if _, err := open(key, strict, value); !errors.Is(err, agebox.ErrDecrypt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// encrypt makes an age file as any other program might.
func encrypt(t testing.TB, text string, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unlabelled hides that a recipient is post-quantum, which makes age mix it with others.
type unlabelled struct{ age.Recipient }

type stanza struct {
	stanzas []*age.Stanza
}

func (s stanza) Wrap([]byte) ([]*age.Stanza, error) { return s.stanzas, nil }

func native(t testing.TB, key *agebox.Identity) *age.HybridIdentity {
	t.Helper()
	i, err := age.ParseHybridIdentity(key.Secret())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestWhatIsNoSealedValueIsRefused(t *testing.T) {
	t.Parallel()
	key := generate(t)
	hybrid := native(t, key).Recipient()
	x25519, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	classic := x25519.Recipient()
	password, err := age.NewScryptRecipient("password")
	if err != nil {
		t.Fatal(err)
	}
	password.SetWorkFactor(10)
	inside := "sealbridge.dev/1\x03\x00\x00"
	keys := func(names ...string) age.Recipient {
		return stanza{[]*age.Stanza{{Type: "sealbridge.dev/keys", Args: names}}}
	}
	// The payload may be larger than the largest value by what is left of the header's bound.
	most := 2<<20 + len("sealbridge.dev/1") + 3 + 2*255
	lock := func(kind string, size int, shares ...int) age.Recipient {
		s := &age.Stanza{Type: kind, Body: make([]byte, size)}
		for _, n := range shares {
			s.Args = append(s.Args, base64.RawStdEncoding.EncodeToString(make([]byte, n)))
		}
		return stanza{[]*age.Stanza{s}}
	}
	var many []age.Recipient
	for range agebox.MaxRecipients + 1 {
		many = append(many, hybrid)
	}
	for name, c := range map[string]struct {
		value []byte
		want  error
	}{
		"nothing":                          {nil, agebox.ErrMalformed},
		"text":                             {[]byte(canary), agebox.ErrMalformed},
		"a later version of age":           {[]byte("age-encryption.org/v2\n-> x\n\n--- x\n"), agebox.ErrVersion},
		"the version line alone":           {[]byte("age-encryption.org/v1\n"), agebox.ErrMalformed},
		"armor":                            {[]byte("-----BEGIN AGE ENCRYPTED FILE-----\n"), agebox.ErrMalformed},
		"a classic recipient":              {encrypt(t, inside, classic), agebox.ErrMalformed},
		"classic and post-quantum mixed":   {encrypt(t, inside, unlabelled{hybrid}, classic), agebox.ErrMalformed},
		"a password":                       {encrypt(t, inside, password), agebox.ErrMalformed},
		"something rides along":            {encrypt(t, inside, unlabelled{hybrid}, stanza{[]*age.Stanza{{Type: "x-grease"}}}), agebox.ErrMalformed},
		"more locks than allowed":          {encrypt(t, inside, many...), agebox.ErrMalformed},
		"fewer names than locks":           {encrypt(t, inside, keys(), unlabelled{hybrid}), agebox.ErrMalformed},
		"more names than locks":            {encrypt(t, inside, keys("a", "b"), unlabelled{hybrid}), agebox.ErrMalformed},
		"one name for two locks":           {encrypt(t, inside, keys("a", "a"), unlabelled{hybrid}, unlabelled{hybrid}), agebox.ErrMalformed},
		"names that hold something":        {encrypt(t, inside, stanza{[]*age.Stanza{{Type: "sealbridge.dev/keys", Args: []string{key.Fingerprint()}, Body: []byte(canary)}}}, unlabelled{hybrid}), agebox.ErrMalformed},
		"names that hold nothing":          {encrypt(t, inside, keys(key.Fingerprint()), unlabelled{hybrid}), nil},
		"as much inside as there can be":   {encrypt(t, inside+strings.Repeat("v", most-len(inside)), hybrid), nil},
		"a byte more inside":               {encrypt(t, inside+strings.Repeat("v", most-len(inside)+1), hybrid), agebox.ErrDecrypt},
		"a lock of another type":           {encrypt(t, inside, lock("x-other", 32, 1120)), agebox.ErrMalformed},
		"a lock without a share":           {encrypt(t, inside, lock(agebox.LockType, 32)), agebox.ErrMalformed},
		"a lock of two shares":             {encrypt(t, inside, lock(agebox.LockType, 32, 1120, 1120)), agebox.ErrMalformed},
		"a lock of a short share":          {encrypt(t, inside, lock(agebox.LockType, 32, 1119)), agebox.ErrMalformed},
		"a lock of a long key":             {encrypt(t, inside, lock(agebox.LockType, 33, 1120)), agebox.ErrMalformed},
		"a lock that nobody has made":      {encrypt(t, inside, lock(agebox.LockType, 32, 1120)), agebox.ErrDecrypt},
		"names after the locks":            {encrypt(t, inside, unlabelled{hybrid}, keys("a")), agebox.ErrMalformed},
		"a header that does not end":       {[]byte("age-encryption.org/v1\n" + strings.Repeat("-> x\n\n", 1<<14)), agebox.ErrTooLarge},
		"sixteen mebibytes":                {append([]byte("age-encryption.org/v1\n"), make([]byte, 16<<20)...), agebox.ErrTooLarge},
		"another name in front of the key": {encrypt(t, inside, keys("SHA256:other"), unlabelled{hybrid}), agebox.ErrDecrypt},
		"nothing inside":                   {encrypt(t, "", hybrid), agebox.ErrDecrypt},
		"no sealed value inside":           {encrypt(t, canary, hybrid), agebox.ErrDecrypt},
		"a later version inside":           {encrypt(t, "sealbridge.dev/2\x03\x00\x00", hybrid), agebox.ErrDecrypt},
		"no scope inside":                  {encrypt(t, "sealbridge.dev/1\x00\x00\x00", hybrid), agebox.ErrDecrypt},
		"a cluster-wide value with a name": {encrypt(t, "sealbridge.dev/1\x03\x00\x01a", hybrid), agebox.ErrDecrypt},
		"made by another program":          {encrypt(t, inside+"v", hybrid), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(key, agebox.Place{Scope: agebox.ClusterWide}, c.value)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes its input: %v", err)
			}
		})
	}
}

func TestTooMuchIsNotSealed(t *testing.T) {
	t.Parallel()
	key := generate(t)
	if _, err := agebox.Seal([]*agebox.Recipient{key.Recipient()}, strict, make([]byte, 2<<20+1)); !errors.Is(err, agebox.ErrTooLarge) {
		t.Errorf("a large value: %v", err)
	}
	if _, err := agebox.Seal(nil, strict, nil); !errors.Is(err, agebox.ErrNone) {
		t.Errorf("nobody: %v", err)
	}
	var all []*agebox.Recipient
	for range agebox.MaxRecipients {
		all = append(all, generate(t).Recipient())
	}
	place := agebox.Place{Scope: agebox.Strict, Namespace: strings.Repeat("n", 255), Name: strings.Repeat("m", 255)}
	sealed, err := agebox.Seal(append(all, all[0]), place, make([]byte, 2<<20))
	if err != nil {
		t.Fatalf("the largest value, and a recipient twice: %v", err)
	}
	if box, err := agebox.Parse(sealed); err != nil || len(box.Locks()) != agebox.MaxRecipients {
		t.Errorf("the largest value does not parse: %v", err)
	}
	if _, err := agebox.Seal(append(all, key.Recipient()), strict, nil); !errors.Is(err, agebox.ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
}

func TestALockIsReplacedAndTheOthersStay(t *testing.T) {
	t.Parallel()
	old, renewed, other, recovery := generate(t), generate(t), generate(t), generate(t)
	unnamed := encrypt(t, "sealbridge.dev/1\x03\x00\x00"+canary, native(t, old).Recipient(), native(t, recovery).Recipient())
	for name, c := range map[string]struct {
		place  agebox.Place
		sealed []byte
		keys   []string
	}{
		"with names":                   {strict, mustSeal(t, strict, canary, other, old, recovery), []string{other.Fingerprint(), renewed.Fingerprint(), recovery.Fingerprint()}},
		"sealed to the new one before": {strict, mustSeal(t, strict, canary, renewed, old, recovery), []string{renewed.Fingerprint(), recovery.Fingerprint()}},
		"by another program":           {agebox.Place{Scope: agebox.ClusterWide}, unnamed, []string{"", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box, err := agebox.Parse(c.sealed)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(box.Locks(), func(l agebox.Lock) bool { return l.Key == old.Fingerprint() || l.Key == "" })
			fileKey, err := old.Unwrap(box.Locks()[at])
			if err != nil {
				t.Fatal(err)
			}
			again, err := box.Relock(fileKey, at, renewed.Recipient())
			if err != nil {
				t.Fatal(err)
			}
			box, err = agebox.Parse(again)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, l := range box.Locks() {
				keys = append(keys, l.Key)
			}
			if !slices.Equal(keys, c.keys) {
				t.Errorf("sealed to %q, want %q", keys, c.keys)
			}
			for _, key := range []*agebox.Identity{renewed, recovery} {
				if got, err := open(key, c.place, again); err != nil || string(got) != canary {
					t.Errorf("%s does not open it: %v", key, err)
				}
				// What age itself says of the header and of what follows.
				r, err := age.Decrypt(bytes.NewReader(again), native(t, key))
				if err != nil {
					t.Fatal(err)
				}
				if inside, err := io.ReadAll(r); err != nil || !bytes.HasSuffix(inside, []byte(canary)) {
					t.Errorf("age does not open it: %v", err)
				}
			}
			if _, err := open(old, c.place, again); !errors.Is(err, agebox.ErrDecrypt) {
				t.Errorf("the old key: %v", err)
			}
			if _, err := box.Relock(fileKey[:15], 0, renewed.Recipient()); !errors.Is(err, agebox.ErrDecrypt) {
				t.Errorf("half a file key: %v", err)
			}
		})
	}
}

func TestOnlyPostQuantumKeysAreTaken(t *testing.T) {
	t.Parallel()
	key := generate(t)
	recipient := key.Recipient().String()
	body, last := recipient[:len(recipient)-1], recipient[len(recipient)-1:]
	damaged := body + "q"
	if last == "q" { // as the last character of every 32nd is
		damaged = body + "p"
	}
	x25519, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	classic := x25519.Recipient().String()
	for name, c := range map[string]struct {
		text string
		want error
		line string
	}{
		"one":                        {recipient + "\n", nil, ""},
		"comments and empty lines":   {"# cluster\n\n " + recipient + " \r\n# recovery\n" + generate(t).Recipient().String(), nil, ""},
		"nothing":                    {"# none\n", agebox.ErrNone, ""},
		"a classic one":              {classic, agebox.ErrClassic, "line 1"},
		"a mix":                      {recipient + "\n" + classic, agebox.ErrClassic, "line 2"},
		"an SSH key":                 {"ssh-ed25519 AAAA" + canary, agebox.ErrClassic, "line 1"},
		"a hardware key":             {"age1tag1qqqq", agebox.ErrClassic, "line 1"},
		"a plugin":                   {"age1yubikey1" + canary, agebox.ErrPlugin, "line 1"},
		"a private key":              {"# x\n" + key.Secret(), agebox.ErrPrivate, "line 2"},
		"a plugin's identity":        {"AGE-PLUGIN-YUBIKEY-1" + canary, agebox.ErrPrivate, "line 1"},
		"a damaged one":              {damaged + "\n", agebox.ErrRecipient, "line 1"},
		"a web page":                 {"<html>" + canary, agebox.ErrRecipient, "line 1"},
		"a line without end":         {recipient + "\n" + strings.Repeat("a", 1<<20), nil, "line 2"},
		"the post-quantum prefix":    {"age1pq1", agebox.ErrRecipient, "line 1"},
		"a hardware key, of quantum": {"age1tagpq1qqqq", agebox.ErrPlugin, "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := agebox.ParseRecipients([]byte(c.text))
			if c.want == nil && c.line == "" {
				if err != nil || len(got) == 0 {
					t.Fatalf("%v", err)
				}
				return
			}
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.line) {
				t.Errorf("got %v, want %v in %s", err, c.want, c.line)
			}
			if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), key.Secret())) {
				t.Errorf("the error quotes its input: %v", err)
			}
		})
	}
}

func TestAnIdentityFileIsReadAndNeverQuoted(t *testing.T) {
	t.Parallel()
	key := generate(t)
	x25519, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"as age-keygen writes it": {"# created: 2026-11-25T00:00:00Z\n# public key: " + key.Recipient().String() + "\n" + key.Secret() + "\n", nil},
		"a classic one":           {x25519.String(), agebox.ErrClassic},
		"a plugin":                {"AGE-PLUGIN-YUBIKEY-1QQQ", agebox.ErrPlugin},
		"a damaged one":           {key.Secret()[:len(key.Secret())-2], agebox.ErrIdentity},
		"an SSH key":              {"-----BEGIN OPENSSH PRIVATE KEY-----", agebox.ErrIdentity},
		"nothing":                 {"\n", agebox.ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := agebox.ParseIdentities([]byte(c.text))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && (len(got) != 1 || got[0].Fingerprint() != key.Fingerprint()) {
				t.Error("another key was read")
			}
			if err != nil && strings.Contains(err.Error(), "KEY-PQ-1"+key.Secret()[20:30]) {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
}

func TestNoWayOfPrintingAnIdentityShowsIt(t *testing.T) {
	t.Parallel()
	key := generate(t)
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb+"\n", key)
		fmt.Fprintf(&out, verb+"\n", struct{ Key any }{key})
	}
	secret := key.Secret()
	for _, form := range []string{secret, strings.ToLower(secret), hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
		if strings.Contains(out.String(), form) {
			t.Error("the private key is printed")
		}
	}
	if !strings.Contains(out.String(), key.Fingerprint()) {
		t.Errorf("the fingerprint is not: %s", out.String())
	}
}

package agebox_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"hash"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/sealbridge/sealbridge/crypto/agebox"
)

// heldFile is testdata/held-vectors.json; the README beside it describes it.
type heldFile struct {
	Format  string
	Keys    map[string]struct{ Recipient, Fingerprint, Private string }
	Vectors []struct {
		Comment, Key, Scope, Namespace, Name, Expect string
		Value, Sealed                                []byte
	}
}

func readHeld(t testing.TB) (heldFile, map[string]*rsa.PrivateKey) {
	t.Helper()
	data, err := os.ReadFile("testdata/held-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file heldFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	keys := map[string]*rsa.PrivateKey{}
	for name, k := range file.Keys {
		block, _ := pem.Decode([]byte(k.Private))
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		r, err := agebox.ParseRecipient(k.Recipient)
		if err != nil || !r.Held() || r.Fingerprint() != k.Fingerprint || r.String() != k.Recipient {
			t.Fatalf("recipient %s: %v", name, err)
		}
		keys[name] = parsed.(*rsa.PrivateKey)
	}
	return file, keys
}

// openHeld opens as a reader does that can ask for one key by its fingerprint.
func openHeld(key *rsa.PrivateKey, fingerprint string, place agebox.Place, value []byte) ([]byte, error) {
	box, err := agebox.Parse(value)
	if err != nil {
		return nil, err
	}
	for _, lock := range box.Locks() {
		if lock.Key == fingerprint {
			fileKey, err := agebox.UnwrapHeld(key, lock)
			if err != nil {
				return nil, err
			}
			return box.Open(fileKey, place)
		}
	}
	return nil, agebox.ErrDecrypt
}

func TestEveryVectorOfAHeldKeyOpensOrIsRefusedAsItSays(t *testing.T) {
	t.Parallel()
	file, keys := readHeld(t)
	counts := map[string]int{}
	for _, v := range file.Vectors {
		counts[v.Expect]++
		place := agebox.Place{Scope: scopeOf(v.Scope), Namespace: v.Namespace, Name: v.Name}
		value, err := openHeld(keys[v.Key], file.Keys[v.Key].Fingerprint, place, v.Sealed)
		switch {
		case v.Expect == "opens" && (err != nil || string(value) != string(v.Value)):
			t.Errorf("%s: %v", v.Comment, err)
		case v.Expect == "refused" && err == nil:
			t.Errorf("%s: opened", v.Comment)
		}
	}
	if file.Format != "sealbridge.dev/1" || counts["opens"] < 6 || counts["refused"] < 25 || len(counts) != 2 {
		t.Errorf("%s: %v", file.Format, counts)
	}
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func heldRecipient(t testing.TB, key *rsa.PrivateKey, version string) *agebox.Recipient {
	t.Helper()
	r, err := agebox.NewHeld("transit/payments", version, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAHeldKeyAndAPostQuantumOneAreNeverMixed(t *testing.T) {
	t.Parallel()
	key, identity := rsaKey(t, 2048), generate(t)
	held := heldRecipient(t, key, "1")
	if _, err := agebox.Seal([]*agebox.Recipient{held, identity.Recipient()}, strict, nil); !errors.Is(err, agebox.ErrMixed) {
		t.Errorf("sealed: %v", err)
	}
	if _, err := agebox.ParseRecipients([]byte(held.String() + "\n" + identity.Recipient().String())); !errors.Is(err, agebox.ErrMixed) {
		t.Errorf("a file: %v", err)
	}
	// A value of one kind takes no lock of the other: rotation weakens nothing.
	box, fileKey := unlockedBox(t, mustSeal(t, strict, "v", identity), identity)
	if _, err := box.Relock(fileKey, 0, held); !errors.Is(err, agebox.ErrMixed) {
		t.Errorf("relocked: %v", err)
	}
	// What another program mixed is not read, whichever of the two could open it.
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, make([]byte, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	lock := stanza{[]*age.Stanza{{Type: agebox.HeldLockType, Args: []string{"transit/payments", "1"}, Body: wrapped}}}
	names := stanza{[]*age.Stanza{{Type: "sealbridge.dev/keys", Args: []string{held.Fingerprint(), identity.Fingerprint()}}}}
	if _, err := agebox.Parse(encrypt(t, "", names, lock, unlabelled{native(t, identity).Recipient()})); !errors.Is(err, agebox.ErrMalformed) {
		t.Errorf("parsed: %v", err)
	}
}

func unlockedBox(t testing.TB, value []byte, identity *agebox.Identity) (*agebox.Box, []byte) {
	t.Helper()
	box, err := agebox.Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	fileKey, err := identity.Unwrap(box.Locks()[0])
	if err != nil {
		t.Fatal(err)
	}
	return box, fileKey
}

func TestALockOfAHeldKeyIsReplacedAndTheOthersStay(t *testing.T) {
	t.Parallel()
	// 3072 bits make a body whose last line is empty.
	for _, bits := range []int{2048, 3072} {
		old, next, other := rsaKey(t, bits), rsaKey(t, bits), rsaKey(t, bits)
		sealed, err := agebox.Seal([]*agebox.Recipient{heldRecipient(t, old, "1"), heldRecipient(t, other, "7")}, strict, []byte("v"))
		if err != nil {
			t.Fatal(err)
		}
		box, err := agebox.Parse(sealed)
		if err != nil || !box.Held() {
			t.Fatal(err)
		}
		fileKey, err := agebox.UnwrapHeld(old, box.Locks()[0])
		if err != nil {
			t.Fatal(err)
		}
		again, err := box.Relock(fileKey, 0, heldRecipient(t, next, "2"))
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			key     *rsa.PrivateKey
			version string
			opens   bool
		}{"the replaced": {old, "1", false}, "the new": {next, "2", true}, "the other": {other, "7", true}} {
			value, err := openHeld(c.key, heldRecipient(t, c.key, c.version).Fingerprint(), strict, again)
			if (err == nil) != c.opens || c.opens && string(value) != "v" {
				t.Errorf("%d bits, %s: %v", bits, name, err)
			}
		}
	}
}

func TestWhatIsNoRecipientOfAHeldKeyIsRefused(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, 2048)
	good := heldRecipient(t, key, "1").String()
	fields := strings.Split(good, " ")
	line := func(change func(f []string)) string {
		f := append([]string(nil), fields...)
		change(f)
		return strings.Join(f, " ")
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKIXPublicKey(&small.PublicKey)
	for name, text := range map[string]string{
		"no name":             line(func(f []string) { f[1] = "" }),
		"a name with a colon": line(func(f []string) { f[1] = "a:b" }),
		"a long name":         line(func(f []string) { f[1] = strings.Repeat("a", 256) }),
		"no version":          line(func(f []string) { f[2] = "" }),
		"a version with a -":  line(func(f []string) { f[2] = "-1" }),
		"two spaces":          strings.Replace(good, " ", "  ", 1),
		"another field":       good + " x",
		"no key":              strings.Join(fields[:3], " "),
		"a key that is cut":   good[:len(good)-4],
		"no base64":           line(func(f []string) { f[3] = canary }),
		"another type":        strings.Replace(good, "sha256", "sha1", 1),
		"a small key":         line(func(f []string) { f[3] = base64.StdEncoding.EncodeToString(der) }),
		"a private key":       line(func(f []string) { f[3] = base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)) }),
	} {
		if _, err := agebox.ParseRecipient(text); !errors.Is(err, agebox.ErrRecipient) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := agebox.NewHeld("a", "1", nil); !errors.Is(err, agebox.ErrRecipient) {
		t.Errorf("no key at all: %v", err)
	}
}

func TestADamagedLockOfAHeldKeyIsRefused(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, 2048)
	recipient := heldRecipient(t, key, "1")
	inside := "sealbridge.dev/1\x03\x00\x00v"
	wrap := func(h func() hash.Hash, label string, fileKey []byte) []byte {
		out, err := rsa.EncryptOAEP(h(), rand.Reader, &key.PublicKey, fileKey, []byte(label))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	file := func(args []string, body func(fileKey []byte) []byte, names ...string) []byte {
		lock := made(func(fileKey []byte) *age.Stanza {
			return &age.Stanza{Type: agebox.HeldLockType, Args: args, Body: body(fileKey)}
		})
		if len(names) == 0 {
			return encrypt(t, inside, lock)
		}
		return encrypt(t, inside, stanza{[]*age.Stanza{{Type: "sealbridge.dev/keys", Args: names}}}, lock)
	}
	ok := func(fileKey []byte) []byte { return wrap(sha256.New, "", fileKey) }
	args, name := []string{"transit/payments", "1"}, recipient.Fingerprint()
	for what, c := range map[string]struct {
		value []byte
		want  error
	}{
		"as it should be":        {file(args, ok, name), nil},
		"no name of the key":     {file(args, ok), agebox.ErrMalformed},
		"no version":             {file(args[:1], ok, name), agebox.ErrMalformed},
		"an argument more":       {file(append(args[:2:2], "x"), ok, name), agebox.ErrMalformed},
		"a name that is none":    {file([]string{"a:b", "1"}, ok, name), agebox.ErrMalformed},
		"a short body":           {file(args, func(k []byte) []byte { return ok(k)[1:] }, name), agebox.ErrMalformed},
		"a long body":            {file(args, func(k []byte) []byte { return append(ok(k), 0) }, name), agebox.ErrMalformed},
		"another hash":           {file(args, func(k []byte) []byte { return wrap(sha1.New, "", k) }, name), agebox.ErrDecrypt},
		"a label":                {file(args, func(k []byte) []byte { return wrap(sha256.New, "payments/db", k) }, name), agebox.ErrDecrypt},
		"a longer file key":      {file(args, func(k []byte) []byte { return wrap(sha256.New, "", append(k, k...)) }, name), agebox.ErrDecrypt},
		"another file key":       {file(args, func([]byte) []byte { return wrap(sha256.New, "", make([]byte, 16)) }, name), agebox.ErrDecrypt},
		"the name of other keys": {file(args, ok, "SHA256:other"), agebox.ErrDecrypt},
	} {
		value, err := openHeld(key, name, agebox.Place{Scope: agebox.ClusterWide}, c.value)
		if !errors.Is(err, c.want) || err == nil && string(value) != "v" {
			t.Errorf("%s: got %v, want %v", what, err, c.want)
		}
	}
	// No single changed byte of a header leaves a value that opens.
	good := file(args, ok, name)
	end := bytes.Index(good, []byte("\n---"))
	for i := range end + 40 {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		if _, err := openHeld(key, name, agebox.Place{Scope: agebox.ClusterWide}, changed); err == nil {
			t.Fatalf("byte %d may be changed", i)
		}
	}
	if _, err := agebox.UnwrapHeld(key, agebox.Lock{Type: agebox.LockType}); !errors.Is(err, agebox.ErrDecrypt) {
		t.Errorf("a lock of another type: %v", err)
	}
}

// made is a recipient of age whose stanza a function makes.
type made func(fileKey []byte) *age.Stanza

func (m made) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{m(bytes.Clone(fileKey))}, nil
}

// FuzzOpenHeld holds that no bytes make the parser panic, that every lock which parses can be asked for, and that what gets a
// new lock parses again.
func FuzzOpenHeld(f *testing.F) {
	file, keys := readHeld(f)
	if len(file.Vectors) == 0 {
		f.Fatal("no seeds: the file has no vectors")
	}
	for _, v := range file.Vectors {
		f.Add(v.Sealed)
	}
	var key crypto.Decrypter
	var recipient *agebox.Recipient
	for name := range keys {
		key = keys[name]
		recipient, _ = agebox.ParseRecipient(file.Keys[name].Recipient)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		box, err := agebox.Parse(value)
		if err != nil {
			return
		}
		for i, lock := range box.Locks() {
			if box.Held() != (lock.Type == agebox.HeldLockType) || box.Held() && lock.Key == "" {
				t.Errorf("the lock %s of a box of the other kind, or without a key", lock.Type)
			}
			fileKey, err := agebox.UnwrapHeld(key, lock)
			if err != nil {
				continue
			}
			again, err := box.Relock(fileKey, i, recipient)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := agebox.Parse(again); err != nil {
				t.Errorf("a value with a new lock does not parse: %v", err)
			}
		}
	})
}

package seal_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

const vectorDir = "testdata/kubeseal-v0.40.0/"

func readPair(t testing.TB, name string) *keyring.Pair {
	t.Helper()
	cert, err := os.ReadFile(vectorDir + name + ".crt")
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(vectorDir + name + ".key")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := keyring.ParsePair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func generate(t testing.TB, age time.Duration) *keyring.Pair {
	t.Helper()
	pair, err := keyring.Generate(keyring.Options{Bits: 1024, NotBefore: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(-age)})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func mustSeal(t testing.TB, pair *keyring.Pair, scope seal.Scope, namespace, name, value string) string {
	t.Helper()
	text, err := seal.Seal(rand.Reader, seal.Compat(pair.Public()), scope, namespace, name, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEveryValueThatKubesealMadeOpens(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(vectorDir + "vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Comment, Key, Namespace, Name, Sealed string
		Scope                                 seal.Scope
		Plaintext                             []byte
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 24 {
		t.Fatalf("got %d vectors, want 24", len(vectors))
	}
	ring := keyring.New(readPair(t, "rsa2048"), readPair(t, "rsa4096"))
	for _, v := range vectors {
		t.Run(v.Key+" "+string(v.Scope)+" "+v.Comment, func(t *testing.T) {
			t.Parallel()
			opener := seal.NewOpener(ring, "", 0)
			got, err := opener.Open(t.Context(), v.Scope, v.Namespace, v.Name, v.Sealed)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(v.Plaintext) {
				t.Error("the opened value differs from what kubeseal sealed")
			}
			if opener.Operations() != 1 {
				t.Errorf("took %d private-key operations; the size of the value leaves one key", opener.Operations())
			}
			for _, scope := range []seal.Scope{seal.Strict, seal.NamespaceWide, seal.ClusterWide} {
				if scope == v.Scope {
					continue
				}
				if _, err := opener.Open(t.Context(), scope, "payments", "payment-api", v.Sealed); !errors.Is(err, seal.ErrNoKey) {
					t.Errorf("opened as %s: %v", scope, err)
				}
			}
		})
	}
}

func TestAScopeDecidesWhereAValueOpens(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0)
	ring := keyring.New(pair)
	for name, c := range map[string]struct {
		scope                   seal.Scope
		sameName, sameNS, other bool
	}{
		"strict":         {seal.Strict, true, false, false},
		"namespace-wide": {seal.NamespaceWide, true, true, false},
		"cluster-wide":   {seal.ClusterWide, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := mustSeal(t, pair, c.scope, "ns", "name", "v")
			for where, want := range map[[2]string]bool{
				{"ns", "name"}: c.sameName, {"ns", "renamed"}: c.sameNS, {"elsewhere", "name"}: c.other, {"elsewhere", "renamed"}: c.other,
			} {
				_, err := seal.NewOpener(ring, "", 0).Open(t.Context(), c.scope, where[0], where[1], text)
				if got := err == nil; got != want {
					t.Errorf("in %s/%s: opens = %t, want %t (%v)", where[0], where[1], got, want, err)
				}
			}
		})
	}
}

func TestANarrowerScopeCannotBeWidenedByItsName(t *testing.T) {
	t.Parallel()
	// The labels of two scopes could only meet if a namespace held a slash, which Kubernetes forbids.
	seen := map[string]string{}
	for _, c := range []struct {
		scope    seal.Scope
		ns, name string
	}{
		{seal.Strict, "a", "b"}, {seal.NamespaceWide, "a", "b"}, {seal.ClusterWide, "a", "b"}, {seal.Strict, "", "b"}, {seal.Strict, "a", ""}, {seal.Scope("unknown"), "x", "y"},
	} {
		label := string(seal.Label(c.scope, c.ns, c.name))
		what := string(c.scope) + " " + c.ns + " " + c.name
		if before, ok := seen[label]; ok {
			t.Errorf("%s and %s share the label %q", before, what, label)
		}
		seen[label] = what
	}
	want := map[string]string{"a/b": "strict a b", "a": "namespace-wide a b", "": "cluster-wide a b", "/b": "strict  b", "a/": "strict a ", "x/y": "unknown x y"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestAnnotationsChooseTheScope(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		annotations map[string]string
		want        seal.Scope
	}{
		"none":               {nil, seal.Strict},
		"namespace-wide":     {map[string]string{seal.AnnotationNamespaceWide: "true"}, seal.NamespaceWide},
		"cluster-wide":       {map[string]string{seal.AnnotationClusterWide: "true"}, seal.ClusterWide},
		"both":               {map[string]string{seal.AnnotationNamespaceWide: "true", seal.AnnotationClusterWide: "true"}, seal.ClusterWide},
		"not literally true": {map[string]string{seal.AnnotationNamespaceWide: "True", seal.AnnotationClusterWide: "1"}, seal.Strict},
	} {
		if got := seal.ScopeOf(c.annotations); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	if _, err := seal.ParseScope("Strict"); err == nil {
		t.Error("a scope that does not exist was accepted")
	}
	if s, err := seal.ParseScope(""); err != nil || s != seal.Strict {
		t.Errorf("no scope: %s, %v", s, err)
	}
}

func TestTheLikeliestKeyIsTriedFirst(t *testing.T) {
	t.Parallel()
	newest, middle, oldest := generate(t, 0), generate(t, time.Hour), generate(t, 2*time.Hour)
	ring := keyring.New(oldest, newest, middle)
	for name, c := range map[string]struct {
		sealedTo *keyring.Pair
		hint     string
		want     []int // operations after each of three values
	}{
		"sealed to the newest":                   {newest, "", []int{1, 2, 3}},
		"sealed to the oldest, learned once":     {oldest, "", []int{3, 4, 5}},
		"sealed to the oldest, hint from before": {oldest, oldest.Fingerprint(), []int{1, 2, 3}},
		"a hint that is out of date":             {newest, oldest.Fingerprint(), []int{2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opener := seal.NewOpener(ring, c.hint, 0)
			var got []int
			for range c.want {
				if _, err := opener.Open(t.Context(), seal.Strict, "ns", "n", mustSeal(t, c.sealedTo, seal.Strict, "ns", "n", "v")); err != nil {
					t.Fatal(err)
				}
				got = append(got, opener.Operations())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if opener.Hint() != c.sealedTo.Fingerprint() {
				t.Error("the opener did not learn the key")
			}
		})
	}
}

func TestAFailingValueCostsNoMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	sealedTo := generate(t, 24*time.Hour)
	var pairs []*keyring.Pair
	for i := range 6 {
		pairs = append(pairs, generate(t, time.Duration(i)*time.Hour))
	}
	text := mustSeal(t, sealedTo, seal.Strict, "ns", "n", "v")
	for name, c := range map[string]struct {
		ring       *keyring.Ring
		limit      int
		want       error
		operations int
	}{
		"no key opens it":               {keyring.New(pairs...), 0, seal.ErrNoKey, 6},
		"as many keys as tries":         {keyring.New(pairs...), 6, seal.ErrNoKey, 6},
		"more keys than tries":          {keyring.New(append(pairs, sealedTo)...), 6, seal.ErrLimit, 6},
		"no keys at all":                {keyring.New(), 0, seal.ErrNoKey, 0},
		"only keys of another size":     {keyring.New(readPair(t, "rsa2048"), readPair(t, "rsa4096")), 0, seal.ErrNoKey, 0},
		"the last key within the tries": {keyring.New(append(pairs, sealedTo)...), 7, nil, 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opener := seal.NewOpener(c.ring, "", c.limit)
			if _, err := opener.Open(t.Context(), seal.Strict, "ns", "n", text); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if opener.Operations() != c.operations {
				t.Errorf("got %d operations, want %d", opener.Operations(), c.operations)
			}
		})
	}
}

// What costs differ by would tell whoever sends values and takes the time that a place is right, or which key sealed.
func TestEveryValueThatDoesNotOpenCostsTheSame(t *testing.T) {
	t.Parallel()
	newest, middle, oldest := generate(t, 0), generate(t, time.Hour), generate(t, 2*time.Hour)
	changed := func(pair *keyring.Pair, at int) string {
		value, err := rsahybrid.Seal(rand.Reader, pair.Public(), seal.Label(seal.Strict, "ns", "n"), []byte("value"))
		if err != nil {
			t.Fatal(err)
		}
		value[(at+len(value))%len(value)] ^= 1
		return base64.StdEncoding.EncodeToString(value)
	}
	const lengthAndKey = 2 + 128
	for name, text := range map[string]string{
		"another key":                      mustSeal(t, generate(t, 0), seal.Strict, "ns", "n", "value"),
		"another name":                     mustSeal(t, newest, seal.Strict, "ns", "m", "value"),
		"another namespace":                mustSeal(t, newest, seal.Strict, "other", "n", "value"),
		"a wider scope":                    mustSeal(t, oldest, seal.NamespaceWide, "ns", "", "value"),
		"the widest scope":                 mustSeal(t, middle, seal.ClusterWide, "", "", "value"),
		"a damaged session key":            changed(newest, lengthAndKey/2),
		"a damaged value of the newest":    changed(newest, lengthAndKey),
		"a damaged value of the middle":    changed(middle, lengthAndKey+2),
		"a damaged end of the newest":      changed(newest, -1),
		"a damaged end of the oldest":      changed(oldest, -1),
		"a value that lost its last bytes": mustSeal(t, newest, seal.Strict, "ns", "n", "value")[:200],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opener := seal.NewOpener(keyring.New(newest, middle, oldest), "", 0)
			if _, err := opener.Open(t.Context(), seal.Strict, "ns", "n", text); !errors.Is(err, seal.ErrNoKey) {
				t.Errorf("got %v, want the error of any other value that does not open", err)
			}
			if opener.Operations() != 3 {
				t.Errorf("asked %d keys, want all 3", opener.Operations())
			}
		})
	}
}

// endless is a ring whose keys end the context when the second is asked.
type endless struct{ cancel context.CancelFunc }

func (e endless) Candidates(string) []keyring.Key {
	return []keyring.Key{refusing{}, refusing{e.cancel}, refusing{}, refusing{}}
}

type refusing struct{ then context.CancelFunc }

func (refusing) Fingerprint() string { return "SHA256:remote" }

func (refusing) Fits(keyring.Lock) bool { return true }

func (r refusing) Unwrap(context.Context, keyring.Lock) ([]byte, error) {
	if r.then != nil {
		r.then()
	}
	return nil, keyring.ErrWrongKey
}

type broken struct{ refusing }

func (broken) Unwrap(context.Context, keyring.Lock) ([]byte, error) {
	return nil, errors.New("the key service is down")
}

type one struct{ key keyring.Key }

func (o one) Candidates(string) []keyring.Key { return []keyring.Key{o.key, refusing{}} }

func TestAnErrorThatAnotherKeyMayCureIsNoFaultOfTheValue(t *testing.T) {
	t.Parallel()
	for _, err := range []error{seal.ErrNoKey, seal.ErrLimit, seal.ErrNoRecipient, keyring.ErrRetired, context.Canceled, errors.New("the key service is down")} {
		if seal.IsFault(err) {
			t.Errorf("%q is called a fault of the value", err)
		}
	}
}

func TestOpeningStopsBetweenKeysWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	opener := seal.NewOpener(endless{cancel}, "", 0)
	if _, err := opener.Open(ctx, seal.Strict, "ns", "n", mustSeal(t, generate(t, 0), seal.Strict, "ns", "n", "v")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if opener.Operations() != 2 {
		t.Errorf("got %d operations, want 2", opener.Operations())
	}
}

func TestAKeyThatCannotBeAskedIsNotAWrongKey(t *testing.T) {
	t.Parallel()
	opener := seal.NewOpener(one{broken{}}, "", 0)
	_, err := opener.Open(t.Context(), seal.Strict, "ns", "n", mustSeal(t, generate(t, 0), seal.Strict, "ns", "n", "v"))
	if err == nil || errors.Is(err, seal.ErrNoKey) || !strings.Contains(err.Error(), "the key service is down") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoSealedTextIsRefused(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0)
	text := mustSeal(t, pair, seal.ClusterWide, "", "", "canary-7f3e5b")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":                 {"", rsahybrid.ErrTooShort},
		"a value nobody sealed":   {"canary-7f3e5b", seal.ErrEncoding},
		"base64 of a plain value": {base64.StdEncoding.EncodeToString([]byte("canary-7f3e5b canary-7f3e5b")), rsahybrid.ErrMalformed},
		"URL base64":              {base64.URLEncoding.EncodeToString(append([]byte{0xff, 0xff}, raw...)), seal.ErrEncoding},
		"no padding":              {strings.TrimRight(base64.StdEncoding.EncodeToString(raw[:len(raw)-(len(raw)+2)%3]), "="), seal.ErrEncoding},
		"text after it":           {text + "!", seal.ErrEncoding},
		"spaces in it":            {text[:10] + " " + text[10:], seal.ErrEncoding},
		"cut off":                 {text[:100], rsahybrid.ErrTooShort},
		"sixteen mebibytes":       {strings.Repeat("A", 16<<20), rsahybrid.ErrTooLarge},
		"broken into lines":       {text[:10] + "\n" + text[10:20] + "\r\n" + text[20:] + "\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := seal.NewOpener(keyring.New(pair), "", 0).Open(t.Context(), seal.ClusterWide, "", "", c.text)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes its input: %v", err)
			}
		})
	}
}

func TestAValueThatFitsNoSecretIsNotSealed(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0)
	if _, err := seal.Seal(rand.Reader, seal.Compat(pair.Public()), seal.Strict, "ns", "n", make([]byte, seal.MaxValue+1)); !errors.Is(err, seal.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	text := mustSeal(t, pair, seal.Strict, "ns", "n", strings.Repeat("x", seal.MaxValue))
	if _, err := seal.NewOpener(keyring.New(pair), "", 0).Open(t.Context(), seal.Strict, "ns", "n", text); err != nil {
		t.Errorf("the largest value: %v", err)
	}
}

func TestAPlaceWithoutWhatItsScopeNeedsIsRefused(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0)
	everywhere := mustSeal(t, pair, seal.ClusterWide, "", "", "v")
	for name, c := range map[string]struct {
		scope           seal.Scope
		namespace, name string
	}{
		"strict without a namespace":         {seal.Strict, "", "n"},
		"strict without a name":              {seal.Strict, "ns", ""},
		"namespace-wide without a namespace": {seal.NamespaceWide, "", "n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := seal.Seal(rand.Reader, seal.Compat(pair.Public()), c.scope, c.namespace, c.name, nil); !errors.Is(err, seal.ErrPlace) {
				t.Errorf("sealing: %v", err)
			}
			if _, err := seal.NewOpener(keyring.New(pair), "", 0).Open(t.Context(), c.scope, c.namespace, c.name, everywhere); !errors.Is(err, seal.ErrPlace) {
				t.Errorf("opening: %v", err)
			}
		})
	}
}

func TestSealingTwiceGivesTwoTexts(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0)
	first := mustSeal(t, pair, seal.Strict, "ns", "n", "v")
	if second := mustSeal(t, pair, seal.Strict, "ns", "n", "v"); first == second {
		t.Error("the same session key was drawn twice")
	}
}

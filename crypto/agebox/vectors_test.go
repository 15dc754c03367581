package agebox_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"

	"github.com/sealbridge/sealbridge/crypto/agebox"
)

// vectorFile is testdata/vectors.json; its README describes it.
type vectorFile struct {
	Format     string
	Identities map[string]struct{ Recipient, Fingerprint, Secret string }
	Vectors    []struct {
		Comment, Identity, Scope, Namespace, Name, Expect string
		Value, Sealed                                     []byte
	}
}

func readVectors(t testing.TB) (vectorFile, map[string]*agebox.Identity) {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file vectorFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	identities := map[string]*agebox.Identity{}
	for name, i := range file.Identities {
		read, err := agebox.ParseIdentities([]byte(i.Secret))
		if err != nil || read[0].Fingerprint() != i.Fingerprint || read[0].Recipient().String() != i.Recipient {
			t.Fatalf("identity %s: %v", name, err)
		}
		identities[name] = read[0]
	}
	return file, identities
}

func scopeOf(name string) agebox.Scope {
	return map[string]agebox.Scope{"strict": agebox.Strict, "namespace-wide": agebox.NamespaceWide, "cluster-wide": agebox.ClusterWide}[name]
}

func TestEveryVectorOpensOrIsRefusedAsItSays(t *testing.T) {
	t.Parallel()
	file, identities := readVectors(t)
	counts := map[string]int{}
	for _, v := range file.Vectors {
		counts[v.Expect]++
		value, err := open(identities[v.Identity], agebox.Place{Scope: scopeOf(v.Scope), Namespace: v.Namespace, Name: v.Name}, v.Sealed)
		switch {
		case v.Expect == "opens" && (err != nil || string(value) != string(v.Value)):
			t.Errorf("%s, by %s: %v", v.Comment, v.Identity, err)
		case v.Expect == "refused" && err == nil:
			t.Errorf("%s: opened", v.Comment)
		}
	}
	if file.Format != "sealbridge.dev/1" || counts["opens"] < 15 || counts["refused"] < 40 || len(counts) != 2 {
		t.Errorf("%s: %v", file.Format, counts)
	}
}

// FuzzOpen holds that no bytes make the parser panic, and that nothing opens for a stranger.
func FuzzOpen(f *testing.F) {
	file, identities := readVectors(f)
	if len(file.Vectors) == 0 {
		f.Fatal("no seeds: the file has no vectors")
	}
	for _, v := range file.Vectors {
		f.Add(v.Sealed)
	}
	stranger := generate(f)
	f.Fuzz(func(t *testing.T, value []byte) {
		if got, err := open(stranger, strict, value); err == nil || got != nil {
			t.Error("a made-up value opened for a stranger")
		}
		box, err := agebox.Parse(value)
		if err != nil {
			return
		}
		if n := len(box.Locks()); n == 0 || n > agebox.MaxRecipients {
			t.Errorf("%d locks", n)
		}
		for _, lock := range box.Locks() {
			fileKey, err := identities["cluster"].Unwrap(lock)
			if err != nil {
				continue
			}
			// Whatever became of the rest, a new lock is a value that parses, or none.
			again, err := box.Relock(fileKey, 0, stranger.Recipient())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := agebox.Parse(again); err != nil {
				t.Errorf("a value with a new lock does not parse: %v", err)
			}
		}
	})
}

// FuzzParseKeys holds that no text makes the parsers of keys panic, and that what parses is written as it was read.
func FuzzParseKeys(f *testing.F) {
	file, _ := readVectors(f)
	for _, i := range file.Identities {
		f.Add([]byte("# created: 2026-11-25T00:00:00Z\n" + i.Secret + "\n"))
		f.Add([]byte(i.Recipient))
	}
	held, _ := readHeld(f)
	for _, k := range held.Keys {
		f.Add([]byte(k.Recipient))
	}
	f.Add([]byte("age1yubikey1q\nage1q\nssh-rsa\nAGE-PLUGIN-X-1Q\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if recipients, err := agebox.ParseRecipients(text); err == nil {
			for _, r := range recipients {
				if again, err := agebox.ParseRecipient(r.String()); err != nil || again.Fingerprint() != r.Fingerprint() {
					t.Errorf("a recipient is written as another: %v", err)
				}
			}
		}
		if identities, err := agebox.ParseIdentities(text); err == nil && len(identities) == 0 {
			t.Error("no identity and no error")
		}
	})
}

// The texts in the vectors' sealed values are those of encryptedData.
func TestTheVectorsAreTextsOfEncryptedData(t *testing.T) {
	t.Parallel()
	file, _ := readVectors(t)
	for _, v := range file.Vectors {
		if v.Expect == "opens" && base64.StdEncoding.EncodeToString(v.Sealed)[:28] != "YWdlLWVuY3J5cHRpb24ub3JnL3Yx" {
			t.Errorf("%s begins otherwise", v.Comment)
		}
	}
}

package agebox

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"strings"
	"testing"

	agetest "c2sp.org/CCTV/age"
)

// vector is one of age's public test vectors: a file, what becomes of it, and with which keys.
type vector struct {
	expect, payload string
	fileKey         []byte
	identities      []string
	armored         bool
	file            []byte
}

func readVector(t *testing.T, name string) vector {
	t.Helper()
	data, err := fs.ReadFile(agetest.Vectors, name)
	if err != nil {
		t.Fatal(err)
	}
	head, file, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok {
		t.Fatal("no empty line")
	}
	v := vector{file: file}
	for line := range strings.Lines(string(head)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "expect":
			v.expect = value
		case "payload":
			v.payload = value
		case "file key":
			if v.fileKey, err = hex.DecodeString(value); err != nil {
				t.Fatal(err)
			}
		case "identity":
			v.identities = append(v.identities, value)
		case "armored":
			v.armored = true
		case "compressed":
			r, err := zlib.NewReader(bytes.NewReader(v.file))
			if err != nil {
				t.Fatal(err)
			}
			if v.file, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return v
}

func vectorNames(t *testing.T) []string {
	t.Helper()
	entries, err := fs.ReadDir(agetest.Vectors, ".")
	if err != nil || len(entries) < 100 {
		t.Fatalf("%d vectors, %v", len(entries), err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// refusedHere are age files that age opens and that are no sealed values: other locks ride along.
var refusedHere = map[string]bool{"hybrid_and_x25519": true, "hybrid_grease": true}

func TestThePublicVectorsOfAgeHold(t *testing.T) {
	t.Parallel()
	opened := 0
	for _, name := range vectorNames(t) {
		v := readVector(t, name)
		box, err := Parse(v.file)
		if !strings.HasPrefix(name, "hybrid") || refusedHere[name] {
			if err == nil {
				t.Errorf("%s: taken for a sealed value", name)
			}
			continue
		}
		if v.expect == "header failure" || err != nil {
			if err != nil && v.expect != "header failure" && v.expect != "no match" {
				t.Errorf("%s: %v, want %s", name, err, v.expect)
			}
			if err == nil && opens(t, box, v) {
				t.Errorf("%s: opened", name)
			}
			continue
		}
		switch got := opens(t, box, v); {
		case got != (v.expect == "success"):
			t.Errorf("%s: opened %t, want %s", name, got, v.expect)
		case got:
			opened++
		}
	}
	if opened < 2 {
		t.Errorf("only %d hybrid vectors opened", opened)
	}
}

// opens says whether a vector's identities open a box to the vector's payload.
func opens(t *testing.T, box *Box, v vector) bool {
	t.Helper()
	for _, text := range v.identities {
		identities, err := ParseIdentities([]byte(text))
		if err != nil {
			continue
		}
		for _, lock := range box.Locks() {
			fileKey, err := identities[0].Unwrap(lock)
			if err != nil {
				continue
			}
			inside, err := box.inside(fileKey)
			sum := sha256.Sum256(inside)
			return err == nil && hex.EncodeToString(sum[:]) == v.payload
		}
	}
	return false
}

// What follows the locks is the same for every type of recipient, so that all vectors with a known file key count.
func TestHeadersAndPayloadsAreJudgedAsAgesVectorsSay(t *testing.T) {
	t.Parallel()
	judged := 0
	for _, name := range vectorNames(t) {
		v := readVector(t, name)
		if v.armored || len(v.fileKey) != fileKeySize || !strings.HasPrefix(name, "stream") && !strings.HasPrefix(name, "hmac") {
			continue
		}
		judged++
		end, err := headerEnd(v.file)
		if err != nil && v.expect == "success" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		inside, err := (&Box{raw: v.file, end: end}).inside(v.fileKey)
		sum := sha256.Sum256(inside)
		switch {
		case len(v.file) > maxInside && err == nil:
			t.Errorf("%s: more came out than a value holds", name)
		case len(v.file) > maxInside:
		case (err == nil) != (v.expect == "success"):
			t.Errorf("%s: %v, want %s", name, err, v.expect)
		case err == nil && hex.EncodeToString(sum[:]) != v.payload:
			t.Errorf("%s: another payload", name)
		}
	}
	if judged < 30 {
		t.Errorf("judged %d vectors", judged)
	}
}

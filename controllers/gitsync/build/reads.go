package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// ReadSet is everything that a build looked at, with what it was then: contents of files and folders by Git's own hash,
// and whether a name was a folder, also where the answer was no.
type ReadSet struct{ facts map[fact]string }

type fact struct {
	name   string
	folder bool // whether it is a folder, instead of what it holds
}

// Unchanged says whether a build of another tree, with the same options, would read the same and so give the same.
func (r ReadSet) Unchanged(tree Tree) bool {
	for f, was := range r.facts {
		if look(tree, f) != was {
			return false
		}
	}
	return len(r.facts) > 0
}

// Digest identifies what was read: "sha256:<hex>".
func (r ReadSet) Digest() string {
	h := sha256.New()
	lines := make([]string, 0, len(r.facts))
	for f, was := range r.facts {
		lines = append(lines, fmt.Sprintf("%q %v %q\n", f.name, f.folder, was))
	}
	slices.Sort(lines)
	for _, line := range lines {
		_, _ = h.Write([]byte(line))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Names returns the names that were looked at, sorted.
func (r ReadSet) Names() []string {
	names := map[string]bool{}
	for f := range maps.Keys(r.facts) {
		names[f.name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

const absent = "absent"

func look(tree Tree, f fact) string {
	if f.folder {
		info, err := tree.Stat(f.name)
		if err != nil || !info.IsDir() {
			return absent
		}
		real, err := tree.RealPath(f.name)
		if err != nil {
			return absent
		}
		return "folder " + real
	}
	digest, err := tree.Digest(f.name)
	if err != nil {
		return absent
	}
	return digest
}

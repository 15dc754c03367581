package externalsecret

import (
	"math"
	"sync"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

const (
	// maxTogether bounds how many documents are read at one point of the interval, so that a cluster in which everything is
	// joined by some object still spreads its requests.
	maxTogether = 64
	// maxJoined bounds the memory: when so many documents have been read together with others, all are forgotten.
	maxJoined = 1 << 16
)

// phases gathers the documents that objects read together, by their hashes, so that all objects that read one of them can
// fall due at one point of the interval, where one request for each document serves them all. It is what a process has
// seen of its objects; losing it costs requests, never correctness. The zero value is ready, and safe for concurrent use.
type phases struct {
	mu sync.Mutex
	// smaller leads from a document to a smaller one of its group, up to the smallest, which leads to itself.
	smaller map[uint32]uint32
	// size is how many documents a group has, by its smallest.
	size map[uint32]int
}

// join notes that documents are read together and returns the point of the interval at which to read them, as a hash: the
// smallest of all that are read together with any of them, also through others, as far as maxTogether allows.
func (p *phases) join(documents []uint32) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.smaller) > maxJoined {
		p.smaller, p.size = nil, nil
	}
	point := uint32(math.MaxUint32)
	for i, document := range documents {
		root := p.root(document)
		if i > 0 {
			root = p.unite(point, root)
		}
		point = min(point, root)
	}
	return point
}

// root returns the smallest document of a group.
func (p *phases) root(document uint32) uint32 {
	for {
		next, joined := p.smaller[document]
		if !joined || next == document {
			return document
		}
		if further, ok := p.smaller[next]; ok {
			p.smaller[document] = further
		}
		document = next
	}
}

// unite makes two groups one, unless it were too large, and returns the smallest of the second's group then.
func (p *phases) unite(a, b uint32) uint32 {
	if a == b {
		return b
	}
	together := max(p.size[a], 1) + max(p.size[b], 1)
	if together > maxTogether {
		return b
	}
	if p.smaller == nil {
		p.smaller, p.size = map[uint32]uint32{}, map[uint32]int{}
	}
	a, b = min(a, b), max(a, b)
	p.smaller[a], p.smaller[b], p.size[a] = a, a, together
	delete(p.size, b)
	return a
}

// documentsOf returns the hashes of what a spec reads.
func documentsOf(spec *esv1.ExternalSecretSpec, namespace string) []uint32 {
	entries := entriesOf(spec)
	out := make([]uint32, len(entries))
	for i, e := range entries {
		owner := ""
		if e.origin.store.Kind == esv1.KindSecretStore {
			owner = namespace
		}
		out[i] = hashOf(e.origin.store.Kind, owner, e.origin.store.Name, e.origin.ref.Key+e.origin.find)
	}
	return out
}

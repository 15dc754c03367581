package externalsecret

import "testing"

func TestDocumentsThatAreReadTogetherHaveOnePoint(t *testing.T) {
	t.Parallel()
	var p phases
	const ring = 10
	for range 2 { // the second time everybody has been seen
		for i := range uint32(ring) {
			p.join([]uint32{i + 100, (i+1)%ring + 100})
		}
	}
	for i := range uint32(ring) {
		if got := p.join([]uint32{(i+1)%ring + 100, i + 100}); got != 100 {
			t.Errorf("documents %d and the next are read at %d, want all of the ring at 100", i+100, got)
		}
	}
	if got := p.join([]uint32{7}); got != 7 {
		t.Errorf("a document that is read alone is read at %d, want its own point", got)
	}
	if got := p.join([]uint32{105}); got != 100 {
		t.Errorf("a document of the ring that is read alone is read at %d, want with the ring", got)
	}
}

func TestWhatIsReadTogetherIsBounded(t *testing.T) {
	t.Parallel()
	var p phases
	points := map[uint32]int{}
	const all = 100 * maxTogether
	for range 2 {
		clear(points)
		for i := range uint32(all) {
			points[p.join([]uint32{i, i + 1})]++
		}
	}
	if len(points) < all/maxTogether/2 {
		t.Errorf("%d points for %d documents in a chain, want the requests spread", len(points), all)
	}
	for point, n := range points {
		if n > maxTogether+1 {
			t.Errorf("%d objects at point %d, want %d documents at most", n, point, maxTogether)
		}
	}
	for i := range uint32(4 * maxJoined) {
		p.join([]uint32{2 * i, 2*i + 1})
	}
	if len(p.smaller) > maxJoined+2 || len(p.size) > len(p.smaller) {
		t.Errorf("%d documents are remembered, want %d at most", len(p.smaller), maxJoined)
	}
}

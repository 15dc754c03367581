package externalsecret

import (
	"time"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// PointOf returns the point of the interval at which the first of objects is due that are all there are, but for the jitter of its own.
func PointOf(interval time.Duration, objects ...*esv1.ExternalSecret) time.Duration {
	var p phases
	for _, es := range objects {
		p.replace(nil, periodic(es, documentsOf(es)))
	}
	return share(p.point(periodic(objects[0], documentsOf(objects[0]))), interval)
}

// Readers returns how many documents somebody is known to read.
func (r *Reconciler) Readers() int {
	r.readers.mu.Lock()
	defer r.readers.mu.Unlock()
	return len(r.readers.one) + len(r.readers.several)
}

// JitterOf returns by how much later than that an object is due.
func JitterOf(es *esv1.ExternalSecret, interval time.Duration) time.Duration {
	return jitterOf(es.UID, interval)
}

package externalsecret_test

import (
	"strings"
	"testing"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/large"
)

func TestALargeDocumentWaitsForThoseOfOthersAndASmallOneDoesNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, end := w.pool.Hold(t.Context())
	if err := large.Take(other); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", large.Answer+1)
	w.backend.put("large", text)
	w.backend.put("small", "s")
	w.store("store")
	of := func(key string) func(*esv1.ExternalSecret) {
		return func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef = esv1.RemoteRef{Key: key} }
	}
	w.create(w.externalSecret("large", of("large")), w.externalSecret("small", of("small")))
	w.ready("small")
	w.notReady("large", "others are reading large documents, which is done by one after the other; it is tried again")
	end()
	w.ready("large")
	w.holds("large", map[string]string{"password": text})
	next, endNext := w.pool.Hold(t.Context())
	defer endNext()
	if err := large.Take(next); err != nil {
		t.Errorf("its turn is not over when its work is: %v", err)
	}
}

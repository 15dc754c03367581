package sealedsecret_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The API server refuses an event whose note has more than a kilobyte.
func TestAFailureThatNamesManyKeysIsAnnounced(t *testing.T) {
	t.Parallel()
	w := started(t)
	obj := w.object("many", nil)
	obj.Spec.EncryptedData = map[string]string{}
	for i := range 100 {
		obj.Spec.EncryptedData[fmt.Sprintf("a-key-with-a-long-name-%03d", i)] = "not sealed"
	}
	w.create(obj)
	w.failed("many", "a-key-with-a-long-name-099")
	w.eventually("the event", func() bool {
		return slices.ContainsFunc(w.events("many"), func(e string) bool {
			return strings.HasPrefix(e, "Warning ErrUnsealFailed Failed to unseal: ") && strings.Contains(e, "a-key-with-a-long-name-000")
		})
	})
}

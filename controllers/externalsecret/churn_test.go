package externalsecret_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// TestWhoIsDeletedWhileItIsReconciledIsNoReaderAnyMore deletes each object between the moment when the controller has read it and the one
// when it notes what the object reads, of which the event of the deletion comes first.
func TestWhoIsDeletedWhileItIsReconciledIsNoReaderAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("stays"))
	w.ready("stays")
	stays := w.reconciler.Readers()

	var mu sync.Mutex
	deleted := map[string]bool{"stays": true}
	read := func(key client.ObjectKey) {
		mu.Lock()
		gone := deleted[key.Name]
		deleted[key.Name] = true
		mu.Unlock()
		if gone {
			return
		}
		es := &esv1.ExternalSecret{}
		es.Namespace, es.Name = key.Namespace, key.Name
		if err := w.c.Delete(t.Context(), es); err != nil {
			t.Error(err)
		}
		for end := time.Now().Add(10 * time.Second); w.reconciler.Readers() > stays && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	w.read.Store(&read)
	const many = 20
	for i := range many {
		w.create(w.externalSecret(fmt.Sprint("gone-", i), func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Key = es.Name }))
	}
	w.eventually("all are read", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(deleted) != many+1 {
			return fmt.Errorf("%d of %d", len(deleted)-1, many)
		}
		return nil
	})
	w.eventually("nobody is left of those that are gone", func() error {
		if n := w.reconciler.Readers(); n != stays {
			return fmt.Errorf("%d documents have a reader, want %d", n, stays)
		}
		return nil
	})
}

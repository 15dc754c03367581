package sealedsecret_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// secretReads collects what is read of Secrets with their data.
type secretReads struct {
	mu       sync.Mutex
	withData []string
	metadata int
}

// see is a fault that lets everything pass.
func (r *secretReads) see(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
	_, rest, ok := strings.Cut(req.URL.Path, "/secrets")
	if !ok || req.Method != http.MethodGet {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case strings.Contains(req.Header.Get("Accept"), "as=PartialObjectMetadata"):
		r.metadata++
	case strings.Contains(req.URL.Query().Get("labelSelector"), "sealed-secrets-key"), strings.HasPrefix(rest, "/sealed-secrets-key"):
		// the sealing keys, in the controller's own namespace
	default:
		r.withData = append(r.withData, req.URL.String())
	}
	return nil, nil
}

func TestNoSecretButASealingKeyIsReadListedOrWatchedWithItsData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reads := &secretReads{}
	w.fault = reads.see
	w.start()
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "taken"}, Data: map[string][]byte{"k": []byte(canary)}})
	for _, name := range []string{"app", "taken"} {
		w.create(w.object(name, map[string]string{"k": canary}))
	}
	w.synced("app")
	w.failed("taken", "is not managed by SealedSecret")
	update(w, w.secret("app"), func(s *corev1.Secret) { s.Data["k"] = []byte("by hand") })
	w.eventually("the edit is undone", func() bool { return w.data("app")["k"] == canary })
	if err := w.client.Delete(t.Context(), w.secret("taken")); err != nil {
		t.Fatal(err)
	}
	w.synced("taken")
	w.stop()
	w.start()
	w.create(w.object("last", map[string]string{"k": "1"}))
	w.synced("last")
	reads.mu.Lock()
	defer reads.mu.Unlock()
	if len(reads.withData) > 0 || reads.metadata == 0 {
		t.Errorf("%d reads of metadata, and with data:\n%s", reads.metadata, strings.Join(reads.withData, "\n"))
	}
}

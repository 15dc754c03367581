package clusterexternalsecret_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

const canary = "canary-5b0e"

// weather is an API server that does not do what it is asked, or does it and nobody hears of it. It hits each thing that is
// written twice, with another fault each time, and then lets it pass.
type weather struct {
	mu sync.Mutex
	// hits counts by method and path, and met by fault.
	hits map[string]int
	met  map[string]int
	next int
}

// strike returns the fault of a request, "" for none.
func (f *weather) strike(req *http.Request) string {
	if req.Method == http.MethodGet || !strings.Contains(req.URL.Path, "externalsecrets") {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	thing := req.Method + " " + req.URL.Path
	if f.hits[thing] == 2 {
		return ""
	}
	f.hits[thing]++
	faults := []string{"conflict", "too many", "error", "reset", "answer lost"}
	fault := faults[f.next%len(faults)]
	f.next++
	f.met[fault]++
	return fault
}

func (f *weather) meet(req *http.Request, next http.RoundTripper) (*http.Response, error) {
	switch fault := f.strike(req); fault {
	case "":
		return next.RoundTrip(req)
	case "conflict":
		return refusal(req, http.StatusConflict, "Conflict"), nil
	case "too many":
		return refusal(req, http.StatusTooManyRequests, "TooManyRequests"), nil
	case "error":
		return refusal(req, http.StatusInternalServerError, "InternalError"), nil
	case "answer lost":
		if resp, err := next.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	return nil, errors.New("connection reset by peer: " + canary)
}

func refusal(req *http.Request, code int, reason string) *http.Response {
	body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":%q}`, reason, code, canary)
	header := http.Header{"Content-Type": {"application/json"}}
	if code == http.StatusTooManyRequests {
		header.Set("Retry-After", "1")
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}
}

func TestAnAPIServerThatFailsWhileManyNamespacesAreProvisionedLosesNone(t *testing.T) {
	w := prepare(t, role, takeover)
	const many = 24
	var namespaces []string
	for range many {
		namespaces = append(namespaces, w.namespace(w.mine()))
	}
	foreign := w.namespace(w.mine())
	theirs := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: foreign, Name: "db"}, Spec: w.ces().Spec.ExternalSecretSpec}
	w.create(theirs)
	bad := func() *weather { return &weather{hits: map[string]int{}, met: map[string]int{}} }
	over := func(when string, faults *weather) {
		t.Helper()
		faults.mu.Lock()
		defer faults.mu.Unlock()
		if len(faults.met) != 5 {
			t.Errorf("%s: the faults %v were met", when, faults.met)
		}
	}

	creating := bad()
	w.fault.Store(creating)
	w.start()
	ces := w.ces()
	w.create(ces)
	w.provisioned(namespaces...)
	over("while they are made", creating)
	uids := map[string]types.UID{}
	for _, namespace := range namespaces {
		uids[namespace] = w.externalSecret(namespace, "db").UID
	}

	changing := bad()
	w.fault.Store(changing)
	change(w, ces, func(ces *esv1.ClusterExternalSecret) { ces.Spec.ExternalSecretSpec.Data[0].RemoteRef.Key = "another" })
	w.provisioned(namespaces...)
	over("while they change", changing)
	for _, namespace := range namespaces {
		es := w.externalSecret(namespace, "db")
		if es.UID != uids[namespace] || es.Spec.Data[0].RemoteRef.Key != "another" {
			t.Errorf("%s: uid %s of %s, key %s", namespace, es.UID, uids[namespace], es.Spec.Data[0].RemoteRef.Key)
		}
	}

	leaving := bad()
	w.fault.Store(leaving)
	stay, leave := namespaces[:many/2], namespaces[many/2:]
	for _, namespace := range leave {
		change(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, func(ns *corev1.Namespace) { delete(ns.Labels, "ces") })
	}
	w.provisioned(stay...)
	for _, namespace := range leave {
		w.absent(namespace, "db")
	}
	for _, namespace := range stay {
		if es := w.externalSecret(namespace, "db"); es.UID != uids[namespace] {
			t.Errorf("%s: it was made anew", namespace)
		}
	}
	over("while some leave", leaving)

	// What is not ours has seen nothing of all that, and nobody has seen what the server said.
	if got := w.externalSecret(foreign, "db"); got.UID != theirs.UID || got.ResourceVersion != theirs.ResourceVersion {
		t.Error("an ExternalSecret of somebody else was written")
	}
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(ces), ces); err != nil || len(ces.Status.FailedNamespaces) != 1 || ces.Status.FailedNamespaces[0].Namespace != foreign {
		t.Errorf("failed namespaces %v: %v", ces.Status.FailedNamespaces, err)
	}
	if strings.Contains(w.logs.String()+fmt.Sprint(ces.Status), canary) {
		t.Error("what the API server answered shows")
	}
}

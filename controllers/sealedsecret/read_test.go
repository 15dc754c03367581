package sealedsecret_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/sealedsecret"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// objectReads are how SealedSecrets were read one by one: from the API server's cache, or as they are stored.
type objectReads struct {
	mu             sync.Mutex
	cached, stored int
	// behind makes the API server's cache answer what it answered first; missing makes it know no object.
	behind, missing bool
	first           []byte
}

// see is a fault.
func (r *objectReads) see(req *http.Request, next http.RoundTripper) (*http.Response, error) {
	if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/sealedsecrets/") {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.URL.Query().Get("resourceVersion") != "0" {
		r.stored++
		return nil, nil
	}
	r.cached++
	if r.missing {
		body := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
		return answer(http.StatusNotFound, []byte(body)), nil
	}
	if r.behind && r.first != nil {
		return answer(http.StatusOK, r.first), nil
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if r.first == nil {
		r.first = body
	}
	return answer(resp.StatusCode, body), nil
}

func answer(code int, body []byte) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body))}
}

// counts returns how many reads there were.
func (r *objectReads) counts() (cached, stored int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cached, r.stored
}

func TestAnObjectThatWasNotHandedOverIsReadFromTheCacheOfTheAPIServer(t *testing.T) {
	t.Parallel()
	w, reads := newWorld(t), &objectReads{}
	w.fault, w.deps = reads.see, func(d *sealedsecret.Deps) { d.Handover = nil }
	w.start()
	obj := w.object("app", map[string]string{"k": canary})
	w.create(obj)
	w.synced("app")
	update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["k"] = w.sealed(seal.Strict, "app", "2") })
	w.eventually("the new value", func() bool { return w.data("app")["k"] == "2" })
	if cached, stored := reads.counts(); cached < 2 || stored > 0 {
		t.Errorf("%d reads from the cache of the API server, %d of what is stored", cached, stored)
	}
	w.checkCanary()
}

func TestACacheOfAnAPIServerThatIsBehindIsNotBelieved(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]*objectReads{"an older version": {behind: true}, "no object": {missing: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fault, w.deps = reads.see, func(d *sealedsecret.Deps) { d.Handover = nil }
			w.start()
			obj := w.object("app", map[string]string{"k": "1"})
			w.create(obj)
			w.synced("app")
			update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["k"] = w.sealed(seal.Strict, "app", "2") })
			w.eventually("the new value", func() bool { return w.data("app")["k"] == "2" })
			w.synced("app")
			// The same name, another object.
			if err := w.client.Delete(t.Context(), obj); err != nil {
				t.Fatal(err)
			}
			w.eventually("the Secret goes with its owner", func() bool { return w.secret("app") == nil })
			w.create(w.object("app", map[string]string{"k": "3"}))
			w.eventually("the value of the new object", func() bool { return w.data("app")["k"] == "3" })
			if _, stored := reads.counts(); stored < 2 {
				t.Errorf("%d reads of what is stored", stored)
			}
		})
	}
}

func TestThoseThatFindNoRoomInAFirstSyncAreReadTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handover = &sealedsecret.Handover{Bytes: 50_000} // room for the large one and half of the others, and for the other half then
	w.start()
	w.stop()
	values := map[string]string{"a-large": strings.Repeat(canary, 22_000/len(canary))}
	for i := range 20 {
		values[fmt.Sprint("app-", i)] = canary
	}
	for name, value := range values {
		w.create(w.object(name, map[string]string{"k": value}))
	}
	w.start()
	for name := range values {
		w.synced(name)
	}
	alone := w.requests.with(func(s string) bool { return strings.Contains(s, "GET ") && strings.Contains(s, "/sealedsecrets/") })
	lists := w.requests.with(func(s string) bool { return strings.HasPrefix(s, "GET ") && strings.HasSuffix(s, "/sealedsecrets") })
	if len(alone) > 0 || len(lists) > 4 { // the cache's own are among them
		t.Errorf("%d were read alone, %d lists and watches", len(alone), len(lists))
	}
	w.checkCanary()
}

func TestTheAnswerToAStatusHoldsNoValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	var answers []string
	w.fault = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if !strings.HasSuffix(req.URL.Path, "/app/status") {
			return nil, nil
		}
		resp, err := next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		answers = append(answers, string(body))
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp, nil
	}
	w.start()
	obj := w.object("app", map[string]string{"k": canary})
	w.create(obj)
	w.synced("app")
	settle(w)
	mu.Lock()
	defer mu.Unlock()
	if len(answers) != 1 || strings.Contains(answers[0], obj.Spec.EncryptedData["k"]) {
		t.Errorf("%d answers, of which the first has %d bytes", len(answers), len(answers[0]))
	}
}

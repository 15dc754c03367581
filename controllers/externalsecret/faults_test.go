package externalsecret_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/providers"
)

func (tr *traffic) meet(fault func(*http.Request, http.RoundTripper) (*http.Response, error)) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.fault = fault
}

// writes reports whether a request writes a Secret, or the status of an ExternalSecret.
func writesSecret(req *http.Request) bool {
	return (req.Method == http.MethodPatch || req.Method == http.MethodDelete) && strings.Contains(req.URL.Path, "/secrets/")
}

func writesStatus(req *http.Request) bool {
	return req.Method != http.MethodGet && strings.Contains(req.URL.Path, "/externalsecrets/") && strings.HasSuffix(req.URL.Path, "/status")
}

func answer(code int, reason string, header ...string) func(*http.Request, http.RoundTripper) (*http.Response, error) {
	return func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":%q}`, reason, code, canary)
		h := http.Header{"Content-Type": {"application/json"}}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	}
}

func TestWritesThatFailOrWhoseAnswerIsLostAreMadeGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"0-`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db"), w.externalSecret("shared", policies(esv1.CreationCreateOrMerge, "")))
	w.ready("db")
	w.ready("shared")
	uid := w.secret("db").UID
	lost := func(req *http.Request, next http.RoundTripper) (*http.Response, error) { // done, and nobody hears of it
		if resp, err := next.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
		return nil, errors.New("connection reset by peer: " + canary)
	}
	cut := func(req *http.Request, next http.RoundTripper) (*http.Response, error) { // the answer ends in the middle
		resp, err := next.RoundTrip(req)
		if err == nil {
			resp.Body = io.NopCloser(io.LimitReader(resp.Body, 20))
			resp.ContentLength = -1
		}
		return resp, err
	}
	n := 0
	for name, fault := range map[string]func(*http.Request, http.RoundTripper) (*http.Response, error){
		"a conflict":       answer(http.StatusConflict, "Conflict"),
		"too many":         answer(http.StatusTooManyRequests, "TooManyRequests", "Retry-After", "1"),
		"an error":         answer(http.StatusInternalServerError, "InternalError"),
		"a timeout":        answer(http.StatusGatewayTimeout, "Timeout"),
		"the answer lost":  lost,
		"the answer's end": cut,
	} {
		for what, matches := range map[string]func(*http.Request) bool{"Secret": writesSecret, "status": writesStatus} {
			n++
			var mu sync.Mutex
			failed := map[string]int{}
			w.traffic.meet(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				mu.Lock()
				again := failed[req.URL.Path]
				hit := matches(req) && again < 2
				if hit {
					failed[req.URL.Path]++
				}
				mu.Unlock()
				if hit {
					return fault(req, next)
				}
				return next.RoundTrip(req)
			})
			value := fmt.Sprintf("%d-%s", n, canary)
			w.backend.put("db", `{"password":"`+value+`"}`)
			w.sync("db")
			w.sync("shared")
			for _, es := range []string{"db", "shared"} {
				s := w.holds(es, map[string]string{"password": value})
				w.eventually(fmt.Sprintf("%s for %s: the status knows the write", name, what), func() error {
					got := w.ready(es)
					if s = w.secret(es); got.Status.Target.ResourceVersion != s.ResourceVersion || got.Status.Target.UID != s.UID {
						return fmt.Errorf("target %+v, Secret %s", got.Status.Target, s.ResourceVersion)
					}
					return nil
				})
			}
			w.traffic.meet(nil)
			w.settle("db", "shared")
			if len(failed) == 0 {
				t.Errorf("%s for %s: no request met the fault", name, what)
			}
		}
	}
	if now := w.secret("db"); now.UID != uid {
		t.Error("the Secret was made anew")
	}
}

// settle lets objects succeed once without a fault, so that the next ones that meet them do not add to their backoff.
func (w *world) settle(names ...string) {
	w.t.Helper()
	for _, name := range names {
		before := w.ready(name).Status.SyncedResourceVersion
		w.sync(name)
		w.eventually(name+" is synced again", func() error {
			if w.ready(name).Status.SyncedResourceVersion == before {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

// TestReadsThatFailAreMadeGoodAndDeleteNothing: of a template, and of the credential with which a store that changed is opened anew.
func TestReadsThatFailAreMadeGoodAndDeleteNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"0-`+canary+`"}`)
	w.plainSecret("cred", map[string]string{"token": "good-" + canary})
	store := w.store("store", stores.FakeData{Key: "token", Value: w.ns + "/cred/token"})
	w.configMap("shapes", map[string]string{"password": "shaped-{{ .password }}"})
	w.create(w.externalSecret("db", policies("", esv1.DeletionDelete), from(inConfigMap("shapes", esv1.TemplateRefItem{Key: "password"}))))
	w.holds("db", map[string]string{"password": "shaped-0-" + canary})
	w.ready("db")
	uid := w.secret("db").UID
	lost := func(*http.Request, http.RoundTripper) (*http.Response, error) {
		return nil, errors.New("connection reset by peer: " + canary)
	}
	cut := func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil {
			resp.Body, resp.ContentLength = io.NopCloser(io.LimitReader(resp.Body, 20)), -1
		}
		return resp, err
	}
	n := 0
	for name, fault := range map[string]func(*http.Request, http.RoundTripper) (*http.Response, error){
		"too many":        answer(http.StatusTooManyRequests, "TooManyRequests", "Retry-After", "1"),
		"too many, so":    answer(http.StatusTooManyRequests, "TooManyRequests"),
		"an error":        answer(http.StatusInternalServerError, "InternalError"),
		"a timeout":       answer(http.StatusGatewayTimeout, "Timeout"),
		"no right":        answer(http.StatusForbidden, "Forbidden"),
		"no answer":       lost,
		"an answer's end": cut,
	} {
		for _, what := range []string{"/configmaps/shapes", "/secrets/cred"} {
			n++
			var hits atomic.Int32
			w.traffic.meet(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if req.Method == http.MethodDelete {
					t.Errorf("%s of %s: %s is deleted", name, what, req.URL.Path)
				}
				if req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, what) && hits.Add(1) <= 2 {
					return fault(req, next)
				}
				return next.RoundTrip(req)
			})
			value := fmt.Sprintf("%d-%s", n, canary)
			w.backend.put("db", `{"password":"`+value+`"}`)
			change(w, store, func(s *esv1.SecretStore) { s.Spec.Provider.Fake.Data[0].Version = fmt.Sprint(n) })
			w.sync("db")
			w.holds("db", map[string]string{"password": "shaped-" + value})
			w.ready("db")
			w.traffic.meet(nil)
			w.settle("db")
			if hits.Load() == 0 {
				t.Errorf("%s of %s: no request met the fault", name, what)
			}
		}
	}
	if now := w.secret("db"); now.UID != uid {
		t.Error("the Secret was made anew")
	}
}

func TestAnAPIServerThatIsGoneForAWhileIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db", policies("", esv1.DeletionDelete)))
	w.ready("db")
	var mu sync.Mutex
	refused := 0
	w.traffic.meet(func(*http.Request, http.RoundTripper) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		refused++
		return nil, errors.New("connection refused")
	})
	w.backend.put("db", `{"password":"two-`+canary+`"}`)
	w.sync("db")
	w.eventually("some requests are refused", func() error {
		mu.Lock()
		defer mu.Unlock()
		if refused < 3 {
			return fmt.Errorf("%d", refused)
		}
		return nil
	})
	w.holds("db", map[string]string{"password": "one-" + canary})
	w.traffic.meet(nil)
	w.holds("db", map[string]string{"password": "two-" + canary})
	w.ready("db")
}

// killedBefore runs the controller until it is about to write a status, ends it there, and starts another.
func (w *world) killedBefore(status string, during func()) {
	w.t.Helper()
	reached := make(chan struct{})
	once := sync.OnceFunc(func() { close(reached) })
	w.traffic.meet(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if !writesStatus(req) || !strings.HasSuffix(req.URL.Path, "/externalsecrets/"+status+"/status") {
			return next.RoundTrip(req)
		}
		once()
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	during()
	select {
	case <-reached:
	case <-time.After(30 * time.Second):
		w.t.Fatal("no status was written")
	}
	w.stop()
	w.traffic.meet(nil)
	w.start()
}

func TestAControllerThatEndsBetweenTargetAndStatusLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.store("store")
	es := w.externalSecret("db", policies("", esv1.DeletionDelete))

	w.killedBefore("db", func() { w.create(es) })
	w.ready("db")
	first := w.holds("db", map[string]string{"password": "one-" + canary})

	w.backend.put("db", `{"password":"two-`+canary+`"}`)
	w.killedBefore("db", func() { w.sync("db") })
	w.ready("db")
	second := w.holds("db", map[string]string{"password": "two-" + canary})
	if second.UID != first.UID {
		t.Error("the Secret was made anew")
	}
	w.settled("db")

	w.backend.remove("db")
	w.killedBefore("db", func() { w.sync("db"); w.noSecret("db") })
	w.reason("db", esv1.ReasonSecretDeleted, "secret deleted due to DeletionPolicy=Delete")
	w.noSecret("db")

	w.backend.put("db", `{"password":"three-`+canary+`"}`)
	w.killedBefore("db", func() { w.sync("db") })
	w.reason("db", esv1.ReasonSecretSynced, "secret synced")
	w.holds("db", map[string]string{"password": "three-" + canary})
}

func TestAClockThatStepsChangesNothingForGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"0"}`)
	w.store("store")
	w.create(w.externalSecret("db", every(time.Second)))
	w.holds("db", map[string]string{"password": "0"})
	for i, step := range []time.Duration{-24 * time.Hour, 48 * time.Hour, -24 * time.Hour} {
		w.ready("db")
		w.ahead.Add(int64(step))
		for j := range 2 {
			value := fmt.Sprintf("%d-%d", i, j)
			w.backend.put("db", `{"password":"`+value+`"}`)
			w.holds("db", map[string]string{"password": value})
		}
		at := time.Now().Add(time.Duration(w.ahead.Load()))
		w.eventually("refreshTime is of the clock", func() error {
			if got := w.ready("db").Status.RefreshTime.Time; got.Sub(at).Abs() > time.Hour {
				return fmt.Errorf("it is %s at %s", got, at)
			}
			return nil
		})
	}
}

func TestARefreshWaitsForItsWindow(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	// Nine seconds before ten, when a window closes that is open since four.
	clock := func() time.Time { return time.Now().UTC().Add(time.Duration(w.ahead.Load())) }
	ten := clock().Truncate(24 * time.Hour).Add(10 * time.Hour)
	w.ahead.Store(int64(ten.Sub(clock()) - 9*time.Second))
	w.start()
	w.backend.put("db", `{"password":"one"}`)
	w.store("store")
	w.create(w.externalSecret("db", every(time.Second), func(es *esv1.ExternalSecret) {
		es.Spec.SyncWindows = &esv1.SyncWindows{Kind: esv1.SyncWindowDeny, Windows: []esv1.SyncWindow{{Schedule: "0 4 * * *"}}}
		es.Spec.SyncWindows.Windows[0].Duration.Duration = 6 * time.Hour
	}))
	w.holds("db", map[string]string{"password": "one"}) // the first time waits for nothing
	w.ready("db")
	fetches, _ := w.backend.calls()
	w.backend.put("db", `{"password":"two"}`)
	time.Sleep(2500 * time.Millisecond)
	if now, _ := w.backend.calls(); now != fetches && clock().Before(ten) {
		t.Errorf("%d refreshes in the window", now-fetches)
	}
	w.holds("db", map[string]string{"password": "two"})
	if at := clock(); !at.After(ten) {
		t.Errorf("refreshed at %s, before the window closed", at)
	}
	w.ready("db")
}

func TestTheStatusNamesWhatWasReadAndSinceWhenItIsStale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.version("db", "v1")
	w.store("store")
	es := w.externalSecret("db", func(es *esv1.ExternalSecret) {
		es.Spec.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "db"}}}
	})
	w.create(es)
	for _, version := range []string{"v1", "v2", strings.Repeat("v", 5000)} {
		w.backend.version("db", version)
		w.sync("db")
		want := esv1.Source{StoreRef: esv1.StoreRef{Name: "store", Kind: esv1.KindSecretStore}, Key: "db", Version: version[:min(len(version), 256)]}
		w.eventually("the status says "+want.Version[:2], func() error {
			if got := w.ready("db").Status.Sources; len(got) != 1 || got[0] != want {
				return fmt.Errorf("%+v", got)
			}
			return nil
		})
	}
	refreshed := w.ready("db").Status.RefreshTime
	w.backend.fail(providers.Errorf(providers.ErrUnavailable, "down"))
	w.sync("db")
	got := w.notReady("db", "down; the target holds the values of ")
	if c := conditions.Ready(got.Status.Conditions); !strings.HasSuffix(c.Message, got.Status.RefreshTime.UTC().Format(time.RFC3339)) || got.Status.RefreshTime.Before(&refreshed) {
		t.Errorf("refreshTime %s, before %s: %q", got.Status.RefreshTime, refreshed, c.Message)
	}
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(es), &corev1.Secret{}); err != nil {
		t.Error(err)
	}
}

package jsonhttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/internal/property"
)

func client(t *testing.T, address string, header http.Header) *jsonhttp.Client {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonhttp.New(jsonhttp.Options{Base: u, Header: header})
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

func TestARequestIsWhatWasAsked(t *testing.T) {
	t.Parallel()
	type seen struct{ Method, URI, Type, Fixed, Own, Body string }
	var got seen
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("X-Fixed"), r.Header.Get("X-Own"), string(body)}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "body")
	})
	c := client(t, address+"/base", http.Header{"X-Fixed": {"f"}, "X-Own": {"overridden"}})
	answer, err := c.Do(t.Context(), jsonhttp.Request{
		Method: http.MethodPost, Path: "v1/a b?c#d%2F", Query: url.Values{"version": {"1&2"}}, Header: http.Header{"X-Own": {"o"}}, Body: map[string]string{"k": "v"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := seen{"POST", "/base/v1/a%20b%3Fc%23d%252F?version=1%262", "application/json", "f", "o", `{"k":"v"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if answer.Status != http.StatusTeapot || string(answer.Body) != "body" {
		t.Errorf("answer %d %q", answer.Status, answer.Body)
	}
}

func TestNothingIsRepeatedAndNoRedirectFollowed(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/elsewhere?token=x", http.StatusFound)
			return
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c := client(t, address, nil)
	answer, err := c.Do(t.Context(), jsonhttp.Request{Method: http.MethodGet, Path: "x"})
	if err != nil || answer.Status != http.StatusServiceUnavailable || answer.RetryAfter() != time.Second {
		t.Errorf("%v, %v", answer, err)
	}
	_, err = c.Do(t.Context(), jsonhttp.Request{Method: http.MethodGet, Path: "redirect"})
	if err == nil || strings.Contains(err.Error(), "token") || !strings.Contains(err.Error(), "redirects") {
		t.Error(err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestALargeAnswerIsNotReadWhole(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	if _, err := zip.Write(make([]byte, jsonhttp.MaxAnswer+1)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 64<<10))
			}
		case "/nothing":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes()[:10]) // what a gzip file begins with
			for r.Context().Err() == nil {
				_, _ = w.Write(bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 10<<10)) // empty blocks
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		case "/stored":
			w.Header().Set("Content-Encoding", "gzip")
			stored, _ := gzip.NewWriterLevel(w, gzip.NoCompression)
			_, _ = stored.Write(make([]byte, jsonhttp.MaxAnswer))
			_ = stored.Close()
		default:
			_, _ = w.Write(make([]byte, jsonhttp.MaxAnswer))
		}
	})
	c := client(t, address, nil)
	for _, path := range []string{"endless", "bomb", "nothing"} {
		if _, err := c.Do(t.Context(), jsonhttp.Request{Method: http.MethodGet, Path: path}); !errors.Is(err, jsonhttp.ErrTooLarge) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"just", "stored"} {
		answer, err := c.Do(t.Context(), jsonhttp.Request{Method: http.MethodGet, Path: path})
		if err != nil || len(answer.Body) != jsonhttp.MaxAnswer {
			t.Errorf("%s as much as allowed: %v", path, err)
		}
	}
}

func TestAnAnswerThatIsPackedIsUnpackedUnlessWhoAsksSaysWhatHeTakes(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = io.WriteString(zip, `{"a":1}`)
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "GZIP")
		w.Header().Set("X-Accepts", r.Header.Get("Accept-Encoding"))
		switch r.URL.Path {
		case "/packed":
			_, _ = w.Write(packed.Bytes())
		case "/broken":
			_, _ = w.Write(packed.Bytes()[:packed.Len()-1])
		case "/other":
			_, _ = io.WriteString(w, `{"a":1}`)
		}
	})
	takes := func(what ...string) http.Header { return http.Header{"Accept-Encoding": what} }
	for name, tc := range map[string]struct {
		path          string
		header        http.Header
		accepts, body string
		err           string
	}{
		"packed":                        {path: "packed", accepts: "gzip", body: `{"a":1}`},
		"empty":                         {path: "empty", accepts: "gzip"},
		"broken off":                    {path: "broken", accepts: "gzip", err: "the connection broke"},
		"not packed, though it says so": {path: "other", accepts: "gzip", err: "the connection broke"},
		"who asks takes it as it is":    {path: "packed", header: takes("gzip"), accepts: "gzip", body: packed.String()},
		"who asks takes no other":       {path: "other", header: takes("identity"), accepts: "identity", body: `{"a":1}`},
	} {
		answer, err := client(t, address, nil).Do(t.Context(), jsonhttp.Request{Method: http.MethodGet, Path: tc.path, Header: tc.header})
		switch {
		case tc.err != "":
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || string(answer.Body) != tc.body || answer.Header.Get("X-Accepts") != tc.accepts:
			t.Errorf("%s: %v, %+v", name, err, answer)
		case (answer.Header.Get("Content-Encoding") == "") != (tc.header == nil):
			t.Errorf("%s: its content is said to be %q", name, answer.Header.Get("Content-Encoding"))
		}
	}
}

func TestAnAnswerOfTooManyValuesIsNoneUnlessItMayBeAnything(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &n)
		_, _ = io.WriteString(w, "[0"+strings.Repeat(",0", n-2)+"]")
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, opaque := range []bool{false, true} {
		c := jsonhttp.New(jsonhttp.Options{Base: u, Opaque: opaque})
		for n, tooMany := range map[int]bool{property.MaxParts: false, property.MaxParts + 1: true} {
			_, err := c.Do(t.Context(), jsonhttp.Request{Method: http.MethodGet, Path: strconv.Itoa(n)})
			if errors.Is(err, jsonhttp.ErrTooLarge) != (tooMany && !opaque) || !tooMany && err != nil {
				t.Errorf("%d values, opaque %v: %v", n, opaque, err)
			}
		}
		c.Close()
	}
}

func TestAnEndedContextIsTheCause(t *testing.T) {
	t.Parallel()
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := client(t, address, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Do(ctx, jsonhttp.Request{Method: http.MethodGet, Path: "x"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), "it did not answer in time") {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = c.Do(ctx, jsonhttp.Request{Method: http.MethodGet, Path: "x"})
	if !errors.Is(err, context.Canceled) || !strings.HasSuffix(err.Error(), "the request was canceled") {
		t.Error(err)
	}
}

func TestARequestWithOvertimeIsSeenThroughForSoLong(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}, 3), make(chan struct{})
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-answer:
			w.WriteHeader(http.StatusTeapot)
		case <-r.Context().Done():
		}
	})
	c := client(t, address, nil)
	ended := func(overtime time.Duration, then func()) (*jsonhttp.Answer, error) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
			then()
		}()
		return c.Do(ctx, jsonhttp.Request{Method: http.MethodPost, Path: "x", Overtime: overtime})
	}
	for _, overtime := range []time.Duration{0, 50 * time.Millisecond} {
		if _, err := ended(overtime, func() {}); !errors.Is(err, context.Canceled) || !strings.HasSuffix(err.Error(), "the request was canceled") {
			t.Errorf("nobody answers within %s: %v", overtime, err)
		}
	}
	got, err := ended(time.Minute, func() {
		time.Sleep(50 * time.Millisecond)
		close(answer)
	})
	if err != nil || got.Status != http.StatusTeapot {
		t.Errorf("the answer is lost: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(over, jsonhttp.Request{Method: http.MethodPost, Path: "x", Overtime: time.Minute}); !errors.Is(err, context.Canceled) || len(asked) > 0 {
		t.Errorf("what had ended before it began was sent: %v", err)
	}
}

func TestAHeaderThatCannotBeSentIsNotQuoted(t *testing.T) {
	t.Parallel()
	c := client(t, serve(t, func(http.ResponseWriter, *http.Request) {}), http.Header{"X-Token": {"canary-7f3e\n"}})
	_, err := c.Do(t.Context(), jsonhttp.Request{Method: http.MethodGet, Path: "x"})
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
}

func TestTheTimeToWaitIsBounded(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "9999999999999999": time.Hour, "-99999999999999999999": 0,
		"Wed, 21 Oct 2015 07:28:00 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": time.Hour, // by our clock
	} {
		a := jsonhttp.Answer{Header: http.Header{"Retry-After": {value}}}
		if got := a.RetryAfter(); got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
}

func TestWhatIsLargeIsReadInItsTurn(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		_, _ = io.WriteString(w, `"`+strings.Repeat("x", n-2)+`"`)
	})
	c, turns := client(t, address, nil), large.NewTurns()
	do := func(ctx context.Context, n int) (int, error) {
		answer, err := c.Do(ctx, jsonhttp.Request{Method: http.MethodGet, Query: url.Values{"n": {strconv.Itoa(n)}}})
		if err != nil {
			return 0, err
		}
		return len(answer.Body), nil
	}
	first, endFirst := turns.Hold(t.Context())
	second, endSecond := turns.Hold(t.Context())
	defer endSecond()
	if n, err := do(first, large.Answer+1); err != nil || n != large.Answer+1 {
		t.Errorf("the first: %d bytes, %v", n, err)
	}
	if n, err := do(second, large.Answer); err != nil || n != large.Answer {
		t.Errorf("what is not large, beside it: %d bytes, %v", n, err)
	}
	if _, err := do(second, large.Answer+1); !errors.Is(err, large.ErrBusy) {
		t.Errorf("what is large, beside it: %v", err)
	}
	endFirst()
	if n, err := do(second, jsonhttp.MaxAnswer); err != nil || n != jsonhttp.MaxAnswer {
		t.Errorf("the second after the first: %d bytes, %v", n, err)
	}
	if _, err := do(second, jsonhttp.MaxAnswer+1); !errors.Is(err, jsonhttp.ErrTooLarge) {
		t.Errorf("a byte too much: %v", err)
	}
}

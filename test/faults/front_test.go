package faults_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// front stands before the stores of all tenants and knows a tenant by its token: whoever shows the token of one never sees what
// is another's. Its own counting stores do what is done to a store.
type front struct {
	*httptest.Server

	mu sync.Mutex
	// tenants are the counting stores by the token that opens them.
	tenants map[string]http.Handler
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{tenants: map[string]http.Handler{}}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.Start()
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	backend := f.tenants[r.Header.Get("X-Vault-Token")]
	f.mu.Unlock()
	if backend == nil {
		http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
		return
	}
	backend.ServeHTTP(w, r)
}

// accept makes a token open a tenant's store in the place of the one before.
func (f *front) accept(t *testing.T, before, token, address string) {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorLog: log.New(io.Discard, "", 0),
		// What the store breaks off is broken off, and not answered with a status.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusTooManyRequests {
				r.Header.Set("Retry-After", "2")
			}
			return nil
		},
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tenants, before)
	f.tenants[token] = proxy
}

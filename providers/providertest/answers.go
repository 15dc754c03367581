package providertest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// answers lets the backend of a store answer everything after the login in each of the ways that are no answer, and reads and
// searches: neither may take it for a document, for one that does not exist, or for a search that finds nothing.
func (s suite) answers(t *testing.T) {
	if s.HTTP == nil {
		t.Skip("the provider has no backend that answers over HTTP")
	}
	says := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		// class is what the error must be, nil for one that is throttled and asks for so much time.
		class error
		after time.Duration
	}{
		"nothing":                 {says(http.StatusOK, ""), providers.ErrUnavailable, 0},
		"no content":              {says(http.StatusNoContent, ""), providers.ErrUnavailable, 0},
		"half of a document":      {says(http.StatusOK, `{"k":"`+Canary), providers.ErrUnavailable, 0},
		"5 MiB":                   {says(http.StatusOK, `{"k":"`+strings.Repeat(Canary, 5<<20/len(Canary))+`"}`), providers.ErrInvalid, 0},
		"what is not UTF-8":       {says(http.StatusOK, "{\"k\":\"\xff"+Canary+"\"}"), providers.ErrUnavailable, 0},
		"a page":                  {says(http.StatusOK, "<html>"+Canary), providers.ErrUnavailable, 0},
		"429 and when to ask":     {says(http.StatusTooManyRequests, Canary, "Retry-After", "7"), nil, 7 * time.Second},
		"429 and until when":      {says(http.StatusTooManyRequests, Canary, "Date", "Sun, 01 Mar 2026 12:00:00 GMT", "Retry-After", "Sun, 01 Mar 2026 12:00:07 GMT"), nil, 7 * time.Second},
		"429 and no time":         {says(http.StatusTooManyRequests, Canary), nil, 0},
		"500":                     {says(http.StatusInternalServerError, Canary), providers.ErrUnavailable, 0},
		"502 of a proxy":          {says(http.StatusBadGateway, "<html>"+Canary), providers.ErrUnavailable, 0},
		"an end in the middle":    {brokenOff, providers.ErrUnavailable, 0},
		"a redirect":              {says(http.StatusFound, "", "Location", "http://127.0.0.1/"+Canary), providers.ErrUnavailable, 0},
		"an end before the start": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, providers.ErrUnavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, env := s.HTTP(t, tc.handler)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			session, err := s.Provider.Open(ctx, cfg, env)
			if err != nil {
				t.Fatalf("open: %v", err)
			}
			defer closeSession(t, session)
			judge := func(what string, err error) {
				t.Helper()
				if err == nil {
					t.Errorf("%s: it is taken for an answer", what)
					return
				}
				var asks *providers.ThrottledError
				switch {
				case tc.class != nil:
					wantClass(t, err, tc.class)
				case !errors.As(err, &asks) || asks.After != tc.after:
					t.Errorf("%s: got %v, want one that is throttled and asks for %s", what, err, tc.after)
				default:
					clean(t, err)
				}
			}
			results, err := session.Fetch(ctx, []providers.Ref{s.Missing})
			if err == nil && len(results) == 1 {
				err = results[0].Err
			}
			judge("a read", err)
			s.discreet(ctx, t, session)
			if f, ok := providers.As[providers.Finder](session); ok {
				found, err := f.Find(ctx, providers.Query{})
				judge("a search", err)
				if len(found) > 0 {
					t.Errorf("a search found %d documents", len(found))
				}
			}
		})
	}
}

// brokenOff is an answer whose connection ends before it does.
func brokenOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"k":"`+Canary)
	panic(http.ErrAbortHandler)
}

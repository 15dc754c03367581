package gitserver

import (
	"bytes"
	"context"
	"crypto/subtle"
	"io"
	"log"
	"net/http"
	"net/http/cgi" //nolint:gosec // G504: the Httpoxy flaw of Go before 1.6.3
	"strings"
	"time"
)

// serveHTTP checks the login, meets the fault, and hands the request to `git http-backend`.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if s.currentFault().Down {
		s.record(r.Method + " " + r.URL.Path)
		panic(http.ErrAbortHandler) // the documented way to drop a connection without an answer
	}
	if !s.allowed(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "login required", http.StatusUnauthorized)
		return
	}
	fault := s.record(r.Method + " " + r.URL.Path)
	if !wait(r.Context(), fault.Delay) {
		return
	}
	switch {
	case fault.Status != 0:
		http.Error(w, http.StatusText(fault.Status), fault.Status)
	case fault.Garbage:
		setGitType(w, r)
		_, _ = w.Write(garbage())
	case fault.Endless:
		setGitType(w, r)
		endless(r.Context(), w)
	default:
		s.backend(w, r)
	}
}

func (s *Server) allowed(r *http.Request) bool {
	if s.opts.Password == "" {
		return true
	}
	user, password, _ := r.BasicAuth()
	return user == s.opts.Username && subtle.ConstantTimeCompare([]byte(password), []byte(s.opts.Password)) == 1
}

func (s *Server) backend(w http.ResponseWriter, r *http.Request) {
	// CGI has no chunked requests; git sends them when a push is large.
	if r.ContentLength < 0 {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "read body", http.StatusBadRequest)
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	}
	env := append(s.env(), "GIT_PROJECT_ROOT="+s.opts.Dir, "GIT_HTTP_EXPORT_ALL=1")
	if version := r.Header.Get("Git-Protocol"); version != "" {
		env = append(env, "GIT_PROTOCOL="+version)
	}
	handler := &cgi.Handler{Path: s.git, Args: []string{"http-backend"}, Env: env, Dir: s.opts.Dir, Logger: discardLog(), Stderr: io.Discard}
	handler.ServeHTTP(w, r)
}

// setGitType gives the answer the type that a client expects, so that it reads on.
func setGitType(w http.ResponseWriter, r *http.Request) {
	kind := "application/x-git-upload-pack-result"
	if strings.HasSuffix(r.URL.Path, "/info/refs") {
		kind = "application/x-git-upload-pack-advertisement"
	}
	w.Header().Set("Content-Type", kind)
}

func garbage() []byte { return bytes.Repeat([]byte("this is not git\x00\xff"), 64) }

// endlessBytes is how much an endless answer sends: more than any client of ours may take, less than what a client that
// keeps all of it would need to bring the machine down. After that the answer stays open until the client goes.
const endlessBytes = 512 << 20

// endless writes valid pkt-lines: a reader that does not bound what it keeps grows with it, and one that stops at the
// first malformed line is not tested.
func endless(ctx context.Context, w io.Writer) {
	if _, err := io.WriteString(w, "001e# service=git-upload-pack\n0000"); err != nil {
		return
	}
	line := "0041" + strings.Repeat("a", 40) + " refs/heads/endless0\n"
	chunk := []byte(strings.Repeat(line, 1024))
	for sent := 0; sent < endlessBytes; sent += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	<-ctx.Done()
}

// wait lets d pass and tells whether the context lived that long.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// discardLog drops what net/http would write to standard error about the connections that faults break.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

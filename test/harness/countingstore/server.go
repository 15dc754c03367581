package countingstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Mount is the KV version 2 mount under which the documents are.
const Mount = "kv"

// Token is the one token that the store accepts. It guards made-up values on loopback.
const Token = "counting-store"

// Kind is what a request asked for.
type Kind string

// The kinds of requests.
const (
	Read   Kind = "read"   // a document
	Batch  Kind = "batch"  // several documents
	Login  Kind = "login"  // credentials for a token
	Lookup Kind = "lookup" // the token
	Probe  Kind = "mount"  // the mount
	Other  Kind = "other"
)

// Request is one request that the store has answered, or broken off.
type Request struct {
	// At is when the request came in, and Done when it was answered.
	At, Done time.Time
	Kind     Kind
	// Key of a Read, and the Version that was given; 0 for a fault or a key that does not exist.
	Key     string
	Version int
	// Keys are those of a Batch.
	Keys []string
	// Fault is set when the request was failed on purpose.
	Fault bool
}

// Server is a running store. Its methods are safe for concurrent use.
type Server struct {
	address string
	http    *http.Server

	mu       sync.Mutex
	docs     map[string]document
	requests []Request
	delay    time.Duration
	fault    int
}

type document struct {
	fields  map[string]string
	version int
}

// Start starts a store on a free loopback port. The context bounds the start only; Stop ends the store.
func Start(ctx context.Context) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start counting store: %w", err)
	}
	s := &Server{address: "http://" + l.Addr().String(), docs: map[string]document{}}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(l) }() // how it ended is of no interest: Stop ends it
	return s, nil
}

// Stop ends the store and its connections.
func (s *Server) Stop() error {
	if err := s.http.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stop counting store: %w", err)
	}
	return nil
}

// Address returns the URL of the store, "http://127.0.0.1:port".
func (s *Server) Address() string { return s.address }

// Put makes the fields the document under key, as its next version.
func (s *Server) Put(key string, fields map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs[key] = document{fields: fields, version: s.docs[key].version + 1}
}

// Remove takes the document under key away; a document that is put there later begins with version 1.
func (s *Server) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.docs, key)
}

// Delay makes each answer wait; 0 stops that.
func (s *Server) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Fail makes each request fail with the HTTP status, or break off the connection for a negative one; 0 stops that.
func (s *Server) Fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = status
}

// Requests returns what was answered since the start, in the order of the answers, from the n-th on.
func (s *Server) Requests(n int) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests[min(n, len(s.requests)):]...)
}

// Count returns how many requests were answered since the start.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	s.mu.Lock()
	delay, fault := s.delay, s.fault
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
		}
	}
	request, body := s.answer(r)
	request.At = at
	if fault != 0 {
		request.Fault, request.Version = true, 0
	}
	request.Done = time.Now()
	s.mu.Lock()
	s.requests = append(s.requests, request)
	s.mu.Unlock()
	switch {
	case fault < 0:
		panic(http.ErrAbortHandler) // net/http's own way to break off a connection
	case fault > 0:
		http.Error(w, `{"errors":["a fault on purpose"]}`, fault)
	case isAWS(r):
		writeAWS(w, body)
	case body == nil:
		http.Error(w, `{"errors":[]}`, http.StatusNotFound)
	default:
		writeJSON(w, body)
	}
}

// answer returns what a request asked for, and the answer; nil for what does not exist.
func (s *Server) answer(r *http.Request) (request Request, body any) {
	if isAWS(r) {
		return s.answerAWS(r)
	}
	if key, ok := strings.CutPrefix(r.URL.Path, "/v1/"+Mount+"/data/"); ok {
		doc, ok := s.find(key)
		if !ok {
			return Request{Kind: Read, Key: key}, nil
		}
		return Request{Kind: Read, Key: key, Version: doc.version}, object{"data": object{"data": doc.fields, "metadata": object{
			"version": doc.version, "created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": false,
		}}}
	}
	if key, ok := strings.CutPrefix(r.URL.Path, "/plain/"); ok {
		doc, ok := s.find(key)
		if !ok {
			return Request{Kind: Read, Key: key}, nil
		}
		return Request{Kind: Read, Key: key, Version: doc.version}, doc.fields
	}
	switch r.URL.Path {
	case "/v1/auth/token/lookup-self":
		// Not renewable and without an end: a client has nothing to do about it.
		return Request{Kind: Lookup}, object{"data": object{"expire_time": nil, "ttl": 0, "type": "service", "renewable": false, "id": "hidden", "policies": []string{"read"}}}
	case "/v1/sys/internal/ui/mounts/" + Mount:
		return Request{Kind: Probe}, object{"data": object{"type": "kv", "path": Mount + "/", "options": map[string]string{"version": "2"}}}
	default:
		return Request{Kind: Other, Key: r.URL.Path}, nil
	}
}

type object = map[string]any

func (s *Server) find(key string) (document, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	doc, ok := s.docs[key]
	return doc, ok
}

func writeJSON(w http.ResponseWriter, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = w.Write(raw)
}

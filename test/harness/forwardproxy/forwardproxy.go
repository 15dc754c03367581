// Package forwardproxy is a forward proxy as companies have one, for tests: it opens tunnels (CONNECT), forwards requests for http://,
// may want a login, counts what it is asked for, and refuses as it is told to.
//
// Go sends nothing for loopback through a proxy, so what is to go through has a name that only the proxy knows.
package forwardproxy

import (
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// Proxy is one proxy. It ends with its test.
type Proxy struct {
	server *httptest.Server
	login  *url.Userinfo

	mu    sync.Mutex
	leads map[string]string
	says  map[string]http.HandlerFunc
	asked []string
}

// New starts a proxy. With a login it refuses, with 407, who does not say it.
func New(t testing.TB, login *url.Userinfo) *Proxy {
	t.Helper()
	p := &Proxy{login: login, leads: map[string]string{}, says: map[string]http.HandlerFunc{}}
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.Start()
	t.Cleanup(p.Stop)
	return p
}

// Stop ends the proxy, and the tunnels through it with it.
func (p *Proxy) Stop() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// Address is where it listens, host and port.
func (p *Proxy) Address() string { return p.server.Listener.Addr().String() }

// URL is its address with the login, as HTTPS_PROXY has it.
func (p *Proxy) URL() string {
	return (&url.URL{Scheme: "http", User: p.login, Host: p.Address()}).String()
}

// Environment are the variables of a process all of whose requests go through it, but those to the hosts of except.
func (p *Proxy) Environment(except string) []string {
	return []string{
		"HTTPS_PROXY=" + p.URL(), "https_proxy=" + p.URL(), "HTTP_PROXY=" + p.URL(), "http_proxy=" + p.URL(), "NO_PROXY=" + except, "no_proxy=" + except,
	}
}

// Lead has what is asked of a name, whatever its port, go to an address.
func (p *Proxy) Lead(name, address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leads[name] = address
}

// Say has the proxy answer itself what is asked of a name.
func (p *Proxy) Say(name string, answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.says[name] = answer
}

// Asked returns the names that it was asked for with a login that it takes, each once and in order.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := slices.Clone(p.asked)
	slices.Sort(names)
	return slices.Compact(names)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Hostname()
	if r.Method == http.MethodConnect {
		name, _, _ = net.SplitHostPort(r.Host)
	}
	if !p.admits(r) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="company"`)
		http.Error(w, "<html>who are you?", http.StatusProxyAuthRequired)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, name)
	answer, address := p.says[name], p.leads[name]
	p.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case address == "":
		http.Error(w, "<html>no such host", http.StatusBadGateway)
	case r.Method == http.MethodConnect:
		tunnel(w, r, address)
	default:
		(&httputil.ReverseProxy{Rewrite: func(to *httputil.ProxyRequest) { to.Out.URL.Host = address }}).ServeHTTP(w, r)
	}
}

func (p *Proxy) admits(r *http.Request) bool {
	if p.login == nil {
		return true
	}
	password, _ := p.login.Password()
	return r.Header.Get("Proxy-Authorization") == "Basic "+base64.StdEncoding.EncodeToString([]byte(p.login.Username()+":"+password))
}

// tunnel carries bytes both ways until one side ends.
func tunnel(w http.ResponseWriter, r *http.Request, address string) {
	to, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, "<html>nobody there", http.StatusBadGateway)
		return
	}
	defer func() { _ = to.Close() }()
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	from, early, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer func() { _ = from.Close() }()
	if _, err := io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(to, early)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}

package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/sealbridge/sealbridge/providers"
)

func mustAuth(t *testing.T, url string, secret map[string][]byte) Auth {
	t.Helper()
	auth, err := ParseAuth(url, secret)
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

func TestARevisionIsFoundAndFetchedOverBothTransports(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := r.write(map[string]string{"apps/a.yaml": "kind: One\n", "README": "old\n"}).commit()
	r.git("tag", "v1.0.0")
	r.git("checkout", "-q", "-b", "feature/x")
	feature := r.write(map[string]string{"apps/b.yaml": "kind: Two\n"}).commit()
	r.git("tag", "-a", "v1.2.0", "-m", "annotated")
	r.git("tag", "v2.0.0-rc.1")
	r.git("tag", "not-a-version")
	r.git("checkout", "-q", "trunk")
	tip := r.write(map[string]string{"README": "new\n"}).commit()
	r.git("update-ref", "refs/pull/7/head", feature)

	httpsURL, httpsSecret := r.https(nil)
	sshURL, sshSecret := r.ssh()
	for transport, at := range map[string]struct {
		url    string
		secret map[string][]byte
	}{"https": {httpsURL, httpsSecret}, "ssh": {sshURL, sshSecret}} {
		for name, c := range map[string]struct {
			ref    Ref
			want   string
			commit string
			has    string
		}{
			"the remote's HEAD":     {Ref{}, "trunk@sha1:" + tip, tip, "README"},
			"a branch":              {Ref{Branch: "feature/x"}, "feature/x@sha1:" + feature, feature, "apps/b.yaml"},
			"a tag":                 {Ref{Tag: "v1.0.0"}, "v1.0.0@sha1:" + first, first, "apps/a.yaml"},
			"an annotated tag":      {Ref{Tag: "v1.2.0"}, "v1.2.0@sha1:" + feature, feature, "apps/b.yaml"},
			"a range of versions":   {Ref{SemVer: ">=1.0.0 <3.0.0"}, "v1.2.0@sha1:" + feature, feature, "apps/b.yaml"},
			"a range with previews": {Ref{SemVer: ">=1.0.0-0"}, "v2.0.0-rc.1@sha1:" + feature, feature, "apps/b.yaml"},
			"a reference":           {Ref{Name: "refs/pull/7/head"}, "refs/pull/7/head@sha1:" + feature, feature, "apps/b.yaml"},
			"a commit at a tip":     {Ref{Commit: tip}, "sha1:" + tip, tip, "README"},
			"a commit of a branch":  {Ref{Commit: first, Branch: "trunk"}, "trunk@sha1:" + first, first, "README"},
			"a commit goes before":  {Ref{Commit: first, Tag: "v1.2.0"}, "sha1:" + first, first, "README"},
		} {
			t.Run(transport+", "+name, func(t *testing.T) {
				t.Parallel()
				client, auth, spec := New(Limits{}), mustAuth(t, at.url, at.secret), Spec{URL: at.url, Ref: c.ref}
				revision, err := client.Resolve(t.Context(), spec, auth)
				if err != nil {
					t.Fatal(err)
				}
				if got := revision.String(); got != c.want {
					t.Fatalf("revision %s, want %s", got, c.want)
				}
				if back, err := ParseRevision(revision.String()); err != nil || back != revision {
					t.Errorf("read back: %v, %v", back, err)
				}
				tree, err := client.Fetch(t.Context(), spec, auth, revision)
				if err != nil {
					t.Fatal(err)
				}
				if tree.Commit() != c.commit {
					t.Errorf("commit %s", tree.Commit())
				}
				if _, err := tree.ReadFile(c.has); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestACommitThatIsNoTipIsFetchedWithItsHistory(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	first := r.write(map[string]string{"a": "1"}).commit()
	r.write(map[string]string{"a": "2"}).commit()
	gone := r.write(map[string]string{"a": "3"}).commit()
	r.git("reset", "-q", "--hard", "HEAD^")
	url, secret := r.https(nil)
	client, auth := New(Limits{}), mustAuth(t, url, secret)
	tree, err := client.Fetch(t.Context(), Spec{URL: url}, auth, Revision{Commit: first})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tree.ReadFile("a"); string(got) != "1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = client.Fetch(t.Context(), Spec{URL: url, Ref: Ref{Branch: "trunk"}}, auth, Revision{Ref: "trunk", Commit: gone})
	if !errors.Is(err, providers.ErrNotFound) {
		t.Errorf("after a forced push: got %v", err)
	}
}

func TestResolvingCostsOneRequest(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write(map[string]string{"a": "1"}).commit()
	var requests atomic.Int32
	url, secret := r.https(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { requests.Add(1); next.ServeHTTP(w, req) })
	})
	if _, err := New(Limits{}).Resolve(t.Context(), Spec{URL: url}, mustAuth(t, url, secret)); err != nil {
		t.Fatal(err)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// fault is a server or a spec that cannot work.
type fault struct {
	serve  func(next http.Handler) http.Handler
	spec   Spec // URL empty: the server's
	secret map[string][]byte
	limits Limits
	class  error
	says   string
}

func status(code int) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(code)
			_, _ = fmt.Fprint(w, canary)
		})
	}
}

func body(contentType, text string) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = fmt.Fprint(w, text)
		})
	}
}

func TestEachFailureOverHTTPSHasItsClassAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write(map[string]string{"a": strings.Repeat("x", 1000), "big": randomText(300_000)}).commit()
	elsewhere, _ := serveHTTPS(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("the redirect was followed, with Authorization %q", req.Header.Get("Authorization"))
	}))
	basic := map[string][]byte{"username": []byte("u"), "password": []byte(canary)}
	const advertisement = "application/x-git-upload-pack-advertisement"
	cases := map[string]fault{
		"credentials are asked for":   {serve: status(401), class: providers.ErrDenied, says: "asks for credentials; set spec.secretRef"},
		"credentials are refused":     {serve: status(401), secret: basic, class: providers.ErrDenied, says: "refuses the credentials (HTTP 401)"},
		"access is forbidden":         {serve: status(403), secret: basic, class: providers.ErrDenied, says: "HTTP 403"},
		"the repository is not there": {serve: status(404), class: providers.ErrNotFound, says: "no such repository"},
		"the server fails":            {serve: status(502), class: providers.ErrUnavailable, says: "answers HTTP 502"},
		"the server is a web page":    {serve: body("text/html", "<html>"+canary), class: providers.ErrInvalid, says: "not a Git repository"},
		"the server lies":             {serve: body(advertisement, canary), class: providers.ErrInvalid, says: "not a Git repository"},
		"the server sends rubbish":    {serve: body(advertisement, "001e# service=git-upload-pack\n0000"+canary), says: "repository", class: providers.ErrInvalid},
		"the server says nothing":     {serve: body(advertisement, ""), class: providers.ErrUnavailable, says: "connection failed"},
		"the answer is endless": {serve: body(advertisement, endless(100)),
			limits: Limits{AdvertisedBytes: 1000}, class: providers.ErrInvalid, says: "larger than"},
		"a redirect to another host": {serve: func(http.Handler) http.Handler {
			return http.RedirectHandler(elsewhere+"/info/refs?service=git-upload-pack", http.StatusMovedPermanently)
		}, secret: basic, class: providers.ErrInvalid, says: "redirects to 127.0.0.1; credentials are not taken there"},
		"a redirect to http": {serve: func(http.Handler) http.Handler {
			return http.RedirectHandler("http://u:"+canary+"@example.com/info/refs?"+canary, http.StatusFound)
		}, secret: basic, class: providers.ErrInvalid, says: "redirects"},
		"an unknown branch":                        {spec: Spec{Ref: Ref{Branch: "nope"}}, class: providers.ErrNotFound, says: `branch "nope" not found`},
		"an unknown tag":                           {spec: Spec{Ref: Ref{Tag: "v9"}}, class: providers.ErrNotFound, says: `tag "v9" not found`},
		"an unknown version":                       {spec: Spec{Ref: Ref{SemVer: ">9"}}, class: providers.ErrNotFound, says: "no tag"},
		"not a range":                              {spec: Spec{Ref: Ref{SemVer: "x.y.z"}}, class: providers.ErrInvalid, says: "not a range"},
		"a short commit":                           {spec: Spec{Ref: Ref{Commit: "abc123"}}, class: providers.ErrInvalid, says: "not a full SHA-1"},
		"an unknown commit":                        {spec: Spec{Ref: Ref{Commit: strings.Repeat("a", 40)}}, class: providers.ErrNotFound, says: "commit is not"},
		"a repository over the limit":              {limits: Limits{TransferBytes: 100_000}, class: providers.ErrInvalid, says: "larger than"},
		"a repository that unfolds over the limit": {limits: Limits{ObjectBytes: 100_000}, class: providers.ErrInvalid, says: "larger than"},
		"too many objects":                         {limits: Limits{Objects: 2}, class: providers.ErrInvalid, says: "larger than"},
		"a link-local host":                        {spec: Spec{URL: "https://169.254.169.254/latest/meta-data"}, class: providers.ErrInvalid, says: "link-local, metadata"},
		"a mapped link-local host":                 {spec: Spec{URL: "https://[::ffff:169.254.169.254]/latest/x"}, class: providers.ErrInvalid, says: "link-local, metadata"},
		"nobody listens":                           {spec: Spec{URL: "https://127.0.0.1:1/org/app"}, class: providers.ErrUnavailable, says: "its host refuses connections; check that the server runs, and the port of spec.url"},
		"an unknown host":                          {spec: Spec{URL: "https://no-such-host.invalid/org/app"}, class: providers.ErrUnavailable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, trust := r.https(c.serve)
			for k, v := range c.secret {
				trust[k] = v
			}
			if c.spec.URL == "" {
				c.spec.URL = url
			}
			err := pull(t.Context(), New(c.limits), c.spec, mustAuth(t, c.spec.URL, trust))
			if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %v saying %q", err, c.class, c.says)
			}
			if !strings.HasPrefix(err.Error(), "repository ") && !strings.HasPrefix(err.Error(), "spec.") {
				t.Errorf("the error does not name the repository: %v", err)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error holds what it must not: %v", err)
			}
		})
	}
}

func pull(ctx context.Context, client *Client, spec Spec, auth Auth) error {
	revision, err := client.Resolve(ctx, spec, auth)
	if err != nil {
		return err
	}
	_, err = client.Fetch(ctx, spec, auth, revision)
	return err
}

func randomText(n int) string {
	var b strings.Builder
	x := uint64(88172645463325252)
	for b.Len() < n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%x\n", x)
	}
	return b.String()
}

// endless is an announcement of n references.
func endless(n int) string {
	var b strings.Builder
	line := func(text string) { fmt.Fprintf(&b, "%04x%s", len(text)+4, text) }
	line("# service=git-upload-pack\n")
	b.WriteString("0000")
	line(strings.Repeat("a", 40) + " refs/heads/0\x00shallow\n")
	for i := range n {
		line(fmt.Sprintf("%s refs/heads/%d\n", strings.Repeat("a", 40), i+1))
	}
	b.WriteString("0000")
	return b.String()
}

func TestAThrottlingServerSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "9999": time.Hour, "": 0, "1h5": 0, "Sun, 01 Mar 2026 12:00:07 GMT": 7 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		url, secret := serveHTTPS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Sun, 01 Mar 2026 12:00:00 GMT")
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		err := pull(t.Context(), New(Limits{}), Spec{URL: url}, mustAuth(t, url, secret))
		var throttled *providers.ThrottledError
		if !errors.As(err, &throttled) || throttled.After != want {
			t.Errorf("%q: got %v", value, err)
		}
	}
}

func TestAServerWithAnUntrustedCertificateIsRefused(t *testing.T) {
	t.Parallel()
	url, _ := serveHTTPS(t, status(200)(nil))
	err := pull(t.Context(), New(Limits{}), Spec{URL: url}, mustAuth(t, url, nil))
	if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("got %v", err)
	}
}

func TestASlowServerEndsWithTheTimeLimit(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	url, secret := serveHTTPS(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release) })
	err := pull(t.Context(), New(Limits{Time: 200 * time.Millisecond}), Spec{URL: url}, mustAuth(t, url, secret))
	if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("https: got %v", err)
	}
	// A server that accepts and then is silent, over ssh.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	_, sshSecret := newRepo(t).ssh()
	host, _ := newKey(t)
	sshSecret["known_hosts"] = []byte(knownhosts.Line([]string{knownhosts.Normalize(listener.Addr().String())}, host.PublicKey()))
	sshURL := "ssh://" + listener.Addr().String() + "/x"
	err = pull(t.Context(), New(Limits{Time: 200 * time.Millisecond}), Spec{URL: sshURL}, mustAuth(t, sshURL, sshSecret))
	if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("ssh: got %v", err)
	}
}

// overdueContext is one whose time is over, and that does not say so yet.
type overdueContext struct{ context.Context }

func (overdueContext) Deadline() (time.Time, bool) { return time.Now().Add(-time.Second), true }

func TestAConnectionThatEndsWithTheTimeLimitSaysSoAMomentBeforeTheContextDoes(t *testing.T) {
	t.Parallel()
	text, class := New(Limits{}).classify(overdueContext{t.Context()}, remote{}, os.ErrDeadlineExceeded)
	if !strings.Contains(text, "in time") || !errors.Is(class, providers.ErrUnavailable) {
		t.Errorf("%q, %v", text, class)
	}
}

func TestACancelledCallerGetsItsOwnError(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	url, secret := r.https(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pull(ctx, New(Limits{}), Spec{URL: url}, mustAuth(t, url, secret)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAnEmptyRepositorySaysSo(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	httpsURL, httpsSecret := r.https(nil)
	sshURL, sshSecret := r.ssh()
	for url, secret := range map[string]map[string][]byte{httpsURL: httpsSecret, sshURL: sshSecret} {
		err := pull(t.Context(), New(Limits{}), Spec{URL: url}, mustAuth(t, url, secret))
		if !errors.Is(err, providers.ErrNotFound) || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

func TestEachFailureOverSSHHasItsClassAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write(map[string]string{"a": "1"}).commit()
	url, secret := r.ssh()
	address := strings.TrimSuffix(strings.TrimPrefix(url, "ssh://git@"), "/org/app.git")
	other, otherIdentity := newKey(t)
	with := func(key, value string) map[string][]byte {
		changed := map[string][]byte{}
		for k, v := range secret {
			changed[k] = v
		}
		changed[key] = []byte(value)
		return changed
	}
	line := func(host string, key ssh.PublicKey) string { return knownhosts.Line([]string{host}, key) }
	cases := map[string]struct {
		url    string
		secret map[string][]byte
		class  error
		says   string
	}{
		"another host key": {url, with("known_hosts", line(knownhosts.Normalize(address), other.PublicKey())), providers.ErrDenied, "is not the one in known_hosts"},
		"an unknown host":  {url, with("known_hosts", line("example.com", other.PublicKey())), providers.ErrInvalid, "known_hosts has no key for 127.0.0.1"},
		"a revoked host":   {url, with("known_hosts", string(secret["known_hosts"])+"@revoked "+string(secret["known_hosts"])), providers.ErrInvalid, "known_hosts has no key"},
		"a refused key":    {url, with("identity", string(otherIdentity)), providers.ErrDenied, "refuses the key in identity for the user git"},
		"no repository":    {strings.Replace(url, "app.git", "nope.git", 1), secret, providers.ErrNotFound, "no such repository"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := pull(t.Context(), New(Limits{}), Spec{URL: c.url}, mustAuth(t, c.url, c.secret))
			if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.class, c.says)
			}
		})
	}
}

func TestALyingServerCannotFillTheMemory(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	// Highly compressible: 60 MiB in some 60 KiB.
	r.write(map[string]string{"zeros": strings.Repeat("0", 60<<20), "a": "1"}).commit()
	url, secret := r.https(nil)
	err := pull(t.Context(), New(Limits{ObjectBytes: 1 << 20}), Spec{URL: url}, mustAuth(t, url, secret))
	if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

func TestTheTreeIsAFileSystem(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write(map[string]string{
		"a/b/c.yaml": "x: 1\n", "a/link": "->b/c.yaml", "dir": "->a/b", "empty": "", "run.sh": "#!/bin/sh\n",
	})
	if err := os.Chmod(r.dir+"/run.sh", 0o755); err != nil {
		t.Fatal(err)
	}
	r.commit()
	tree := fetchTree(t, r)
	if err := fstest.TestFS(tree, "a/b/c.yaml", "a/link", "dir", "empty", "run.sh"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"a/link", "dir/c.yaml"} {
		data, err := tree.ReadFile(name)
		if string(data) != "x: 1\n" || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	through, err1 := tree.Digest("dir/c.yaml")
	direct, err2 := tree.Digest("a/b/c.yaml")
	if through != direct || err1 != nil || err2 != nil {
		t.Errorf("digests %q and %q, %v, %v", through, direct, err1, err2)
	}
}

func fetchTree(t *testing.T, r *repo) *Tree {
	t.Helper()
	url, secret := r.https(nil)
	client, auth := New(Limits{}), mustAuth(t, url, secret)
	revision, err := client.Resolve(t.Context(), Spec{URL: url}, auth)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := client.Fetch(t.Context(), Spec{URL: url}, auth, revision)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestWhatCannotBeReadFromATreeIsNamedWithItsReason(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	commit := r.write(map[string]string{"sub/x": "1"}).commit()
	r.write(map[string]string{
		"apps/up":       "->../../etc/passwd",
		"apps/abs":      "->/etc/passwd",
		"apps/loop1":    "->loop2",
		"apps/loop2":    "->loop1",
		"apps/dangling": "->nowhere",
		"apps/lfs.bin":  "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n",
		"apps/large":    strings.Repeat("x", 5<<20+1),
		"apps/limit":    strings.Repeat("x", 5<<20),
	})
	r.git("update-index", "--add", "--cacheinfo", "160000,"+commit+",apps/module")
	r.git("add", "apps/up", "apps/abs", "apps/loop1", "apps/loop2", "apps/dangling", "apps/lfs.bin", "apps/large", "apps/limit")
	r.git("commit", "-q", "-m", "odd")
	tree := fetchTree(t, r)
	for name, says := range map[string]string{
		"apps/up":       "symbolic link apps/up leads out of the repository",
		"apps/up/x":     "symbolic link apps/up leads out of the repository",
		"apps/abs":      "symbolic link apps/abs leads out of the repository",
		"apps/loop1":    "is part of a cycle",
		"apps/lfs.bin":  "is a Git LFS pointer",
		"apps/large":    "is larger than 5 MiB",
		"apps/module":   "is a submodule",
		"apps/module/x": "is a submodule",
	} {
		_, err := tree.ReadFile(name)
		if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, name := range []string{"apps/dangling", "apps/none", "sub/x/y"} {
		if _, err := tree.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, name := range []string{"../x", "/x", "apps/../sub/x", ""} {
		if _, err := tree.ReadFile(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if _, err := tree.ReadFile("apps/limit"); err != nil {
		t.Errorf("a file of exactly 5 MiB: %v", err)
	}
}

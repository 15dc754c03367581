package source

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

const canary = "canary-7f3e55"

// repo is a real repository made by the git command.
type repo struct {
	t    *testing.T
	root string // the folder that servers serve
	dir  string
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	root := t.TempDir()
	r := &repo{t: t, root: root, dir: filepath.Join(root, "org", "app.git")}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git("init", "-q", "-b", "trunk")
	return r
}

func gitEnv(extra ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
		"GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z",
	}, extra...)
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir, cmd.Env = r.dir, gitEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// write puts files into the work tree; a content that begins with "->" makes a symbolic link.
func (r *repo) write(files map[string]string) *repo {
	r.t.Helper()
	for name, content := range files {
		at := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(content, "->"); ok {
			if err := os.Symlink(target, at); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	return r
}

func (r *repo) commit() string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "change")
	return r.git("rev-parse", "HEAD")
}

// backend is git's own http server.
func (r *repo) backend() http.Handler {
	path, err := exec.LookPath("git")
	if err != nil {
		r.t.Fatal(err)
	}
	return &cgi.Handler{Path: path, Args: []string{"http-backend"}, Dir: r.root,
		Env: gitEnv("GIT_PROJECT_ROOT="+r.root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=", "GIT_CONFIG_COUNT=1",
			"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")}
}

// https serves the repository and returns its URL and the Secret that trusts the server.
func (r *repo) https(wrap func(http.Handler) http.Handler) (string, map[string][]byte) {
	handler := r.backend()
	if wrap != nil {
		handler = wrap(handler)
	}
	return serveHTTPS(r.t, handler)
}

func serveHTTPS(t *testing.T, handler http.Handler) (string, map[string][]byte) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return server.URL + "/org/app.git", map[string][]byte{"ca.crt": ca}
}

func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// ssh serves the repository with an ssh server that runs git's upload-pack for one key, and returns its URL and Secret.
func (r *repo) ssh() (string, map[string][]byte) {
	r.t.Helper()
	host, _ := newKey(r.t)
	client, identity := newKey(r.t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.PublicKey().Marshal()) {
			return nil, os.ErrPermission
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go r.serveSSH(conn, config)
		}
	}()
	address := listener.Addr().String()
	return "ssh://git@" + address + "/org/app.git", map[string][]byte{
		"identity":    identity,
		"known_hosts": []byte(knownhosts.Line([]string{knownhosts.Normalize(address)}, host.PublicKey()) + "\n"),
	}
}

func (r *repo) serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer func() { _ = conn.Close() }()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for req := range requests {
			if req.Type != "exec" {
				continue
			}
			var run struct{ Command string }
			_ = ssh.Unmarshal(req.Payload, &run)
			_ = req.Reply(true, nil)
			path := strings.Trim(strings.TrimPrefix(run.Command, "git-upload-pack "), "'/")
			cmd := exec.Command("git", "upload-pack", filepath.Join(r.root, path))
			cmd.Env = gitEnv("GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
			cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
			// Not cmd.Stdin: Run would wait for the client to end its input, as sshd does not.
			stdin, err := cmd.StdinPipe()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(stdin, channel); _ = stdin.Close() }()
			status := struct{ Code uint32 }{}
			if cmd.Run() != nil {
				status.Code = 128
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
			_ = channel.Close()
		}
	}
}

package gitserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/gitserver"
	"github.com/sealbridge/sealbridge/test/harness/goroutines"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goroutines.Left(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		code = 1
	}
	os.Exit(code)
}

// client is a real git with the server's authority, host key and client key.
type client struct {
	t   *testing.T
	env []string
	dir string
}

func newClient(t *testing.T, server *gitserver.Server) client {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"ca.crt": server.CA(), "id": server.ClientKey(), "known_hosts": server.KnownHosts()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sshCommand := "ssh -F /dev/null -i " + dir + "/id -o UserKnownHostsFile=" + dir + "/known_hosts -o StrictHostKeyChecking=yes -o BatchMode=yes"
	return client{t: t, dir: dir, env: append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_SSL_CAINFO="+dir+"/ca.crt", "GIT_SSH_COMMAND="+sshCommand)}
}

func (c client) git(ctx context.Context, args ...string) (string, error) {
	c.t.Helper()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	// git's own children must not outlive it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c client) mustGit(args ...string) string {
	c.t.Helper()
	out, err := c.git(c.t.Context(), args...)
	if err != nil {
		c.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

func create(t *testing.T, server *gitserver.Server, change gitserver.Change) *gitserver.Repo {
	t.Helper()
	repo, err := server.Create(t.Context(), "team/app")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestCommitsAreClonedOverBothTransports(t *testing.T) {
	t.Parallel()
	server := gitserver.New(t)
	repo := create(t, server, gitserver.Change{
		Files:       map[string]string{"a.yaml": "a: 1\n", "dir/with \"quote\".txt": "x", "gone/b": "y"},
		Executables: map[string]string{"run.sh": "#!/bin/sh\n"},
		Symlinks:    map[string]string{"link": "a.yaml"},
	})
	if _, err := repo.Commit(t.Context(), gitserver.Change{Files: map[string]string{"a.yaml": "a: 2\n"}, Deletions: []string{"gone"}}); err != nil {
		t.Fatal(err)
	}
	urls := map[string]string{"https": repo.HTTPS()}
	if _, err := exec.LookPath("ssh"); err == nil {
		urls["ssh"] = repo.SSH()
	}
	for name, url := range urls {
		c := newClient(t, server)
		c.mustGit("clone", "--quiet", url, "work")
		got, err := os.ReadFile(filepath.Join(c.dir, "work", "a.yaml"))
		if err != nil || string(got) != "a: 2\n" {
			t.Errorf("%s: a.yaml holds %q, %v", name, got, err)
		}
		if target, err := os.Readlink(filepath.Join(c.dir, "work", "link")); err != nil || target != "a.yaml" {
			t.Errorf("%s: link holds %q, %v", name, target, err)
		}
		files := strings.Fields(c.mustGit("-C", "work", "ls-files", "gone"))
		if len(files) != 0 {
			t.Errorf("%s: deleted files are there: %v", name, files)
		}
	}
	if requests := server.Requests(); !slices.Contains(requests, "POST /team/app.git/git-upload-pack") {
		t.Errorf("requests: %v", requests)
	}
}

func TestBranchesAndTagsMove(t *testing.T) {
	t.Parallel()
	server := gitserver.New(t)
	repo := create(t, server, gitserver.Change{Files: map[string]string{"a": "1"}})
	ctx := t.Context()
	first, err := repo.Head(ctx, "main")
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.Tag(ctx, "v1", first, "release"); err != nil {
		t.Fatal(err)
	}
	orphan, err := repo.Commit(ctx, gitserver.Change{Orphan: true, Files: map[string]string{"b": "2"}})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, server)
	c.mustGit("clone", "--quiet", repo.HTTPS(), "work")
	if log := strings.Fields(c.mustGit("-C", "work", "log", "--format=%H")); !slices.Equal(log, []string{orphan}) {
		t.Errorf("history of main is %v, want %s alone", log, orphan)
	}
	if got := strings.TrimSpace(c.mustGit("-C", "work", "rev-parse", "v1^{commit}")); got != first {
		t.Errorf("tag v1 names %s, want %s", got, first)
	}
}

func TestPushesArrive(t *testing.T) {
	t.Parallel()
	server := gitserver.New(t)
	repo := create(t, server, gitserver.Change{Files: map[string]string{"a": "1"}})
	c := newClient(t, server)
	c.mustGit("clone", "--quiet", repo.HTTPS(), "work")
	if err := os.WriteFile(filepath.Join(c.dir, "work", "a"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.mustGit("-C", "work", "-c", "user.name=Me", "-c", "user.email=me@example.com", "commit", "--quiet", "-am", "two")
	c.mustGit("-C", "work", "push", "--quiet", "origin", "main")
	want := strings.TrimSpace(c.mustGit("-C", "work", "rev-parse", "HEAD"))
	if got, err := repo.Head(t.Context(), "main"); err != nil || got != want {
		t.Errorf("main names %s, %v, want %s", got, err, want)
	}
}

func TestPasswordIsDemanded(t *testing.T) {
	t.Parallel()
	server := gitserver.NewWith(t, gitserver.Options{Username: "bot", Password: "right"})
	repo := create(t, server, gitserver.Change{Files: map[string]string{"a": "1"}})
	c := newClient(t, server)
	for password, want := range map[string]bool{"right": true, "wrong": false} {
		url := strings.Replace(repo.HTTPS(), "https://", "https://bot:"+password+"@", 1)
		out, err := c.git(t.Context(), "ls-remote", url)
		if (err == nil) != want {
			t.Errorf("password %s: %v, want success %t\n%s", password, err, want, out)
		}
	}
}

func TestFaultsBreakTheAnswerAndPass(t *testing.T) {
	t.Parallel()
	server := gitserver.New(t)
	repo := create(t, server, gitserver.Change{Files: map[string]string{"a": "1"}})
	c := newClient(t, server)
	for name, fault := range map[string]gitserver.Fault{
		"down": {Down: true}, "status": {Status: 503}, "garbage": {Garbage: true}, "late": {Delay: time.Hour},
	} {
		server.SetFault(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if out, err := c.git(ctx, "ls-remote", repo.HTTPS()); err == nil {
			t.Errorf("%s: git is content with %.100q", name, out)
		}
		cancel()
	}
	server.SetFault(gitserver.Fault{})
	c.mustGit("ls-remote", repo.HTTPS())
}

func TestEndlessAnswersGoOnForAsLongAsAReaderTakesThem(t *testing.T) {
	t.Parallel()
	server := gitserver.New(t)
	repo := create(t, server, gitserver.Change{Files: map[string]string{"a": "1"}})
	server.SetFault(gitserver.Fault{Endless: true})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.CA())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, repo.HTTPS()+"/info/refs?service=git-upload-pack", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	const take = 16 << 20
	if n, err := io.CopyN(io.Discard, response.Body, take); err != nil {
		t.Errorf("the answer ended after %d bytes: %v", n, err)
	}
}

func TestHostileTreesAreWrittenAsTheyAre(t *testing.T) {
	t.Parallel()
	server := gitserver.New(t)
	repo := create(t, server, gitserver.Change{Files: map[string]string{"a": "1"}})
	if _, err := repo.CommitTree(t.Context(), "hostile", gitserver.TreeEntry{Name: "..", Content: "x"}, gitserver.TreeEntry{Name: "a", Mode: "120000", Content: "../../etc/passwd"}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "git", "ls-tree", "hostile")
	cmd.Dir = repo.Dir()
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "\t..\n") || !strings.Contains(string(out), "120000 blob") {
		t.Errorf("ls-tree: %q, %v", out, err)
	}
}

func TestGrowMakesARepositoryOfThatSize(t *testing.T) {
	t.Parallel()
	server := gitserver.New(t)
	repo := create(t, server, gitserver.Change{Files: map[string]string{"a": "1"}})
	const n, size = 3, 1 << 20
	if _, err := repo.Grow(t.Context(), "big", n, size); err != nil {
		t.Fatal(err)
	}
	var total int64
	err := filepath.WalkDir(filepath.Join(repo.Dir(), "objects"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil || total < n*size {
		t.Errorf("objects take %d bytes, %v, want at least %d", total, err, n*size)
	}
}

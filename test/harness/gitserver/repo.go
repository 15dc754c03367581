package gitserver

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultBranch is the branch that HEAD of a new repository names.
const DefaultBranch = "main"

// Repo is a bare repository of a server.
type Repo struct {
	server *Server
	name   string
	dir    string
}

// Create makes an empty repository; its name is a path below the root without the ending ".git", such as "team/app".
func (s *Server) Create(ctx context.Context, name string) (*Repo, error) {
	r := &Repo{server: s, name: name, dir: filepath.Join(s.opts.Dir, filepath.FromSlash(name)+".git")}
	if _, err := s.runGit(ctx, s.opts.Dir, nil, "init", "--quiet", "--bare", "--initial-branch="+DefaultBranch, r.dir); err != nil {
		return nil, err
	}
	// Pushes over https need no second switch, and a commit may be fetched by its id as on the public hosts.
	for _, setting := range []string{"http.receivepack", "uploadpack.allowAnySHA1InWant", "uploadpack.allowFilter"} {
		if _, err := r.git(ctx, nil, "config", setting, "true"); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// HTTPS returns the repository's https URL, without user info.
func (r *Repo) HTTPS() string { return "https://" + r.server.httpsAddr + "/" + r.name + ".git" }

// SSH returns the repository's ssh URL, "ssh://git@127.0.0.1:port/name.git".
func (r *Repo) SSH() string { return "ssh://git@" + r.server.ssh.address + "/" + r.name + ".git" }

// Dir returns the folder of the bare repository.
func (r *Repo) Dir() string { return r.dir }

// Change is what a commit changes. Paths are relative to the root, with slashes.
type Change struct {
	// Branch is committed to; empty means DefaultBranch. It is created, without history, when it is not there.
	Branch string
	// Message is the subject; empty means "change".
	Message string
	// Files are written with their content, Executables too, with the executable bit.
	Files, Executables map[string]string
	// Symlinks are written with the target they hold; it is not checked.
	Symlinks map[string]string
	// Submodules are written as links to a commit of another repository.
	Submodules map[string]string
	// Deletions are files and folders that go.
	Deletions []string
	// Orphan starts the branch anew with this commit alone: its history is gone, as after a forced push.
	Orphan bool
}

// Commit adds a commit and returns its id.
func (r *Repo) Commit(ctx context.Context, change Change) (string, error) {
	branch := change.Branch
	if branch == "" {
		branch = DefaultBranch
	}
	parent, _ := r.Head(ctx, branch) // no such branch: the commit is its first
	if change.Orphan {
		parent = ""
	}
	stream := change.stream(branch, parent, time.Now())
	if _, err := r.git(ctx, stream, "fast-import", "--quiet", "--force"); err != nil {
		return "", err
	}
	return r.Head(ctx, branch)
}

// stream writes the commit in the format of git-fast-import(1).
func (c Change) stream(branch, parent string, now time.Time) []byte {
	var b bytes.Buffer
	message := c.Message
	if message == "" {
		message = "change"
	}
	if parent == "" {
		// Without this, fast-import would go on from the branch's tip.
		fmt.Fprintf(&b, "reset refs/heads/%s\n\n", branch)
	}
	fmt.Fprintf(&b, "commit refs/heads/%s\ncommitter Test <test@example.com> %d +0000\n", branch, now.Unix())
	writeData(&b, message)
	if parent != "" {
		fmt.Fprintf(&b, "from %s\n", parent)
	}
	for _, path := range c.Deletions {
		fmt.Fprintf(&b, "D %s\n", quote(path))
	}
	for _, set := range []struct {
		mode  string
		files map[string]string
	}{{"100644", c.Files}, {"100755", c.Executables}, {"120000", c.Symlinks}} {
		for _, path := range sorted(set.files) {
			fmt.Fprintf(&b, "M %s inline %s\n", set.mode, quote(path))
			writeData(&b, set.files[path])
		}
	}
	for _, path := range sorted(c.Submodules) {
		fmt.Fprintf(&b, "M 160000 %s %s\n", c.Submodules[path], quote(path))
	}
	b.WriteByte('\n')
	return b.Bytes()
}

func writeData(b *bytes.Buffer, data string) { fmt.Fprintf(b, "data %d\n%s\n", len(data), data) }

// quote writes a path as fast-import reads it: in C style, so that no byte of it ends the line.
func quote(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(path) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// TreeEntry is an entry of a tree that CommitTree writes as it is.
type TreeEntry struct {
	// Mode is Git's octal mode; empty means "100644".
	Mode string
	// Name is not checked: "..", ".git" and names with slashes are possible, as a hostile repository has them.
	Name, Content string
}

// CommitTree puts a commit on the branch whose root tree holds exactly the entries, in their order, unchecked. It
// returns the commit's id. Git's own checks of what it is sent do not run.
func (r *Repo) CommitTree(ctx context.Context, branch string, entries ...TreeEntry) (string, error) {
	var tree bytes.Buffer
	for _, entry := range entries {
		blob, err := r.git(ctx, []byte(entry.Content), "hash-object", "-w", "--stdin")
		if err != nil {
			return "", err
		}
		id, err := hex.DecodeString(blob)
		if err != nil {
			return "", fmt.Errorf("read id of %q: %w", entry.Name, err)
		}
		mode := entry.Mode
		if mode == "" {
			mode = "100644"
		}
		tree.WriteString(mode + " " + entry.Name + "\x00")
		tree.Write(id)
	}
	root, err := r.git(ctx, tree.Bytes(), "hash-object", "-w", "--stdin", "-t", "tree", "--literally")
	if err != nil {
		return "", err
	}
	commit, err := r.git(ctx, nil, "-c", "user.name=Test", "-c", "user.email=test@example.com", "commit-tree", "-m", "change", root)
	if err != nil {
		return "", err
	}
	_, err = r.git(ctx, nil, "update-ref", "refs/heads/"+branch, commit)
	return commit, err
}

// Head returns the id of the commit that a branch, tag or other revision names.
func (r *Repo) Head(ctx context.Context, revision string) (string, error) {
	return r.git(ctx, nil, "rev-parse", "--verify", "--quiet", revision+"^{commit}")
}

// Tag makes a tag name the revision; with a message it is an annotated one. An existing one is moved.
func (r *Repo) Tag(ctx context.Context, name, revision, message string) error {
	args := []string{"-c", "user.name=Test", "-c", "user.email=test@example.com", "tag", "--force"}
	if message != "" {
		args = append(args, "--annotate", "--message="+message)
	}
	_, err := r.git(ctx, nil, append(args, name, revision)...)
	return err
}

// Grow commits n files of size bytes each, which do not compress, below the folder, and returns the last commit's id. It makes
// repositories that are too big.
func (r *Repo) Grow(ctx context.Context, folder string, n, size int) (string, error) {
	// Nobody even tries to compress, or looks for what two files have in common, which would take most of the time.
	for name, value := range map[string]string{"core.compression": "0", "core.bigFileThreshold": "1"} {
		if _, err := r.git(ctx, nil, "config", name, value); err != nil {
			return "", err
		}
	}
	var id string
	for i := range n {
		file := map[string]string{folder + "/" + strconv.Itoa(i) + ".bin": noise(i, size)}
		var err error
		if id, err = r.Commit(ctx, Change{Message: "grow", Files: file}); err != nil {
			return "", err
		}
	}
	return id, nil
}

// noise returns bytes that do not compress, the same for the same seed.
func noise(seed, size int) string {
	var key [32]byte
	copy(key[:], strconv.Itoa(seed))
	b := make([]byte, size)
	// Read of ChaCha8 never fails.
	_, _ = rand.NewChaCha8(key).Read(b)
	return string(b)
}

func (r *Repo) git(ctx context.Context, stdin []byte, args ...string) (string, error) {
	return r.server.runGit(ctx, r.dir, stdin, args...)
}

func (s *Server) runGit(ctx context.Context, dir string, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.git, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, s.env(), bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

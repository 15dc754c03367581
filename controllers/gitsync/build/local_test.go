package build

import (
	"io/fs"
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestOnlyPathsInTheRepositoryAreLocal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dir, path, want string }{
		{".", "a.yaml", "a.yaml"}, {"a/b", "c.yaml", "a/b/c.yaml"}, {"a/b", "../c", "a/c"}, {"a/b", "../..", "."},
		{"a", "./b/", "a/b"}, {"a", "b//c", "a/b/c"}, {"a", "..b/x", "a/..b/x"},
		{"a/b", "../../..", ""}, {".", "..", ""}, {"a", "../../a/x", ""}, {"a", "b/../../../a/x", ""},
		{"a", "/etc/passwd", ""}, {"a", "", ""}, {"a", "x?ref=main", ""}, {"a", "http:x", ""}, {"a", `..\x`, ""},
		{"a", "user@host/x", ""}, {"a", "github.com", ""}, {"a", "GITHUB.COM/x/y", ""}, {"a", "x/_git/y", ""}, {"a", "x\ny", ""}, {"a", "x\x7fy", ""}, {"a", "x\xffy", ""},
	} {
		got, problem := localPath(c.dir, c.path)
		if got != c.want || (problem == "") != (c.want != "") {
			t.Errorf("%q in %q: got %q, %q; want %q", c.path, c.dir, got, problem, c.want)
		}
	}
}

func FuzzALocalPathStaysInTheRepository(f *testing.F) {
	for _, seed := range []string{
		"a.yaml", "../../x", "/etc/passwd", "https://example.com/x", "HTTPS:x", "git::https://x/y", "git@host:x/y", "github.com/a/b",
		"a/../../b", "ssh://x", "file:///x", "x//y", "x?ref=y", "%2e%2e/x", "..", ".", "", "a\x00b", "\u2025/x", "org/_git/repo", "x.git/y",
	} {
		f.Add("apps/prod", seed)
		f.Add(".", seed)
	}
	f.Fuzz(func(t *testing.T, dir, p string) {
		if !fs.ValidPath(dir) {
			return
		}
		got, problem := localPath(dir, p)
		if problem != "" {
			if got != "" || strings.Contains(problem, "://") {
				t.Fatalf("refused with %q, %q", got, problem)
			}
			return
		}
		if !fs.ValidPath(got) || path.IsAbs(got) || got == ".." || strings.HasPrefix(got, "../") {
			t.Fatalf("%q in %q resolves to %q", p, dir, got)
		}
		// What kustomize takes for remote: a URL with a scheme, or a host before a colon.
		if u, err := url.Parse(p); err == nil && u.Scheme != "" {
			t.Fatalf("%q has the scheme %q", p, u.Scheme)
		}
		if strings.HasPrefix(strings.ToLower(p), "github.com") || strings.Contains(p, "://") {
			t.Fatalf("%q passes for local", p)
		}
	})
}

package build

import (
	"io/fs"
	"path"
	"strings"
)

// localPath resolves a path that a kustomization in folder dir names. It refuses, before anything is looked up, whatever
// kustomize could take for something else than a file or folder of the tree: URLs, Git addresses in any of their
// spellings, absolute paths, and paths that leave the repository. It is stricter than it must be (no colon, no question
// mark, no host that looks like GitHub's), because kustomize decides by heuristics what to clone.
func localPath(dir, p string) (resolved, problem string) {
	lower := strings.ToLower(p)
	first, _, _ := strings.Cut(lower, "/")
	switch {
	case p == "":
		return "", "is empty"
	case strings.ContainsAny(p, ":?#\\") || strings.HasPrefix(first, "github.com") ||
		strings.Contains(first, "@") || strings.Contains(lower, "_git/"):
		return "", "is not a path in the repository; remote resources are never fetched, commit a copy of them"
	case strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "", "has control characters"
	case path.IsAbs(p):
		return "", "is an absolute path; write it relative to the kustomization"
	}
	// Not path.Join alone: that would take "a/../../x" for "../x" and still be right, but it would also take a path
	// that leaves the repository and comes back for one inside.
	depth := 0
	if dir != "." {
		depth = strings.Count(dir, "/") + 1
	}
	for _, part := range strings.Split(p, "/") {
		switch part {
		case "", ".":
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return "", "leads out of the repository"
		}
	}
	resolved = path.Join(dir, p)
	if !fs.ValidPath(resolved) {
		return "", "is not a path in the repository"
	}
	return resolved, ""
}

package build_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/controllers/gitsync/build"
	"github.com/sealbridge/sealbridge/controllers/gitsync/source"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/gitserver"
)

// fetch brings a branch of a real repository into memory.
func fetch(t *testing.T, server *gitserver.Server, repo *gitserver.Repo, branch string) *source.Tree {
	t.Helper()
	spec := source.Spec{URL: repo.HTTPS(), Ref: source.Ref{Branch: branch}}
	auth, err := source.ParseAuth(spec.URL, map[string][]byte{"ca.crt": server.CA()})
	if err != nil {
		t.Fatal(err)
	}
	client := source.New(source.Limits{})
	revision, err := client.Resolve(t.Context(), spec, auth)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := client.Fetch(t.Context(), spec, auth, revision)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestSymbolicLinksOfARepositoryStayInIt(t *testing.T) {
	t.Parallel()
	server := gitserver.New(t)
	link := func(name, target string) gitserver.TreeEntry {
		return gitserver.TreeEntry{Name: name, Mode: "120000", Content: target}
	}
	file := func(name, content string) gitserver.TreeEntry {
		return gitserver.TreeEntry{Name: name, Content: content}
	}
	cases := map[string]struct {
		entries []gitserver.TreeEntry
		path    string
		says    string // empty: it builds
	}{
		"a link to a file":                   {[]gitserver.TreeEntry{link("a.yaml", "b"), file("b", configMap)}, "", ""},
		"a link to a file, kustomization":    {[]gitserver.TreeEntry{link("a.yaml", "b"), file("b", configMap), file("kustomization.yaml", "resources: [a.yaml]\n")}, "", ""},
		"a linked kustomization":             {[]gitserver.TreeEntry{file("a.yaml", configMap), file("k", "resources: [a.yaml]\n"), link("kustomization.yaml", "k")}, "", ""},
		"a link that leaves":                 {[]gitserver.TreeEntry{link("a.yaml", "../../etc/passwd")}, "", "a.yaml: symbolic link a.yaml leads out of the repository"},
		"an absolute link":                   {[]gitserver.TreeEntry{link("a.yaml", "/etc/passwd")}, "", "a.yaml: symbolic link a.yaml leads out of the repository"},
		"a link that leaves, resource":       {[]gitserver.TreeEntry{link("a.yaml", "../x"), file("kustomization.yaml", "resources: [a.yaml]\n")}, "", "symbolic link a.yaml leads out of the repository"},
		"a folder that leaves, resource":     {[]gitserver.TreeEntry{link("base", "../x"), file("kustomization.yaml", "resources: [base]\n")}, "", "symbolic link base leads out of the repository"},
		"a file behind a link that leaves":   {[]gitserver.TreeEntry{link("d", "/etc"), file("kustomization.yaml", "secretGenerator: [{name: x, files: [d/passwd]}]\n")}, "", "symbolic link d leads out of the repository"},
		"a linked kustomization that leaves": {[]gitserver.TreeEntry{link("kustomization.yaml", "/etc/kustomization.yaml")}, "", "symbolic link kustomization.yaml leads out of the repository"},
		"links in a circle":                  {[]gitserver.TreeEntry{link("a.yaml", "b.yaml"), link("b.yaml", "a.yaml")}, "", "is part of a cycle"},
		"a path behind a link that leaves":   {[]gitserver.TreeEntry{link("d", "../x")}, "d", "d: symbolic link d leads out of the repository"},
		"a submodule":                        {[]gitserver.TreeEntry{{Name: "sub", Mode: "160000"}, file("a.yaml", configMap)}, "", "sub: is a submodule, which is not fetched"},
		"an entry named ..":                  {[]gitserver.TreeEntry{file("..", configMap)}, "", "a name that Git itself would refuse"},
		"a pointer to a large file":          {[]gitserver.TreeEntry{file("a.yaml", "version https://git-lfs.github.com/spec/v1\noid sha256:x\nsize 1\n")}, "", "a.yaml: is a Git LFS pointer"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo, err := server.Create(t.Context(), strings.NewReplacer(" ", "-", ",", "", ".", "-").Replace(name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := repo.CommitTree(t.Context(), "main", c.entries...); err != nil {
				t.Fatal(err)
			}
			tree := fetch(t, server, repo, "main")
			r, err := build.Build(t.Context(), tree, build.Options{Path: c.path})
			if c.says == "" {
				if err != nil || len(r.Objects) != 1 || !r.Reads.Unchanged(tree) {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "open ") || strings.Contains(err.Error(), "stat ") {
				t.Errorf("got %v, want it to say %q, and not what was done to which name twice", err, c.says)
			}
		})
	}
}

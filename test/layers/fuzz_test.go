package layers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// fuzzTest is a fuzz test of the product.
type fuzzTest struct {
	dir, name string
	decl      *ast.FuncDecl
}

// fuzzTests finds the fuzz tests of the root module.
func fuzzTests(t *testing.T, root string) []fuzzTest {
	t.Helper()
	var found []fuzzTest
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || exists(filepath.Join(path, "go.mod"))):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				found = append(found, fuzzTest{filepath.Dir(path), fn.Name.Name, fn})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// seeded reports whether the test always has a seed: one is added outside of loops or in one over a list that is written down,
// or the test fails without any.
func seeded(fn *ast.FuncDecl) bool {
	found := false
	var look func(n ast.Node, sure bool)
	look = func(n ast.Node, sure bool) {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.RangeStmt:
				_, literal := n.X.(*ast.CompositeLit)
				look(n.Body, sure && literal)
				return false
			case *ast.BasicLit:
				found = found || n.Kind == token.STRING && strings.HasPrefix(n.Value, `"no seeds`)
			case *ast.CallExpr:
				if call, ok := n.Fun.(*ast.SelectorExpr); ok && call.Sel.Name == "Add" {
					found = found || sure
				}
			}
			return true
		})
	}
	look(fn.Body, true)
	return found
}

func TestEveryFuzzTestHasSeedsAndIsRun(t *testing.T) {
	t.Parallel()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	tests := fuzzTests(t, root)
	const floor = 25
	if len(tests) < floor {
		t.Fatalf("%d fuzz tests are found: the check would say nothing", len(tests))
	}
	cmd := exec.CommandContext(t.Context(), "make", "--no-print-directory", "fuzz-list")
	cmd.Dir = root
	listed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(listed)), "\n")
	for _, test := range tests {
		if !seeded(test.decl) {
			t.Errorf("%s in %s may have no seeds: write one down, or fail with \"no seeds\"", test.name, test.dir)
		}
		if !slices.Contains(lines, test.dir+" "+test.name) {
			t.Errorf("`make fuzz-short` does not run %s in %s", test.name, test.dir)
		}
	}
	if len(lines) != len(tests) {
		t.Errorf("`make fuzz-short` runs %d fuzz tests, there are %d", len(lines), len(tests))
	}
}

func TestASeedThatMayBeMissingIsNoSeed(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`f.Add(1)`: true, `for _, s := range []int{1} { f.Add(s) }`: true, `for _, s := range read() { f.Add(s) }`: false,
		`if len(read()) == 0 { f.Fatal("no seeds") }; for _, s := range read() { f.Add(s) }`: true, ``: false,
		`for _, s := range read() { for _, x := range []int{1} { f.Add(s, x) } }`: false,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x_test.go", "package x\nfunc FuzzX(f *testing.F) {"+body+"\n}", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := seeded(file.Decls[0].(*ast.FuncDecl)); got != want { //nolint:forcetypeassert // it is one
			t.Errorf("%s: %t", body, got)
		}
	}
}

// TestEveryCrasherIsOfAFuzzTest keeps what was found from being forgotten with the name of its test.
func TestEveryCrasherIsOfAFuzzTest(t *testing.T) {
	t.Parallel()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, test := range fuzzTests(t, root) {
		known[filepath.Join(test.dir, "testdata", "fuzz", test.name)] = true
	}
	folder := regexp.MustCompile(`/testdata/fuzz/[^/]+$`)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && folder.MatchString(path) && !known[path] {
			t.Errorf("%s is of no fuzz test", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheEndOfTheTimeIsNoFailureOfAFuzzTest: what Go says by mistake when the time is over passes, and whatever else it says does
// not. A program in the place of go says it.
func TestTheEndOfTheTimeIsNoFailureOfAFuzzTest(t *testing.T) {
	t.Parallel()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(root, "tools", "scripts", "fuzz")
	for name, tc := range map[string]struct {
		says   string
		status string
		passes bool
	}{
		"the test passes":     {"PASS\nok\tpkg\t10.1s\n", "0", true},
		"the time is over":    {"fuzz: elapsed: 10s, execs: 5\n--- FAIL: FuzzX (10.06s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tpkg\t10.1s\n", "1", true},
		"an input fails":      {"--- FAIL: FuzzX (1.06s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:3: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzX/1\nFAIL\nexit status 1\n", "1", false},
		"a worker hangs":      {"--- FAIL: FuzzX (10.06s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n", "1", false},
		"it does not compile": {"x.go:1:1: syntax error\nFAIL\tpkg [build failed]\n", "1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\nprintf '%s' \"$SAYS\"\nexit \"$STATUS\"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), script, "pkg", "FuzzX", "10s")
			cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "SAYS="+tc.says, "STATUS="+tc.status)
			out, err := cmd.CombinedOutput()
			if (err == nil) != tc.passes || !strings.Contains(string(out), strings.TrimSpace(tc.says)) {
				t.Errorf("%v, passes %v:\n%s", err, tc.passes, out)
			}
		})
	}
}

// Package layers holds the rules of which package may import which (docs/ARCHITECTURE.md) and checks an import graph
// against them.
//
// It takes a graph, as `go list -deps` tells it, and rules; out come violations, each with the chain of imports that
// leads to it. The same layers stand in .golangci.yml as depguard rules, which editors show earlier; this package also
// sees what depguard cannot: chains through other packages, and siblings.
package layers

import (
	"slices"
	"strings"
)

// Module is the product's module path; rules name its packages relative to it.
const Module = "github.com/sealbridge/sealbridge"

// Graph tells for each package, by import path, what it imports.
type Graph map[string][]string

// Rule says what the packages that match From may import. In all patterns a trailing "/..." means the package and all
// below it, "*" means one segment of a path, and "$" means one segment of a path that stays the same throughout a rule.
type Rule struct {
	// From are the packages of the rule, except those that match Except.
	From, Except []string
	// May are the module's own packages that may be imported directly, beside those below the importing one; nil means
	// that the rule does not say, empty that there are none.
	May []string
	// MayOutside is the same for packages that are neither of the module nor of the standard library.
	MayOutside []string
	// Never are packages that must not be reached over any chain of imports.
	Never []string
	// Why is shown with a violation.
	Why string
}

// Violation is one broken rule.
type Violation struct {
	// Chain leads from the package of the rule to the package that it must not import.
	Chain []string
	Why   string
}

// String shows the chain, one import on a line.
func (v Violation) String() string {
	return strings.Join(v.Chain, "\n    imports ") + "\n    but " + v.Why
}

// Check returns what breaks the rules, sorted.
func Check(graph Graph, rules []Rule) []Violation {
	var found []Violation
	for pkg := range graph {
		for _, rule := range rules {
			found = append(found, rule.check(graph, pkg)...)
		}
	}
	slices.SortFunc(found, func(a, b Violation) int { return strings.Compare(a.String(), b.String()) })
	return found
}

func (r Rule) check(graph Graph, pkg string) []Violation {
	segment, ok := matchAny(r.From, short(pkg), "")
	if !ok {
		return nil
	}
	if _, excepted := matchAny(r.Except, short(pkg), segment); excepted {
		return nil
	}
	var found []Violation
	for _, imported := range graph[pkg] {
		if !r.mayImport(pkg, imported, segment) {
			found = append(found, Violation{Chain: []string{pkg, imported}, Why: r.Why})
		}
	}
	for _, never := range r.Never {
		chain := shortest(graph, pkg, func(p string) bool {
			_, hit := match(never, short(p), segment)
			return hit && p != pkg
		})
		if chain != nil {
			found = append(found, Violation{Chain: chain, Why: r.Why})
		}
	}
	return found
}

func (r Rule) mayImport(pkg, imported, segment string) bool {
	if isStandard(imported) {
		return true
	}
	if inModule(imported) {
		if r.May == nil || strings.HasPrefix(imported, pkg+"/") {
			return true
		}
		_, ok := matchAny(r.May, short(imported), segment)
		return ok
	}
	if r.MayOutside == nil {
		return true
	}
	_, ok := matchAny(r.MayOutside, imported, segment)
	return ok
}

// shortest returns the shortest chain of imports from a package to one that hit accepts, nil when there is none.
func shortest(graph Graph, from string, hit func(string) bool) []string {
	parent := map[string]string{from: ""}
	queue := []string{from}
	for len(queue) > 0 {
		pkg := queue[0]
		queue = queue[1:]
		if pkg != from && hit(pkg) {
			var chain []string
			for p := pkg; p != ""; p = parent[p] {
				chain = append(chain, p)
			}
			slices.Reverse(chain)
			return chain
		}
		for _, imported := range graph[pkg] {
			if _, seen := parent[imported]; !seen {
				parent[imported] = pkg
				queue = append(queue, imported)
			}
		}
	}
	return nil
}

func inModule(path string) bool { return path == Module || strings.HasPrefix(path, Module+"/") }

// short is the path relative to the module, or the path itself outside of it.
func short(path string) string { return strings.TrimPrefix(path, Module+"/") }

// isStandard tells a package of the standard library: the first segment of its path has no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func matchAny(patterns []string, path, segment string) (string, bool) {
	for _, pattern := range patterns {
		if bound, ok := match(pattern, path, segment); ok {
			return bound, true
		}
	}
	return "", false
}

// match tells whether the path fits the pattern, and what "$" stands for; a segment that is not empty fixes it.
func match(pattern, path, segment string) (string, bool) {
	pattern, subtree := strings.CutSuffix(pattern, "/...")
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(got) < len(want) || !subtree && len(got) != len(want) {
		return "", false
	}
	for i, w := range want {
		switch w {
		case "*", got[i]:
		case "$":
			if segment != "" && segment != got[i] {
				return "", false
			}
			segment = got[i]
		default:
			return "", false
		}
	}
	return segment, true
}

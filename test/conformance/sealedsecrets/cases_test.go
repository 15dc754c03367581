package sealedsecrets_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// suite is a file of testdata.
type suite struct {
	name string
	// Flags of both controllers; "AGO" in one is the time half an hour ago, as flags spell it.
	Flags []string `json:"flags,omitempty"`
	Cases []scenario
	// All are the differences of what is not of one case, at the end.
	All differences `json:"all,omitempty"`
}

// scenario is what happens to one SealedSecret and the Secret of its name.
type scenario struct {
	// Case says what it is about, Name is that of the objects.
	Case, Name string
	// Namespace is where the objects are, if not in that of the suite.
	Namespace string `json:"namespace,omitempty"`
	Steps     []step
	// Events are the differences of all events of the SealedSecret.
	Events differences `json:"events,omitempty"`
}

// step is one change, and what both sides come to.
type step struct {
	// Sealed and Secret are merge patches; the object is made where there is none.
	Sealed map[string]any `json:"sealed,omitempty"`
	Secret map[string]any `json:"secret,omitempty"`
	// Delete is "sealed", "secret", or "orphan" for a SealedSecret whose Secret stays.
	Delete string `json:"delete,omitempty"`
	// Keys are sealing keys by name with the value of their label, "" for no label, "deleted" for no key.
	Keys map[string]string `json:"keys,omitempty"`
	// Restart has the step, of all cases, happen while the controllers do not run.
	Restart bool `json:"restart,omitempty"`
	// Signal asks the running controllers for a new sealing key, with SIGUSR1.
	Signal bool `json:"signal,omitempty"`
	// Made says that the running controllers make a sealing key by themselves, at a moment of their own.
	Made    bool        `json:"made,omitempty"`
	Differs differences `json:"differs,omitempty"`
}

// differences are lines of a view by the row of docs/compatibility.md that explains them: "- " begins one that only the original has,
// "+ " one that only ours has.
type differences map[string][]string

func suites(t *testing.T) []suite {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no suites: %v", err)
	}
	rows := compatibility(t)
	var all []suite
	for _, file := range files {
		s := suite{name: strings.TrimSuffix(filepath.Base(file), ".yaml")}
		raw, err := os.ReadFile(file)
		if err == nil {
			err = yaml.UnmarshalStrict(raw, &s)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for i, flag := range s.Flags {
			s.Flags[i] = strings.Replace(flag, "AGO", time.Now().Add(-30*time.Minute).Format(time.RFC1123Z), 1)
		}
		for i := range s.Cases {
			c := &s.Cases[i]
			c.Namespace = cmp.Or(c.Namespace, s.name)
			for _, d := range append(c.differences(), s.All) {
				for row := range d {
					if !rows[row] {
						t.Errorf("%s: docs/compatibility.md has no row %q of Sealed Secrets", file, row)
					}
				}
			}
		}
		all = append(all, s)
	}
	return all
}

// namespaces are those of the suite, its own first.
func (s suite) namespaces() []string {
	all := []string{s.name}
	for _, c := range s.Cases {
		if !slices.Contains(all, c.Namespace) {
			all = append(all, c.Namespace)
		}
	}
	return all
}

// serves says whether the controllers are told of a namespace.
func (s suite) serves(namespace string) bool {
	return namespace == s.name || strings.Contains(strings.Join(s.Flags, " "), namespace)
}

func (c *scenario) differences() []differences {
	all := []differences{c.Events}
	for _, s := range c.Steps {
		all = append(all, s.Differs)
	}
	return all
}

// compatibility returns the first cells of the rows about Sealed Secrets.
func compatibility(t *testing.T) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile("../../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(raw), "\n## Sealed Secrets")
	if !found {
		t.Fatal("docs/compatibility.md has no section about Sealed Secrets")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	rows := map[string]bool{}
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, " | "); len(cells) == 4 {
			rows[strings.TrimPrefix(cells[0], "| ")] = true
		}
	}
	return rows
}

// check compares two views with what is said about them.
func check(original, ours []string, said differences) error {
	want := slices.Sorted(slices.Values(slices.Concat(slices.Collect(values(said))...)))
	got := compare(original, ours)
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("the original (-) and ours (+) differ in\n\t%s\nand not, as it is said, in\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
}

func values(d differences) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for _, lines := range d {
			if !yield(lines) {
				return
			}
		}
	}
}

// compare returns the lines that only one of two views has. A message of ours that begins as the original's is the same: people search
// for what they know, and may read more.
func compare(original, ours []string) []string {
	var diff []string
	left := slices.Clone(ours)
	for _, line := range original {
		i := slices.Index(left, line)
		if i < 0 && (strings.HasPrefix(line, "message ") || strings.HasPrefix(line, "event ")) {
			i = slices.IndexFunc(left, func(our string) bool { return strings.HasPrefix(our, line) })
		}
		if i < 0 {
			diff = append(diff, "- "+line)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, line := range left {
		diff = append(diff, "+ "+line)
	}
	slices.Sort(diff)
	return diff
}

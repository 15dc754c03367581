package setup

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

var (
	span    = regexp.MustCompile("`([^`]+)`")
	flagged = regexp.MustCompile(`^-{1,2}[a-z]`)
)

// documented returns the flags that the first cells of a page's tables name, with their defaults where the table has them.
// A default that is said in several words is left out. A flag that is written "-burst" after "--client-qps" ends as the other begins.
func documented(text string) map[string]string {
	out, defaults := map[string]string{}, false
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "|") || len(cells) < 2 {
			continue
		}
		if head := strings.ToLower(strings.TrimSpace(cells[0])); head == "flag" {
			defaults = strings.EqualFold(strings.TrimSpace(cells[1]), "default")
			continue
		}
		var names []string
		for _, m := range span.FindAllStringSubmatch(cells[0], -1) {
			name := strings.Fields(m[1])[0]
			switch {
			case strings.HasPrefix(name, "--"):
				names = append(names, strings.TrimPrefix(name, "--"))
			case flagged.MatchString(name) && len(names) > 0:
				last := names[len(names)-1]
				if at := strings.LastIndex(last, "-"); strings.HasPrefix(last, "leader-election-") {
					names = append(names, "leader-election"+name)
				} else if at > 0 {
					names = append(names, last[:at]+name)
				}
			}
		}
		values := strings.Split(cells[1], ", ")
		for i, name := range names {
			out[name] = ""
			if said := strings.Trim(strings.TrimSpace(values[i%len(values)]), "`"); defaults && !strings.Contains(said, " ") {
				out[name] = said
			}
		}
	}
	return out
}

// sameDefault reports whether the words of a page are the default of a flag.
func sameDefault(words string, f *pflag.Flag) bool {
	want := f.DefValue
	switch words {
	case "none", "empty", "off", "all", "":
		return slices.Contains([]string{"", "0", "false", "[]"}, want)
	}
	a, errA := time.ParseDuration(words)
	b, errB := time.ParseDuration(want)
	return words == want || "["+words+"]" == want || errA == nil && errB == nil && a == b
}

// TestEveryFlagIsDocumentedWithItsDefault reads the pages about flags, and those about what is taken for the sake of others.
func TestEveryFlagIsDocumentedWithItsDefault(t *testing.T) {
	t.Parallel()
	var o Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs, "$POD_NAMESPACE")
	named, compared := "", 0
	for _, page := range []string{"operations.md", "compatibility.md", "spec/sealedsecret.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		named += string(text)
		if page == "compatibility.md" {
			continue
		}
		for name, words := range documented(string(text)) {
			if strings.HasSuffix(name, "...") {
				continue
			}
			f := fs.Lookup(name)
			if f == nil && !slices.Contains([]string{"log-level", "loglevel", "log-format"}, name) { // the command has these
				t.Errorf("docs/%s: there is no flag --%s", page, name)
			}
			if f != nil && words != "" {
				if compared++; !sameDefault(words, f) {
					t.Errorf("docs/%s: the default of --%s is %q, not %q", page, name, f.DefValue, words)
				}
			}
		}
	}
	all := documented(named)
	fs.VisitAll(func(f *pflag.Flag) {
		if _, ok := all[f.Name]; !ok && !strings.Contains(named, "`--"+f.Name+"`") && !strings.Contains(named, "--"+f.Name+" ") && !strings.Contains(named, "--"+f.Name+"=") {
			t.Errorf("no page says what --%s does", f.Name)
		}
	})
	const floor = 35
	if compared < floor {
		t.Errorf("%d defaults were compared: the check would say nothing", compared)
	}
}

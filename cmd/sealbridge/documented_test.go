package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var (
	inCode = regexp.MustCompile("`([^`]+)`")
	named  = regexp.MustCompile(`--([a-z][a-z-]*)`)
)

// documentedFlags returns what the table of flags says: by command and flag, the default, and the letter where there is one.
func documentedFlags(t *testing.T, page string) map[string]string {
	t.Helper()
	out, inTable := map[string]string{}, false
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if inTable = strings.HasPrefix(line, "|") && (inTable || len(cells) == 4 && strings.TrimSpace(cells[0]) == "flag"); !inTable || len(cells) != 4 {
			continue
		}
		said := strings.Trim(strings.TrimSpace(cells[1]), "`")
		for _, command := range inCode.FindAllStringSubmatch(cells[2], -1) {
			last := ""
			for _, flag := range inCode.FindAllStringSubmatch(cells[0], -1) {
				if letter, ok := strings.CutPrefix(flag[1], "-"); ok && len(letter) == 1 {
					out[last] += " -" + letter
					continue
				}
				last = command[1] + " " + flag[1]
				if _, twice := out[last]; twice {
					t.Errorf("docs/cli.md names %s twice", last)
				}
				out[last] = said
			}
		}
	}
	return out
}

// commands returns those that do something, by their names without that of the program.
func commands(c *cobra.Command) map[string]*cobra.Command {
	out := map[string]*cobra.Command{}
	for _, below := range c.Commands() {
		if name := strings.TrimPrefix(below.CommandPath(), "sealbridge "); len(below.Commands()) == 0 {
			out[name] = below
		}
		maps.Copy(out, commands(below))
	}
	return out
}

func TestEveryFlagIsDocumentedWithItsCommandsLetterAndDefault(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(text), "kubectl apply --server-side", "kubectl apply") // whose flag it is
	said, has, names := documentedFlags(t, page), map[string]string{}, map[string]bool{"help": true}
	for command, c := range commands(newRoot(t.Context(), host{})) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			names[f.Name] = true
			if command == "seal" || command == "version" || f.Name == "help" {
				return
			}
			fallback := f.DefValue
			if fallback == "" || fallback == "[]" {
				fallback = "none"
			}
			if f.Shorthand != "" {
				fallback += " -" + f.Shorthand
			}
			has[command+" --"+f.Name] = fallback
		})
	}
	for _, flag := range slices.Sorted(maps.Keys(has)) {
		if said[flag] == "" {
			t.Errorf("docs/cli.md does not name %s (%s)", flag, has[flag])
		} else if said[flag] != has[flag] {
			t.Errorf("%s has the default and letter %q, and docs/cli.md says %q", flag, has[flag], said[flag])
		}
	}
	for _, flag := range slices.Sorted(maps.Keys(said)) {
		if has[flag] == "" {
			t.Errorf("docs/cli.md names %s, and there is none", flag)
		}
	}
	for _, flag := range named.FindAllStringSubmatch(page, -1) {
		if !names[flag[1]] {
			t.Errorf("docs/cli.md speaks of --%s, which no command has", flag[1])
		}
	}
	const floor = 100
	if len(has) < floor {
		t.Errorf("%d flags were compared: the check would say nothing", len(has))
	}
}

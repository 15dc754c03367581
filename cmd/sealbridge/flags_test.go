package main

import (
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// helpLine is a flag in what kubeseal and we print for --help: a letter, the name, the kind of value, and the default.
var helpLine = regexp.MustCompile(`^ +(?:-([a-zA-Z]), |    )--([a-z_-]+)(?: ([a-zA-Z]+))?  .*?(?:\(default ("?[^")]*"?)\))? *$`)

type flagOf struct{ letter, kind, fallback string }

// flagsIn returns the flags of a help text by name.
func flagsIn(help string) map[string]flagOf {
	out := map[string]flagOf{}
	for line := range strings.Lines(help) {
		if m := helpLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			out[m[2]] = flagOf{m[1], m[3], m[4]}
		}
	}
	return out
}

// TestEveryFlagOfKubesealIsTakenUnderItsNameAndLetter asks the real kubeseal which flags it has.
func TestEveryFlagOfKubesealIsTakenUnderItsNameAndLetter(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	help, _, _ := s.theirs(t, "", "--help")
	ours, _, _ := s.ours(t, "", "--help")
	theirs, mine := flagsIn(help), flagsIn(ours)
	self, err := exec.LookPath("kubeseal") // what TestMain has put there
	if err != nil || self == s.real {
		t.Fatalf("our kubeseal is %s: %v", self, err)
	}
	const flags, shown = 50, 38
	if len(theirs) < flags || len(mine) < shown {
		t.Fatalf("kubeseal shows %d flags and we %d: the check would say nothing\n%s", len(theirs), len(mine), help)
	}
	read := map[string]bool{}
	run(t.Context(), []string{"kubeseal", "--version"}, host{
		stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, env: func(name string) (string, bool) { read[name] = true; return "", false },
	})
	values := map[string]string{
		"": "true", "string": "x", "strings": "x", "stringArray": "x", "severity": "2", "uint": "3", "traceLocation": "file.go:1", "Level": "2", "moduleSpec": "a=1",
	}
	for name, flag := range theirs {
		value, known := values[flag.kind]
		switch {
		case name == "help" || name == "version":
			continue
		case name == "scope":
			value = "strict"
		case !known:
			t.Errorf("--%s takes a %s, for which the test has no value", name, flag.kind)
		}
		spellings := []string{"--" + name + "=" + value}
		if flag.letter != "" {
			spellings = append(spellings, "-"+flag.letter+value)
		}
		for _, spelling := range spellings {
			if _, stderr, ok := s.theirs(t, "", spelling, "--version"); !ok {
				t.Errorf("kubeseal itself does not take %s: %s", spelling, stderr)
			}
			// In a process, because flags of logging are the process's.
			if out, stderr, ok := execute(t, self, "", spelling, "--version"); !ok || out != "kubeseal version: 0.40.0\n" {
				t.Errorf("%s is not taken: %s", spelling, stderr)
			}
		}
		variable := "SEALED_SECRETS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if _, ok := mine[name]; ok && !read[variable] { // those of logging are hidden here, and have none
			t.Errorf("%s is not read", variable)
		}
		// A scope is strict in both when nothing says otherwise, which ours writes in words.
		if of, ok := mine[name]; ok && name != "scope" && (of.fallback != flag.fallback || of.letter != flag.letter) {
			t.Errorf("--%s: %+v, kubeseal has %+v", name, of, flag)
		}
	}
}

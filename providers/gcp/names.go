package gcp

import (
	"strings"
	"unicode"
)

// The names that Secret Manager accepts. They become parts of resource names: nothing that separates parts may be in them.

func isSecretName(s string) bool { return consists(s, 1, 255, isWord, isWord) }

// isVersionName accepts a number, an alias and latest.
func isVersionName(s string) bool { return consists(s, 1, 63, isWord, isWord) }

func isLabelName(s string) bool { return consists(s, 1, 63, isLetter, isLabel) }

func isLabelValue(s string) bool { return consists(s, 0, 63, isLabel, isLabel) }

// consists reports whether a text has so many characters, and only such. Regular expressions that count characters of whole
// alphabets take megabytes.
func consists(s string, least, most int, first, others func(rune) bool) bool {
	n := 0
	for i, r := range s {
		if i == 0 && !first(r) || i > 0 && !others(r) {
			return false
		}
		n++
	}
	return n >= least && n <= most
}

func isLowerOrDigit(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }

func isWord(r rune) bool { return isLowerOrDigit(r) || r >= 'A' && r <= 'Z' || r == '_' || r == '-' }

// isLetter reports whether a label may begin with a character: lower case, or of an alphabet without case.
func isLetter(r rune) bool { return unicode.In(r, unicode.Ll, unicode.Lo) }

func isLabel(r rune) bool { return isLetter(r) || unicode.In(r, unicode.N) || r == '_' || r == '-' }

// latest is the version that is read when none is named.
const latest = "latest"

// host is where the secrets of a location are; those without one are global.
func host(location string) string {
	if location == "" {
		return "secretmanager.googleapis.com"
	}
	return "secretmanager." + location + ".rep.googleapis.com"
}

// parent is the resource that holds the secrets of a project and location.
func parent(project, location string) string {
	if location == "" {
		return "projects/" + project
	}
	return "projects/" + project + "/locations/" + location
}

// lastPart is what stands behind the last slash of a resource name: the secret's own name, or the version's.
func lastPart(resource string) string { return resource[strings.LastIndexByte(resource, '/')+1:] }

// answers reports whether the resource name of an answer can be that of what was asked for. Secret Manager says the number of a
// project where its name was asked for, and the number of a version where an alias was.
func answers(answered, asked string) bool {
	got, want := strings.Split(answered, "/"), strings.Split(asked, "/")
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		same := got[i] == want[i]
		if i > 0 {
			switch got[i-1] {
			case "projects":
				same = same || isNumber(got[i]) != isNumber(want[i])
			case "versions":
				same = same || isVersionName(got[i]) && !isNumber(want[i])
			}
		}
		if !same {
			return false
		}
	}
	return true
}

func isNumber(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

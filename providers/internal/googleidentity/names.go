package googleidentity

import (
	"regexp"
	"strings"
)

// Names become parts of resource names and of addresses: nothing that separates parts may be in them.
var (
	locations = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	emails    = regexp.MustCompile(`^[a-z0-9-]+@([a-z0-9-]+\.)+gserviceaccount\.com$`)
)

// IsLocation reports whether a text can be the name of a region, a zone or a cluster.
func IsLocation(s string) bool { return locations.MatchString(s) }

// IsEmail reports whether a text can be the email address of a service account.
func IsEmail(s string) bool { return emails.MatchString(s) }

// IsProjectName reports whether a text can be the ID or the number of a project.
func IsProjectName(s string) bool {
	const most = 128
	isFirst := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }
	for i, r := range s {
		if !isFirst(r) && (i == 0 || !strings.ContainsRune(".:-", r)) {
			return false
		}
	}
	return s != "" && len(s) <= most
}

package source

import (
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/sealbridge/sealbridge/providers"
)

// Spec says which commit of which repository is wanted.
type Spec struct {
	// URL is https://host[:port]/path or ssh://[user@]host[:port]/path.
	URL string
	Ref Ref
}

// Ref names a commit. When several are set, the first of Commit, Name, SemVer, Tag, Branch counts, as in Flux; without
// any it is the remote's HEAD.
type Ref struct {
	Branch string
	Tag    string
	// SemVer is a range of versions; the highest tag in it is taken.
	SemVer string
	// Name is a full reference name such as refs/heads/main or refs/pull/7/head.
	Name string
	// Commit is a full SHA-1 in hex.
	Commit string
}

// Revision is a commit and the reference that it was found by.
type Revision struct {
	// Ref is the branch, tag or reference name; empty for a bare commit.
	Ref string
	// Commit is the full SHA-1 in hex.
	Commit string
}

// String returns the revision as Flux writes it: "main@sha1:<hex>", or "sha1:<hex>" without a reference.
func (r Revision) String() string {
	if r.Ref == "" {
		return "sha1:" + r.Commit
	}
	return r.Ref + "@sha1:" + r.Commit
}

// ParseRevision reads what Revision.String wrote. It fails with ErrInvalid.
func ParseRevision(s string) (Revision, error) {
	ref, commit, ok := cutLast(s, "sha1:")
	if ok && ref != "" {
		ref, ok = strings.CutSuffix(ref, "@")
		ok = ok && ref != ""
	}
	if !ok || !fullHash.MatchString(commit) {
		return Revision{}, providers.Errorf(providers.ErrInvalid, "not a Git revision of the form branch@sha1:commit")
	}
	return Revision{Ref: ref, Commit: commit}, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// remote is a checked URL.
type remote struct {
	scheme string // "https" or "ssh"
	user   string // ssh only
	host   string // without brackets
	port   string
	path   string // unescaped, begins with "/"
}

// parseURL checks a repository's URL. Its errors never quote the URL, which can hold a password.
func parseURL(raw string) (remote, error) {
	invalid := func(text string) (remote, error) {
		return remote{}, providers.Errorf(providers.ErrInvalid, "spec.url %s", text)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		if scpLike.MatchString(raw) {
			return invalid("has the short form host:path; write ssh://user@host/path")
		}
		return invalid("is not a URL; use https://host/path or ssh://user@host/path")
	}
	r := remote{scheme: u.Scheme, host: u.Hostname(), port: u.Port(), path: u.Path}
	switch {
	case u.Scheme != "https" && u.Scheme != "ssh":
		return invalid("has a scheme that is not supported; use https:// or ssh://")
	case r.host == "":
		return invalid("names no host")
	case !isPlainHost(r.host):
		return invalid("has a host with characters that no host name has")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return invalid("must have no query and no fragment")
	case strings.Trim(r.path, "/") == "":
		return invalid("names no repository on the host")
	case strings.ContainsFunc(r.path, isControl):
		return invalid("has control characters")
	}
	if u.User != nil {
		if _, hasPassword := u.User.Password(); hasPassword || u.Scheme == "https" {
			return invalid("must hold no credentials; put them into the Secret of spec.secretRef")
		}
		r.user = u.User.Username()
	}
	if r.scheme == "ssh" && r.user == "" {
		r.user = "git"
	}
	if r.port == "" {
		r.port = map[string]string{"https": "443", "ssh": "22"}[r.scheme]
	}
	return r, nil
}

var (
	scpLike   = regexp.MustCompile(`^[A-Za-z0-9._-]+(@[A-Za-z0-9._-]+)?:[^/]`)
	plainHost = regexp.MustCompile(`^[A-Za-z0-9._:-]+$`)
)

func isPlainHost(host string) bool { return len(host) <= 253 && plainHost.MatchString(host) }

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// address returns host:port.
func (r remote) address() string { return net.JoinHostPort(r.host, r.port) }

// display returns the URL for messages: no user, no query.
func (r remote) display() string {
	host := r.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if (r.scheme == "https" && r.port != "443") || (r.scheme == "ssh" && r.port != "22") {
		host = r.address()
	}
	return (&url.URL{Scheme: r.scheme, Host: host, Path: r.path}).String()
}

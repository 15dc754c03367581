package source

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // hashed host names in known_hosts are HMAC-SHA1, see sshd(8)
	"encoding/base64"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts is a parsed known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). The package of x/crypto reads files;
// this one has the bytes of a Secret and nothing is written to a disk.
type knownHosts []knownHost

type knownHost struct {
	patterns []string
	key      ssh.PublicKey
	revoked  bool
}

func parseKnownHosts(text []byte) (knownHosts, error) {
	var hosts knownHosts
	for rest := text; ; {
		marker, patterns, key, _, next, err := ssh.ParseKnownHosts(rest)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(next) >= len(rest) {
			return nil, entryError(keyKnownHosts, "has a line that is not in the format of known_hosts")
		}
		if marker == "cert-authority" {
			return nil, entryError(keyKnownHosts, "has an @cert-authority line, which is not supported; name the host's own keys")
		}
		hosts = append(hosts, knownHost{patterns: patterns, key: key, revoked: marker == "revoked"})
		rest = next
	}
	if len(hosts) == 0 {
		return nil, entryError(keyKnownHosts, "names no host")
	}
	return hosts, nil
}

// of returns the keys that are known for an address (host:port), without the revoked ones.
func (k knownHosts) of(address string) []ssh.PublicKey {
	name := knownhosts.Normalize(address)
	var keys []ssh.PublicKey
	for _, h := range k {
		if !h.revoked && h.matches(name) {
			keys = append(keys, h.key)
		}
	}
	return slices.DeleteFunc(keys, func(key ssh.PublicKey) bool { return k.revokes(name, key) })
}

func (k knownHosts) revokes(name string, key ssh.PublicKey) bool {
	return slices.ContainsFunc(k, func(h knownHost) bool {
		return h.revoked && h.matches(name) && bytes.Equal(h.key.Marshal(), key.Marshal())
	})
}

// matches follows sshd(8): a hashed name, or patterns of which one must match and none that begins with "!" may.
func (h knownHost) matches(name string) bool {
	found := false
	for _, pattern := range h.patterns {
		if strings.HasPrefix(pattern, "|1|") {
			return hashedMatch(pattern, name)
		}
		pattern, negated := strings.CutPrefix(strings.ToLower(pattern), "!")
		if !wildcardMatch(pattern, strings.ToLower(name)) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

func hashedMatch(pattern, name string) bool {
	parts := strings.Split(pattern, "|")
	if len(parts) != 4 {
		return false
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[2])
	want, err2 := base64.StdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	_, _ = mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), want)
}

// wildcardMatch knows "*" and "?"; the brackets of [host]:port stand for themselves, also where a pattern names one.
func wildcardMatch(pattern, name string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return pattern == name
	}
	literal := strings.NewReplacer("[", `\[`, "]", `\]`, `\`, `\\`).Replace(pattern)
	ok, err := path.Match(literal, name)
	return err == nil && ok
}

// algorithms returns the host key algorithms that the keys can prove, so that the server offers a key that is known and
// not another that it has as well.
func algorithms(keys []ssh.PublicKey) []string {
	var names []string
	for _, key := range keys {
		switch key.Type() {
		case ssh.KeyAlgoRSA:
			names = append(names, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			names = append(names, key.Type())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

package source

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"crypto/ed25519"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/sealbridge/sealbridge/providers"
)

func TestOnlyURLsThatCanWorkAreTakenAndNoneIsQuoted(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"https://github.com/org/app":           "https://github.com/org/app",
		"https://git.example.com:8443/app.git": "https://git.example.com:8443/app.git",
		"ssh://git@github.com/org/app.git":     "ssh://github.com/org/app.git",
		"ssh://deploy@[::1]:2222/app":          "ssh://[::1]:2222/app",
	}
	for raw, shown := range good {
		r, err := parseURL(raw)
		if err != nil || r.display() != shown {
			t.Errorf("%s: %q, %v", raw, r.display(), err)
		}
	}
	bad := map[string]string{
		"git@github.com:canary-7f3e55/app":     "ssh://user@host/path",
		"http://host/canary-7f3e55":            "https:// or ssh://",
		"file:///etc/canary-7f3e55":            "https:// or ssh://",
		"ext::sh -c canary-7f3e55":             "ssh://user@host/path",
		"git://host/canary-7f3e55":             "https:// or ssh://",
		"https://user:canary-7f3e55@host/app":  "no credentials",
		"https://canary-7f3e55@host/app":       "no credentials",
		"ssh://git:canary-7f3e55@host/app":     "no credentials",
		"https://host/app?token=canary-7f3e55": "no query",
		"https://host/app#canary-7f3e55":       "no query",
		"https:///canary-7f3e55":               "no host",
		"https://host/":                        "no repository",
		"ssh://host/a\ncanary-7f3e55":          "not a URL",
		"ssh://host/a%0acanary-7f3e55":         "control characters",
		"ssh://-oProxyCommand=canary-7f3e55/x": "characters that no host",
		"https://ho st/canary-7f3e55":          "not a URL",
		"":                                     "scheme",
	}
	for raw, says := range bad {
		_, err := parseURL(raw)
		if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: got %v, want it to say %q", raw, err, says)
		}
	}
}

func TestAPathIsOneWordForTheShellAtTheOtherEnd(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/org/app.git":  `'/org/app.git'`,
		"/a'; reboot '": `'/a'\''; reboot '\'''`,
		"/a!b":          `'/a'\!'b'`,
		"/$(reboot)`x`": "'/$(reboot)`x`'",
	} {
		if got := quote(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestASecretThatCannotWorkIsRefusedByEntry(t *testing.T) {
	t.Parallel()
	_, identity := newKey(t)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	locked := string(pem.EncodeToMemory(block))
	signer, _ := newKey(t)
	known := knownhosts.Line([]string{"example.com"}, signer.PublicKey())
	cases := map[string]struct {
		url    string
		secret map[string]string
		says   string
	}{
		"both kinds":          {"https://h/x", map[string]string{"username": "u", "password": "p", "bearerToken": canary}, `entry "bearerToken" and username exclude`},
		"only a password":     {"https://h/x", map[string]string{"password": canary}, `entry "password" needs the entry username`},
		"a broken token":      {"https://h/x", map[string]string{"bearerToken": canary + "\nX: y"}, `entry "bearerToken" has a line break`},
		"half a certificate":  {"https://h/x", map[string]string{"tls.crt": canary}, `entry "tls.crt"`},
		"a large key":         {"https://h/x", map[string]string{"tls.crt": canary, "tls.key": strings.Repeat(" ", 16<<10+1)}, `entry "tls.key" has over 16 KiB`},
		"a large identity":    {"ssh://h/x", map[string]string{"identity": string(identity) + strings.Repeat("\n", 16<<10), "known_hosts": known}, `entry "identity" has over 16 KiB`},
		"no authority":        {"https://h/x", map[string]string{"ca.crt": canary}, `entry "ca.crt" holds no certificate`},
		"no Secret":           {"ssh://h/x", nil, "needs spec.secretRef"},
		"no known hosts":      {"ssh://h/x", map[string]string{"identity": string(identity)}, `entry "known_hosts" is missing`},
		"rubbish known hosts": {"ssh://h/x", map[string]string{"identity": string(identity), "known_hosts": "a b " + canary}, "not in the format"},
		"empty known hosts":   {"ssh://h/x", map[string]string{"identity": string(identity), "known_hosts": "# nothing\n"}, "names no host"},
		"an authority":        {"ssh://h/x", map[string]string{"identity": string(identity), "known_hosts": "@cert-authority " + known}, "@cert-authority"},
		"not a key":           {"ssh://h/x", map[string]string{"identity": canary, "known_hosts": known}, `entry "identity" is not a private key`},
		"a locked key":        {"ssh://h/x", map[string]string{"identity": locked, "known_hosts": known}, `entry "identity" is encrypted`},
		"a wrong passphrase":  {"ssh://h/x", map[string]string{"identity": locked, "known_hosts": known, "password": canary}, `entry "password" does not decrypt`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseAuth(c.url, bytesOf(c.secret))
			if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want it to say %q", err, c.says)
			}
		})
	}
	auth, err := ParseAuth("ssh://h/x", bytesOf(map[string]string{"identity": locked, "known_hosts": known, "password": "right"}))
	if err != nil || auth.signer == nil {
		t.Errorf("the right passphrase: %v", err)
	}
}

func bytesOf(m map[string]string) map[string][]byte {
	if m == nil {
		return nil
	}
	out := map[string][]byte{}
	for k, v := range m {
		out[k] = []byte(v)
	}
	return out
}

func TestCredentialsDoNotPrint(t *testing.T) {
	t.Parallel()
	auth := mustAuth(t, "https://h/x", bytesOf(map[string]string{"username": "u", "password": canary}))
	for _, s := range []string{fmt.Sprint(auth), fmt.Sprintf("%+v %#v %s %q %d", auth, auth, auth, auth, auth), fmt.Sprint(&auth)} {
		if strings.Contains(s, canary) {
			t.Errorf("prints %s", s)
		}
	}
}

func TestKnownHostsAreMatchedAsSSHDoes(t *testing.T) {
	t.Parallel()
	signer, _ := newKey(t)
	key := signer.PublicKey()
	text := strings.Join([]string{
		"# comment", "",
		knownhosts.Line([]string{"plain.example.com", "10.0.0.1"}, key),
		knownhosts.Line([]string{"[ported.example.com]:2222"}, key),
		"*.wild.example.com,!bad.wild.example.com " + strings.SplitN(knownhosts.Line([]string{"x"}, key), " ", 2)[1],
		knownhosts.HashHostname("hashed.example.com") + " " + strings.SplitN(knownhosts.Line([]string{"x"}, key), " ", 2)[1],
	}, "\n")
	hosts, err := parseKnownHosts([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"plain.example.com:22": true, "10.0.0.1:22": true, "plain.example.com:2222": false,
		"PLAIN.example.com:22": true, "ported.example.com:2222": true, "ported.example.com:22": false,
		"a.wild.example.com:22": true, "bad.wild.example.com:22": false, "wild.example.com:22": false,
		"hashed.example.com:22": true, "hashed.example.com:23": false, "other.example.com:22": false,
	} {
		if got := len(hosts.of(address)) > 0; got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
}

func TestReservedAddressesAreNotDialled(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "fe80::1%eth0": false, "fd00:ec2::254": false,
		"100.100.100.200": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false,
		"10.0.0.1": true, "127.0.0.1": true, "192.168.1.1": true, "fd00::1": true, "140.82.112.3": true,
	} {
		if got := allowed(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
}

func TestARevisionThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("a", 40)
	for _, s := range []string{"", "main", "main@sha1:", "main@sha1:abc", "main" + "sha1:" + hash, "@sha1:" + hash, "main@sha1:" + strings.ToUpper(hash)} {
		if r, err := ParseRevision(s); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("%q: got %v, %v", s, r, err)
		}
	}
	if r, err := ParseRevision("a@sha1:b@sha1:" + hash); err != nil || r.Ref != "a@sha1:b" {
		t.Errorf("got %v, %v", r, err)
	}
}

package source

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/forwardproxy"
)

// behindProxy is, in the process that asks for a repository through a proxy, the certificate of its server.
const behindProxy = "SEALBRIDGE_TEST_BEHIND_PROXY"

// TestARepositoryIsReadThroughTheProxyOfTheEnvironment: a process reads its environment once, so that others ask.
func TestARepositoryIsReadThroughTheProxyOfTheEnvironment(t *testing.T) {
	if ca := os.Getenv(behindProxy); ca != "" {
		askThroughProxy(t, map[string][]byte{"ca.crt": []byte(ca)})
		return
	}
	r := newRepo(t)
	r.write(map[string]string{"a": "x"}).commit()
	repository, secret := r.https(nil)
	at, err := url.Parse(repository)
	if err != nil {
		t.Fatal(err)
	}
	p := forwardproxy.New(t, url.UserPassword("u", canary))
	p.Lead("example.com", at.Host) // for which the server's certificate is, too
	p.Say("forbidden.test", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, canary, http.StatusForbidden) })
	for _, proxy := range []string{p.URL(), "http://u:not-" + canary + "@" + p.Address()} {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestARepositoryIsReadThroughTheProxyOfTheEnvironment$")
		child.Env = append(append(os.Environ(), p.Environment("")...), "HTTPS_PROXY="+proxy, "https_proxy="+proxy, behindProxy+"="+string(secret["ca.crt"]))
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func askThroughProxy(t *testing.T, secret map[string][]byte) {
	t.Helper()
	proxy, err := url.Parse(os.Getenv("HTTPS_PROXY"))
	if err != nil {
		t.Fatal(err)
	}
	at := "the proxy http://" + proxy.Host
	says := map[string]string{
		"https://example.com":    "",
		"https://forbidden.test": at + " does not let requests through to it (403 Forbidden)",
		"https://nowhere.test":   at + " does not reach it (502 Bad Gateway)",
	}
	if password, _ := proxy.User.Password(); password != canary {
		for target := range says {
			says[target] = at + " does not accept the name and password in HTTPS_PROXY of the controller (407"
		}
	}
	says["https://169.254.169.254"] = "its host has a link-local, metadata or otherwise reserved address"
	for target, want := range says {
		target += "/org/app.git"
		err := pull(t.Context(), New(Limits{}), Spec{URL: target}, mustAuth(t, target, secret))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary)) {
			t.Errorf("%s: %v", target, err)
		}
		if strings.Contains(want, "proxy") && !errors.Is(err, providers.ErrUnavailable) {
			t.Errorf("%s: %v", target, err)
		}
	}
}

package webhook_test

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

// behindProxy is set in the process of which all requests go through a proxy.
const behindProxy = "SEALBRIDGE_TEST_BEHIND_PROXY"

// TestAProxyOfTheEnvironmentStandsBeforeEveryStore: also before one with certificates of its own, which External Secrets Operator
// asks directly. A process reads its environment once, so the requests are made by another one.
func TestAProxyOfTheEnvironmentStandsBeforeEveryStore(t *testing.T) {
	if os.Getenv(behindProxy) != "" {
		askThroughProxy(t)
		return
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "for "+r.URL.String())
	}))
	defer proxy.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAProxyOfTheEnvironmentStandsBeforeEveryStore$")
	child.Env = append(os.Environ(), behindProxy+"=yes", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func askThroughProxy(t *testing.T) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	for name, bundle := range map[string][]byte{"the system's authorities": nil, "one of its own": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})} {
		session := open(t, &stores.Webhook{URL: "http://store.invalid/{{ .remoteRef.key }}", CABundle: bundle}, lent("t"))
		if got := value(t, fetchOne(t, session, providers.Ref{Key: "k"}), ""); got != "for http://store.invalid/k" {
			t.Errorf("%s: %q", name, got)
		}
		checker, ok := providers.As[providers.Checker](session)
		if !ok {
			t.Fatal("no checker")
		}
		if err := checker.Check(t.Context()); err != nil {
			t.Errorf("%s: the check does not know of the proxy: %v", name, err)
		}
	}
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // kubeconfigs may log in by OpenID Connect, as with kubectl
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sealbridge/sealbridge/internal/retryafter"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// cluster reaches the controller's HTTP API through the API server's service proxy, with plain requests: the typed
// clients would multiply the time that the command takes to start.
type cluster struct {
	client    *http.Client
	base      *url.URL
	namespace string
	name      string
	note      func(text string)

	mu      sync.Mutex
	proxied string // path of the service's proxy, once it is known
}

// restarting is how long a controller of one replica may be away: about a quarter of a minute.
func restarting() wait.Backoff {
	return wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Steps: 6}
}

// clientConfig loads the kubeconfig, and says whether there is any.
func (c *connection) clientConfig() (config clientcmd.ClientConfig, found bool, err error) {
	config = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(c.loadingRules(), &c.at.overrides)
	raw, err := config.RawConfig()
	if err != nil {
		return nil, false, c.kubeconfigError(err)
	}
	if asked := c.at.overrides.CurrentContext; asked != "" && raw.Contexts[asked] == nil {
		return nil, false, &sealing.Error{Problem: fmt.Sprintf("the kubeconfig has no context %q", asked), Hint: "kubectl config get-contexts lists them"}
	}
	return config, len(raw.Contexts) > 0, nil
}

// namespace returns the namespace of --namespace (explicit) or, when one is needed, that of the kubeconfig's context.
// Without any kubeconfig there is none.
func (c *connection) namespace(needed bool) (namespace string, explicit bool, err error) {
	if n := c.at.overrides.Context.Namespace; n != "" {
		return n, true, nil
	}
	if !needed {
		return "", false, nil
	}
	config, found, err := c.clientConfig()
	if err != nil || !found {
		return "", false, err
	}
	if namespace, _, err = config.Namespace(); err != nil {
		return "", false, c.kubeconfigError(err)
	}
	return namespace, false, nil
}

func (c *connection) cluster() (*cluster, error) {
	loaded, _, err := c.clientConfig()
	if err != nil {
		return nil, err
	}
	if err := c.hasCluster(loaded); err != nil {
		return nil, err
	}
	config, err := loaded.ClientConfig()
	if err != nil {
		return nil, c.kubeconfigError(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, c.kubeconfigError(err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, c.kubeconfigError(err)
	}
	return &cluster{client: client, base: base, namespace: c.at.controllerNS, name: c.at.controllerName, note: c.note}, nil
}

// hasCluster says which cluster is asked for that the kubeconfig does not have; client-go takes that for an empty kubeconfig.
func (c *connection) hasCluster(config clientcmd.ClientConfig) error {
	raw, err := config.RawConfig()
	if err != nil {
		return c.kubeconfigError(err)
	}
	name := c.at.overrides.Context.Cluster
	if current := raw.Contexts[cmp.Or(c.at.overrides.CurrentContext, raw.CurrentContext)]; name == "" && current != nil {
		name = current.Cluster
	}
	if name == "" || raw.Clusters[name] != nil || c.at.overrides.ClusterInfo.Server != "" {
		return nil
	}
	return &sealing.Error{Problem: fmt.Sprintf("the kubeconfig has no cluster %q", name), Hint: "kubectl config get-clusters lists them; --context and --cluster choose another"}
}

// kubeconfigError reduces an error about a kubeconfig to what may be shown: the file holds credentials, and parsers quote.
func (c *connection) kubeconfigError(err error) error {
	hint := "check KUBECONFIG, --kubeconfig and --context"
	if c.at.seals {
		hint = "give --cert to work without a cluster, or " + hint
	}
	var path *fs.PathError
	switch {
	case clientcmd.IsEmptyConfig(err):
		return &sealing.Error{Problem: "no kubeconfig was found", Hint: hint, Cause: err}
	case errors.As(err, &path), errors.As(c.unreadable(), &path):
		return &sealing.Error{Problem: "kubeconfig: " + path.Error(), Hint: hint, Cause: err}
	default:
		return &sealing.Error{Problem: "the kubeconfig is not valid", Hint: hint, Cause: err}
	}
}

// unreadable says which kubeconfig cannot be read, which client-go only writes into a text that may quote.
func (c *connection) unreadable() error {
	for _, path := range c.loadingRules().GetLoadingPrecedence() {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			continue // what is not there was said, and a pipe was read
		}
		if _, err := os.ReadFile(path); err != nil {
			return fmt.Errorf("read the kubeconfig: %w", err)
		}
	}
	return nil
}

func (c *connection) loadingRules() *clientcmd.ClientConfigLoadingRules {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.at.kubeconfig
	return rules
}

const useFlags = "use --controller-name and --controller-namespace to say which service the controller has"

// certificate returns the controller's newest certificate in PEM: that of a namespace which has keys of its own, and the
// common one of others and of "". A controller that knows no keys of namespaces answers with its one certificate.
func (c *cluster) certificate(ctx context.Context, namespace string) ([]byte, error) {
	return c.get(ctx, "/v1/cert.pem", namespace, "certificate")
}

// recipients returns the controller's recipient of the native format, as a recipients file.
func (c *cluster) recipients(ctx context.Context, namespace string) ([]byte, error) {
	text, err := c.get(ctx, "/v1/recipients", namespace, "recipients")
	var answer *answerError
	// An answer with a reason is that of the API server itself, which did not find or reach the controller; and one that says why there
	// is no recipient needs no guess.
	if errors.As(err, &answer) && answer.reason == "" && (answer.said == "" || answer.said == sealing.NoNativeKey) && (answer.code == http.StatusNotFound || answer.code == http.StatusServiceUnavailable) {
		return nil, &sealing.Error{
			Problem: "the controller has no key of the native format", Cause: err,
			Hint: "leave --native out, or check that the controller is SealBridge's and runs with --native-keys; " + useFlags,
		}
	}
	return text, err
}

func (c *cluster) get(ctx context.Context, path, namespace, what string) ([]byte, error) {
	proxy, err := c.proxy(ctx)
	if err != nil {
		return nil, err
	}
	r := request{method: http.MethodGet, path: proxy + path}
	if namespace != "" {
		r.query = url.Values{"namespace": {namespace}}
	}
	text, err := c.send(ctx, r)
	if err != nil {
		return nil, &sealing.Error{Problem: "cannot fetch " + what + ": " + err.Error(), Hint: whatToDo(err, "check that the controller runs and that you may get services/proxy in its namespace"), Cause: err}
	}
	return text, nil
}

// proxy returns the path of the API server under which the first port of the controller's service is proxied.
func (c *cluster) proxy(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proxied != "" {
		return c.proxied, nil
	}
	path := "/api/v1/namespaces/" + url.PathEscape(c.namespace) + "/services/"
	data, err := c.do(ctx, http.MethodGet, path+url.PathEscape(c.name), nil)
	if err != nil {
		return "", &sealing.Error{Problem: fmt.Sprintf("cannot get sealed secret service %s/%s: %s", c.namespace, c.name, err), Hint: whatToDo(err, forService(err)), Cause: err}
	}
	var service struct {
		Spec struct {
			Ports []struct{ Name string }
		}
	}
	if err := json.Unmarshal(data, &service); err != nil || len(service.Spec.Ports) == 0 {
		return "", &sealing.Error{Problem: fmt.Sprintf("the service %s/%s has no port", c.namespace, c.name), Hint: useFlags}
	}
	c.proxied = path + "http:" + url.PathEscape(c.name) + ":" + url.PathEscape(service.Spec.Ports[0].Name) + "/proxy"
	return c.proxied, nil
}

// unreachableError says that nobody answered, so that neither names nor rights are to blame.
type unreachableError struct {
	err     error
	proxied bool // the API server was to hand it on to the controller, and has answered before
}

func (e *unreachableError) Error() string { return e.err.Error() }
func (e *unreachableError) Unwrap() error { return e.err }

// forService is the hint about an answer for the controller's service.
func forService(err error) string {
	var answer *answerError
	if errors.As(err, &answer) && answer.code == http.StatusForbidden {
		return "you need the right to get this service, and to get and create its services/proxy; or " + useFlags
	}
	return useFlags
}

// whatToDo is the hint about an answer, unless there was none, the controller gave it, or it is neither about names nor about rights.
func whatToDo(err error, hint string) string {
	var unreachable *unreachableError
	var answer *answerError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &answer) && answer.said != "":
		return "the controller's log may say more"
	case errors.As(err, &answer) && answer.code == http.StatusUnauthorized:
		return "the API server does not accept the credentials of the kubeconfig: log in again, or check --context and --user (kubectl auth whoami asks it)"
	case errors.As(err, &answer) && answer.unserved():
		return "nobody serves this now: check that the controller runs and is ready, and that --controller-name and --controller-namespace name its service"
	case errors.As(err, &untrusted):
		return "check the certificate-authority of the kubeconfig's cluster, or --certificate-authority"
	case errors.As(err, &unreachable) && strings.HasPrefix(err.Error(), "getting credentials: "):
		return "the login of the kubeconfig's user failed: check its program and --user (kubectl auth whoami starts it, too)"
	case errors.As(err, &unreachable) && unreachable.proxied:
		return "the cluster answers, and the controller behind it does not: check that it runs and is ready, and its log; or run the command again"
	case errors.As(err, &unreachable):
		return "the cluster does not answer: check the network, the kubeconfig, --context and --server (kubectl cluster-info asks it)"
	}
	return hint
}

// answerError is an answer that is not success. Its text is the status and, where the API server gave one, its reason, or what the
// controller said.
type answerError struct {
	code   int
	reason string
	said   sealing.Refusal
	after  time.Duration // to wait before the next request, of an answer that says so
}

func (e *answerError) Error() string {
	if e.said != "" {
		return fmt.Sprintf("the controller answered %d: %s", e.code, e.said)
	}
	text := fmt.Sprintf("the API server answered %d", e.code)
	if e.reason != "" {
		text += " " + e.reason
	}
	return text
}

// unserved says whether the API server itself answers that there is nobody to hand the request to.
func (e *answerError) unserved() bool {
	return e.code == http.StatusServiceUnavailable && e.reason != ""
}

// request is what is asked of the API server.
type request struct {
	method, path string
	query        url.Values
	body         []byte
	contentType  string // of the body; JSON when it is empty
}

// proxied says whether the API server is to hand the request on to the controller. No name has a colon, so that it tells the
// proxy's path.
func (r request) proxied() bool { return strings.Contains(r.path, "/http:") }

// do sends one request to the API server and returns the body of a successful answer.
func (c *cluster) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	return c.send(ctx, request{method: method, path: path, body: body})
}

// send is do for requests of any kind. One to a controller that nobody serves is sent again for a while, because it may be
// restarting; what it is asked changes nothing in it.
func (c *cluster) send(ctx context.Context, r request) (data []byte, err error) {
	if !r.proxied() {
		return c.once(ctx, r)
	}
	noted := false
	ended := wait.ExponentialBackoffWithContext(ctx, restarting(), func(ctx context.Context) (bool, error) {
		data, err = c.once(ctx, r)
		var answer *answerError
		if !errors.As(err, &answer) || !answer.unserved() {
			return true, nil
		}
		if !noted {
			noted = true
			c.note(fmt.Sprintf("nobody serves %s/%s now: waiting for it a quarter of a minute", c.namespace, c.name))
		}
		return false, nil
	})
	if ended != nil && err == nil { // it was not even sent
		err = ended
	}
	return data, err
}

// once sends a request and returns the body of a successful answer.
func (c *cluster) once(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	target := c.base.JoinPath(r.path)
	target.RawQuery = r.query.Encode()
	request, err := http.NewRequestWithContext(ctx, r.method, target.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, errors.New("the address of the API server is not valid")
	}
	request.Header.Set("Accept", "application/json, application/x-pem-file, */*")
	if r.body != nil {
		request.Header.Set("Content-Type", cmp.Or(r.contentType, "application/json"))
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, &unreachableError{err: transportError(err), proxied: r.proxied()}
	}
	defer func() { _ = response.Body.Close() }()
	data, err := readBounded(response.Body, "the answer")
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		var status struct{ Kind, Reason string }
		_ = json.Unmarshal(data, &status) // an answer of the controller behind the proxy is no Status
		if status.Kind != "Status" {
			status.Reason = ""
		}
		return nil, &answerError{code: response.StatusCode, reason: status.Reason, said: sealing.RefusalIn(data), after: waitFor(response.Header)}
	}
	return data, nil
}

// waitFor returns for how long a server asks to be left alone, at most a minute; a second when it does not say.
func waitFor(header http.Header) time.Duration {
	wait, says := retryafter.In(header, time.Now())
	if !says {
		return time.Second
	}
	return min(wait, time.Minute)
}

// maxWaits bounds how often one object waits for its turn: about a quarter of an hour.
const maxWaits = 600

// awaits says whether an answer asks to come again in a moment. What the controller says besides is no better then.
func (e *answerError) awaits() bool {
	switch e.said {
	case "", sealing.TooManyRequests, sealing.Busy:
		return e.code == http.StatusTooManyRequests || e.code == http.StatusServiceUnavailable && !e.unserved()
	default:
		return false
	}
}

// ask posts one object, and waits when the controller is asked too often.
func (c *cluster) ask(ctx context.Context, r request) ([]byte, error) {
	r.method = http.MethodPost
	for waits := 0; ; waits++ {
		answer, err := c.send(ctx, r)
		var refused *answerError
		if !errors.As(err, &refused) || !refused.awaits() || waits == maxWaits {
			return answer, err
		}
		timer := time.NewTimer(max(refused.after, 100*time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestWrongInputSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct {
		args []string
		want string
	}{
		"an unknown controller":                         {[]string{"--controllers", "flux"}, `"flux" is not known; use * or any of externalsecret`},
		"a log level that is none":                      {[]string{"--log-level", "loud"}, "use debug, info, warn or error"},
		"a log format that is none":                     {[]string{"--log-format", "xml"}, "use json or text"},
		"a kubeconfig that is not there":                {[]string{"--kubeconfig", filepath.Join(dir, "none")}, "run inside a cluster, or give --kubeconfig or KUBECONFIG"},
		"no cluster at all":                             {[]string{}, "run inside a cluster, or give --kubeconfig or KUBECONFIG"},
		"an unknown flag":                               {[]string{"--leader"}, "unknown flag: --leader"},
		"a flag of the operator without a meaning here": {[]string{"--enable-secrets-caching"}, "which External Secrets Operator has: remove it: no cache holds the data of Secrets"},
		"a flag of the operator with another name":      {[]string{"--enable-secret-store-reconciler=false"}, "--controllers=*,-secretstore"},
		"a namespace that is none":                      {[]string{"--controllers=*", "--watch-namespaces", "a,B"}, `--watch-namespaces: "B" is not the name of a namespace`},
		"a kind without a namespace beside namespaces":  {[]string{"--controllers", "clusterexternalsecret", "--watch-namespaces=a"}, "leave out either it or --watch-namespaces"},
		"a lease that ends before it is renewed":        {[]string{"--controllers=*", "--leader-election-lease-duration=5s"}, "must be longer than --leader-election-renew-deadline"},
		"a namespace of its own that is none":           {[]string{"--controllers=*", "--namespace=x_Y"}, `--namespace: "x_Y" is not the name of a namespace`},
		"no workers":                                    {[]string{"--controllers=*", "--concurrent=0"}, "--concurrent: 0 objects at once are none; use 1 or more"},
		"checks without a pause":                        {[]string{"--controllers=*", "--store-requeue-interval=0"}, "--store-requeue-interval: use a time over 0"},
		"a heartbeat before the last":                   {[]string{"--controllers=*", "--status-heartbeat=-1s"}, "--status-heartbeat: use a time over 0, or 0 for every refresh"},
		"a limit that lets nothing through":             {[]string{"--controllers=*", "--client-qps=1", "--client-burst=0"}, "--kubeclient-burst: with --kubeclient-qps, use 1 or more"},
		"metrics without a port":                        {[]string{"--controllers=*", "--metrics-addr=localhost"}, `--metrics-bind-address "localhost": use host:port, as :8080 or 127.0.0.1:8080, or 0 for none`},
		"probes at a port that is none":                 {[]string{"--controllers=*", "--live-addr=:99999"}, `--health-probe-bind-address ":99999": use host:port`},
		"a certificate served nowhere":                  {[]string{"--controllers=*", "--listen-addr=0"}, `--sealed-secrets-bind-address "0": use host:port, as :8080 or 127.0.0.1:8080`},
		"two flags that cannot be meant":                {[]string{"--controllers=*", "--namespace=x_Y", "--concurrent=0"}, "--namespace: \"x_Y\" is not the name of a namespace\n--concurrent"},
		"arguments that are not flags":                  {[]string{"run"}, `unexpected argument "run": it takes flags alone, and --help lists them`},
	}
	t.Setenv("KUBECONFIG", filepath.Join(dir, "absent"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			// An API server that is never asked: the options are checked first.
			args := tc.args
			if strings.Contains(strings.Join(args, " "), "--controllers") {
				args = append(args, "--kubeconfig", kubeconfig(t))
			}
			err := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestTheNamespaceComesFromThePodElseTheAccountElseADefault(t *testing.T) {
	t.Parallel()
	none := func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	tests := map[string]struct {
		env  string
		file func(string) ([]byte, error)
		want string
	}{
		"POD_NAMESPACE":             {env: "pods", file: func(string) ([]byte, error) { return []byte("account"), nil }, want: "pods"},
		"the ServiceAccount's file": {file: func(string) ([]byte, error) { return []byte("account\n"), nil }, want: "account"},
		"an empty file":             {file: func(string) ([]byte, error) { return nil, nil }, want: "sealbridge-system"},
		"an unreadable file":        {file: func(string) ([]byte, error) { return nil, errors.New("no") }, want: "sealbridge-system"},
		"outside of a cluster":      {file: none, want: "sealbridge-system"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := podNamespace(func(string) string { return tc.env }, tc.file)
			if got != tc.want {
				t.Errorf("namespace %q, want %q", got, tc.want)
			}
		})
	}
}

// kubeconfig names an API server that nobody serves.
func kubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c"}
	config.CurrentContext = "c"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsNoErrorGoesToTheStandardOutputWhereTheFlagSaysSo(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		var info, errs bytes.Buffer
		log, err := newLogger("info", format, &info, &errs)
		if err != nil {
			t.Fatal(err)
		}
		log = log.WithName("part").WithValues("name", "db")
		log.Info("done")
		log.V(4).Info("detail")
		log.Error(nil, "failed")
		if out := info.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "done") || !strings.Contains(out, "db") {
			t.Errorf("%s: the standard output has %q", format, out)
		}
		if out := errs.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "failed") || !strings.Contains(out, "db") {
			t.Errorf("%s: the standard error has %q", format, out)
		}
	}
}

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// What a real API server says about a controller that cannot be reached. That it hands on what a reachable one answers is
// shown where there is a real controller: cmd/controller.TestTheCommandLineReachesTheControllerThroughTheAPIServer.
func TestARealAPIServerThatCannotReachTheControllerIsUnderstood(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	namespace := cp.Namespace(t)
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: sealed-secrets-controller, namespace: " + namespace + "}\nspec: {ports: [{name: http, port: 8080}]}\n"
	if err := cp.Apply(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	admin := cp.Kubeconfig()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no pod behind the service":  {nil, "error: cannot fetch certificate: the API server answered 404 NotFound"},
		"no such service":            {[]string{"--controller-name", "gone"}, "error: cannot get sealed secret service " + namespace + "/gone: the API server answered 404 NotFound"},
		"no pod, the native key":     {[]string{"--native"}, "error: cannot fetch recipients: the API server answered 404 NotFound"},
		"no service, the native key": {[]string{"--native", "--controller-name", "gone"}, "error: cannot get sealed secret service " + namespace + "/gone: the API server answered 404 NotFound"},
		"no permission":              {[]string{"--as", "nobody"}, "error: cannot get sealed secret service " + namespace + "/sealed-secrets-controller: the API server answered 403 Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			args := append([]string{"kubeseal", "--fetch-cert", "--kubeconfig", admin, "--controller-namespace", namespace}, c.args...)
			code := run(t.Context(), args, host{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, env: func(string) (string, bool) { return "", false }})
			first, _, _ := strings.Cut(errs.String(), "\n")
			if code != 1 || out.Len() != 0 || first != c.want {
				t.Errorf("exit %d\n got %s\nwant %s", code, first, c.want)
			}
		})
	}
}

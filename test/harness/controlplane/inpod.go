package controlplane

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// inPod puts a folder where a Pod has its credentials, in a mount namespace of its own, and becomes the program.
const inPod = `mount -t tmpfs none /run && mkdir -p /var/run/secrets/kubernetes.io && ln -s "$1" /var/run/secrets/kubernetes.io/serviceaccount && shift && exec "$@"`

// InPod returns how to start a program that finds the API server as a Pod of the service account does and in no other way. What such
// a Pod has is written to a folder in spec.Dir. Its error is of class process.ErrMissing where no mount namespace can be made.
func (c *ControlPlane) InPod(ctx context.Context, namespace, account string, spec process.Spec) (process.Spec, error) {
	if out, err := exec.CommandContext(ctx, "unshare", "--map-root-user", "--mount", "true").CombinedOutput(); err != nil {
		return spec, fmt.Errorf("%w: mount namespaces, which unshare makes: %w: %s", process.ErrMissing, err, out)
	}
	token, err := c.ServiceAccountToken(ctx, namespace, account)
	if err != nil {
		return spec, err
	}
	server, err := url.Parse(c.URL())
	if err != nil {
		return spec, fmt.Errorf("find the API server: %w", err)
	}
	credentials := filepath.Join(spec.Dir, "serviceaccount")
	if err := os.MkdirAll(credentials, 0o700); err != nil {
		return spec, fmt.Errorf("write credentials: %w", err)
	}
	for name, content := range map[string][]byte{"token": []byte(token), "ca.crt": c.CA(), "namespace": []byte(namespace)} {
		if err := os.WriteFile(filepath.Join(credentials, name), content, 0o600); err != nil {
			return spec, fmt.Errorf("write credentials: %w", err)
		}
	}
	spec.Args = append([]string{"--map-root-user", "--mount", "sh", "-c", inPod, "sh", credentials, spec.Path}, spec.Args...)
	spec.Path = "/usr/bin/unshare"
	spec.Env = append(spec.Env, "KUBERNETES_SERVICE_HOST="+server.Hostname(), "KUBERNETES_SERVICE_PORT="+server.Port(), "POD_NAMESPACE="+namespace)
	return spec, nil
}

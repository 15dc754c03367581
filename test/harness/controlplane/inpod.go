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
	credentials := filepath.Join(spec.Dir, "serviceaccount")
	env, err := c.PodCredentials(ctx, namespace, account, credentials)
	if err != nil {
		return spec, err
	}
	spec.Args = append([]string{"--map-root-user", "--mount", "sh", "-c", inPod, "sh", credentials, spec.Path}, spec.Args...)
	spec.Path = "/usr/bin/unshare"
	spec.Env = append(spec.Env, env...)
	return spec, nil
}

// PodCredentials writes to a folder what a Pod of the service account has in /var/run/secrets/kubernetes.io/serviceaccount, for any
// user as there, and returns what such a Pod has in its environment.
func (c *ControlPlane) PodCredentials(ctx context.Context, namespace, account, folder string) (env []string, err error) {
	token, err := c.ServiceAccountToken(ctx, namespace, account)
	if err != nil {
		return nil, err
	}
	server, err := url.Parse(c.URL())
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // G301: as in a Pod; made-up credentials of a server on loopback
		return nil, fmt.Errorf("write credentials: %w", err)
	}
	for name, content := range map[string][]byte{"token": []byte(token), "ca.crt": c.CA(), "namespace": []byte(namespace)} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil { //nolint:gosec // G306: as in a Pod
			return nil, fmt.Errorf("write credentials: %w", err)
		}
	}
	return []string{"KUBERNETES_SERVICE_HOST=" + server.Hostname(), "KUBERNETES_SERVICE_PORT=" + server.Port(), "POD_NAMESPACE=" + namespace}, nil
}

package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/sealbridge/sealbridge/controllers/setup"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// sealedArgs are what our controller gets for SealedSecrets beyond its defaults: no other controllers, and free ports.
func sealedArgs(w *world) []string {
	return []string{"--controllers", setup.SealedSecret, "--sealed-secrets-bind-address", loopback(w.ports + 2)}
}

// sealedSecrets is Sealed Secrets, unmodified. It reads its credentials from where a Pod has them and from nowhere else, so
// it runs in a mount namespace of its own, in which that folder is one of the bench's.
func sealedSecrets(name, root string, tuned []string) (subject, error) {
	path, err := process.Binary("sealed-secrets-controller")
	if err != nil {
		return subject{}, err
	}
	const inPod = `mount -t tmpfs none /run && mkdir -p /var/run/secrets/kubernetes.io && ln -s "$1" /var/run/secrets/kubernetes.io/serviceaccount && shift && exec "$@"`
	return subject{name: name, other: true, sealed: true, path: "/usr/bin/unshare", crds: filepath.Join(root, "config/crd"),
		args: func(w *world, metrics, _ int) []string {
			return append([]string{"--map-root-user", "--mount", "sh", "-c", inPod, "sh", filepath.Join(w.dir, "serviceaccount"), path,
				"--listen-addr", loopback(w.ports + 2), "--listen-metrics-addr", loopback(metrics)}, tuned...)
		}}, nil
}

// environmentOf returns what the controller finds the API server by.
func (w *world) environmentOf(ctx context.Context) ([]string, error) {
	if !w.subject.sealed {
		return []string{"KUBECONFIG=" + w.kubeconfig}, nil
	}
	server, err := url.Parse(w.plane.URL())
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	return []string{"KUBERNETES_SERVICE_HOST=" + server.Hostname(), "KUBERNETES_SERVICE_PORT=" + server.Port(), "POD_NAMESPACE=" + keyNamespace},
		w.podCredentials(ctx)
}

// podCredentials writes what a Pod of the controller's account would find.
func (w *world) podCredentials(ctx context.Context) error {
	token, err := w.plane.ServiceAccountToken(ctx, keyNamespace, controllerUser)
	if err != nil {
		return err
	}
	dir := filepath.Join(w.dir, "serviceaccount")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	for name, content := range map[string][]byte{"token": []byte(token), "ca.crt": w.plane.CA(), "namespace": []byte(keyNamespace)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("write credentials: %w", err)
		}
	}
	return nil
}

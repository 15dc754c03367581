package main

import (
	"context"
	"path/filepath"

	"github.com/sealbridge/sealbridge/controllers/setup"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// sealedArgs are what our controller gets for SealedSecrets beyond its defaults: no other controllers, and free ports.
func sealedArgs(w *world) []string {
	return []string{"--controllers", setup.SealedSecret, "--sealed-secrets-bind-address", loopback(w.ports + 2)}
}

// sealedSecrets is Sealed Secrets, unmodified.
func sealedSecrets(name, root string, tuned []string) (subject, error) {
	path, err := process.Binary("sealed-secrets-controller")
	if err != nil {
		return subject{}, err
	}
	return subject{name: name, other: true, sealed: true, path: path, crds: filepath.Join(root, "config/crd"),
		args: func(w *world, metrics, _ int) []string {
			return append([]string{"--listen-addr", loopback(w.ports + 2), "--listen-metrics-addr", loopback(metrics)}, tuned...)
		}}, nil
}

// program returns how the controller is started: with a kubeconfig, or, where it takes none, as in a Pod.
func (w *world) program(ctx context.Context, spec process.Spec) (process.Spec, error) {
	if w.subject.sealed {
		return w.plane.InPod(ctx, keyNamespace, controllerUser, spec)
	}
	spec.Env = append(spec.Env, "KUBECONFIG="+w.kubeconfig)
	return spec, nil
}

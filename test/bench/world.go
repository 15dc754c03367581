package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// world is the real parts that a scenario runs on.
type world struct {
	dir    string
	plane  *controlplane.ControlPlane
	vault  *vault.Server
	client client.WithWatch
	log    io.Writer
}

func newWorld(ctx context.Context, log io.Writer) (_ *world, err error) {
	root, err := process.ModuleRoot()
	if err != nil {
		return nil, err
	}
	w := &world{log: log}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "sealbridge-bench-"); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	fmt.Fprintln(log, "  starting the control plane and Vault")
	if w.plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{filepath.Join(root, "config/crd")}}); err != nil {
		return nil, err
	}
	if w.vault, err = vault.Start(ctx, vault.Options{}); err != nil {
		return nil, err
	}
	w.client, err = newClient(w.plane.Config())
	return w, err
}

func newClient(cfg *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), esv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("build scheme: %w", err)
	}
	cfg.QPS = -1 // filling the cluster must not wait for a client-side limit
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	return c, nil
}

func (w *world) stop() {
	if w.vault != nil {
		_ = w.vault.Stop()
	}
	if w.plane != nil {
		_ = w.plane.Stop()
	}
	_ = os.RemoveAll(w.dir)
}

// startController starts bin/sealbridge-controller as a user would, outside of the cluster.
func (w *world) startController(ctx context.Context, args ...string) (*process.Process, error) {
	binary, err := process.Binary("sealbridge-controller")
	if err != nil {
		return nil, err
	}
	args = append([]string{
		"--kubeconfig", w.plane.Kubeconfig(), "--namespace", "default",
		"--metrics-bind-address", "0", "--health-probe-bind-address", "0", "--sealed-secrets-bind-address", "127.0.0.1:0",
	}, args...)
	return process.Start(ctx, process.Spec{Name: "controller", Path: binary, Args: args, Dir: w.dir})
}

// counts is a snapshot of what the API server and Vault have answered so far.
type counts struct {
	api   map[controlplane.Request]int
	store []vault.Request
}

func (w *world) counts(ctx context.Context) (counts, error) {
	api, err := w.plane.Requests(ctx)
	if err != nil {
		return counts{}, err
	}
	store, err := w.vault.Requests()
	if err != nil {
		return counts{}, err
	}
	return counts{api: api, store: store}, nil
}

// stopGrace is how long the controller gets to end.
const stopGrace = 10 * time.Second

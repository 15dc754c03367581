package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	ssv1 "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/gitserver"
	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// The controller's home in the demo cluster, as config/default makes it.
const (
	controllerNamespace = "sealbridge-system"
	controllerAccount   = "sealbridge-controller"
)

// parts are the running pieces of the demo.
type parts struct {
	root, dir string
	out       io.Writer
	plane     *controlplane.ControlPlane
	vault     *vault.Server
	git       *gitserver.Server
	repo      *gitserver.Repo
	// certURL is where the controller serves the sealing certificate, metricsURL its metrics.
	certURL    string
	metricsURL string
	controller *process.Process
	client     client.Client
}

func startParts(ctx context.Context, dir string, out io.Writer) (_ *parts, err error) {
	root, err := process.ModuleRoot()
	if err != nil {
		return nil, err
	}
	p := &parts{root: root, dir: dir, out: out}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	for _, step := range []struct {
		say string
		do  func(context.Context) error
	}{
		{"starting etcd, kube-apiserver and kube-controller-manager", p.startPlane},
		{"starting Vault and letting the cluster's ServiceAccounts log in to it", p.startVault},
		{"starting a Git server", p.startGit},
		{"installing the CRDs, the controller's ServiceAccount and its RBAC", p.install},
		{"starting sealbridge-controller under that ServiceAccount", p.startController},
	} {
		start := time.Now()
		fmt.Fprintf(out, "* %s", step.say)
		if err := step.do(ctx); err != nil {
			fmt.Fprintln(out)
			return nil, fmt.Errorf("%s: %w", step.say, err)
		}
		fmt.Fprintf(out, " (%.1f s)\n", time.Since(start).Seconds())
	}
	return p, nil
}

// stop ends what was started, the last first.
func (p *parts) stop() {
	const grace = 10 * time.Second
	if p.controller != nil {
		p.controller.Stop(grace)
	}
	if p.git != nil {
		_ = p.git.Stop()
	}
	if p.vault != nil {
		_ = p.vault.Stop()
	}
	if p.plane != nil {
		_ = p.plane.Stop()
	}
}

func (p *parts) startPlane(ctx context.Context) error {
	var err error
	p.plane, err = controlplane.Start(ctx, controlplane.Options{
		Dir:  filepath.Join(p.dir, "controlplane"),
		CRDs: []string{filepath.Join(p.root, "config", "crd")},
	})
	if err != nil {
		return err
	}
	if err := controlplane.WriteKubeconfig(filepath.Join(p.dir, "kubeconfig"), p.plane.Config()); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, esv1.AddToScheme, ssv1.AddToScheme, sbv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("build scheme: %w", err)
		}
	}
	p.client, err = client.New(p.plane.Config(), client.Options{Scheme: scheme})
	return err
}

func (p *parts) startVault(ctx context.Context) error {
	var err error
	if p.vault, err = vault.Start(ctx, vault.Options{Dir: filepath.Join(p.dir, "vault"), TLS: true}); err != nil {
		return err
	}
	reviewer, err := p.plane.TokenReviewer(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		p.vault.EnableKV(ctx, "kv", 2),
		p.vault.EnableKubernetes(ctx, "kubernetes", vault.Cluster{Host: p.plane.URL(), CA: p.plane.CA(), ReviewerToken: reviewer}),
		p.vault.Policy(ctx, "shop", vault.ReadPolicy("kv", "shop/*")),
		p.vault.KubernetesRole(ctx, "kubernetes", "shop", vault.KubernetesRole{
			ServiceAccounts: []string{"vault"}, Namespaces: []string{"shop"}, Audience: "vault",
			Policies: []string{"shop"}, TTL: time.Hour,
		}),
	)
}

// install does what a platform team does once per cluster.
func (p *parts) install(ctx context.Context) error {
	if _, err := p.kubectl(ctx, "", "apply", "--server-side", "-k", filepath.Join(p.root, "config", "default")); err != nil {
		return err
	}
	admin, err := clusterFiles.ReadFile("cluster/admin.yaml")
	if err != nil {
		return err
	}
	_, err = p.kubectl(ctx, string(admin), "apply", "-f", "-")
	return err
}

// startController starts the binary outside of the cluster with the rights that it would have inside, no more.
func (p *parts) startController(ctx context.Context) error {
	binary, err := process.Binary("sealbridge-controller")
	if err != nil {
		return err
	}
	cfg, err := p.plane.ServiceAccountConfig(ctx, controllerNamespace, controllerAccount)
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(p.dir, "controller.kubeconfig")
	if err := controlplane.WriteKubeconfig(kubeconfig, cfg); err != nil {
		return err
	}
	const addresses = 3
	port, err := process.FreePorts(ctx, addresses)
	if err != nil {
		return err
	}
	address := func(i int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(port+i)) }
	p.metricsURL, p.certURL = "http://"+address(0)+"/metrics", "http://"+address(2)+"/v1/cert.pem"
	p.controller, err = process.Start(ctx, process.Spec{Name: "controller", Path: binary, Dir: p.dir, Args: []string{
		"--kubeconfig", kubeconfig, "--namespace", controllerNamespace,
		"--metrics-bind-address", address(0), "--health-probe-bind-address", address(1), "--sealed-secrets-bind-address", address(2),
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return p.controller.Ready(ctx, func(ctx context.Context) error { return process.Answers(ctx, p.certURL) })
}

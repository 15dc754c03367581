package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sealbridge/sealbridge/test/harness/pki"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// startTimeout bounds one start; on an idle machine it takes three to four seconds.
const startTimeout = 5 * time.Minute

// apiServer is the name of the API server's program.
const apiServer = "kube-apiserver"

// Options say how to start a control plane. The zero value is a good start.
type Options struct {
	// Dir keeps the data, keys, logs and kubeconfig; it is created. Empty means a temporary folder that Stop removes.
	Dir string
	// CRDs are files and folders of CustomResourceDefinitions that are applied before the controller manager starts, so
	// that its garbage collector knows those kinds at once; it looks for new kinds only every 30 seconds.
	CRDs []string
	// APIServerArgs are appended to the API server's flags.
	APIServerArgs []string
}

// ControlPlane is a running control plane. Its methods are safe for concurrent use.
type ControlPlane struct {
	dir       string
	temporary bool
	kubectl   string
	ca        *pki.Authority
	admin     *rest.Config
	// in the order of their start
	processes []*process.Process
	// again starts the API server and waits until it serves, and anew all, the API server after something was done with etcd at its address.
	again func(context.Context) error
	anew  func(ctx context.Context, before func(ctx context.Context, etcd string) error) error
}

// Start starts a control plane and returns when it serves and its controllers have made the default service account.
// The context bounds the start, not the life. Errors: process.ErrMissing when bin/controlplane is not built, else what
// did not start, with the end of its log.
func Start(ctx context.Context, opts Options) (*ControlPlane, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	binary, err := process.Binary("controlplane")
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	cp, err := process.OnFreePorts(func() (*ControlPlane, error) { return start(ctx, binary, opts) })
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	return cp, nil
}

func start(ctx context.Context, binary string, opts Options) (_ *ControlPlane, err error) {
	cp := &ControlPlane{dir: opts.Dir, kubectl: filepath.Join(filepath.Dir(binary), "kubectl")}
	if cp.dir == "" {
		cp.temporary = true
		if cp.dir, err = os.MkdirTemp("", "sealbridge-controlplane-"); err != nil {
			return nil, fmt.Errorf("create data folder: %w", err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, cp.Stop())
		}
	}()
	port, err := process.FreePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	if err := cp.prepare(port); err != nil {
		return nil, err
	}
	if err := cp.startAPI(ctx, binary, port, opts.APIServerArgs); err != nil {
		return nil, err
	}
	if err := cp.InstallCRDs(ctx, opts.CRDs...); err != nil {
		return nil, err
	}
	cp.anew = func(ctx context.Context, before func(context.Context, string) error) error {
		etcd, err := cp.startEtcd(ctx, binary, port+1)
		if err == nil {
			err = healthy(ctx, etcd, port+1)
		}
		if err == nil {
			err = before(ctx, etcdAt(port+1))
		}
		if err == nil {
			err = cp.again(ctx)
		}
		if err == nil {
			err = cp.startControllers(ctx, binary)
		}
		return err
	}
	if err := cp.startControllers(ctx, binary); err != nil {
		return nil, err
	}
	return cp, nil
}

// prepare writes keys, certificates and kubeconfig files into the data folder.
func (c *ControlPlane) prepare(port int) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	var err error
	if c.ca, err = pki.NewAuthority("controlplane"); err != nil {
		return err
	}
	c.admin = &rest.Config{
		Host: "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		// A client-side limit would hide what the API server's own priority and fairness does.
		QPS:             -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.PEM()},
	}
	cert, key, err := c.ca.Server("kubernetes", "kubernetes.default", "kubernetes.default.svc")
	if err != nil {
		return err
	}
	signing, err := pki.NewSigningKey()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"ca.crt": c.ca.PEM(), "apiserver.crt": cert, "apiserver.key": key, "sa.key": signing} {
		if err := os.WriteFile(c.path(name), data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	if c.admin, err = c.UserConfig("admin", "system:masters"); err != nil {
		return err
	}
	if err := WriteKubeconfig(c.Kubeconfig(), c.admin); err != nil {
		return err
	}
	manager, err := c.UserConfig("system:kube-controller-manager")
	if err != nil {
		return err
	}
	return WriteKubeconfig(c.path("controller-manager.kubeconfig"), manager)
}

func (c *ControlPlane) startEtcd(ctx context.Context, binary string, port int) (*process.Process, error) {
	client, peer := etcdAt(port), "http://127.0.0.1:"+strconv.Itoa(port+1)
	return c.spawn(ctx, "etcd", binary,
		"--data-dir="+c.path("etcd"),
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		"--unsafe-no-fsync", // the data is worth nothing after this process
		"--log-level=warn",
	)
}

// startAPI starts etcd and the API server side by side, which saves a second, and waits for both.
func (c *ControlPlane) startAPI(ctx context.Context, binary string, port int, extra []string) error {
	etcd, err := c.startEtcd(ctx, binary, port+1)
	if err != nil {
		return err
	}
	c.again = func(ctx context.Context) error {
		server, err := c.startAPIServer(ctx, binary, port, port+1, extra)
		if err != nil {
			return err
		}
		return c.serves(ctx, server)
	}
	server, err := c.startAPIServer(ctx, binary, port, port+1, extra)
	if err != nil {
		return err
	}
	if err := healthy(ctx, etcd, port+1); err != nil {
		return err
	}
	return c.serves(ctx, server)
}

// etcdAt is the address of etcd for its clients.
func etcdAt(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }

// healthy waits until etcd says that it can be used.
func healthy(ctx context.Context, etcd *process.Process, port int) error {
	return etcd.Ready(ctx, func(ctx context.Context) error { return probe(ctx, http.DefaultClient, etcdAt(port)+"/health") })
}

// serves waits until the API server answers that it is ready.
func (c *ControlPlane) serves(ctx context.Context, server *process.Process) error {
	client, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	defer client.CloseIdleConnections()
	return server.Ready(ctx, func(ctx context.Context) error { return probe(ctx, client, c.admin.Host+"/readyz") })
}

// KillAPIServer ends the API server in the middle of what it does, as a crash would. etcd and the controllers go on. It is
// for a control plane that nobody shares.
func (c *ControlPlane) KillAPIServer() {
	i := slices.IndexFunc(c.processes, func(p *process.Process) bool { return p.Name() == apiServer })
	c.processes[i].Kill()
	c.processes = slices.Delete(c.processes, i, i+1)
}

// StartAPIServer starts the API server again after KillAPIServer, on the same etcd and port, and returns when it serves.
func (c *ControlPlane) StartAPIServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.again(ctx)
}

func (c *ControlPlane) startAPIServer(ctx context.Context, binary string, port, etcd int, extra []string) (*process.Process, error) {
	args := append([]string{
		"--etcd-servers=http://127.0.0.1:" + strconv.Itoa(etcd),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port),
		"--endpoint-reconciler-type=none", // it would refuse a loopback address
		"--tls-cert-file=" + c.path("apiserver.crt"), "--tls-private-key-file=" + c.path("apiserver.key"),
		"--client-ca-file=" + c.path("ca.crt"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=" + Issuer,
		"--service-account-signing-key-file=" + c.path("sa.key"), "--service-account-key-file=" + c.path("sa.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--allow-privileged=true",
		"--shutdown-delay-duration=0s",
		"--profiling=false",
	}, extra...)
	return c.spawn(ctx, apiServer, binary, args...)
}

func probe(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("probe %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("probe %s: status %d", url, resp.StatusCode)
	}
	return nil
}

func (c *ControlPlane) startControllers(ctx context.Context, binary string) error {
	kubeconfig := c.path("controller-manager.kubeconfig")
	p, err := c.spawn(ctx, "kube-controller-manager", binary,
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--service-account-private-key-file="+c.path("sa.key"), "--root-ca-file="+c.path("ca.crt"),
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		"--kube-api-qps=1000", "--kube-api-burst=1000", // its own limit of 20 a second makes its start take five seconds
		"--secure-port=0",
		"--profiling=false",
	)
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	return p.Ready(ctx, func(ctx context.Context) error {
		_, err := clients.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *ControlPlane) spawn(ctx context.Context, name, binary string, args ...string) (*process.Process, error) {
	spec := process.Spec{Name: name, Path: binary, Args: append([]string{name}, args...), Dir: c.dir}
	if c.temporary && name == "etcd" {
		spec.Remove = c.dir // etcd alone: it is the one that keeps writing
	}
	p, err := process.Start(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	c.processes = append(c.processes, p)
	return p, nil
}

// Stop ends all processes and removes a temporary data folder. A folder that Options named stays, with etcd closed
// in order. It may be called twice.
func (c *ControlPlane) Stop() error {
	for i := len(c.processes) - 1; i >= 0; i-- {
		if c.temporary {
			c.processes[i].Kill()
			continue
		}
		c.processes[i].Stop(10 * time.Second)
	}
	if !c.temporary {
		return nil
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("remove data folder: %w", err)
	}
	return nil
}

// Kubeconfig returns the path of the administrator's kubeconfig file.
func (c *ControlPlane) Kubeconfig() string { return c.path("kubeconfig") }

// Dir returns the data folder.
func (c *ControlPlane) Dir() string { return c.dir }

// URL returns the API server's address, "https://127.0.0.1:port".
func (c *ControlPlane) URL() string { return c.admin.Host }

// CA returns the PEM of the certificate authority that signed the API server's certificate.
func (c *ControlPlane) CA() []byte { return c.ca.PEM() }

// Config returns a copy of the administrator's client configuration, without a client-side rate limit.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// PIDs returns the processes' ids by program name.
func (c *ControlPlane) PIDs() map[string]int {
	pids := make(map[string]int, len(c.processes))
	for _, p := range c.processes {
		pids[p.Name()] = p.PID()
	}
	return pids
}

func (c *ControlPlane) path(name string) string { return filepath.Join(c.dir, name) }

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
	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// world is the real parts that the scenarios of a chain run on.
type world struct {
	subject    subject
	settings   settings
	dir        string
	audit      audit
	plane      *controlplane.ControlPlane
	kubeconfig string // the controller's
	store      *countingstore.Server
	client     client.WithWatch
	log        io.Writer

	scenario string
	// earlier are the reports of this run so far.
	earlier []*Report
	// objects is how many ExternalSecrets or SealedSecrets there are.
	objects int
	// sealed is with what SealedSecrets were sealed; nil where there are none, and then objects are ExternalSecrets.
	sealed *sealing
	// running is the controller, nil when it is stopped; ports is the first of those of its metrics, profiles and sealing
	// certificate.
	running *process.Process
	ports   int
	started int
	// args are further arguments that a scenario gives the controller, and env what it adds to its environment.
	args, env []string
	// aws is set where the store is asked as AWS Secrets Manager, and not as Vault.
	aws bool
}

// emptyWorld is a folder and nothing else.
func emptyWorld(_ context.Context, s subject, set settings, log io.Writer) (*world, error) {
	dir, err := os.MkdirTemp("", "sealbridge-bench-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	return &world{subject: s, settings: set, log: log, dir: dir}, nil
}

func newWorld(ctx context.Context, s subject, set settings, log io.Writer) (_ *world, err error) {
	w, err := emptyWorld(ctx, s, set, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	if w.audit, err = newAudit(w.dir); err != nil {
		return nil, err
	}
	fmt.Fprintln(log, "starting the control plane and the store")
	if w.plane, err = controlplane.Start(ctx, controlplane.Options{
		CRDs: []string{s.crds}, APIServerArgs: append(w.audit.args(), fmt.Sprintf("--profiling=%t", set.profile)),
	}); err != nil {
		return nil, err
	}
	user, err := w.user(ctx)
	if err != nil {
		return nil, err
	}
	w.kubeconfig = filepath.Join(w.dir, "kubeconfig")
	if err := controlplane.WriteKubeconfig(w.kubeconfig, user); err != nil {
		return nil, err
	}
	if w.store, err = countingstore.Start(ctx); err != nil {
		return nil, err
	}
	w.client, err = newClient(w.plane.Config())
	return w, err
}

// user returns how the controller reaches the API server: as a ServiceAccount, as in a Pod, because a client certificate costs
// the API server more at each request.
func (w *world) user(ctx context.Context) (*rest.Config, error) {
	if err := w.plane.Bind(ctx, controlplane.ServiceAccount(keyNamespace, controllerUser), "", "ClusterRole", "cluster-admin"); err != nil {
		return nil, err
	}
	return w.plane.ServiceAccountConfig(ctx, keyNamespace, controllerUser)
}

func newClient(cfg *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), esv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("build scheme: %w", err)
	}
	cfg.QPS = -1 // filling the cluster must not wait for a client-side limit
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	return c, nil
}

// stop ends everything and removes what it wrote.
func (w *world) stop() {
	w.stopController()
	if w.store != nil {
		_ = w.store.Stop()
	}
	if w.plane != nil {
		_ = w.plane.Stop()
	}
	_ = os.RemoveAll(w.dir)
}

// stopGrace is how long the controller gets to end.
const stopGrace = 10 * time.Second

// start starts the controller as a user would, outside of the cluster, as a user of its own.
func (w *world) start(ctx context.Context) error {
	port, err := process.FreePorts(ctx, 3)
	if err != nil {
		return err
	}
	w.ports = port
	w.started++
	program, err := w.program(ctx, process.Spec{
		Name: fmt.Sprintf("controller-%d", w.started), Path: w.subject.path, Args: append(w.subject.args(w, port, port+1), w.args...), Env: w.env, Dir: w.dir,
	})
	if err != nil {
		return err
	}
	if w.running, err = process.Start(ctx, program); err != nil {
		return err
	}
	w.profile(ctx, "start", 15*time.Second)
	return nil
}

func (w *world) stopController() {
	if w.running != nil {
		w.running.Stop(stopGrace)
		w.running = nil
	}
}

// logOf says where the end of the controller's log is from; it is read before the folder goes.
func (w *world) logOf() string {
	if w.running == nil {
		return ""
	}
	const most = 3000
	raw, err := os.ReadFile(w.running.Log())
	if err != nil {
		return ""
	}
	return "; the controller's log ends with:\n" + string(raw[max(0, len(raw)-most):])
}

// mark is a moment from which on things are counted.
type mark struct {
	at    time.Time
	audit int64
	store int
	use   usage
	plane time.Duration
}

// span is what happened between two moments.
type span struct {
	wall  time.Duration
	calls []call
	store []countingstore.Request
	// cpu is of the controller, plane that of the control plane; peak and read are since the controller's start.
	cpu, plane time.Duration
	peak, read int64
}

// mark remembers this moment.
func (w *world) mark() (mark, error) {
	_, offset, err := w.audit.calls(0)
	m := mark{at: time.Now(), audit: offset, store: w.store.Count()}
	if err == nil && w.running != nil {
		m.use, err = readUsage(w.running.PID())
	}
	if err == nil {
		m.plane, err = w.planeCPU()
	}
	return m, err
}

// since returns what has happened since then.
func (w *world) since(m mark) (span, error) {
	s := span{wall: time.Since(m.at), store: w.store.Requests(m.store)}
	use, err := readUsage(w.running.PID())
	if err != nil {
		return s, err
	}
	s.cpu, s.peak, s.read = use.cpu-m.use.cpu, use.peakRSS, use.read
	plane, err := w.planeCPU()
	if err != nil {
		return s, err
	}
	s.plane = plane - m.plane
	s.calls, _, err = w.audit.calls(m.audit)
	return s, err
}

// planeCPU returns the CPU time of etcd, the API server and the controllers of Kubernetes.
func (w *world) planeCPU() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range w.plane.PIDs() {
		use, err := readUsage(pid)
		if err != nil {
			return 0, err
		}
		sum += use.cpu
	}
	return sum, nil
}

// pause waits, unless the context or the controller ends before.
func (w *world) pause(ctx context.Context, d time.Duration) error {
	var ended <-chan struct{}
	if w.running != nil {
		ended = w.running.Done()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
		return errors.New("the controller has ended")
	}
}

package chart_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

const (
	controllerName = "sealbridge-controller"
	canary         = "canary-58c0aa"
)

// cluster is one that has nothing of ours, for one test, and Helm with an administrator's rights there.
type cluster struct {
	*helm
	cp *controlplane.ControlPlane
	c  client.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	process.Require(t, "helm")
	cp, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err != nil {
		process.Missing(t, err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.New(cp.Config(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{helm: newHelm(t, cp.Kubeconfig()), cp: cp, c: c}
}

// install installs a chart as the release.
func (c *cluster) install(chart, namespace, values string) (notes string) {
	c.t.Helper()
	return c.run([]string{values}, "install", release, chart, "--namespace", namespace, "--create-namespace")
}

// kubectl runs kubectl as the administrator.
func (c *cluster) kubectl(args ...string) string {
	c.t.Helper()
	out, err := c.cp.Kubectl(c.t.Context(), "", args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// eventually waits until check returns nil.
func (c *cluster) eventually(what string, check func() error) {
	c.t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	c.t.Fatalf("%s: %v", what, err)
}

// apply applies objects; it waits for the API server to serve definitions that are new.
func (c *cluster) apply(manifest string) {
	c.t.Helper()
	c.eventually("the objects are taken", func() error { return c.cp.Apply(c.t.Context(), manifest) })
}

// holds waits until a Secret holds the canary.
func (c *cluster) holds(namespace, name string) {
	c.t.Helper()
	c.eventually("Secret "+namespace+"/"+name, func() error {
		var s corev1.Secret
		if err := c.c.Get(c.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &s); err != nil {
			return err
		}
		if string(s.Data["password"]) != canary {
			return fmt.Errorf("it has %d keys", len(s.Data))
		}
		return nil
	})
}

// granted waits until the API server has heard of the bindings of the release.
func (c *cluster) granted() {
	c.t.Helper()
	of := client.MatchingLabels{"app.kubernetes.io/instance": release}
	var everywhere rbacv1.ClusterRoleBindingList
	var somewhere rbacv1.RoleBindingList
	if err := errors.Join(c.c.List(c.t.Context(), &everywhere, of), c.c.List(c.t.Context(), &somewhere, of)); err != nil {
		c.t.Fatal(err)
	}
	for _, b := range everywhere.Items {
		if err := c.cp.Granted(c.t.Context(), b.Subjects[0], "", b.RoleRef.Kind, b.RoleRef.Name); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, b := range somewhere.Items {
		if err := c.cp.Granted(c.t.Context(), b.Subjects[0], b.Namespace, b.RoleRef.Kind, b.RoleRef.Name); err != nil {
			c.t.Fatal(err)
		}
	}
}

// running is the controller of the release.
type running struct {
	*process.Process
	address string
	port    int
}

// start starts the controller's own program as the Pods of the release's Deployment do, with its arguments and its ServiceAccount, and
// makes it known to the cluster as one of them, which a kubelet would.
func (c *cluster) start(namespace string) *running {
	c.t.Helper()
	var d appsv1.Deployment
	if err := c.c.Get(c.t.Context(), client.ObjectKey{Namespace: namespace, Name: controllerName}, &d); err != nil {
		c.t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	if err := c.c.Get(c.t.Context(), client.ObjectKey{Namespace: namespace, Name: pod.ServiceAccountName}, &corev1.ServiceAccount{}); err != nil {
		c.t.Fatal(err)
	}
	c.granted()
	cfg, err := c.cp.ServiceAccountConfig(c.t.Context(), namespace, pod.ServiceAccountName)
	if err != nil {
		c.t.Fatal(err)
	}
	dir := c.t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := controlplane.WriteKubeconfig(kubeconfig, cfg); err != nil {
		c.t.Fatal(err)
	}
	r := &running{address: controlplane.OwnAddress(c.t)}
	if r.port, err = process.FreePorts(c.t.Context(), 2); err != nil {
		c.t.Fatal(err)
	}
	probes := net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port+1))
	r.Process, err = process.Start(c.t.Context(), process.Spec{
		Name: "controller", Path: process.Require(c.t, controllerName), Dir: dir, Env: []string{"POD_NAMESPACE=" + namespace},
		Args: append(pod.Containers[0].Args, "--kubeconfig="+kubeconfig, "--metrics-bind-address=0", "--health-probe-bind-address="+probes, "--key-size=2048",
			"--sealed-secrets-bind-address="+net.JoinHostPort(r.address, strconv.Itoa(r.port))),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { r.Stop(10 * time.Second) })
	// The rights are all that it asks for.
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if err := r.Ready(ctx, func(ctx context.Context) error { return process.Answers(ctx, "http://"+probes+"/readyz") }); err != nil {
		c.t.Fatal(err)
	}
	c.pod(&d, r)
	return r
}

// pod makes the Pod, on a Node, whose status a kubelet would write.
func (c *cluster) pod(d *appsv1.Deployment, r *running) {
	c.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: "controller", Labels: d.Spec.Template.Labels}, Spec: d.Spec.Template.Spec}
	pod.Spec.NodeName = node.Name
	for i, port := range pod.Spec.Containers[0].Ports {
		if port.Name == "http" {
			pod.Spec.Containers[0].Ports[i].ContainerPort = int32(r.port)
		}
	}
	if err := errors.Join(c.c.Create(c.t.Context(), node), c.c.Create(c.t.Context(), pod)); err != nil {
		c.t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: r.address, PodIPs: []corev1.PodIP{{IP: r.address}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	if err := c.c.Status().Update(c.t.Context(), pod); err != nil {
		c.t.Fatal(err)
	}
}

// noRefusal checks that the controller was forbidden nothing, and that no value is in its log.
func (r *running) noRefusal(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(r.Log())
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte("forbidden")) {
			t.Errorf("the controller was forbidden something: %s", line)
		}
	}
	if bytes.Contains(text, []byte(canary)) {
		t.Error("a value is in the log")
	}
}

// as writes a kubeconfig of somebody who is logged in to the cluster.
func (c *cluster) as(user string) (kubeconfig string) {
	c.t.Helper()
	cfg, err := c.cp.UserConfig(user)
	if err != nil {
		c.t.Fatal(err)
	}
	kubeconfig = filepath.Join(c.t.TempDir(), user)
	if err := controlplane.WriteKubeconfig(kubeconfig, cfg); err != nil {
		c.t.Fatal(err)
	}
	return kubeconfig
}

// kubeseal runs the real kubeseal as somebody who is logged in to the cluster and may do nothing else.
func (c *cluster) kubeseal(namespace, stdin string, args ...string) (string, error) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), process.Require(c.t, "kubeseal"),
		append([]string{"--kubeconfig", c.as("somebody"), "--controller-namespace", namespace, "--controller-name", controllerName}, args...)...)
	cmd.Env = c.env
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", errors.New("kubeseal: " + errs.String())
	}
	return out.String(), nil
}

// external is an ExternalSecret, and the store that it reads.
func external(namespace string) string {
	return fmt.Sprintf(`apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: store, namespace: %[1]s}
spec: {provider: {fake: {data: [{key: db, value: %[2]s}]}}}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: external, namespace: %[1]s}
spec: {secretStoreRef: {name: store}, data: [{secretKey: password, remoteRef: {key: db}}]}
`, namespace, canary)
}

// plain is the Secret that is sealed.
func plain(namespace string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: sealed, namespace: %s}\nstringData: {password: %s}\n", namespace, canary)
}

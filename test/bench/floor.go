package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientset "k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// plainKind is a kind for which the API server does as little as it can: one version, no schema, and fields that have one owner.
const plainKind = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: plains.bench.example}
spec:
  group: bench.example
  names: {kind: Plain, listKind: PlainList, plural: plains, singular: plain}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true, x-kubernetes-map-type: atomic}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true, x-kubernetes-map-type: atomic}
`

const metadataAlone = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// twoWrites measures what a Secret and the status of a custom resource cost the control plane when nothing else is done: no
// controller, nothing that is read, no label, owner, event, schema or second version. No controller can be faster.
func twoWrites(ctx context.Context, w *world) (*Report, error) {
	const objects = 5000
	crd := filepath.Join(w.dir, "plain.yaml")
	if err := os.WriteFile(crd, []byte(plainKind), 0o600); err != nil {
		return nil, fmt.Errorf("write the kind: %w", err)
	}
	var err error
	if w.plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{crd}}); err != nil {
		return nil, err
	}
	user, err := w.user(ctx)
	if err != nil {
		return nil, err
	}
	p, err := newPlains(user)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(w.log, "  creating %d objects\n", objects)
	if err := p.create(ctx, objects); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := p.watch(ctx); err != nil {
		return nil, err
	}
	fmt.Fprintln(w.log, "  writing")
	plane, err := w.planeCPU()
	if err != nil {
		return nil, err
	}
	own, err := readUsage(os.Getpid())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := p.materialize(ctx); err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	planeAfter, err := w.planeCPU()
	if err != nil {
		return nil, err
	}
	ownAfter, err := readUsage(os.Getpid())
	if err != nil {
		return nil, err
	}
	r := &Report{}
	r.Add("objects", objects, "objects")
	r.Add("until all are written", elapsed.Seconds(), "s")
	r.Add("control plane CPU per object", (planeAfter-plane).Seconds()/objects*1000, "ms")
	r.Add("CPU of the writer per object", (ownAfter.cpu-own.cpu).Seconds()/objects*1000, "ms")
	return r, nil
}

// plains are objects of the plain kind, and their clients.
type plains struct {
	core    *clientset.Clientset
	client  rest.Interface
	objects []metav1.PartialObjectMetadata
}

func newPlains(user *rest.Config) (*plains, error) {
	typed := rest.CopyConfig(user)
	typed.ContentType = runtime.ContentTypeProtobuf
	core, err := clientset.NewForConfig(typed)
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	raw := rest.CopyConfig(user)
	raw.GroupVersion, raw.APIPath = &schema.GroupVersion{Group: "bench.example", Version: "v1"}, "/apis"
	raw.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(raw)
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	return &plains{core: core, client: client}, nil
}

// create makes n objects in the namespaces of the other scenarios, with the specification of an ExternalSecret.
func (p *plains) create(ctx context.Context, n int) error {
	g := group{prefix: "plain", objects: n, namespaces: 20}
	for i := range g.namespaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(i)}}
		if _, err := p.core.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create namespace %s: %w", ns.Name, err)
		}
	}
	p.objects = make([]metav1.PartialObjectMetadata, n)
	return p.each(ctx, func(ctx context.Context, i int) error {
		es := g.secret(i)
		return p.send(ctx, p.client.Post().Namespace(es.Namespace).Resource("plains"), i, map[string]any{
			"apiVersion": "bench.example/v1", "kind": "Plain",
			"metadata": map[string]any{"name": es.Name, "namespace": es.Namespace}, "spec": es.Spec,
		})
	})
}

// materialize creates a Secret for each object, and writes its status.
func (p *plains) materialize(ctx context.Context) error {
	return p.each(ctx, func(ctx context.Context, i int) error {
		o := &p.objects[i]
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}, Data: map[string][]byte{}}
		for name, value := range fields(sharedKey(i)) {
			secret.Data[name] = []byte(value)
		}
		if _, err := p.core.CoreV1().Secrets(o.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create Secret %s: %w", o.Name, err)
		}
		return p.send(ctx, p.client.Put().Namespace(o.Namespace).Resource("plains").Name(o.Name).SubResource("status"), i, map[string]any{
			"apiVersion": "bench.example/v1", "kind": "Plain",
			"metadata": map[string]any{"name": o.Name, "namespace": o.Namespace, "resourceVersion": o.ResourceVersion},
			"status": map[string]any{"refreshTime": "2026-01-01T00:00:00Z", "conditions": []any{
				map[string]any{"type": "Ready", "status": "True", "reason": "SecretSynced", "lastTransitionTime": "2026-01-01T00:00:00Z"},
			}},
		})
	})
}

// send sends an object and takes over the metadata of the answer as that of the i-th.
func (p *plains) send(ctx context.Context, to *rest.Request, i int, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode object: %w", err)
	}
	answer, err := to.SetHeader("Content-Type", runtime.ContentTypeJSON).SetHeader("Accept", metadataAlone).Body(body).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("write object %d: %w", i, err)
	}
	if err := json.Unmarshal(answer, &p.objects[i]); err != nil {
		return fmt.Errorf("read the metadata of object %d: %w", i, err)
	}
	return nil
}

// each does something for all objects, as many at once as a controller has workers.
func (p *plains) each(ctx context.Context, do func(ctx context.Context, i int) error) error {
	const workers = 10
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for i := range p.objects {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

// watch follows both kinds until the context ends, as every controller does, and looks at nothing that comes.
func (p *plains) watch(ctx context.Context) error {
	for _, r := range []*rest.Request{
		p.client.Get().Resource("plains").SetHeader("Accept", runtime.ContentTypeJSON),
		p.core.CoreV1().RESTClient().Get().Resource("secrets").SetHeader("Accept", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
	} {
		body, err := r.Param("watch", "true").Param("resourceVersion", "0").Stream(ctx)
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		go func() {
			defer func() { _ = body.Close() }()
			_, _ = io.Copy(io.Discard, body) // it ends with the context
		}()
	}
	return nil
}

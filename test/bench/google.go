package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/gcp"
)

// googleDelay is what Google takes for an answer, be it a token or a secret.
const googleDelay = 100 * time.Millisecond

// googleSync measures how n objects come into being whose secrets, one each, are in Google Cloud Secret Manager; the controller may
// work on 50 at once. It is told nothing of the cloud but by its environment, as any other tool.
func googleSync(n int) func(context.Context, *world) (*Report, error) {
	return func(ctx context.Context, w *world) (*Report, error) {
		cloud, err := gcp.Start(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { _ = cloud.Stop() }()
		defer w.stopController()
		if err := w.fillGoogle(ctx, cloud, n); err != nil {
			return nil, err
		}
		cloud.Delay(googleDelay)
		w.args, w.env = []string{"--concurrent=50"}, cloud.Env()
		r := &Report{}
		return r, w.measureGoogle(ctx, r, cloud)
	}
}

// fillGoogle makes the secrets, the objects, and the store that reads with the key of a service account.
func (w *world) fillGoogle(ctx context.Context, cloud *gcp.Cloud, n int) error {
	fmt.Fprintf(w.log, "  creating %d ExternalSecrets\n", n)
	const project, email = "bench", "reader@bench.iam.gserviceaccount.com"
	key, err := cloud.Key(email)
	if err != nil {
		return err
	}
	cloud.Grant("serviceAccount:"+email, "projects/"+project, gcp.Reading()...)
	g := group{prefix: "google", objects: n, namespaces: 20, own: true}
	for i := range n {
		cloud.Put("projects/"+project, g.keys(i)[0], fmt.Appendf(nil, `{"username":"user-%d","password":"pass-%d"}`, i, i))
	}
	credential := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "google-key"}, Data: map[string][]byte{"key.json": key}}
	store := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: storeName}}
	store.Spec.Provider = stores.Provider{GCPSM: &stores.GCPSM{ProjectID: project, Auth: stores.GCPAuth{SecretRef: &stores.GCPAuthSecretRef{
		SecretAccessKey: &stores.SecretKeySelector{Namespace: "default", Name: credential.Name, Key: "key.json"},
	}}}}
	objects := []client.Object{credential, store}
	for i := range g.namespaces {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(i)}})
	}
	if err := w.createAll(ctx, len(objects), func(i int) client.Object { return objects[i] }); err != nil {
		return err
	}
	w.objects += n
	return w.createAll(ctx, n, func(i int) client.Object {
		es := g.secret(i)
		es.Spec.Data = es.Spec.Data[1:] // one read for each, also for those who read each property by itself
		return es
	})
}

// measureGoogle starts the controller and measures until all objects are Ready.
func (w *world) measureGoogle(ctx context.Context, r *Report, cloud *gcp.Cloud) error {
	before, err := w.mark()
	if err != nil {
		return err
	}
	fmt.Fprintln(w.log, "  starting the controller")
	before.at = time.Now()
	if err := w.start(ctx); err != nil {
		return err
	}
	var first time.Duration
	ready := map[string]bool{}
	if err := w.each(ctx, &esv1.ExternalSecretList{}, func(obj client.Object) bool {
		if es, ok := obj.(*esv1.ExternalSecret); ok && isReady(es) {
			ready[es.Namespace+"/"+es.Name] = true
		}
		if first == 0 && len(ready) > 0 {
			first = time.Since(before.at)
		}
		return len(ready) >= w.objects
	}); err != nil {
		return fmt.Errorf("%d of %d are ready: %w", len(ready), w.objects, err)
	}
	elapsed := time.Since(before.at)
	got, err := w.since(before)
	if err != nil {
		return err
	}
	asked := cloud.Requests()
	tokens := asked["token"] + asked["exchange"] + asked["identitybindingtoken"] + asked["generateAccessToken"]
	n := float64(w.objects)
	r.Add("ExternalSecrets", n, "objects")
	r.Add("until the first is ready", first.Seconds(), "s")
	r.Add(untilReady, elapsed.Seconds(), "s")
	r.Add("ExternalSecrets per second, from the first to the last", (n-1)/(elapsed-first).Seconds(), "1/s")
	r.Add("reads of secrets", float64(asked["AccessSecretVersion"]), "requests")
	r.Bound("requests for tokens", float64(tokens), 2, "requests")
	r.Add("controller CPU", got.cpu.Seconds(), "s")
	r.Add("control plane CPU", got.plane.Seconds(), "s")
	r.Add("controller peak memory", float64(got.peak)/mib, "MiB")
	r.addCalls(got.calls)
	return nil
}

package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

// awsAccount is the ServiceAccount whose role reads the store.
func awsAccount() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "store-reader",
		Annotations: map[string]string{"eks.amazonaws.com/role-arn": countingstore.AWSRole}}}
}

// awsStore makes a store one of AWS Secrets Manager.
func awsStore(store *esv1.ClusterSecretStore) *esv1.ClusterSecretStore {
	store.Spec.Provider = stores.Provider{AWS: &stores.AWS{
		Service: stores.AWSSecretsManager, Region: countingstore.AWSRegion,
		Auth: stores.AWSAuth{JWT: &stores.AWSJWTAuth{ServiceAccountRef: &stores.ServiceAccountSelector{Name: "store-reader", Namespace: "default"}}},
	}}
	return store
}

// awsSteady measures one interval of 1000 objects whose keys lie in AWS Secrets Manager: what is asked of STS, of the API server
// for tokens and of the store, when each object is due once and nothing changes.
func awsSteady(ctx context.Context, w *world) (*Report, error) {
	const objects, keys, perRequest, interval = 1000, 5, 20, 4 * time.Minute
	w.aws, w.env = true, w.store.AWSEnvironment()
	if err := w.fill(ctx, group{prefix: "es", objects: objects, namespaces: 20, interval: interval, properties: keys}); err != nil {
		return nil, err
	}
	start, err := w.mark()
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if err := w.ready(ctx, w.objects); err != nil {
		return nil, err
	}
	synced := time.Since(start.at)
	first := w.store.Requests(start.store)
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	// What was read less than a tenth of the interval ago is not asked for again.
	if err := w.pause(ctx, interval/10); err != nil {
		return nil, err
	}
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	w.profile(ctx, "window", 30*time.Second)
	if err := w.pause(ctx, interval); err != nil {
		return nil, err
	}
	got, err := w.since(before)
	if err != nil {
		return nil, err
	}
	written, events := writes(got.calls)
	asked := reads(got.store) + batches(got.store)
	r := &Report{}
	r.Add("ExternalSecrets", float64(w.objects), "objects")
	r.Add("keys", objects*keys, "keys")
	r.Add("first sync of all", synced.Seconds(), "s")
	r.Add("store requests for values in the first sync", float64(reads(first)+batches(first)), "requests")
	r.Add("STS calls in the first sync", float64(logins(first)), "requests")
	r.Bound("STS calls in the interval", float64(logins(got.store)), 10, "requests")
	r.Bound("TokenRequests in the interval", float64(tokenRequests(got.calls)), 10, "requests")
	r.Bound("store requests for values in the interval", float64(asked), objects*keys/perRequest, "requests")
	r.Add("of these, for several keys", float64(batches(got.store)), "requests")
	r.Add("keys that were asked for", float64(keysOf(got.store)), "keys")
	r.Bound("writes in the interval, events among them", float64(written+events), 0, "requests")
	r.Add("controller CPU in the interval", got.cpu.Seconds(), "s")
	r.Add("control plane CPU in the interval", got.plane.Seconds(), "s")
	r.Add("controller peak memory", float64(got.peak)/mib, "MiB")
	r.addCalls(got.calls)
	return r, nil
}

func countKind(requests []countingstore.Request, kind countingstore.Kind) int {
	n := 0
	for _, req := range requests {
		if req.Kind == kind {
			n++
		}
	}
	return n
}

// logins returns how often STS was asked for credentials.
func logins(requests []countingstore.Request) int { return countKind(requests, countingstore.Login) }

// batches returns how many requests were for several keys.
func batches(requests []countingstore.Request) int { return countKind(requests, countingstore.Batch) }

// keysOf returns how many keys were asked for, alone or with others.
func keysOf(requests []countingstore.Request) int {
	n := 0
	for _, req := range requests {
		if n += len(req.Keys); req.Kind == countingstore.Read {
			n++
		}
	}
	return n
}

// tokenRequests returns how often a token of a ServiceAccount was minted.
func tokenRequests(calls []call) int {
	n := 0
	for _, c := range calls {
		if c.Verb == "create" && c.Ref.Resource == "serviceaccounts" && c.Ref.Subresource == "token" {
			n++
		}
	}
	return n
}

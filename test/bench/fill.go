package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

const (
	storeName  = "bench"
	sharedKeys = 10
	fillers    = 16 // how many objects are created at once while the cluster is filled
)

// group is a set of ExternalSecrets that look alike.
type group struct {
	prefix     string
	objects    int
	namespaces int
	// interval is spec.refreshInterval; 0 leaves it out, which means an hour.
	interval time.Duration
	// key is the one key that each of them reads; without it each reads two of the shared keys, or with own a key of its own,
	// or with properties as many keys of its own.
	key        string
	own        bool
	properties int
}

func namespace(i int) string { return fmt.Sprintf("bench-%03d", i) }
func sharedKey(i int) string { return fmt.Sprintf("shared-%d", i%sharedKeys) }

func fields(text string) map[string]string {
	return map[string]string{"username": "user-" + text, "password": strings.Repeat(text+"-", 8)}
}

// secret returns the i-th ExternalSecret of the group.
func (g group) secret(i int) *esv1.ExternalSecret {
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(i % g.namespaces), Name: fmt.Sprintf("%s-%05d", g.prefix, i)}}
	es.Spec.SecretStoreRef = esv1.StoreRef{Kind: esv1.KindClusterSecretStore, Name: storeName}
	if g.interval > 0 {
		es.Spec.RefreshInterval = &metav1.Duration{Duration: g.interval}
	}
	for n, key := range g.keys(i) {
		property := []string{"username", "password"}[n%2]
		es.Spec.Data = append(es.Spec.Data, esv1.Data{
			SecretKey: []string{"username", "password", "third", "fourth", "fifth"}[n],
			RemoteRef: esv1.RemoteRef{Key: key, Property: property},
		})
	}
	return es
}

// keys returns what the i-th object reads.
func (g group) keys(i int) []string {
	own := fmt.Sprintf("%s-%05d", g.prefix, i)
	switch {
	case g.key != "":
		return []string{g.key, g.key}
	case g.own:
		return []string{own, own}
	case g.properties > 0:
		keys := make([]string, g.properties)
		for n := range keys {
			keys[n] = fmt.Sprintf("%s-%d", own, n)
		}
		return keys
	default:
		return []string{sharedKey(i), sharedKey(i + 1)}
	}
}

// fill makes the documents and objects of the group, and the store when there is none yet.
func (w *world) fill(ctx context.Context, g group) error {
	fmt.Fprintf(w.log, "  creating %d ExternalSecrets\n", g.objects)
	keys := map[string]bool{}
	for i := range g.objects {
		for _, key := range g.keys(i) {
			keys[key] = true
		}
	}
	for key := range keys {
		w.store.Put(key, fields(key))
	}
	if err := w.prepare(ctx, g.namespaces); err != nil {
		return err
	}
	err := w.createAll(ctx, g.objects, func(i int) client.Object { return g.secret(i) })
	w.objects += g.objects
	return err
}

// prepare makes the namespaces, the credential and the store, as far as they are not there.
func (w *world) prepare(ctx context.Context, namespaces int) error {
	token := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "store-token"},
		StringData: map[string]string{"token": countingstore.Token}}
	store := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: storeName}}
	if w.aws {
		return w.createPrepared(ctx, namespaces, awsAccount(), awsStore(store))
	}
	store.Spec.Provider = stores.Provider{Vault: &stores.Vault{
		Server: w.store.Address(), Path: countingstore.Mount, Version: "v2",
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "store-token", Namespace: "default", Key: "token"}},
	}}
	return w.createPrepared(ctx, namespaces, token, store)
}

func (w *world) createPrepared(ctx context.Context, namespaces int, objects ...client.Object) error {
	for i := range namespaces {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace(i)}})
	}
	return w.createAll(ctx, len(objects), func(i int) client.Object { return objects[i] })
}

// createAll creates n objects, several at once; one that exists stays.
func (w *world) createAll(ctx context.Context, n int, object func(int) client.Object) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fillers)
	for i := range n {
		g.Go(func() error {
			o := object(i)
			if err := w.client.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("create %s: %w", client.ObjectKeyFromObject(o), err)
			}
			return nil
		})
	}
	return g.Wait()
}

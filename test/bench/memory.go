package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// memory fills the cluster with Secrets that are nobody's.
func memory(ctx context.Context, w *world) (*Report, error) {
	const foreign, size, managed = 20000, 10 << 10, 2000
	fmt.Fprintf(w.log, "  creating %d Secrets of %d bytes\n", foreign, size)
	if err := w.prepare(ctx, 20); err != nil {
		return nil, err
	}
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		return nil, fmt.Errorf("make content: %w", err)
	}
	err := w.createAll(ctx, foreign, func(i int) client.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(i % 20), Name: fmt.Sprintf("foreign-%05d", i)},
			Data: map[string][]byte{"blob": content}}
	})
	if err != nil {
		return nil, err
	}
	if err := w.fill(ctx, group{prefix: "es", objects: managed, namespaces: 20}); err != nil {
		return nil, err
	}
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	r := &Report{}
	r.Add("Secrets that are nobody's", foreign, "objects")
	if err := w.measureSync(ctx, r, 30, sharedKeys, 120); err != nil {
		return nil, err
	}
	got, err := w.since(before)
	if err != nil {
		return nil, err
	}
	broad := 0
	for _, c := range got.calls {
		u, err := url.Parse(c.URI)
		if err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		if c.Verb == "list" && c.Ref.Resource == "secrets" && u.Query().Get("labelSelector") == "" {
			broad++
		}
	}
	r.Bound("lists of Secrets beyond the managed ones", float64(broad), 0, "requests")
	r.Bound("Secrets read one by one (the credential, the controller's own key)", float64(singleGets(got.calls, "secrets")), 2, "requests")
	r.Bound("bytes read by the controller (the data of the others is 195 MiB)", float64(got.read)/mib, 60, "MiB")
	return r, nil
}

// onePath lets one object read twenty properties of one path of a real Vault, to which the controller logs in as a
// ServiceAccount.
func onePath(ctx context.Context, w *world) (*Report, error) {
	const properties, account, mount = 20, "reader", "one"
	server, err := vault.Start(ctx, vault.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = server.Stop() }()
	if err := w.prepareVault(ctx, server, account, mount, properties); err != nil {
		return nil, err
	}
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(0), Name: "one"}}
	es.Spec.SecretStoreRef = esv1.StoreRef{Kind: esv1.KindSecretStore, Name: "vault"}
	for i := range properties {
		name := fmt.Sprintf("field-%d", i)
		es.Spec.Data = append(es.Spec.Data, esv1.Data{SecretKey: name, RemoteRef: esv1.RemoteRef{Key: "app", Property: name}})
	}
	if err := w.client.Create(ctx, es); err != nil {
		return nil, fmt.Errorf("create %s: %w", es.Name, err)
	}
	before, err := server.Requests()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if err := w.ready(ctx, 1); err != nil {
		return nil, err
	}
	r := &Report{}
	r.Add("until it is ready", time.Since(start).Seconds(), "s")
	all, err := server.Requests()
	if err != nil {
		return nil, err
	}
	sums := map[string]int{}
	for _, req := range all[len(before):] {
		sums[req.Operation+" "+req.Path]++
	}
	r.Bound("reads of the path", float64(sums["read "+mount+"/data/app"]), 1, "requests")
	r.Bound("logins", float64(sums["update auth/kubernetes/login"]), 1, "requests")
	r.Add("all requests, those about the mount included", float64(len(all)-len(before)), "requests")
	return r, nil
}

func (w *world) prepareVault(ctx context.Context, server *vault.Server, account, mount string, properties int) error {
	if err := w.prepare(ctx, 1); err != nil {
		return err
	}
	reviewer, err := w.plane.TokenReviewer(ctx)
	if err != nil {
		return err
	}
	if err := server.EnableKV(ctx, mount, 2); err != nil {
		return err
	}
	values := map[string]any{}
	for i := range properties {
		raw := make([]byte, 8)
		if _, err := rand.Read(raw); err != nil {
			return fmt.Errorf("make content: %w", err)
		}
		values[fmt.Sprintf("field-%d", i)] = hex.EncodeToString(raw)
	}
	if _, err := server.Put(ctx, mount, "app", values); err != nil {
		return err
	}
	if err := server.EnableKubernetes(ctx, "kubernetes", vault.Cluster{Host: w.plane.URL(), CA: w.plane.CA(), ReviewerToken: reviewer}); err != nil {
		return err
	}
	if err := server.Policy(ctx, account, vault.ReadPolicy(mount, "*")); err != nil {
		return err
	}
	role := vault.KubernetesRole{ServiceAccounts: []string{account}, Namespaces: []string{namespace(0)}, Policies: []string{account}, TTL: time.Hour}
	if err := server.KubernetesRole(ctx, "kubernetes", account, role); err != nil {
		return err
	}
	if _, err := w.plane.ServiceAccountToken(ctx, namespace(0), account); err != nil {
		return err
	}
	store := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(0), Name: "vault"}}
	store.Spec.Provider = stores.Provider{Vault: &stores.Vault{
		Server: server.Address(), Path: mount, Version: "v2", CABundle: server.CA(),
		Auth: &stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{Path: "kubernetes", Role: account,
			ServiceAccountRef: &stores.ServiceAccountSelector{Name: account}}},
	}}
	if err := w.client.Create(ctx, store); err != nil {
		return fmt.Errorf("create the store: %w", err)
	}
	return nil
}

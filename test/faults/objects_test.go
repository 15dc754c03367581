package faults_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// settle makes a tenant's namespace and all that shall be in it, in any order.
func (w *world) settle(t *tenant) {
	w.t.Helper()
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: t.name, Labels: t.labels()}})
	t.gone = false
	w.respread(t)
	w.bystand(t, "blocked") // before the SealedSecret of that name
	parts := []func(){
		func() { w.lend(t) },
		func() { w.bystand(t, "bystander") },
		func() { w.open(t, storeVault) },
		func() { w.open(t, storeHook) },
		func() { w.form(t, watches.ConfigMap) },
		func() { w.form(t, watches.Secret) },
	}
	for _, e := range t.externals {
		if !e.rival {
			parts = append(parts, func() { w.ask(t, e) })
		}
	}
	for _, s := range t.sealed {
		if !s.rival {
			parts = append(parts, func() { w.seal(t, s) })
		}
	}
	w.random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	for _, f := range parts {
		f()
	}
}

// lend writes the credential of a tenant's stores.
func (w *world) lend(t *tenant) {
	w.t.Helper()
	if t.token == "" {
		w.reissue(t)
	}
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.name, Name: credential, Labels: map[string]string{esv1.LabelType: esv1.TypeWebhook}},
		Data:       map[string][]byte{"token": []byte(t.token)},
	})
}

// reissue makes the tenant's backends take another token and none of before.
func (w *world) reissue(t *tenant) {
	w.t.Helper()
	before := t.token
	t.token = nextToken(t)
	t.tokens++
	for side, f := range w.fronts {
		f.accept(w.t, before, t.token, t.backends[side].server.Address())
	}
}

func nextToken(t *tenant) string { return fmt.Sprintf("%s-token-%s-%d", canary, t.name, t.tokens+1) }

// bystand makes a Secret that nobody may touch, though it looks like one of the controller's.
func (w *world) bystand(t *tenant, name string) {
	w.t.Helper()
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.name, Name: name, Labels: map[string]string{esv1.LabelManaged: "true"}},
		Data:       map[string][]byte{"own": []byte("untouched")},
	})
}

func (w *world) open(t *tenant, name string) {
	w.t.Helper()
	s := &esv1.SecretStore{ObjectMeta: meta(t.name, name)}
	if name == storeVault {
		s.Spec.Provider.Vault = w.vault()
	} else {
		s.Spec.Provider.Webhook = &stores.Webhook{
			URL: w.fronts[right].URL + "/plain/{{ .remoteRef.key }}", Headers: map[string]string{"X-Vault-Token": "{{ .login.token }}"},
			Result:  stores.WebhookResult{JSONPath: `{{ if .remoteRef.property }}$['{{ .remoteRef.property }}']{{ else }}${{ end }}`},
			Secrets: []stores.WebhookSecret{{Name: "login", SecretRef: stores.SecretKeySelector{Name: credential}}},
		}
	}
	w.create(s)
	t.stores[name] = true
}

// openShared makes the store of all tenants, which logs in with the credential of whoever uses it.
func (w *world) openShared() {
	w.t.Helper()
	s := &esv1.ClusterSecretStore{ObjectMeta: meta("", storeShared)}
	s.Spec.Provider.Vault = w.vault()
	w.create(s)
	w.shared = true
}

func (w *world) vault() *stores.Vault {
	return &stores.Vault{
		Server: w.fronts[left].URL, Path: "kv",
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: credential, Key: "token"}},
	}
}

func storeRef(name string) esv1.StoreRef {
	if name == storeShared {
		return esv1.StoreRef{Kind: esv1.KindClusterSecretStore, Name: name}
	}
	return esv1.StoreRef{Kind: esv1.KindSecretStore, Name: name}
}

// ask makes an ExternalSecret.
func (w *world) ask(t *tenant, e *external) {
	w.t.Helper()
	es := &esv1.ExternalSecret{ObjectMeta: meta(t.name, e.name)}
	es.Spec.SecretStoreRef = storeRef(e.store)
	es.Spec.RefreshInterval = &metav1.Duration{Duration: time.Duration(e.interval) * time.Second}
	if e.target != e.name {
		es.Spec.Target.Name = e.target
	}
	es.Spec.Target.Template = templateOf(e)
	es.Spec.Target.CreationPolicy = e.policy
	switch {
	case e.deletes:
		es.Spec.Target.DeletionPolicy = esv1.DeletionDelete
	case e.drops:
		es.Spec.Target.DeletionPolicy = esv1.DeletionMerge
	}
	for _, d := range e.whole {
		es.Spec.DataFrom = append(es.Spec.DataFrom, esv1.DataFrom{Extract: &esv1.RemoteRef{Key: d}})
	}
	if e.beside != "" {
		hook := storeRef(storeHook)
		es.Spec.DataFrom = append(es.Spec.DataFrom, esv1.DataFrom{
			Extract: &esv1.RemoteRef{Key: e.beside}, SourceRef: &esv1.DataFromSourceRef{StoreRef: &hook},
		})
	}
	for _, key := range e.fields {
		document, _, _ := strings.Cut(key, "-")
		es.Spec.Data = append(es.Spec.Data, esv1.Data{SecretKey: key, RemoteRef: esv1.RemoteRef{Key: document, Property: key}})
	}
	e.uid = w.create(es).GetUID()
}

// seal makes a SealedSecret.
func (w *world) seal(t *tenant, s *sealedSecret) {
	w.t.Helper()
	obj := &v1alpha1.SealedSecret{ObjectMeta: meta(t.name, s.name)}
	obj.Spec.EncryptedData = w.encrypt(t, s)
	s.uid = w.create(obj).GetUID()
}

// encrypt seals the next version of what a SealedSecret holds to the newest keys.
func (w *world) encrypt(t *tenant, s *sealedSecret) map[string]string {
	w.t.Helper()
	compat, err := keyring.ParseRecipient([]byte(w.fleet.sealing("/v1/cert.pem")), time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	native, err := agebox.ParseRecipients([]byte(w.fleet.sealing("/v1/recipients")))
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	from := t.seal(s)
	for i, key := range s.keys() {
		to := seal.Compat(compat)
		if s.native[i] {
			to = seal.Native(native...)
		}
		if out[key], err = seal.Seal(rand.Reader, to, seal.Strict, t.name, s.name, []byte(from.value(key))); err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}

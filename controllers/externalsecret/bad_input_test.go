package externalsecret_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

func TestWhatIsWrongIsSaidAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.put("text", canary)
	w.backend.put("pair", `{"a":"`+canary+`1","b":"`+canary+`2"}`)
	w.backend.put("huge", `{"password":"`+canary+strings.Repeat("x", 5<<20)+`"}`)
	var larges []esv1.Data
	for i := range 7 {
		key := fmt.Sprintf("large-%d", i)
		w.backend.put(key, canary+strings.Repeat("x", 5<<20))
		larges = append(larges, esv1.Data{SecretKey: key, RemoteRef: esv1.RemoteRef{Key: key}})
	}
	w.store("store")
	tests := map[string]struct {
		change func(*esv1.ExternalSecret)
		says   string
	}{
		"missing-key":      {func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Key = "nowhere" }, `spec.data[0] (password): SecretStore ` + w.ns + `/store: no key "nowhere"`},
		"missing-property": {func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Property = "user" }, `spec.data[0] (password): SecretStore ` + w.ns + `/store: key "db" has no property "user"`},
		"no-fields": {func(es *esv1.ExternalSecret) {
			es.Spec.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "text"}}}
		}, "spec.dataFrom[0].extract: "},
		"rewritten-to-one": {func(es *esv1.ExternalSecret) {
			es.Spec.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "pair"}, Rewrite: []esv1.Rewrite{{Transform: &esv1.RewriteTransform{Template: "same"}}}}}
		}, `spec.dataFrom[0].extract: rewrite[0]: transform: fields "a" and "b" both become key "same"`},
		"rewritten-by-nonsense": {func(es *esv1.ExternalSecret) {
			es.Spec.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "pair"}, Rewrite: []esv1.Rewrite{{Regexp: &esv1.RewriteRegexp{Source: "("}}}}}
		}, `spec.dataFrom[0].extract: rewrite[0]: regexp: source is not a regular expression`},
		"not-encoded": {func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.DecodingStrategy = esv1.DecodingBase64 }, "not encoded as decodingStrategy Base64"},
		"too-large":   {func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Key = "huge" }, "a Secret holds 1048576 at most"},
		"too-much-read": {func(es *esv1.ExternalSecret) { es.Spec.Data = append(es.Spec.Data, larges...) },
			"the documents that it reads have more than 32 MiB together; read fewer large documents with one ExternalSecret"},
		"too-much-taken": {func(es *esv1.ExternalSecret) {
			for i := range 4 {
				es.Spec.Data = append(es.Spec.Data, esv1.Data{SecretKey: fmt.Sprint("again-", i), RemoteRef: esv1.RemoteRef{Key: "large-0"}})
			}
		}, "spec.data[4] (again-3): the values of this entry and those before it have more than 16 MiB together; read less of large documents"},
		"template": {func(es *esv1.ExternalSecret) {
			es.Spec.Target.Template = &esv1.Template{Data: map[string]string{"x": "{{ fail .password }}"}}
		}, `template "spec.target.template.data.x"`},
		"label": {func(es *esv1.ExternalSecret) {
			es.Spec.Target.Template = &esv1.Template{Metadata: esv1.TemplateMetadata{Labels: map[string]string{"x": "{{ .password }}/{{ .password }}"}}}
		}, "the API server answered Invalid for metadata.labels; correct spec.target.template, or add the keys that the type of the Secret demands"},
		"tls-without-key": {func(es *esv1.ExternalSecret) { es.Spec.Target.Template = &esv1.Template{Type: "kubernetes.io/tls"} },
			"tls-without-key has type Opaque and the template asks for kubernetes.io/tls"},
		"no-store": {func(es *esv1.ExternalSecret) { es.Spec.SecretStoreRef.Name = "nowhere" }, "SecretStore " + w.ns + "/nowhere does not exist; create it, or correct the reference"},
		"unsupported": {func(es *esv1.ExternalSecret) {
			es.Spec.Target.Manifest = &esv1.ManifestRef{APIVersion: "v1", Kind: "ConfigMap"}
		}, "so nothing was changed: spec.target.manifest"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			es := w.externalSecret(name)
			w.create(es)
			w.ready(name)
			before := w.secret(name)
			change(w, es, tt.change)
			first := w.notReady(name, tt.says)
			after := w.secret(name)
			if after.ResourceVersion != before.ResourceVersion {
				t.Error("the target was changed")
			}
			if first.Status.RefreshTime.IsZero() || first.Status.Target.UID != before.UID {
				t.Errorf("the status forgot the target: %+v", first.Status)
			}
			w.eventually("the event", func() error {
				if got := w.events(name); len(got) != 2 || got[1] != esv1.ReasonUpdateFailed && got[0] != esv1.ReasonUpdateFailed {
					return fmt.Errorf("events %v", got)
				}
				return nil
			})
		})
	}
	// What was refused, it is repeated without a word: the same status, the same events.
	versions := map[string]string{}
	for name := range tests {
		versions[name] = w.notReady(name, "").ResourceVersion
	}
	time.Sleep(3500 * time.Millisecond)
	for name := range tests {
		if now := w.notReady(name, "").ResourceVersion; now != versions[name] {
			t.Errorf("%s: the status was written again", name)
		}
		if got := w.events(name); len(got) != 2 {
			t.Errorf("%s: events %v", name, got)
		}
	}
}

func TestASecretThatTheAPIServerRefusesIsNotMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("tls", func(es *esv1.ExternalSecret) { es.Spec.Target.Template = &esv1.Template{Type: "kubernetes.io/tls"} }))
	w.notReady("tls", "write Secret "+w.ns+"/tls: the API server answered Invalid for data[tls.crt], data[tls.key]; correct spec.target.template, or add the keys that the type of the Secret demands")
	if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "tls"}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("Get: %v, want not found", err)
	}
}

func TestAStoreThatIsNotReadyIsNotAskedAndItsUsersRecover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	token := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "cred"}, Data: map[string][]byte{"token": []byte("wrong-" + canary)}}
	w.create(token)
	w.store("store", stores.FakeData{Key: "token", Value: w.ns + "/cred/token"})
	w.create(w.externalSecret("db"))
	w.notReady("db", "store is not ready (ValidationFailed): the token was refused")
	if fetches, _ := w.backend.calls(); fetches != 0 {
		t.Errorf("a store that is not ready was asked %d times", fetches)
	}
	change(w, token, func(s *corev1.Secret) { s.Data["token"] = []byte("good") })
	w.ready("db")
	w.holds("db", map[string]string{"password": canary})
}

func TestANamespacedStoreMayNotReachIntoAnotherNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store("store", stores.FakeData{Key: "token", Value: "kube-system/cred/token"})
	w.create(w.externalSecret("db"))
	w.notReady("db", "SecretStore "+w.ns+"/store may not use Secret kube-system/cred: a SecretStore uses its own namespace only")
}

func TestConditionsOfAClusterStoreHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	css := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: w.storeSpec()}
	css.Spec.Conditions = []esv1.StoreCondition{{Namespaces: []string{"another"}}}
	w.create(css)
	t.Cleanup(func() { _ = w.c.Delete(t.Context(), css) })
	w.create(w.externalSecret("db", func(es *esv1.ExternalSecret) {
		es.Spec.SecretStoreRef = esv1.StoreRef{Name: w.ns, Kind: esv1.KindClusterSecretStore}
	}))
	w.notReady("db", "ClusterSecretStore "+w.ns+" may not be used from namespace "+w.ns)
	if fetches, _ := w.backend.calls(); fetches != 0 {
		t.Errorf("the store was asked %d times", fetches)
	}
	change(w, css, func(css *esv1.ClusterSecretStore) { css.Spec.Conditions[0].NamespaceRegexes = []string{"^" + w.ns[:5]} })
	w.ready("db")
}

func TestAStoreOfAnotherControllerIsLeftToIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	store := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "foreign"}, Spec: w.storeSpec()}
	store.Spec.Controller = "somebody-else"
	w.create(store)
	w.store("store")
	w.create(w.externalSecret("theirs", func(es *esv1.ExternalSecret) {
		es.Spec.SecretStoreRef.Name = "foreign"
		es.Spec.SyncWindows = &esv1.SyncWindows{Kind: "allow", Windows: []esv1.SyncWindow{{Schedule: "@daily", Duration: metav1.Duration{Duration: time.Hour}}}}
	}))
	w.create(w.externalSecret("ours"))
	w.ready("ours")
	es := &esv1.ExternalSecret{}
	if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "theirs"}, es); err != nil {
		t.Fatal(err)
	}
	if len(es.Status.Conditions) != 0 {
		t.Errorf("it was reported on: %+v", es.Status)
	}
}

func TestAStoreBesideAClusterStoreIsLookedUpInItsOwnNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	css := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: w.storeSpec()}
	foreign := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "foreign"}, Spec: w.storeSpec()}
	foreign.Spec.Controller = "somebody-else"
	w.create(css, foreign)
	t.Cleanup(func() { _ = w.c.Delete(context.WithoutCancel(t.Context()), css) })
	w.store("store")
	beside := func(name string) func(*esv1.ExternalSecret) {
		return func(es *esv1.ExternalSecret) {
			es.Spec.SecretStoreRef = esv1.StoreRef{Name: w.ns, Kind: esv1.KindClusterSecretStore}
			second := es.Spec.Data[0]
			second.SecretKey, second.SourceRef = "second", &esv1.DataSourceRef{StoreRef: esv1.StoreRef{Name: name}}
			es.Spec.Data = append(es.Spec.Data, second)
		}
	}
	w.create(w.externalSecret("theirs", beside("foreign")), w.externalSecret("ours", beside("store")))
	w.ready("ours")
	w.holds("ours", map[string]string{"password": canary, "second": canary})
	es := &esv1.ExternalSecret{}
	if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "theirs"}, es); err != nil {
		t.Fatal(err)
	}
	if len(es.Status.Conditions) != 0 {
		t.Errorf("an object of another controller's store was reported on: %+v", es.Status)
	}
}

func TestARefreshThatChangesNothingWritesNoLogAndNoneNamesAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("path-to-the-document", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db", every(time.Second), func(es *esv1.ExternalSecret) {
		es.Spec.Data[0].RemoteRef.Key = "path-to-the-document"
	}))
	w.ready("db")
	w.refreshed(2)
	before := w.logs.String()
	w.refreshed(3)
	if now := w.logs.String(); now != before {
		t.Errorf("refreshes were logged: %s", now[len(before):])
	}
	if strings.Contains(before, "path-to-the-document") {
		t.Errorf("the log names what was fetched: %s", before)
	}
}

func TestASecretOfTheSameNameIsTakenOverOrLeftAlone(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	secret := func(name string, change func(*corev1.Secret)) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Data: map[string][]byte{"password": []byte("old"), "foreign": []byte("old")}}
		change(s)
		w.create(s)
		return s
	}
	other := w.externalSecret("owner", func(es *esv1.ExternalSecret) { es.Spec.Target.Name = "owned" })
	w.create(other)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "account"}}
	w.create(account)
	secrets := map[string]*corev1.Secret{
		"same-keys":    secret("same-keys", func(*corev1.Secret) {}),
		"other-keys":   secret("other-keys", func(s *corev1.Secret) { delete(s.Data, "password") }),
		"another-type": secret("another-type", func(s *corev1.Secret) { s.Type = "example.com/x" }),
		"immutable":    secret("immutable", func(s *corev1.Secret) { s.Immutable = ptr.To(true) }),
		"account-token": secret("account-token", func(s *corev1.Secret) {
			s.Type = corev1.SecretTypeServiceAccountToken
			s.Annotations = map[string]string{"kubernetes.io/service-account.name": "account"}
		}),
		"bootstrap": secret("bootstrap", func(s *corev1.Secret) { s.Type = corev1.SecretTypeBootstrapToken; s.Data = nil }),
		"needs-keys": secret("needs-keys", func(s *corev1.Secret) {
			s.Type, s.Data = corev1.SecretTypeTLS, map[string][]byte{corev1.TLSCertKey: []byte("old"), corev1.TLSPrivateKeyKey: []byte("old")}
		}),
		"controlled": secret("controlled", func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: "account", UID: account.UID, Controller: ptr.To(true)}}
		}),
	}
	for name := range secrets {
		w.create(w.externalSecret(name))
	}
	w.start()
	for _, name := range []string{"same-keys", "other-keys", "another-type"} {
		w.ready(name)
		if got := w.holds(name, map[string]string{"password": canary}); got.UID != secrets[name].UID || metav1.GetControllerOf(got) == nil {
			t.Errorf("%s was not taken over: %v", name, got.OwnerReferences)
		}
	}
	for name, says := range map[string]string{
		"immutable": "is immutable", "account-token": "type kubernetes.io/service-account-token is refused",
		"bootstrap": "type bootstrap.kubernetes.io/token is refused", "controlled": "is controlled by ServiceAccount account",
		"needs-keys": "type kubernetes.io/tls, which needs the key tls.crt",
	} {
		w.notReady(name, says)
		if got := w.secret(name); len(got.Data["password"]) > 0 && string(got.Data["password"]) == canary || got.Labels[esv1.LabelManaged] != "" {
			t.Errorf("%s was changed", name)
		}
	}
	w.ready("owner")
	w.create(w.externalSecret("rival", func(es *esv1.ExternalSecret) { es.Spec.Target.Name = "owned" }))
	w.notReady("rival", "target is owned by another: Secret "+w.ns+"/owned is controlled by ExternalSecret owner")
	if err := w.c.Delete(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	w.ready("rival")
}

func TestAnObjectThatIsMadeAnewTakesTheSecretOfItsPredecessor(t *testing.T) {
	t.Parallel()
	const rounds = 10
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	policies := map[string]func(*esv1.ExternalSecret){
		"owner":     func(*esv1.ExternalSecret) {},
		"immutable": func(es *esv1.ExternalSecret) { es.Spec.Target.Immutable = true },
		"orphan":    func(es *esv1.ExternalSecret) { es.Spec.Target.CreationPolicy = esv1.CreationOrphan },
	}
	for name, policy := range policies {
		w.create(w.externalSecret(name))
		w.ready(name)
		for range rounds {
			// The garbage collector is after the Secret of the one that is gone.
			if err := w.c.Delete(t.Context(), &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}); err != nil {
				t.Fatal(err)
			}
			es := w.externalSecret(name)
			policy(es)
			w.create(es)
			w.ready(name)
			w.eventually("the Secret is that of the new object", func() error {
				got := &corev1.Secret{}
				if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, got); err != nil {
					return err
				}
				if owner := metav1.GetControllerOf(got); string(got.Data["password"]) != canary || (name == "orphan") != (owner == nil) || owner != nil && owner.UID != es.UID {
					return fmt.Errorf("%s has the owners %v", name, got.OwnerReferences)
				}
				return nil
			})
		}
	}
	var events eventsv1.EventList
	if err := w.c.List(t.Context(), &events, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		if strings.Contains(e.Note, "owned by another") {
			t.Errorf("%s was told: %s", e.Regarding.Name, e.Note)
		}
	}
}

func TestWhatExternalSecretsOperatorLeftIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	for _, name := range []string{"intact", "broken"} {
		w.create(w.externalSecret(name, func(es *esv1.ExternalSecret) { es.Finalizers = []string{esv1.FinalizerExternalSecret} }))
	}
	w.start()
	w.ready("intact")
	w.ready("broken")
	w.stop()
	// As the operator leaves them: no status.target.
	for _, name := range []string{"intact", "broken"} {
		es := w.ready(name)
		es.Status.Target, es.Status.ObservedGeneration = esv1.TargetStatus{}, 0
		if err := w.c.Status().Update(t.Context(), es); err != nil {
			t.Fatal(err)
		}
	}
	change(w, w.secret("broken"), func(s *corev1.Secret) { s.Data["password"] = []byte("changed meanwhile") })
	before := w.secret("intact")
	_, calls := w.backend.calls()
	w.start()
	w.holds("broken", map[string]string{"password": canary})
	es := w.ready("intact")
	if after := w.secret("intact"); after.ResourceVersion != before.ResourceVersion || es.Status.Target.ResourceVersion != before.ResourceVersion {
		t.Errorf("the target was rewritten, or is not known: %+v", es.Status.Target)
	}
	if _, now := w.backend.calls(); now > calls+2 {
		t.Errorf("%d requests to the store for one broken target", now-calls)
	}
	if err := w.c.Delete(t.Context(), es); err != nil {
		t.Fatal(err)
	}
	w.eventually("the operator's finalizer lets go", func() error {
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(es), es); !apierrors.IsNotFound(err) {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
	w.eventually("the Secret follows its owner", func() error {
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(es), &corev1.Secret{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
}

func TestAProviderThatThrottlesIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("first"))
	w.ready("first")
	w.backend.fail(&providers.ThrottledError{After: 2 * time.Second})
	w.create(w.externalSecret("db", func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Version = "2" }))
	w.notReady("db", "throttled by the store")
	fetches, _ := w.backend.calls()
	w.backend.fail(nil)
	w.ready("db")
	if now, _ := w.backend.calls(); now != fetches+1 {
		t.Errorf("%d requests after the throttling, want one", now-fetches)
	}
}

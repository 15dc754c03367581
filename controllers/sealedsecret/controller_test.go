package sealedsecret_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func text(s string) *string { return &s }

func TestASealedSecretBecomesASecretThatItOwns(t *testing.T) {
	t.Parallel()
	w := started(t)
	obj := w.object("db", map[string]string{"password": canary, "empty": ""})
	obj.Spec.Template.Type = "example.com/db"
	obj.Spec.Template.Metadata = v1alpha1.TemplateMetadata{
		Name: "other", Namespace: "other", Labels: map[string]string{"app": "db"}, Annotations: map[string]string{"a": "b"},
		Finalizers: []string{"example.com/keep"},
	}
	w.create(obj)
	got := w.synced("db")

	if diff := cmp.Diff(map[string]string{"password": canary, "empty": ""}, w.data("db")); diff != "" {
		t.Error(diff)
	}
	secret := w.secret("db")
	if secret.Type != "example.com/db" || secret.Labels["app"] != "db" || secret.Annotations["a"] != "b" ||
		!slices.Contains(secret.Finalizers, "example.com/keep") || secret.Labels[v1alpha1.LabelSealedBy] != string(obj.UID) {
		t.Errorf("the template is not honored: %+v", secret.ObjectMeta)
	}
	yes := true
	owners := []metav1.OwnerReference{{APIVersion: "bitnami.com/v1alpha1", Kind: "SealedSecret", Name: "db", UID: obj.UID, Controller: &yes}}
	if diff := cmp.Diff(owners, secret.OwnerReferences); diff != "" {
		t.Error(diff)
	}
	newest, _ := w.ring().Newest()
	want := v1alpha1.SealedSecretStatus{
		ObservedGeneration: 1, Scope: "strict", SealingKey: newest.Fingerprint(),
		Secret: v1alpha1.SecretVersion{UID: secret.UID, ResourceVersion: secret.ResourceVersion},
	}
	for _, c := range []v1alpha1.ConditionType{v1alpha1.ConditionSynced, v1alpha1.ConditionReady} {
		want.Conditions = append(want.Conditions, v1alpha1.Condition{Type: c, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonUnsealed})
	}
	for i, c := range got.Status.Conditions {
		if c.LastTransitionTime.IsZero() || c.LastUpdateTime.IsZero() {
			t.Errorf("condition %s has no time", c.Type)
		}
		got.Status.Conditions[i].LastTransitionTime, got.Status.Conditions[i].LastUpdateTime = metav1.Time{}, metav1.Time{}
	}
	if diff := cmp.Diff(want, got.Status); diff != "" {
		t.Error(diff)
	}
	if n := w.operations(); n != 2 {
		t.Errorf("two values took %d private-key operations", n)
	}
	w.eventually("the event", func() bool {
		return slices.Contains(w.events("db"), "Normal Unsealed SealedSecret unsealed successfully")
	})
	update(w, w.secret("db"), func(s *corev1.Secret) { s.Finalizers = nil }) // so that the namespace can end
	w.checkCanary()
}

func TestTheScopeComesFromTheObjectsOwnAnnotations(t *testing.T) {
	t.Parallel()
	w := started(t)
	for scope, annotations := range map[seal.Scope]map[string]string{
		seal.NamespaceWide: {v1alpha1.AnnotationNamespaceWide: "true"},
		seal.ClusterWide:   {v1alpha1.AnnotationClusterWide: "true", v1alpha1.AnnotationNamespaceWide: "true"},
	} {
		obj := w.object(string(scope), nil)
		obj.Annotations = annotations
		obj.Spec.EncryptedData["k"] = w.sealed(scope, "any-name", canary)
		w.create(obj)
		if got := w.synced(obj.Name); got.Status.Scope != string(scope) {
			t.Errorf("%s: status says %q", scope, got.Status.Scope)
		}
		if w.data(obj.Name)["k"] != canary {
			t.Errorf("%s was not opened", scope)
		}
	}

	// Annotations of the template count for nothing, and those of the object as soon as they change.
	obj := w.object("late", nil)
	obj.Spec.EncryptedData["k"] = w.sealed(seal.NamespaceWide, "late", canary)
	obj.Spec.Template.Metadata.Annotations = map[string]string{v1alpha1.AnnotationNamespaceWide: "true"}
	w.create(obj)
	w.failed("late", "no key could decrypt secret (k)")
	update(w, obj, func(s *v1alpha1.SealedSecret) {
		s.Annotations = map[string]string{v1alpha1.AnnotationNamespaceWide: "true"}
	})
	w.synced("late")
	update(w, obj, func(s *v1alpha1.SealedSecret) { s.Annotations = nil })
	w.failed("late", "no key could decrypt secret (k)")
	update(w, obj, func(s *v1alpha1.SealedSecret) {
		s.Annotations = map[string]string{v1alpha1.AnnotationNamespaceWide: "true"}
	})
	w.synced("late")
	w.checkCanary()
}

func TestWhatCannotBeOpenedIsReportedAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := started(t)
	good := w.sealed(seal.Strict, "app", canary)
	tampered := flip(good)
	elsewhere := w.sealedTo(newest(w), seal.Strict, "other-namespace", "app", canary)
	renamed := w.sealed(seal.Strict, "other-name", canary)
	wider := w.sealed(seal.ClusterWide, "", canary)

	w.create(w.object("app", map[string]string{"a": "before", "b": "before"}))
	w.synced("app")
	before := w.secret("app")

	for name, test := range map[string]struct {
		values map[string]string
		want   string
	}{
		"one value tampered with": {map[string]string{"a": good, "b": tampered}, "no key could decrypt secret (b)"},
		"moved to another name":   {map[string]string{"a": good, "b": renamed, "c": renamed}, "no key could decrypt secret (b, c)"},
		"moved to a namespace":    {map[string]string{"a": elsewhere}, "no key could decrypt secret (a)"},
		"sealed for more":         {map[string]string{"a": wider}, "no key could decrypt secret (a)"},
		"not base64":              {map[string]string{"a": canary + "!", "b": tampered}, "no key could decrypt secret (b); the sealed value is not base64 (a)"},
		"cut off":                 {map[string]string{"a": good[:100]}, "(a)"},
		"empty":                   {map[string]string{"a": ""}, "(a)"},
	} {
		obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "app"}}
		update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData = test.values })
		got := w.failed("app", test.want)
		for _, c := range got.Status.Conditions {
			if c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonUnsealFailed {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if diff := cmp.Diff(before, w.secret("app")); diff != "" {
			t.Errorf("%s: the Secret has changed:\n%s", name, diff)
		}
	}
	w.eventually("the event", func() bool {
		return slices.ContainsFunc(w.events("app"), func(e string) bool {
			return strings.HasPrefix(e, "Warning ErrUnsealFailed Failed to unseal: no key could decrypt secret (b)")
		})
	})
	w.checkCanary()
}

// flip changes the last byte of a sealed value.
func flip(sealed string) string {
	i := len(sealed) - 6
	c := byte('A')
	if sealed[i] == c {
		c = 'B'
	}
	return sealed[:i] + string(c) + sealed[i+1:]
}

func TestASecretOfSomebodyElseIsLeftAloneUntilItsOwnerAgrees(t *testing.T) {
	t.Parallel()
	w := started(t)
	foreign := func(name string, annotations map[string]string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, Labels: map[string]string{"theirs": "x"}, Annotations: annotations},
			Data:       map[string][]byte{"k": []byte("theirs"), "other": []byte("theirs")},
		}
	}
	for _, name := range []string{"taken", "left", "shared"} {
		secret := foreign(name, nil)
		w.create(secret)
		w.create(w.object(name, map[string]string{"k": canary}))
		got := w.failed(name, `failed update: Resource "`+name+`" already exists and is not managed by SealedSecret`)
		if got.Status.Conditions[0].Reason != v1alpha1.ReasonNotManaged {
			t.Errorf("%+v", got.Status.Conditions[0])
		}
		if diff := cmp.Diff(secret.Data, w.secret(name).Data); diff != "" {
			t.Error(diff)
		}
	}
	operations := w.operations()

	// Taken over: the whole Secret is ours.
	update(w, foreign("taken", nil), func(s *corev1.Secret) { s.Annotations = map[string]string{v1alpha1.AnnotationManaged: "true"} })
	w.synced("taken")
	if s := w.secret("taken"); len(s.Data) != 1 || s.Labels["theirs"] != "" || s.Annotations[v1alpha1.AnnotationManaged] != "" || len(s.OwnerReferences) != 1 {
		t.Errorf("taken over: %+v", s.ObjectMeta)
	}
	// Out of the way: a new one.
	if err := w.client.Delete(t.Context(), foreign("left", nil)); err != nil {
		t.Fatal(err)
	}
	w.synced("left")
	// Added to: theirs stays, and the Secret is not ours to delete.
	update(w, foreign("shared", nil), func(s *corev1.Secret) { s.Annotations = map[string]string{v1alpha1.AnnotationPatch: "true"} })
	w.synced("shared")
	s := w.secret("shared")
	if diff := cmp.Diff(map[string]string{"k": canary, "other": "theirs"}, w.data("shared")); diff != "" {
		t.Error(diff)
	}
	if s.Labels["theirs"] != "x" || len(s.OwnerReferences) != 0 {
		t.Errorf("added to: %+v", s.ObjectMeta)
	}
	if n := w.operations() - operations; n > 3 {
		t.Errorf("three Secrets that got out of the way took %d private-key operations", n)
	}
	w.eventually("the event", func() bool {
		return slices.ContainsFunc(w.events("taken"), func(e string) bool { return strings.HasPrefix(e, "Warning ErrUpdateFailed Resource") })
	})
	w.checkCanary()
}

func TestADriftedSecretIsRepaired(t *testing.T) {
	t.Parallel()
	w := started(t)
	obj := w.object("app", map[string]string{"a": canary, "b": "2"})
	obj.Spec.Template.Metadata.Labels = map[string]string{"ours": "1"}
	w.create(obj)
	w.synced("app")
	first := w.secret("app")
	want := w.data("app")
	restored := func(what string) {
		t.Helper()
		w.eventually(what, func() bool {
			s := w.secret("app")
			return s != nil && cmp.Equal(want, w.data("app")) && s.Labels["ours"] == "1" &&
				s.Labels[v1alpha1.LabelSealedBy] == string(obj.UID) && len(s.OwnerReferences) == 1
		})
	}

	if err := w.client.Delete(t.Context(), w.secret("app")); err != nil {
		t.Fatal(err)
	}
	restored("a Secret deleted by hand comes back")
	if w.secret("app").UID == first.UID {
		t.Error("the Secret was not deleted")
	}
	update(w, w.secret("app"), func(s *corev1.Secret) {
		s.Data["a"], s.Data["added"] = []byte("edited"), []byte("x")
		delete(s.Data, "b")
		s.Labels["ours"] = "2"
	})
	restored("an edit is undone")
	update(w, w.secret("app"), func(s *corev1.Secret) { s.OwnerReferences = nil })
	restored("the owner is set again")
	update(w, w.secret("app"), func(s *corev1.Secret) { s.Labels = nil; s.Data["a"] = []byte("edited") })
	restored("a Secret without our label is found again")
	update(w, w.secret("app"), func(s *corev1.Secret) {
		s.Labels["theirs"] = "x"
		s.Annotations = map[string]string{"replicated": "yes"}
		s.Data["a"] = []byte("edited")
	})
	restored("metadata of others does not keep an edit from being undone")
	if s := w.secret("app"); s.Labels["theirs"] != "x" || s.Annotations["replicated"] != "yes" {
		t.Error("labels and annotations of others were taken away, and the fight begins")
	}
	w.synced("app")

	// A new generation replaces everything, as Sealed Secrets does.
	update(w, obj, func(s *v1alpha1.SealedSecret) {
		s.Spec.EncryptedData = map[string]string{"c": w.sealed(seal.Strict, "app", "3")}
	})
	want = map[string]string{"c": "3"}
	restored("the new data")
	if s := w.secret("app"); s.Labels["theirs"] != "" || s.Annotations["replicated"] != "" {
		t.Errorf("labels and annotations of others outlive a new generation: %+v", s.ObjectMeta)
	}
	w.checkCanary()
}

func TestDeletingASealedSecretDeletesItsSecret(t *testing.T) {
	t.Parallel()
	w := started(t)
	obj := w.object("app", map[string]string{"a": canary})
	w.create(obj)
	w.synced("app")
	if err := w.client.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	w.eventually("the Secret is gone", func() bool { return w.secret("app") == nil })

	// Made again at once, the old Secret may still be there, and goes.
	again := w.object("app", map[string]string{"a": "2"})
	w.create(again)
	w.eventually("the new Secret", func() bool { return cmp.Equal(map[string]string{"a": "2"}, w.data("app")) })
	w.synced("app")
}

func TestASecretWithoutAnOwnerOutlivesItsSealedSecret(t *testing.T) {
	t.Parallel()
	w := started(t)
	obj := w.object("app", map[string]string{"a": "1"})
	obj.Spec.Template.Metadata.Annotations = map[string]string{v1alpha1.AnnotationSkipSetOwnerReferences: "true"}
	w.create(obj)
	w.synced("app")
	if owners := w.secret("app").OwnerReferences; len(owners) != 0 {
		t.Errorf("owners: %v", owners)
	}
	// It is still ours: Sealed Secrets reports it as not managed from here on.
	update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["a"] = w.sealed(seal.Strict, "app", "2") })
	w.eventually("the new value", func() bool { return w.data("app")["a"] == "2" })
	w.synced("app")
}

func TestSecretsThatAreCredentialsOfTheClusterAreRefused(t *testing.T) {
	t.Parallel()
	w := started(t)
	for _, secretType := range []corev1.SecretType{corev1.SecretTypeServiceAccountToken, corev1.SecretTypeBootstrapToken} {
		obj := w.object("t-"+strings.NewReplacer("/", "-", ".", "-").Replace(string(secretType)), map[string]string{"a": "1"})
		obj.Spec.Template.Type = string(secretType)
		obj.Spec.Template.Metadata.Annotations = map[string]string{corev1.ServiceAccountNameKey: "default"}
		w.create(obj)
		w.failed(obj.Name, "must not make a Secret of type "+string(secretType))
		if w.secret(obj.Name) != nil {
			t.Errorf("a Secret of type %s was made", secretType)
		}
	}
	if n := w.operations(); n != 0 {
		t.Errorf("%d private-key operations for what is refused", n)
	}
}

func TestASealedSecretMakesNoSealingKey(t *testing.T) {
	t.Parallel()
	w := started(t)
	newest, _ := w.ring().Newest()
	attackers := generate(t, -time.Hour) // younger than the cluster's: the one that would be sealed to
	pem := map[string]string{"tls.crt": string(attackers.CertificatePEM()), "tls.key": string(attackers.PrivateKeyPEM())}

	labeled := w.object("labeled", pem)
	labeled.Spec.Template.Type = string(corev1.SecretTypeTLS)
	labeled.Spec.Template.Metadata.Labels = map[string]string{v1alpha1.LabelSealingKey: v1alpha1.SealingKeyActive}
	w.create(labeled)
	native := w.object("native", map[string]string{"identity.txt": "x"})
	native.Spec.Template.Metadata.Labels = map[string]string{v1alpha1.LabelNativeKey: v1alpha1.SealingKeyActive}
	w.create(native)
	w.failed("native", "must not make a sealing key: remove the label sealbridge.dev/sealing-key")
	if w.secret("native") != nil {
		t.Error("a native key was made")
	}
	blob, err := json.Marshal(w.keySecret("deprecated", attackers))
	if err != nil {
		t.Fatal(err)
	}
	deprecated := w.object("deprecated", nil)
	deprecated.Spec.Data = decode64(t, w.sealed(seal.Strict, "deprecated", string(blob)))
	w.create(deprecated)
	for _, name := range []string{"labeled", "deprecated"} {
		w.failed(name, "must not make a sealing key: remove the label sealedsecrets.bitnami.com/sealed-secrets-key")
		if w.secret(name) != nil {
			t.Errorf("%s was made", name)
		}
	}
	// Under the name of a key that is older than labels a Secret may be made, and is no key.
	legacy := w.object(sealingkey.DefaultPrefix, pem)
	legacy.Spec.Template.Metadata.Annotations = map[string]string{v1alpha1.AnnotationSkipSetOwnerReferences: "true"}
	w.create(legacy)
	w.synced(legacy.Name)
	w.create(w.keySecret("another", generate(t, 24*time.Hour))) // so that the keys are read again
	w.eventually("the other key", func() bool { return w.ring().Len() > 1 })
	if now, _ := w.ring().Newest(); w.ring().Len() != 2 || now.Fingerprint() != newest.Fingerprint() {
		t.Errorf("the cluster has %d keys, and another one is sealed to", w.ring().Len())
	}
}

func TestWhatTheAPIServerRefusesSaysWhatToDo(t *testing.T) {
	t.Parallel()
	w := started(t)
	typed := w.object("typed", map[string]string{"a": canary})
	w.create(typed)
	frozen := w.object("frozen", map[string]string{"a": canary})
	yes := true
	frozen.Spec.Template.Immutable = &yes
	w.create(frozen)
	w.synced("typed")
	w.synced("frozen")

	update(w, typed, func(s *v1alpha1.SealedSecret) { s.Spec.Template.Type = "example.com/x" })
	w.failed("typed", "the type of a Secret cannot be changed: delete Secret "+w.ns+"/typed")
	if err := w.client.Delete(t.Context(), w.secret("typed")); err != nil {
		t.Fatal(err)
	}
	w.synced("typed")

	update(w, frozen, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["a"] = w.sealed(seal.Strict, "frozen", "2") })
	w.failed("frozen", "the target Secret is immutable: delete Secret "+w.ns+"/frozen")
	if w.data("frozen")["a"] != canary {
		t.Error("the immutable Secret has changed")
	}

	bad := w.object("bad", nil)
	bad.Spec.EncryptedData["a/b"] = w.sealed(seal.Strict, "bad", canary)
	w.create(bad)
	w.failed("bad", "the API server answered Invalid")
	w.checkCanary()
}

func TestTheDeprecatedFormatIsOpened(t *testing.T) {
	t.Parallel()
	w := started(t)
	put := func(name, plaintext string) *v1alpha1.SealedSecret {
		obj := w.object(name, nil)
		obj.Spec.Data = decode64(t, w.sealed(seal.Strict, name, plaintext))
		w.create(obj)
		return obj
	}
	put("old", `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x","namespace":"y","labels":{"l":"1"}},"type":"example.com/t","data":{"a":"Y2FuYXJ5LTVlMWY3N2My"}}`)
	w.synced("old")
	if s := w.secret("old"); w.data("old")["a"] != canary || s.Type != "example.com/t" || s.Labels["l"] != "1" {
		t.Errorf("%+v", s.ObjectMeta)
	}
	put("notjson", canary)
	w.failed("notjson", "the opened spec.data is not a Secret in JSON")
	put("token", `{"type":"kubernetes.io/service-account-token","metadata":{"annotations":{"kubernetes.io/service-account.name":"default"}}}`)
	w.failed("token", "must not make a Secret of type kubernetes.io/service-account-token")
	wrong := w.object("wrong", nil)
	wrong.Spec.Data = decode64(t, w.sealed(seal.Strict, "other", "{}"))
	w.create(wrong)
	w.failed("wrong", "no key could decrypt secret (spec.data)")
	w.checkCanary()
}

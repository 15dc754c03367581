package externalsecret_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/builtin"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// named looks for names that an expression matches.
func named(expr string) *esv1.Find { return &esv1.Find{Name: &esv1.FindName{RegExp: expr}} }

// TestWhatIsFoundMakesTheTarget uses the real provider fake with two stores.
func TestWhatIsFoundMakesTheTarget(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.providers = builtin.All()
	w.store("store",
		stores.FakeData{Key: "/app/db", Value: "db-value"}, stores.FakeData{Key: "/app/web", Value: "d2Vi"}, stores.FakeData{Key: "/app/web", Value: "d2ViMg==", Version: "v2"},
		stores.FakeData{Key: "/other", Value: "other"}, stores.FakeData{Key: "zero", Value: "AA=="})
	w.store("second", stores.FakeData{Key: "/app/db", Value: "second"}, stores.FakeData{Key: "plain", Value: "p"})
	w.store("large", stores.FakeData{Key: "large", Value: strings.Repeat("x", 600<<10)})
	w.start()
	for name, tc := range map[string]struct {
		from []esv1.DataFrom
		want map[string]string
	}{
		"names": {[]esv1.DataFrom{{Find: named("^/app/")}}, map[string]string{"_app_db": "db-value", "_app_web": "d2ViMg=="}},
		"unicode": {[]esv1.DataFrom{{Find: &esv1.Find{Name: &esv1.FindName{RegExp: "db"}, ConversionStrategy: esv1.ConversionUnicode}}},
			map[string]string{"_U002f_app_U002f_db": "db-value"}},
		"rewritten": {[]esv1.DataFrom{{Find: named("^/app/"), Rewrite: []esv1.Rewrite{{Regexp: &esv1.RewriteRegexp{Source: "/app/(.*)", Target: "APP_$1"}}}}},
			map[string]string{"APP_db": "db-value", "APP_web": "d2ViMg=="}},
		"decoded": {[]esv1.DataFrom{{Find: &esv1.Find{Name: &esv1.FindName{RegExp: "web"}, DecodingStrategy: esv1.DecodingBase64}}}, map[string]string{"_app_web": "web2"}},
		"later": {[]esv1.DataFrom{{Find: named("app/db")}, {Find: named("db|plain"), SourceRef: &esv1.DataFromSourceRef{StoreRef: &esv1.StoreRef{Name: "second"}}}},
			map[string]string{"_app_db": "second", "plain": "p"}},
		"earlier": {[]esv1.DataFrom{{Find: named("db|plain"), SourceRef: &esv1.DataFromSourceRef{StoreRef: &esv1.StoreRef{Name: "second"}}}, {Find: named("app/db")}},
			map[string]string{"_app_db": "db-value", "plain": "p"}},
	} {
		w.create(w.externalSecret(name, func(es *esv1.ExternalSecret) { es.Spec.Data, es.Spec.DataFrom = nil, tc.from }))
		w.ready(name)
		w.holds(name, tc.want)
	}
	for name, tc := range map[string]struct {
		from esv1.DataFrom
		want string
	}{
		"tags":      {esv1.DataFrom{Find: &esv1.Find{Tags: map[string]string{"a": "b"}}}, "spec.dataFrom[0].find: SecretStore " + w.ns + "/store: fake documents have no tags"},
		"collision": {esv1.DataFrom{Find: named("/"), Rewrite: []esv1.Rewrite{{Regexp: &esv1.RewriteRegexp{Source: ".*", Target: "x"}}}}, "spec.dataFrom[0].find: "},
		"bad-names": {esv1.DataFrom{Find: named("/other"), Rewrite: []esv1.Rewrite{{Regexp: &esv1.RewriteRegexp{Source: "other", Target: "o"}}}}, `"/o" cannot be a key`},
		"null-byte": {esv1.DataFrom{Find: &esv1.Find{Name: &esv1.FindName{RegExp: "zero"}, DecodingStrategy: esv1.DecodingBase64, NullBytePolicy: esv1.NullByteFail}}, `key "zero": the value has a zero byte`},
	} {
		w.create(w.externalSecret(name, func(es *esv1.ExternalSecret) { es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{tc.from} }))
		w.notReady(name, tc.want)
	}
	w.create(w.externalSecret("too-much", func(es *esv1.ExternalSecret) {
		es.Spec.Data, es.Spec.SecretStoreRef.Name = nil, "large"
		for i := range 60 {
			es.Spec.DataFrom = append(es.Spec.DataFrom, esv1.DataFrom{Find: named(fmt.Sprintf("large|%d", i))})
		}
	}))
	w.notReady("too-much", "the documents that it reads have more than 32 MiB together; read fewer")
}

func TestAStoreThatFindsNothingIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // its backend has no Finder
	w.store("store")
	w.create(w.externalSecret("db", func(es *esv1.ExternalSecret) {
		es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: named(".*")}}
	}))
	w.notReady("db", `spec.dataFrom[0].find: SecretStore `+w.ns+`/store: its provider "fake" cannot find documents; name them with data or dataFrom.extract`)
}

// TestVaultIsSearched walks the whole way on a real Vault: by tags and path, a secret that joins, and one that goes.
func TestVaultIsSearched(t *testing.T) {
	t.Parallel()
	server, ctx := vault.New(t), t.Context()
	w := prepare(t)
	w.providers = builtin.All()
	kv := server.KV(t, 2)
	if err := server.Policy(ctx, w.ns, vault.ReadPolicy(kv, "*")); err != nil {
		t.Fatal(err)
	}
	token, err := server.NewToken(ctx, time.Hour, w.ns)
	if err != nil {
		t.Fatal(err)
	}
	put := func(path, value string) {
		t.Helper()
		if _, err := server.Put(ctx, kv, path, map[string]any{"k": value}); err != nil {
			t.Fatal(err)
		}
	}
	put("apps/db", "one-"+canary)
	put("apps/deep/web", "two-"+canary)
	put("elsewhere", "three-"+canary)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "vault"}, Data: map[string][]byte{"token": []byte(token)}},
		&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: esv1.SecretStoreSpec{
			Controller: w.class, Provider: stores.Provider{Vault: &stores.Vault{Server: server.Address(), Path: kv, CABundle: server.CA(),
				Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "vault", Key: "token"}}}}}})
	w.start()
	path := "apps"
	w.create(w.externalSecret("apps", every(2*time.Second), func(es *esv1.ExternalSecret) {
		es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: &esv1.Find{Path: &path}}}
	}))
	w.ready("apps")
	one, two := `{"k":"one-`+canary+`"}`, `{"k":"two-`+canary+`"}`
	w.holds("apps", map[string]string{"apps_db": one, "apps_deep_web": two})
	put("apps/late", "late")
	w.holds("apps", map[string]string{"apps_db": one, "apps_deep_web": two, "apps_late": `{"k":"late"}`})
	if err := server.Delete(ctx, kv, "apps/late"); err != nil {
		t.Fatal(err)
	}
	before := w.holds("apps", map[string]string{"apps_db": one, "apps_deep_web": two})

	// What may not be listed any more is not gone.
	if err := server.Policy(ctx, w.ns, `path "`+kv+`/data/*" { capabilities = ["read"] }`); err != nil {
		t.Fatal(err)
	}
	w.notReady("apps", `must grant "list"`)
	if after := w.secret("apps"); after.ResourceVersion != before.ResourceVersion {
		t.Error("the target was changed")
	}
	if err := server.Policy(ctx, w.ns, vault.ReadPolicy(kv, "*")); err != nil {
		t.Fatal(err)
	}
	w.ready("apps")
}

// TestWhatASearchFoundIsNewsLikeAnyDocument lets objects that search a real Vault, and one that names a secret, share it.
func TestWhatASearchFoundIsNewsLikeAnyDocument(t *testing.T) {
	t.Parallel()
	server, ctx := vault.New(t), t.Context()
	w := prepare(t)
	w.providers = builtin.All()
	kv := server.KV(t, 2)
	if err := server.Policy(ctx, w.ns, vault.ReadPolicy(kv, "*")); err != nil {
		t.Fatal(err)
	}
	token, err := server.NewToken(ctx, time.Hour, w.ns)
	if err != nil {
		t.Fatal(err)
	}
	put := func(path, value string) {
		t.Helper()
		if _, err := server.Put(ctx, kv, path, map[string]any{"k": value}); err != nil {
			t.Fatal(err)
		}
	}
	put("apps/db", "one-"+canary)
	put("apps/web", "web-"+canary)
	put("elsewhere", "alone-"+canary)
	yearly := intstr.FromString("8760h")
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "vault"}, Data: map[string][]byte{"token": []byte(token)}},
		&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: esv1.SecretStoreSpec{
			Controller: w.class, RefreshInterval: &yearly, Provider: stores.Provider{Vault: &stores.Vault{Server: server.Address(), Path: kv, CABundle: server.CA(),
				Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "vault", Key: "token"}}}}}})
	w.start()
	path := "apps"
	finds := func(find *esv1.Find) func(*esv1.ExternalSecret) {
		return func(es *esv1.ExternalSecret) { es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: find}} }
	}
	below, twin := w.externalSecret("below", finds(&esv1.Find{Path: &path})), w.externalSecret("twin", finds(&esv1.Find{Path: &path}))
	reads := w.externalSecret("reads", func(es *esv1.ExternalSecret) {
		es.Spec.Data[0].RemoteRef = esv1.RemoteRef{Key: "apps/db", Property: "k"}
	})
	alone := w.externalSecret("alone", finds(named("^elsewhere$")))
	w.create(below, twin, w.externalSecret("by-name", finds(named("db$"))), reads, alone)
	all := func(db string) {
		t.Helper()
		doc := `{"k":"` + db + `"}`
		for _, name := range []string{"below", "twin"} {
			w.holds(name, map[string]string{"apps_db": doc, "apps_web": `{"k":"web-` + canary + `"}`})
		}
		w.holds("by-name", map[string]string{"apps_db": doc})
		w.holds("reads", map[string]string{"password": db})
	}
	all("one-" + canary)
	w.ready("alone")
	apart := w.secret("alone").ResourceVersion
	force := func(es *esv1.ExternalSecret, turn string) {
		t.Helper()
		change(w, es, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{esv1.AnnotationForceSync: turn} })
	}
	put("apps/db", "two-"+canary)
	force(below, "1")
	all("two-" + canary)
	put("apps/db", "three-"+canary)
	force(reads, "1")
	all("three-" + canary)
	if now := w.secret("alone").ResourceVersion; now != apart {
		t.Error("an object that found another secret was written")
	}
	w.eventually("the status names what was found", func() error {
		got := w.ready("below").Status.Sources
		store := esv1.StoreRef{Kind: esv1.KindSecretStore, Name: "store"}
		if want := []esv1.Source{{StoreRef: store, Key: "apps/db", Version: "3"}, {StoreRef: store, Key: "apps/web", Version: "1"}}; !slices.Equal(got, want) {
			return fmt.Errorf("sources %+v, want %+v", got, want)
		}
		return nil
	})
}

func TestTheStatusNamesAHundredOfWhatWasFoundAndCountsTheRest(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.providers = builtin.All()
	var data []stores.FakeData
	for i := range 130 {
		data = append(data, stores.FakeData{Key: fmt.Sprintf("key-%03d", i), Value: "plain", Version: "v7"})
	}
	w.store("store", data...)
	w.start()
	w.create(w.externalSecret("many", func(es *esv1.ExternalSecret) {
		es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: named("^key-")}, {Find: named("^key-00")}}
	}))
	status := w.ready("many").Status
	if len(status.Sources) != 100 || status.MoreSources != 30 {
		t.Fatalf("%d sources and %d more, want 100 and 30", len(status.Sources), status.MoreSources)
	}
	if first := status.Sources[0]; first.Key != "key-000" || first.Version != "v7" || first.StoreRef.Name != "store" {
		t.Errorf("the first source is %+v", first)
	}
}

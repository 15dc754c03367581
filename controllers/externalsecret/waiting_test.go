package externalsecret

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/fake"
)

// TestOnlyWhoWaitsForAStoreIsWokenWhenItIsUp: what fails for another reason is tried again by its own backoff, however often the
// store comes and goes.
func TestOnlyWhoWaitsForAStoreIsWokenWhenItIsUp(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err, document error
		waits         bool
	}{
		"all was read":                    {},
		"the store is down":               {err: providers.Errorf(providers.ErrUnavailable, "down"), waits: true},
		"the store asks for time":         {err: &providers.ThrottledError{After: time.Minute}, waits: true},
		"an error of no class":            {err: errors.New("lost"), waits: true},
		"the store refuses":               {err: providers.Errorf(providers.ErrDenied, "no")},
		"a document does not exist":       {document: providers.Errorf(providers.ErrNotFound, "none")},
		"a property does not exist":       {document: providers.Errorf(providers.ErrPropertyNotFound, "none")},
		"a document cannot be had now":    {document: providers.Errorf(providers.ErrUnavailable, "down"), waits: true},
		"the error of a step that failed": {err: failed(providers.Errorf(providers.ErrInvalid, "no such query"))},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := New(Deps{})
			es := esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "db"}}
			list := []esv1.ExternalSecret{es}
			s := &scope{es: &es, documents: map[origin]providers.Result{{find: "a"}: {}, {find: "b"}: {Err: tt.document}, {find: "c"}: {}}}
			r.ask(s)
			if got := r.waiting(list); len(got) != 1 {
				t.Errorf("%d objects are woken while it asks, want it", len(got))
			}
			r.answered(s, tt.err)
			if got := r.waiting(list); (len(got) == 1) != tt.waits {
				t.Errorf("%d objects are woken, waits %v", len(got), tt.waits)
			}
		})
	}
}

// TestWhoReadsTooMuchIsNotWokenWhenAStoreIsUp: its stores have answered, and no store that comes back makes it smaller.
func TestWhoReadsTooMuchIsNotWokenWhenAStoreIsUp(t *testing.T) {
	t.Parallel()
	const documents = 10
	values := make([]stores.FakeData, documents)
	for i := range values {
		values[i] = stores.FakeData{Key: fmt.Sprint("large-", i), Value: strings.Repeat("x", maxDocuments/(documents-1))}
	}
	store := &esv1.SecretStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "store"},
		Spec:       esv1.SecretStoreSpec{Provider: stores.Provider{Fake: &stores.Fake{Data: values}}},
	}
	tests := map[string]func(*esv1.ExternalSecretSpec){
		"documents that it names": func(spec *esv1.ExternalSecretSpec) {
			for _, v := range values {
				spec.Data = append(spec.Data, esv1.Data{SecretKey: v.Key, RemoteRef: esv1.RemoteRef{Key: v.Key}})
			}
		},
		"what it looks for": func(spec *esv1.ExternalSecretSpec) {
			for _, v := range values {
				spec.DataFrom = append(spec.DataFrom, esv1.DataFrom{Find: &esv1.Find{Name: &esv1.FindName{RegExp: v.Key}}})
			}
		},
	}
	for name, reads := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := New(Deps{Sessions: sessions.New(sessions.Deps{Providers: []providers.Provider{&fake.Provider{}}})})
			es := esv1.ExternalSecret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "db"},
				Spec:       esv1.ExternalSecretSpec{SecretStoreRef: esv1.StoreRef{Name: "store"}},
			}
			reads(&es.Spec)
			s := &scope{es: &es, stores: map[esv1.StoreRef]client.Object{}, visit: r.lanes.visit(types.NamespacedName{Namespace: "team", Name: "db"})}
			for _, ref := range askedStores(&es.Spec) {
				s.stores[ref] = store
			}
			if err := r.fetch(t.Context(), s); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "more than 32 MiB together") {
				t.Fatalf("error %v, want that it reads too much", err)
			}
			if woken := r.waiting([]esv1.ExternalSecret{es}); len(woken) != 0 {
				t.Error("it is noted as one that waits for its stores' answers")
			}
		})
	}
}

package externalsecret

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/providers"
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

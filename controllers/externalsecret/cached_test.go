package externalsecret

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

func TestTheCacheKeepsAnObjectWithNoRoomForMore(t *testing.T) {
	t.Parallel()
	const text = `{"metadata":{"name":"a","annotations":{"note":"n"},"managedFields":[{"manager":"somebody"}]},
		"spec":{"secretStoreRef":{"name":"s"},"data":[{"secretKey":"a"},{"secretKey":"b"},{"secretKey":"c"},{"secretKey":"d"},{"secretKey":"e"}],
		"dataFrom":[{"extract":{"key":"a"}},{"extract":{"key":"b"}},{"extract":{"key":"c"}}]},
		"status":{"conditions":[{"type":"Ready"},{"type":"Deleted"},{"type":"Ready"}]}}`
	decoded := func() *esv1.ExternalSecret {
		es := &esv1.ExternalSecret{}
		if err := json.Unmarshal([]byte(text), es); err != nil {
			t.Fatal(err)
		}
		return es
	}
	want := decoded()
	want.ManagedFields = nil
	got, err := Cached(decoded())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("the cache changes an object:", diff)
	}
	es, ok := got.(*esv1.ExternalSecret)
	if !ok || cap(es.Spec.Data) != 5 || cap(es.Spec.DataFrom) != 3 || cap(es.Status.Conditions) != 3 {
		t.Errorf("room for %d, %d and %d, want 5, 3 and 3", cap(es.Spec.Data), cap(es.Spec.DataFrom), cap(es.Status.Conditions))
	}
	if nothing, err := Cached(&esv1.ExternalSecret{}); err != nil || nothing.(*esv1.ExternalSecret).Spec.Data != nil {
		t.Error("an object without entries has become one with none of them:", err)
	}
}

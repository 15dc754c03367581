package keyring_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/crypto/keyring"
)

func TestANamespaceWithKeysOfItsOwnHasNoOthers(t *testing.T) {
	t.Parallel()
	pair := func(age time.Duration) *keyring.Pair {
		p, err := keyring.Generate(keyring.Options{Bits: 1024, NotBefore: time.Now().Add(-age)})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	newest, old, tenant := pair(0), pair(2*time.Hour), pair(time.Hour)
	common, own := keyring.New(newest, old), keyring.New(tenant)
	both := own.Then(common)
	ring := common.WithNamespaces(map[string]*keyring.Ring{"a": own, "b": both})
	names := func(r *keyring.Ring) []string {
		var out []string
		for k := range r.All() {
			out = append(out, k.Fingerprint())
		}
		return out
	}
	for namespace, want := range map[string][]string{
		"a": {tenant.Fingerprint()},
		"b": {tenant.Fingerprint(), newest.Fingerprint(), old.Fingerprint()}, // its own first, though it is older
		"c": {newest.Fingerprint(), old.Fingerprint()},
		"":  {newest.Fingerprint(), old.Fingerprint()},
	} {
		if diff := cmp.Diff(want, names(ring.For(namespace))); diff != "" {
			t.Errorf("%q:\n%s", namespace, diff)
		}
		if sealedTo, _ := ring.For(namespace).Newest(); sealedTo.Fingerprint() != want[0] {
			t.Errorf("%q seals to another key", namespace)
		}
	}
	if ring.For("a") != own || ring.For("c") != ring {
		t.Error("the ring of a namespace is another one each time")
	}
	var listed []string
	for namespace := range ring.Namespaces() {
		listed = append(listed, namespace)
	}
	if !slices.Equal(listed, []string{"a", "b"}) {
		t.Errorf("%q", listed)
	}
	if n := own.Then(common).Then(common).Len(); n != 3 {
		t.Errorf("%d keys of three", n)
	}
	if (*keyring.Ring)(nil).For("a") != nil || (*keyring.Ring)(nil).WithNamespaces(nil).Len() != 0 {
		t.Error("a ring that was never read has keys")
	}
}

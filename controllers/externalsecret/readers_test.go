package externalsecret

import (
	"cmp"
	"slices"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

func TestReadersAreKnownHoweverOftenTheyAreNoted(t *testing.T) {
	t.Parallel()
	const db, web uint32 = 1, 2
	object := func(name string) types.NamespacedName { return types.NamespacedName{Namespace: "ns", Name: name} }
	a, b, c := object("a"), object("b"), object("c")
	type step struct {
		object   types.NamespacedName
		was, now []uint32
	}
	for name, test := range map[string]struct {
		steps   []step
		db, web []types.NamespacedName
	}{
		"nobody":                           {},
		"one":                              {steps: []step{{a, nil, []uint32{db}}}, db: []types.NamespacedName{a}},
		"one, with its event and its run":  {steps: []step{{a, nil, []uint32{db}}, {a, nil, []uint32{db}}}, db: []types.NamespacedName{a}},
		"several":                          {steps: []step{{a, nil, []uint32{db}}, {b, nil, []uint32{db, web}}, {c, nil, []uint32{db}}}, db: []types.NamespacedName{a, b, c}, web: []types.NamespacedName{b}},
		"several, noted twice":             {steps: []step{{a, nil, []uint32{db}}, {b, nil, []uint32{db}}, {b, nil, []uint32{db}}, {a, nil, []uint32{db}}}, db: []types.NamespacedName{a, b}},
		"one of several is gone":           {steps: []step{{a, nil, []uint32{db}}, {b, nil, []uint32{db}}, {a, []uint32{db}, nil}}, db: []types.NamespacedName{b}},
		"all of several are gone":          {steps: []step{{a, nil, []uint32{db}}, {b, nil, []uint32{db}}, {a, []uint32{db}, nil}, {b, []uint32{db}, nil}}},
		"and one comes back":               {steps: []step{{a, nil, []uint32{db}}, {b, nil, []uint32{db}}, {a, []uint32{db}, nil}, {b, []uint32{db}, nil}, {a, nil, []uint32{db}}}, db: []types.NamespacedName{a}},
		"one reads another document":       {steps: []step{{a, nil, []uint32{db}}, {a, []uint32{db}, []uint32{web}}}, web: []types.NamespacedName{a}},
		"one reads another document, too":  {steps: []step{{a, nil, []uint32{db}}, {a, []uint32{db}, []uint32{db, web}}}, db: []types.NamespacedName{a}, web: []types.NamespacedName{a}},
		"another that never read it stops": {steps: []step{{a, nil, []uint32{db}}, {b, []uint32{db}, nil}}, db: []types.NamespacedName{a}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r readers
			for _, s := range test.steps {
				r.replace(s.object, s.was, s.now)
			}
			for document, want := range map[uint32][]types.NamespacedName{db: test.db, web: test.web} {
				got := r.of(document)
				slices.SortFunc(got, func(a, b types.NamespacedName) int { return cmp.Compare(a.Name, b.Name) })
				if !slices.Equal(got, want) {
					t.Errorf("document %d is read by %v, want %v", document, got, want)
				}
			}
		})
	}
}

func TestADocumentOfAStoreOfANamespaceIsNotThatOfAnother(t *testing.T) {
	t.Parallel()
	of := func(kind, namespace string) uint32 {
		es := &esv1.ExternalSecret{}
		es.Namespace = namespace
		es.Spec.SecretStoreRef = esv1.StoreRef{Kind: kind, Name: "store"}
		es.Spec.Data = []esv1.Data{{RemoteRef: esv1.RemoteRef{Key: "db"}}}
		if got := documentsOf(es); len(got) != 1 || got[0] != documentHash(cmp.Or(kind, esv1.KindSecretStore), namespace, "store", "db") {
			t.Errorf("%s in %s: %v", kind, namespace, got)
		}
		return documentsOf(es)[0]
	}
	if of(esv1.KindSecretStore, "a") == of(esv1.KindSecretStore, "b") || of(esv1.KindSecretStore, "a") == of(esv1.KindClusterSecretStore, "a") {
		t.Error("stores of their own have a document in common")
	}
	if of(esv1.KindClusterSecretStore, "a") != of(esv1.KindClusterSecretStore, "b") {
		t.Error("a store that all use has a document for each namespace")
	}
	if of("", "a") != of(esv1.KindSecretStore, "a") {
		t.Error("a store without a kind is not that of the namespace")
	}
}

// Two words of the same hash are found by trying.
func TestWhoReadsSomethingElseOfTheSameHashIsNoReader(t *testing.T) {
	t.Parallel()
	seen := map[uint32]string{}
	var one, other string
	for i := 0; one == ""; i++ {
		word := strconv.Itoa(i)
		hash := documentHash(esv1.KindClusterSecretStore, "", "store", word)
		if was, ok := seen[hash]; ok {
			one, other = was, word
		}
		seen[hash] = word
	}
	es := &esv1.ExternalSecret{}
	es.Spec.SecretStoreRef = esv1.StoreRef{Kind: esv1.KindClusterSecretStore, Name: "store"}
	es.Spec.Data = []esv1.Data{{RemoteRef: esv1.RemoteRef{Key: one}}}
	if !reads(es, esv1.KindClusterSecretStore, "store", one) || reads(es, esv1.KindClusterSecretStore, "store", other) {
		t.Errorf("%s and %s are taken for one another", one, other)
	}
}

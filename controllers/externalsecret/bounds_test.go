package externalsecret

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/providers"
)

// entriesFor returns a spec that reads one document n times with data and m times with extract.
func entriesFor(n, m int) *esv1.ExternalSecretSpec {
	ref := esv1.RemoteRef{Key: "doc", Property: "p"}
	spec := &esv1.ExternalSecretSpec{SecretStoreRef: esv1.StoreRef{Name: "s"}}
	for i := range n {
		spec.Data = append(spec.Data, esv1.Data{SecretKey: fmt.Sprintf("k%04d", i), RemoteRef: ref})
	}
	for range m {
		spec.DataFrom = append(spec.DataFrom, esv1.DataFrom{Extract: &ref})
	}
	return spec
}

// One document of a megabyte that a thousand entries name would be a gigabyte.
func TestWhatAllEntriesTakeOfTheirDocumentsHasABound(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	large := strings.Repeat("x", mib-providers.SizeOf(map[string]string{"k0000": ""}))
	tiny := fields{}
	for i := range maxValues / providers.SizeOf(map[string]string{"0000000": "x"}) {
		tiny[fmt.Sprintf("%07d", i)] = "x"
	}
	tests := map[string]struct {
		spec *esv1.ExternalSecretSpec
		doc  fields
		at   string
	}{
		"all that is allowed":        {entriesFor(16, 0), fields{"p": large}, ""},
		"one entry too many":         {entriesFor(17, 0), fields{"p": large}, "spec.data[16] (k0016)"},
		"data and extract":           {entriesFor(15, 2), fields{"p": large}, "spec.data[14] (k0014)"},
		"as many fields as allowed":  {entriesFor(0, 1), tiny, ""},
		"fields are counted as such": {entriesFor(0, 2), tiny, "spec.dataFrom[1].extract"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var err error
			synctest.Test(t, func(t *testing.T) { // in which no time passes that a busy machine takes
				_, _, err = valuesOf(t, tt.spec, map[origin]providers.Result{entriesOf(tt.spec)[0].origin: {Document: tt.doc}})
			})
			switch {
			case tt.at == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.at != "" && (!errors.Is(err, providers.ErrInvalid) || !strings.HasPrefix(err.Error(), tt.at+": the values of this entry and those before it have more than 16 MiB together; read less")):
				t.Errorf("error %v, want one at %s", err, tt.at)
			}
		})
	}
}

func TestWhatIsReadHasABound(t *testing.T) {
	t.Parallel()
	documents := map[origin]providers.Result{{ref: providers.Ref{Key: "missing"}}: {Err: providers.ErrNotFound}}
	for i := range 4 {
		documents[origin{ref: providers.Ref{Key: fmt.Sprint(i)}}] = providers.Result{Document: weight(maxDocuments / 4)}
	}
	if _, err := fits(documents); err != nil {
		t.Errorf("as much as is allowed: %v", err)
	}
	documents[origin{ref: providers.Ref{Key: "more"}}] = providers.Result{Document: weight(1)}
	if _, err := fits(documents); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("a byte more: %v", err)
	}
}

// weight is a document of a size.
type weight int

func (w weight) Size() int                                         { return int(w) }
func (w weight) Value(string) (providers.Value, error)             { return providers.Value{}, nil }
func (w weight) Fields(string) (map[string]providers.Value, error) { return nil, nil } //nolint:nilnil // it is for its size only

// slow is a document whose parts take a while to be found.
type slow struct {
	fields
	asked *int
}

func (s slow) Value(property string) (providers.Value, error) {
	*s.asked++
	time.Sleep(maxTaking * 2 / 5)
	return s.fields.Value(property)
}

func TestWhatTakesTooLongToBeFoundIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, spec := 0, entriesFor(1000, 0)
		_, _, err := valuesOf(t, spec, map[origin]providers.Result{entriesOf(spec)[0].origin: {Document: slow{fields{"p": "x"}, &asked}}})
		if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "more than 10s to be put together; read less") || asked != 3 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
}

func TestWhatTakesTooLongToBeNamedIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := taking(t.Context())
	cancel()
	one := finding{entry: entriesOf(entriesFor(0, 1))[0], fields: map[string][]byte{"a": []byte("x")}}
	if values, err := assemble(ctx, newRenderer(nil), []finding{one}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", values, err)
	}
}

func TestLargeDocumentsAreTakenApartInTurn(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		documents int
		size      weight
		inTurn    bool
	}{
		"one that is not large":      {1, large.Answer, false},
		"one that is":                {1, large.Answer + 1, true},
		"some that are not together": {16, large.Together / 16, false},
		"one more of them":           {17, large.Together / 16, true},
	} {
		documents := map[origin]providers.Result{{ref: providers.Ref{Key: "missing"}}: {Err: providers.ErrNotFound}}
		for i := range tt.documents {
			documents[origin{ref: providers.Ref{Key: fmt.Sprint(i)}}] = providers.Result{Document: tt.size}
		}
		if inTurn, err := fits(documents); err != nil || inTurn != tt.inTurn {
			t.Errorf("%s: %v, %v", name, inTurn, err)
		}
	}
}

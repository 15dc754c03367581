package reading_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
	"github.com/sealbridge/sealbridge/providers/providertest"
)

func TestEachDistinctRefIsReadOnceAndAnsweredInItsPlace(t *testing.T) {
	t.Parallel()
	var reads atomic.Int64
	crowd := providertest.NewCrowd(2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	refs := []providers.Ref{{Key: "a"}, {Key: "bad"}, {Key: "a"}, {Key: "a", Version: "1"}, {Key: "b"}, {Key: "c"}, {Key: "d"}}
	results, err := reading.Each(refs, 2, func(ref providers.Ref) (providers.Result, error) {
		reads.Add(1)
		crowd.Join(ctx)
		if ref.Key == "bad" {
			return providers.Result{Version: "none"}, providers.ErrNotFound
		}
		return providers.Result{Version: ref.Key + ref.Version}, nil
	})
	if err != nil || len(results) != len(refs) {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for i, ref := range refs {
		if ref.Key == "bad" {
			if !errors.Is(results[i].Err, providers.ErrNotFound) || results[i].Version != "" {
				t.Errorf("ref %d: %+v", i, results[i])
			}
			continue
		}
		if results[i].Err != nil || results[i].Version != ref.Key+ref.Version {
			t.Errorf("ref %d: %+v", i, results[i])
		}
	}
	if reads.Load() != 6 || crowd.Most() != 2 {
		t.Errorf("%d reads, %d at once; want 6 and 2", reads.Load(), crowd.Most())
	}
}

func TestABackendThatIsDownHasNoResults(t *testing.T) {
	t.Parallel()
	down := providers.Errorf(providers.ErrUnavailable, "down")
	results, err := reading.Each([]providers.Ref{{Key: "a"}, {Key: "b"}}, 2, func(providers.Ref) (providers.Result, error) { return providers.Result{}, down })
	if results != nil || !errors.Is(err, down) {
		t.Errorf("%v, %v", results, err)
	}
}

func TestABackendIsDownWhenItAnsweredNothingAtAll(t *testing.T) {
	t.Parallel()
	failed := func(errs ...error) []providers.Result {
		out := make([]providers.Result, len(errs))
		for i, err := range errs {
			out[i].Err = err
		}
		return out
	}
	throttled := &providers.ThrottledError{}
	for name, tc := range map[string]struct {
		results []providers.Result
		want    error
	}{
		"nothing asked":                 {},
		"an answer":                     {results: failed(nil)},
		"an answer besides":             {results: failed(providers.ErrUnavailable, nil)},
		"a refusal besides":             {results: failed(throttled, providers.ErrDenied)},
		"nothing answered":              {failed(providers.ErrUnavailable, throttled), providers.ErrUnavailable},
		"it asks to be left alone":      {failed(throttled), throttled},
		"what is missing is an answer":  {results: failed(providers.ErrNotFound)},
		"what is invalid is an answer":  {results: failed(providers.ErrInvalid, providers.ErrUnavailable)},
		"without a class is no outage":  {results: failed(errors.New("x"))},
		"a property that is not there":  {results: failed(providers.ErrPropertyNotFound)},
		"all refused is no outage, too": {results: failed(providers.ErrDenied, providers.ErrDenied)},
	} {
		if err := reading.Down(tc.results); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

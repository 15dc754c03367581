package sessions

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

func TestWhatIsAskedAtOnceIsReadInPortions(t *testing.T) {
	t.Parallel()
	down := providers.Errorf(providers.ErrUnavailable, "down")
	throttled := fmt.Errorf("x: %w", &providers.ThrottledError{After: time.Minute})
	large := text(strings.Repeat("x", maxFetched/maxRequests))
	tests := map[string]struct {
		refs, batch int
		// errs are those of portions, by their number.
		errs map[int]error
		doc  text
		// portions are how many refs were asked for at once, failed are the places of those that could not be read.
		portions []int
		failed   []int
		with, is error
	}{
		"nothing":                              {},
		"one portion":                          {refs: 16, doc: "x", portions: []int{16}},
		"one more":                             {refs: 17, doc: "x", portions: []int{16, 1}},
		"several in one request":               {refs: 321, batch: 20, doc: "x", portions: []int{320, 1}},
		"all that may be read":                 {refs: 33, doc: large, portions: []int{16, 16}, failed: []int{32}, with: errTooMuch},
		"what comes after is not asked for":    {refs: 50, doc: large + "x", portions: []int{16}, failed: upTo(16, 50), with: errTooMuch},
		"a portion that fails is not all":      {refs: 40, doc: "x", errs: map[int]error{0: down}, portions: []int{16, 16, 8}, failed: upTo(0, 16), with: down},
		"the last fails":                       {refs: 17, doc: "x", errs: map[int]error{1: down}, portions: []int{16, 1}, failed: []int{16}, with: down},
		"all that fail are one failure":        {refs: 17, errs: map[int]error{0: down, 1: down}, portions: []int{16, 1}, is: down},
		"who asks for time is left alone":      {refs: 40, doc: "x", errs: map[int]error{1: throttled}, portions: []int{16, 16}, failed: upTo(16, 40), with: throttled},
		"who asks for time at once, even more": {refs: 40, doc: "x", errs: map[int]error{0: throttled}, portions: []int{16}, is: throttled},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refs := make([]providers.Ref, tc.refs)
			for i := range refs {
				refs[i].Key = fmt.Sprint(i)
			}
			var portions []int
			results, err := inPortions(refs, tc.batch, func(portion []providers.Ref) ([]providers.Result, error) {
				portions = append(portions, len(portion))
				if err := tc.errs[len(portions)-1]; err != nil {
					return nil, err
				}
				out := make([]providers.Result, len(portion))
				for i, ref := range portion {
					out[i] = providers.Result{Document: tc.doc, Version: ref.Key}
				}
				return out, nil
			})
			if !slices.Equal(portions, tc.portions) || !errors.Is(err, tc.is) || err != nil && tc.is == nil {
				t.Errorf("portions %v, error %v; want %v and %v", portions, err, tc.portions, tc.is)
			}
			if err != nil {
				return
			}
			var failed []int
			for i, r := range results {
				if r.Err == nil && r.Version != refs[i].Key {
					t.Errorf("result %d is that of %s", i, r.Version)
				}
				if r.Err != nil {
					failed = append(failed, i)
					if !errors.Is(r.Err, tc.with) {
						t.Errorf("result %d failed with %v", i, r.Err)
					}
				}
			}
			if len(results) != len(refs) || !slices.Equal(failed, tc.failed) {
				t.Errorf("%d results, of which %v failed; want %d and %v", len(results), failed, len(refs), tc.failed)
			}
		})
	}
}

// upTo returns the numbers from one to before another.
func upTo(from, to int) []int {
	out := make([]int, 0, to-from)
	for i := range to - from {
		out = append(out, from+i)
	}
	return out
}

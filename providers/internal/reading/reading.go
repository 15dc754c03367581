// Package reading is what providers have in common when they read: the documents of one Fetch, for backends that answer one in a
// request, and the fields of documents that are JSON.
//
// It takes refs and what reads one of them, and gives back the results in the order of the refs, or the one error that
// Session.Fetch returns when the backend answered nothing at all.
package reading

import (
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/sealbridge/sealbridge/providers"
)

// Each reads each distinct ref once, at most parallel of them at a time: the i-th result answers refs[i]. An error of read is
// that of its result. Errors as for Down.
func Each(refs []providers.Ref, parallel int, read func(providers.Ref) (providers.Result, error)) ([]providers.Result, error) {
	results := make(map[providers.Ref]*providers.Result, len(refs))
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, ref := range refs {
		if results[ref] != nil {
			continue
		}
		result := new(providers.Result)
		results[ref] = result
		group.Go(func() error {
			var err error
			if *result, err = read(ref); err != nil {
				*result = providers.Result{Err: err}
			}
			return nil
		})
	}
	_ = group.Wait() // each error is in its result
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		out[i] = *results[ref]
	}
	if err := Down(out); err != nil {
		return nil, err
	}
	return out, nil
}

// Down returns the first error when the backend answered nothing at all, and nil when it answered anything or was asked
// nothing.
func Down(results []providers.Result) error {
	for _, r := range results {
		if !IsDown(r.Err) {
			return nil
		}
	}
	if len(results) == 0 {
		return nil
	}
	return results[0].Err
}

// IsDown reports whether an error says that the backend did not answer, or asks to be left alone.
func IsDown(err error) bool {
	throttled := new(providers.ThrottledError)
	return errors.Is(err, providers.ErrUnavailable) || errors.As(err, &throttled)
}

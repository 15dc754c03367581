// Package reading is what providers have in common when they read: the documents of one Fetch, for backends that answer one in a
// request, and the fields of documents that are JSON.
//
// It takes refs and what reads one of them, and gives back the results in the order of the refs, or the one error that
// Session.Fetch returns when the backend answered nothing at all.
package reading

import (
	"errors"

	"github.com/sealbridge/sealbridge/providers"
)

// Each reads each distinct ref once, at most parallel of them at a time: the i-th result answers refs[i]. An error of read is
// that of its result. Errors as for Down.
func Each(refs []providers.Ref, parallel int, read func(providers.Ref) (providers.Result, error)) ([]providers.Result, error) {
	distinct, at := Distinct(refs, func(ref providers.Ref) providers.Ref { return ref })
	results := make([]providers.Result, len(distinct))
	AtOnce(len(distinct), parallel, func(i int) {
		var err error
		if results[i], err = read(distinct[i]); err != nil {
			results[i] = providers.Result{Err: err}
		}
	})
	out := make([]providers.Result, len(refs))
	for i := range refs {
		out[i] = results[at[i]]
	}
	if err := Down(out); err != nil {
		return nil, err
	}
	return out, nil
}

// Distinct returns what refs ask for, each once and in the order of its first ref, and for each ref at which place that is. of says what
// makes two refs ask for the same.
func Distinct[K comparable](refs []providers.Ref, of func(providers.Ref) K) (distinct []K, at []int) {
	places, at := make(map[K]int, len(refs)), make([]int, len(refs))
	for i, ref := range refs {
		k := of(ref)
		if _, ok := places[k]; !ok {
			places[k] = len(distinct)
			distinct = append(distinct, k)
		}
		at[i] = places[k]
	}
	return distinct, at
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

// IsDown reports whether an error says that the backend did not answer, or asks to be left alone. One that answers another question
// is not down.
func IsDown(err error) bool {
	throttled, other := new(providers.ThrottledError), new(crossed)
	return errors.Is(err, providers.ErrUnavailable) && !errors.As(err, &other) || errors.As(err, &throttled)
}

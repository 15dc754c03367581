package sessions

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/providers"
)

const (
	// maxRequests is how many requests a provider is made to make before what it has read is weighed.
	maxRequests = 16
	// maxFetched bounds the documents of one call together, in bytes. What one answer may have, its provider bounds.
	maxFetched = 32 << 20
)

// errTooMuch is the error of a document that is not asked for any more.
var errTooMuch = providers.Errorf(providers.ErrInvalid,
	"not read, because the documents that were asked for before it have more than %d MiB together; read fewer large documents with one ExternalSecret", maxFetched>>20)

// errLate is the error of a document that was not asked for any more, or whose request was broken off, because the store did not answer
// in time or the time that all have was over.
var errLate = providers.Errorf(providers.ErrUnavailable,
	"not read in time, because the documents that were asked for before it took most of it; it is tried again: read fewer documents with one ExternalSecret")

// busy is the error of what is not asked for because its turn has not come.
func busy() error { return providers.Errorf(providers.ErrUnavailable, "not read: %w", large.ErrBusy) }

// portionOf is how many documents are asked for before what was read is weighed.
func portionOf(batch int) int { return maxRequests * max(batch, 1) }

// inPortions asks for refs a few at a time, so that the answers to all of them together cannot fill the memory: what comes after
// maxFetched bytes is not asked for, and neither is what comes after a portion for which the backend asks for time or which takes longer
// than each may, or after the time of the context. All portions together may take no longer than that since others wait for their turn
// with large documents. It fails when the backend answers no portion; where it answers some, the results of the
// others have the error.
func inPortions(
	ctx context.Context, refs []providers.Ref, batch int, each time.Duration, fetch func(context.Context, []providers.Ref) ([]providers.Result, error),
) ([]providers.Result, error) {
	out := make([]providers.Result, 0, len(refs))
	size, answered, late := 0, len(refs) == 0, false
	var failure error
	var end time.Time
	for portion := range slices.Chunk(refs, portionOf(batch)) {
		var results []providers.Result
		var err error
		if end.IsZero() || !large.Taken(ctx) {
			end = time.Now().Add(each)
		}
		within, cancel := context.WithDeadline(ctx, end)
		switch {
		case size > maxFetched:
			err = errTooMuch
		case throttles(failure):
			err = failure
		case late || len(out) > 0 && isOver(ctx):
			err = errLate
		case size > large.Together && large.Take(within) != nil:
			err = busy()
		default:
			results, err = fetch(within, portion)
			if late = isOver(within); err != nil {
				failure = err
				if late && len(out) > 0 {
					err = errLate
				}
			}
		}
		cancel()
		if err != nil {
			results = slices.Repeat([]providers.Result{{Err: err}}, len(portion))
		}
		answered = answered || err == nil
		for _, r := range results {
			if r.Err == nil {
				size += r.Document.Size()
			}
		}
		out = append(out, results...)
	}
	if !answered {
		return nil, failure
	}
	return out, nil
}

func isOver(ctx context.Context) bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }

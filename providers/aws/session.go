package aws

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// parallel is how many requests of one Fetch run at once.
const parallel = 8

// session is what the sessions of all services have.
type session struct {
	api    api
	prefix string
	// single is set once the identity turns out not to have the right to read several documents at once.
	single atomic.Bool
}

// Expires implements providers.Expirer.
func (s *session) Expires() time.Time { return s.api.Identity.Expires() }

// Close ends the connections.
func (s *session) Close() error {
	s.api.HTTP.Close()
	return nil
}

// checkTimeout bounds the wait for an STS that may be out of reach for good.
const checkTimeout = 5 * time.Second

// Check implements providers.Checker. Credentials that AWS gave when the session was opened are good until they end. Others
// are shown to AWS STS, which needs no right: where it cannot be reached, as in some private networks, they are taken for
// good, because a store that works must not be called broken.
func (s *session) Check(ctx context.Context) error {
	if s.api.Identity.Proven {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, err := s.api.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err == nil {
		return nil
	}
	err = s.api.Explain(err, awsidentity.Operation{Action: "sts:GetCallerIdentity", On: "the identity"})
	if errors.Is(err, providers.ErrDenied) {
		return err
	}
	return nil // it says nothing about the credentials
}

// reader reads the documents of one service.
type reader interface {
	// read reads one document.
	read(ctx context.Context, ref providers.Ref) (providers.Result, error)
	// readAll reads documents that may be read together, at most Batch of them: the i-th result answers refs[i]. The error says
	// that the request failed as a whole.
	readAll(ctx context.Context, refs []providers.Ref) ([]providers.Result, error)
	Batch() int
}

// whole returns refs with the names that AWS knows: the prefix of the store before each key. No request depends on a property.
func (s *session) whole(refs []providers.Ref) []providers.Ref {
	out := make([]providers.Ref, len(refs))
	for i, ref := range refs {
		out[i] = providers.Ref{Key: s.prefix + ref.Key, Version: ref.Version, Metadata: ref.Metadata}
	}
	return out
}

// fetch reads each distinct ref once. What cannot be read together is read one by one after all else, so that no more than parallel
// requests run at once.
func (s *session) fetch(ctx context.Context, refs []providers.Ref, from reader) ([]providers.Result, error) {
	requests := plan(refs, from.Batch())
	answers, refused := make([][]providers.Result, len(requests)), make([]error, len(requests))
	reading.AtOnce(len(requests), parallel, func(i int) { answers[i], refused[i] = s.ask(ctx, requests[i], from) })
	s.readRefused(ctx, requests, refused, answers, from)
	read := make(map[providers.Ref]providers.Result, len(refs))
	for i, request := range requests {
		for k, ref := range request {
			read[ref] = answers[i][k]
		}
	}
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		out[i] = read[ref]
	}
	if err := reading.Down(out); err != nil {
		return nil, err
	}
	return out, nil
}

// plan divides the distinct refs into requests: those for the current content of documents by size, each of the others alone.
func plan(refs []providers.Ref, size int) [][]providers.Ref {
	seen := make(map[providers.Ref]bool, len(refs))
	var together []providers.Ref
	var requests [][]providers.Ref
	for _, ref := range refs {
		switch {
		case seen[ref]:
			continue
		case size > 1 && ref.Version == "" && !ref.Metadata && ref.Key != "":
			together = append(together, ref)
		default:
			requests = append(requests, []providers.Ref{ref})
		}
		seen[ref] = true
	}
	return slices.AppendSeq(requests, slices.Chunk(together, max(size, 1)))
}

// ask makes one request. The error says that AWS refuses to answer what it was asked for together.
func (s *session) ask(ctx context.Context, refs []providers.Ref, from reader) ([]providers.Result, error) {
	if len(refs) == 1 {
		return []providers.Result{s.readOne(ctx, refs[0], from)}, nil
	}
	out, err := from.readAll(ctx, refs)
	if err != nil && (reading.IsDown(err) || awsidentity.IsUnknown(err)) {
		return slices.Repeat([]providers.Result{{Err: err}}, len(refs)), nil
	}
	return out, err
}

// readRefused puts into answers what is read one by one because it was refused together.
func (s *session) readRefused(ctx context.Context, requests [][]providers.Ref, refused []error, answers [][]providers.Result, from reader) {
	var alone []providers.Ref
	for i, err := range refused {
		if err != nil {
			alone = append(alone, requests[i]...)
		}
	}
	read := s.readEach(ctx, alone, from)
	for i, err := range refused {
		if err == nil {
			continue
		}
		n := len(requests[i])
		answers[i], read = read[:n], read[n:]
		explains := func(r providers.Result) bool { return errors.Is(r.Err, providers.ErrDenied) || reading.IsDown(r.Err) }
		if errors.Is(err, providers.ErrDenied) && !slices.ContainsFunc(answers[i], explains) {
			s.single.Store(true) // no document is denied alone: it is the right to read several that is missing
		}
	}
}

// readEach reads documents one by one, some at a time.
func (s *session) readEach(ctx context.Context, refs []providers.Ref, from reader) []providers.Result {
	out := make([]providers.Result, len(refs))
	reading.AtOnce(len(refs), parallel, func(i int) { out[i] = s.readOne(ctx, refs[i], from) })
	return out
}

func (s *session) readOne(ctx context.Context, ref providers.Ref, from reader) providers.Result {
	if err := s.checkRef(ref); err != nil {
		return providers.Result{Err: err}
	}
	result, err := from.read(ctx, ref)
	if err != nil {
		return providers.Result{Err: err}
	}
	return result
}

// checkRef refuses what AWS could not be asked for.
func (s *session) checkRef(ref providers.Ref) error {
	if strings.TrimSpace(ref.Key) == "" {
		return s.api.Errorf(providers.ErrInvalid, "key %q names nothing", ref.Key)
	}
	return nil
}

// atOnce returns how many documents one request reads now, of those that it could.
func (s *session) atOnce(most int) int {
	if s.single.Load() {
		return 1
	}
	return most
}

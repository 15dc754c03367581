package sealedsecret

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/providers"
)

const (
	// freeTries is how many private-key operations may fail for an object before it needs its turn.
	freeTries = 8
	// maxWasted is how many private-key operations of a run may fail in its turn: about half a second of an idle core.
	// What is left is done in later runs, between those of other objects.
	maxWasted = 64
	// pause is between such runs.
	pause = 250 * time.Millisecond
	// deprecatedKey names spec.data in messages and in memory; no key of a Secret can be spelled so.
	deprecatedKey = "spec.data"
)

// open opens all values. The values that no known key opens are tried first, so that an object with one that cannot be
// opened costs nothing for the others, and a key that has failed for a value is never asked again for the same bytes.
func (c *Controller) open(ctx context.Context, s *scope) error {
	c.memory.opening(client.ObjectKeyFromObject(s.obj))
	common, _ := c.deps.Keys.Ring()
	ring := common.For(s.obj.Namespace)
	if ring.Len() == 0 {
		return flow.Stall(v1alpha1.ReasonUnsealFailed, providers.Errorf(providers.ErrInvalid,
			"there is no sealing key that can be used; see the log of the controller and the events of its key Secrets"))
	}
	values := sealedValues(s.whole)
	s.record.keep(digests(values, s))
	run := &opening{
		ownKeys: ring != common, scope: s, ring: ring, values: values, hint: s.obj.Status.SealingKey, count: c.meters.operations.Inc,
		turn: c.turn, lane: c.lane, recent: c.recent, free: freeTries,
	}
	if s.record.failing() {
		run.free = 0
	}
	defer run.end()
	s.opened = make(map[string][]byte, len(values))

	unknown, known := run.split()
	if err := run.openAll(ctx, unknown); err != nil {
		return err
	}
	if err := run.failure(); err != nil {
		return err
	}
	if err := run.openAll(ctx, known); err != nil {
		return err
	}
	if err := run.failure(); err != nil {
		return err
	}
	s.sealingKey = run.sealingKey
	return nil
}

// sealedValues returns the sealed values by key.
func sealedValues(obj *v1alpha1.SealedSecret) map[string]string {
	if len(obj.Spec.Data) > 0 {
		return map[string]string{deprecatedKey: string(obj.Spec.Data)}
	}
	return obj.Spec.EncryptedData
}

func digests(values map[string]string, s *scope) map[string][sha256.Size]byte {
	label := seal.Label(s.sealScope, s.obj.Namespace, s.obj.Name)
	prefix := append([]byte(s.sealScope+"\x00"), label...)
	prefix = append(prefix, 0)
	out := make(map[string][sha256.Size]byte, len(values))
	for key, value := range values {
		out[key] = sha256.Sum256(append(slices.Clip(prefix), value...))
	}
	return out
}

// opening is the work of one run on the values of one object.
type opening struct {
	scope  *scope
	ring   *keyring.Ring
	values map[string]string
	// ownKeys says that the object's namespace has keys of its own.
	ownKeys bool
	// hint is the key to try first where a value does not say to whom it is sealed, sealingKey the one that opened the
	// last value.
	hint, sealingKey string
	// wasted counts private-key operations that failed, free is how many may without the turn, count is told of every one.
	wasted, free int
	count        func()
	turn         turn
	hasTurn      bool
	recent       *recency
	// lane is for those who wait for an answer of somebody else.
	lane    *lane
	hasLane bool
}

// enterLane says whether the run may ask somebody else.
func (o *opening) enterLane() bool {
	if !o.hasLane {
		o.hasLane = o.lane.take(client.ObjectKeyFromObject(o.scope.obj))
	}
	return o.hasLane
}

// left returns how many further private-key operations of the run may fail; it takes the turn when it has to.
func (o *opening) left() int {
	if !o.hasTurn && o.wasted >= o.free {
		o.hasTurn = o.turn.take()
	}
	if o.hasTurn {
		return maxWasted - o.wasted
	}
	return o.free - o.wasted
}

// end gives turn and lane back.
func (o *opening) end() {
	if o.hasLane {
		o.lane.give()
	}
	if o.hasTurn {
		o.turn.give()
	}
}

// split returns the keys whose sealing key is not known, and those where it is, each in order.
func (o *opening) split() (unknown, known []string) {
	for _, key := range slices.Sorted(maps.Keys(o.values)) {
		if o.scope.record.attempts[key].opens == "" {
			unknown = append(unknown, key)
		} else {
			known = append(known, key)
		}
	}
	return unknown, known
}

// openAll opens the values of keys, or gives up for this run when too many operations have failed.
func (o *opening) openAll(ctx context.Context, keys []string) error {
	for _, key := range keys {
		a := o.scope.record.attempts[key]
		if a.hopeless(o.ring) {
			continue
		}
		err := o.openOne(ctx, key, a)
		for errors.Is(err, seal.ErrLimit) && o.left() > 0 {
			err = o.openOne(ctx, key, a) // the turn came
		}
		switch {
		case err == nil:
		case errors.Is(err, seal.ErrLimit):
			o.scope.unfinished = true
			return flow.Wait(reasonOpening, pause, errOpening)
		case seal.IsFault(err) && a.broken == nil:
			a.broken = err
		case errors.Is(err, seal.ErrNoKey):
			a.exhaust(o.ring)
		case errors.Is(err, keyring.ErrRetired):
			a.retired, a.retiredIn = err, o.ring
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errLane):
			o.scope.unfinished = true
			return flow.Wait(reasonOpening, lanePoll, errLane)
		default:
			return flow.Fail(v1alpha1.ReasonKeyUnavailable, providers.Errorf(providers.ErrUnavailable,
				"the sealing key cannot be asked now; it is tried again, and the Secret stays as it is: %w", err))
		}
	}
	return nil
}

// openOne opens one value with the keys that are left for it.
func (o *opening) openOne(ctx context.Context, key string, a *attempt) error {
	limit := o.left()
	if limit <= 0 {
		return seal.ErrLimit
	}
	hint := o.hint
	if a.opens != "" {
		hint = a.opens
	}
	left := &untried{opening: o, attempt: a}
	opener := seal.NewOpener(left, hint, limit)
	namespace, name := o.scope.obj.Namespace, o.scope.obj.Name
	var plaintext []byte
	var err error
	if key == deprecatedKey {
		plaintext, err = opener.OpenBytes(ctx, o.scope.sealScope, namespace, name, []byte(o.values[key]))
	} else {
		plaintext, err = opener.Open(ctx, o.scope.sealScope, namespace, name, o.values[key])
	}
	if errors.Is(err, seal.ErrNoKey) && left.unwrapped {
		a.broken = seal.ErrNoKey // the right key, and bytes that were changed
	}
	if err != nil {
		return err
	}
	o.hint, o.sealingKey = opener.Hint(), opener.Opened()
	a.opens, a.failed = o.sealingKey, nil
	o.recent.used(o.sealingKey)
	o.scope.opened[key] = plaintext
	return nil
}

// failure reports the values that cannot be opened, by cause and key; nil when there is none.
func (o *opening) failure() error {
	byCause := map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(o.values)) {
		a := o.scope.record.attempts[key]
		if !a.hopeless(o.ring) {
			continue
		}
		cause := a.cause(o.ring)
		byCause[cause] = append(byCause[cause], key)
	}
	if len(byCause) == 0 {
		return nil
	}
	var parts []string
	for _, cause := range slices.Sorted(maps.Keys(byCause)) {
		parts = append(parts, fmt.Sprintf("%s (%s)", cause, strings.Join(byCause[cause], ", ")))
	}
	certificate := "this cluster's certificate"
	if o.ownKeys {
		certificate = "the certificate of this namespace (/v1/cert.pem?namespace=" + o.scope.obj.Namespace + ")"
	}
	return flow.Stall(v1alpha1.ReasonUnsealFailed, providers.Errorf(providers.ErrInvalid,
		"%s: seal again with %s, as %s of %s/%s",
		strings.Join(parts, "; "), certificate, o.scope.sealScope, o.scope.obj.Namespace, o.scope.obj.Name))
}

// reasonOpening is of runs that are continued; it is never shown.
const reasonOpening = "Opening"

var (
	errOpening = errors.New("more sealing keys are left to try")
	errLane    = errors.New("others are asking the holder of the sealing key")
)

// untried gives an opener the keys that have not failed for a value, and notes those that do.
type untried struct {
	*opening
	attempt   *attempt
	unwrapped bool
}

// Candidates implements seal.Keys.
func (u *untried) Candidates(hint string) []keyring.Key {
	var left []keyring.Key
	for _, key := range u.ring.Candidates(hint) {
		if !u.attempt.tried(key.Fingerprint()) {
			left = append(left, observed{Key: key, by: u})
		}
	}
	u.recent.sort(left, hint)
	return left
}

// observed is a sealing key whose answers are noted.
type observed struct {
	keyring.Key
	by *untried
}

// Unwrap implements keyring.Key.
func (k observed) Unwrap(ctx context.Context, l keyring.Lock) ([]byte, error) {
	if _, remote := k.Key.(keyring.Remote); remote && !k.by.enterLane() {
		return nil, errLane
	}
	k.by.count()
	sessionKey, err := k.Key.Unwrap(ctx, l)
	switch {
	case err == nil:
		k.by.unwrapped = true
	case errors.Is(err, keyring.ErrWrongKey):
		k.by.wasted++
		if k.by.attempt.failed == nil {
			k.by.attempt.failed = map[string]bool{}
		}
		k.by.attempt.failed[k.Fingerprint()] = true
	}
	return sessionKey, err
}

package sealingkey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/internal/redact"
)

const (
	// recheck is how long the wall clock is trusted to go on as it does: timers do not notice when it is set, nor that
	// a machine slept.
	recheck = time.Hour
	// maxRetired bounds how many retired key Secrets may stand where a new one wants to.
	maxRetired = 100
)

// Order says which of several keys is the newest, the one that is sealed to. Its values are those of
// --key-order-priority of Sealed Secrets.
type Order string

// The orders of Sealed Secrets.
const (
	// OrderCertNotBefore goes by the start of the certificate's validity.
	OrderCertNotBefore Order = "CertNotBefore"
	// OrderSecretCreationTimestamp goes by the age of the Secret.
	OrderSecretCreationTimestamp Order = "SecretCreationTimestamp"
)

// ParseOrder returns the order of that name.
func ParseOrder(name string) (Order, error) {
	switch o := Order(name); o {
	case OrderCertNotBefore, OrderSecretCreationTimestamp:
		return o, nil
	default:
		return "", fmt.Errorf("%q is no order of keys; use %s or %s", name, OrderCertNotBefore, OrderSecretCreationTimestamp)
	}
}

// Renewal says when the newest key is followed by another. Older keys stay, because they open what was sealed to them.
type Renewal struct {
	// Period is the age at which a key is followed by another; zero means at no age.
	Period time.Duration
	// Cutoff is the time before which no key that is sealed to may have been made; zero means any. It counts from when
	// it has passed.
	Cutoff time.Time
}

// next returns when a newest key from a time is followed by another; false when never.
func (r Renewal) next(from time.Time) (time.Time, bool) {
	var next time.Time
	if r.Period > 0 {
		next = from.Add(r.Period)
	}
	if from.Before(r.Cutoff) && (next.IsZero() || r.Cutoff.Before(next)) {
		next = r.Cutoff
	}
	return next, !next.IsZero()
}

// since returns from when on the age of a newest key counts: its certificate's or its Secret's time, as the order says. A
// time in the future is the work of a clock that was wrong; then the other time counts, and when this process made a key
// for the last time, so that a wrong clock neither stops renewal nor makes a key after another.
func since(order Order, notBefore, created, made, now time.Time) time.Time {
	from := notBefore
	if order == OrderSecretCreationTimestamp {
		from = created
		if notBefore.After(created) && !notBefore.After(now) {
			from = notBefore // the clock of the API server is behind ours
		}
	}
	if !from.After(now) {
		return from
	}
	from = created
	if made.After(from) {
		from = made
	}
	if from.After(now) {
		return now
	}
	return from
}

// dueIn returns after what time the newest key of a kind and lineage is followed by another, not positive for at once;
// false when never.
func (c *Controller) dueIn(kind *kind, line *lineage, k keys) (time.Duration, bool) {
	newest, ok := kind.newest(line.ring)
	if !ok {
		return 0, false
	}
	now := c.deps.Now()
	from := since(c.deps.Order, newest.NotBefore(), k.created[newest.Fingerprint()], kind.made[line.id()], now)
	next, ok := c.deps.Renewal.next(from)
	return next.Sub(now), ok
}

// renew follows the newest key of each kind and lineage by another when that is due, and asks for a run when it will be.
func (c *Controller) renew(ctx context.Context, k keys) (reconcile.Result, error) {
	var out reconcile.Result
	for _, kind := range c.kinds {
		maps.DeleteFunc(kind.made, func(id string, _ time.Time) bool { return k.lineages[id] == nil })
		for _, id := range slices.Sorted(maps.Keys(k.lineages)) {
			next, err := c.renewOne(ctx, kind, id, k)
			if err != nil {
				return reconcile.Result{}, err
			}
			if after := next.RequeueAfter; after > 0 && (out.RequeueAfter == 0 || after < out.RequeueAfter) {
				out = next
			}
		}
	}
	return out, nil
}

// renewOne is renew for one kind and lineage. The new Secret's name comes from the key that it follows, so that a key has
// one successor, however many replicas take themselves for leaders.
func (c *Controller) renewOne(ctx context.Context, kind *kind, id string, k keys) (reconcile.Result, error) {
	wait, ok := c.dueIn(kind, k.lineages[id], k)
	if !ok {
		return reconcile.Result{}, nil
	}
	again := reconcile.Result{RequeueAfter: recheck}
	if wait > 0 {
		again.RequeueAfter = min(wait, recheck)
		return again, nil
	}
	// The cache may lag behind a key that was created a moment ago.
	secrets, err := c.keySecrets(ctx, kind, c.live)
	if err != nil {
		return reconcile.Result{}, err
	}
	k = load(secrets, c.deps.Order)
	line := k.lineages[id]
	if line == nil {
		return again, nil
	}
	if wait, ok = c.dueIn(kind, line, k); !ok || wait > 0 {
		return again, nil // the watch brings the key that made it so
	}
	if err := c.follow(ctx, kind, line); err != nil {
		return reconcile.Result{}, err
	}
	return again, nil
}

// force follows the newest common key of each kind by another because somebody asked the leader for it. Of two replicas that
// were asked, each would follow the other's key.
func (c *Controller) force(ctx context.Context) error {
	for _, kind := range c.kinds {
		secrets, err := c.keySecrets(ctx, kind, c.live)
		if err != nil {
			return err
		}
		common := load(secrets, c.deps.Order).lineages[""]
		if _, ok := kind.newest(common.ring); !ok {
			log.FromContext(ctx).Info("no new sealing key is made, because none that is there can be used; repair or remove their Secrets", "kind", kind.name)
		} else if err := c.follow(ctx, kind, common); err != nil {
			return err
		}
	}
	return nil
}

// follow makes the successor of the newest key of a kind and lineage.
func (c *Controller) follow(ctx context.Context, kind *kind, line *lineage) error {
	newest, _ := kind.newest(line.ring)
	// A certificate from the future, of a clock that was wrong, must not stay the newest.
	notBefore := c.deps.Now()
	if least := newest.NotBefore().Add(time.Second); notBefore.Before(least) {
		notBefore = least
	}
	if err := c.create(ctx, kind, line, c.nameAfter(kind, newest.Fingerprint()), notBefore); err != nil {
		return fmt.Errorf("renew the sealing key in namespace %s: %w", c.deps.Namespace, err)
	}
	return nil
}

// createFirst makes the first common key of a kind. Its Secret has a fixed name, so that of two replicas that both take themselves
// for the leader (a lease can run out while a key is being made) only one succeeds. The watch brings the key into the ring.
func (c *Controller) createFirst(ctx context.Context, kind *kind) error {
	// The cache may lag behind a key that was created a moment ago.
	secrets, err := c.keySecrets(ctx, kind, c.live)
	if err != nil || hasCommon(secrets) {
		return err
	}
	err = c.create(ctx, kind, &lineage{}, c.deps.Prefix+kind.infix+"-first", c.deps.Now())
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("create the first sealing key: namespace %s does not exist: create it, or name another with --namespace: %w", c.deps.Namespace, err)
	}
	if err != nil {
		return fmt.Errorf("create the first sealing key in namespace %s: %w", c.deps.Namespace, err)
	}
	return nil
}

// nameAfter returns the name of the key Secret that follows a key or a retired Secret.
func (c *Controller) nameAfter(kind *kind, identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return c.deps.Prefix + kind.infix + "-" + hex.EncodeToString(sum[:8])
}

// create makes a key whose Secret has a name, unless another replica was faster. A Secret of that name that is no active
// key (any more) was retired on purpose and stays: the new one is named after it.
func (c *Controller) create(ctx context.Context, kind *kind, line *lineage, name string, notBefore time.Time) error {
	for range maxRetired {
		var existing corev1.Secret
		err := c.live.Get(ctx, client.ObjectKey{Namespace: c.deps.Namespace, Name: name}, &existing)
		switch {
		case apierrors.IsNotFound(err):
			return c.generate(ctx, kind, line, name, notBefore)
		case err != nil:
			return redact.API(err)
		case kind.selects(&existing) && existing.DeletionTimestamp == nil:
			return nil
		}
		name = c.nameAfter(kind, string(existing.UID))
	}
	return errors.New("too many retired key Secrets follow one another; remove those that no SealedSecret needs")
}

func (c *Controller) generate(ctx context.Context, kind *kind, line *lineage, name string, notBefore time.Time) error {
	secret, fingerprint, err := kind.generate(c.deps, name, notBefore)
	if err != nil {
		return err
	}
	line.mark(secret, kind.label)
	err = c.writer.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		return nil // another replica was faster
	}
	if err != nil {
		return redact.API(err)
	}
	kind.made[line.id()] = c.deps.Now()
	log.FromContext(ctx).Info("sealing key created", "secret", name, "kind", kind.name, "fingerprint", fingerprint)
	return nil
}

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

const (
	busyObjects  = 5000
	busyInterval = time.Minute
)

// spread syncs many objects at once and measures how evenly their next refreshes come.
func spread(ctx context.Context, w *world) (*Report, error) {
	if err := w.fill(ctx, group{prefix: "own", objects: busyObjects, namespaces: 20, interval: busyInterval, own: true}); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if err := w.ready(ctx, w.objects); err != nil {
		return nil, err
	}
	synced := time.Since(start)
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	w.profile(ctx, "window", 30*time.Second)
	if err := w.pause(ctx, busyInterval); err != nil {
		return nil, err
	}
	got, err := w.since(before)
	if err != nil {
		return nil, err
	}
	const bucket = 5 * time.Second
	buckets := make([]float64, busyInterval/bucket)
	for _, req := range got.store {
		if i := int(req.At.Sub(before.at) / bucket); i >= 0 && i < len(buckets) {
			buckets[i]++
		}
	}
	mean := float64(len(got.store)) / float64(len(buckets))
	written, events := writes(got.calls)
	r := &Report{}
	r.Add("ExternalSecrets", float64(w.objects), "objects")
	r.Add("first sync of all, a store read each", synced.Seconds(), "s")
	r.Add("store requests in the interval after", float64(len(got.store)), "requests")
	r.Bound("peak of 5 s, as a multiple of the mean", slices.Max(buckets)/max(mean, 1), 1.5, "")
	r.Bound("writes, events among them", float64(written+events), 0, "requests")
	r.Add("controller CPU in the interval", got.cpu.Seconds(), "s")
	r.Add("controller peak memory", float64(got.peak)/mib, "MiB")
	return r, nil
}

// newWhileBusy makes everything due by a change of the store, and measures how soon new objects are Ready meanwhile.
func newWhileBusy(ctx context.Context, w *world) (*Report, error) {
	const tries, slowness = 20, 100 * time.Millisecond
	w.store.Delay(slowness)
	defer w.store.Delay(0)
	if err := w.touchStore(ctx); err != nil {
		return nil, err
	}
	for queued := 0; queued < w.objects*9/10; {
		var err error
		if queued, err = w.queued(ctx); err != nil {
			return nil, err
		}
		if err := w.pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
	g := group{prefix: "new", objects: tries, namespaces: 1, own: true}
	took := make([]float64, tries)
	for i := range took {
		es := g.secret(i)
		key := g.keys(i)[0]
		w.store.Put(key, fields(key))
		start := time.Now()
		if err := w.client.Create(ctx, es); err != nil {
			return nil, fmt.Errorf("create %s: %w", es.Name, err)
		}
		if err := w.ready(ctx, 1, client.MatchingFields{"metadata.name": es.Name}); err != nil {
			return nil, err
		}
		took[i] = time.Since(start).Seconds()
		if err := w.pause(ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
	}
	queued, err := w.queued(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(took)
	r := &Report{}
	r.Add("refreshes queued at the start", float64(w.objects), "objects")
	r.Add("refreshes queued at the end", float64(queued), "objects")
	r.Add("time of one answer of the store", slowness.Seconds(), "s")
	r.Add("until a new object is ready, median", took[tries/2], "s")
	r.Bound("until a new object is ready, 99th percentile of 20 (the slowest)", took[tries-1], 1, "s")
	if queued == 0 {
		return nil, fmt.Errorf("the queue was empty before the %d tries were over", tries)
	}
	return r, nil
}

// touchStore changes the store, so that all its users read again.
func (w *world) touchStore(ctx context.Context) error {
	store := &esv1.ClusterSecretStore{}
	if err := w.client.Get(ctx, client.ObjectKey{Name: storeName}, store); err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	store.Spec.Provider.Vault.Server += "/" // the same place in other words
	if err := w.client.Update(ctx, store); err != nil {
		return fmt.Errorf("change the store: %w", err)
	}
	return nil
}

// storeDown lets the store fail while all objects fall due several times, and measures what that does.
func storeDown(ctx context.Context, w *world) (*Report, error) {
	const objects, interval, outage = 2000, 10 * time.Second, 30 * time.Second
	if err := w.fill(ctx, group{prefix: "own", objects: objects, namespaces: 20, interval: interval, own: true}); err != nil {
		return nil, err
	}
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if err := w.ready(ctx, w.objects); err != nil {
		return nil, err
	}
	if err := w.pause(ctx, interval); err != nil {
		return nil, err
	}
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	w.store.Fail(503)
	if err := w.pause(ctx, outage); err != nil {
		return nil, err
	}
	down, err := w.since(before)
	if err != nil {
		return nil, err
	}
	kept, err := w.targets(ctx)
	if err != nil {
		return nil, err
	}
	up, err := w.mark()
	if err != nil {
		return nil, err
	}
	w.store.Fail(0)
	fresh, err := w.untilFresh(ctx, up)
	if err != nil {
		return nil, err
	}
	if err := w.ready(ctx, w.objects); err != nil {
		return nil, err
	}
	recovered := time.Since(up.at)
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	after, err := w.since(before)
	if err != nil {
		return nil, err
	}
	deleted := 0
	for _, c := range after.calls {
		if c.Verb == "delete" {
			deleted++
		}
	}
	written, events := writes(after.calls)
	r := &Report{}
	r.Add("ExternalSecrets", float64(w.objects), "objects")
	r.Bound("Secrets deleted or missing", float64(deleted+w.objects-kept), 0, "objects")
	r.Bound("store requests during the 30 s", float64(len(down.store)), 60, "requests")
	r.Bound("from the store's recovery until all have been read again", fresh.Seconds(), 10, "s")
	r.Bound("from the store's recovery until all are Ready", recovered.Seconds(), 10, "s")
	r.Add("writes per object, outage and recovery together", float64(written)/objects, "requests")
	r.Add("events per object", float64(events)/objects, "requests")
	r.Add("controller CPU", after.cpu.Seconds(), "s")
	return r, nil
}

// untilFresh returns how long it takes until each key of the store has been read again.
func (w *world) untilFresh(ctx context.Context, m mark) (time.Duration, error) {
	read, next := map[string]bool{}, m.store
	for {
		for _, req := range w.store.Requests(next) {
			next++
			if req.Kind == countingstore.Read && !req.Fault {
				read[req.Key] = true
			}
		}
		if len(read) >= w.objects {
			return time.Since(m.at), nil
		}
		if time.Since(m.at) > syncTimeout {
			return 0, fmt.Errorf("only %d of %d keys were read again", len(read), w.objects)
		}
		if err := w.pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

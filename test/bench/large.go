package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

// slowStore lets 50 workers read 5000 keys of a store that takes 100 ms for an answer, after a pause in which all have fallen
// due, and measures how many answers were waited for at once, and how soon it was the turn of an object that was made in the pause. No
// value of the others changes, so that nothing is written for them. It leaves a controller as the scenarios before had it.
func slowStore(ctx context.Context, w *world) (*Report, error) {
	const workers, slowness = 50, 100 * time.Millisecond
	w.stopController()
	if err := w.pause(ctx, busyInterval); err != nil {
		return nil, err
	}
	due := w.objects
	made := group{prefix: "made-meanwhile", objects: 1, namespaces: 1, interval: busyInterval, own: true}
	if err := w.fill(ctx, made); err != nil {
		return nil, err
	}
	w.args = []string{"--concurrent", fmt.Sprint(workers)}
	w.store.Delay(slowness)
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if _, err := w.untilFresh(ctx, before); err != nil {
		return nil, err
	}
	got, err := w.since(before)
	if err != nil {
		return nil, err
	}
	w.stopController()
	w.args = nil
	w.store.Delay(0)
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	written, events := writes(got.calls)
	othersWritten, othersEvents := writes(slices.DeleteFunc(got.calls, func(c call) bool { return strings.HasPrefix(c.Ref.Name, made.prefix+"-") }))
	took, alone := spanOf(got.store)
	r := &Report{}
	r.Add("ExternalSecrets with a key of their own", float64(due), "objects")
	r.Add("time of one answer of the store", slowness.Seconds(), "s")
	r.Add("store reads", float64(reads(got.store)), "requests")
	r.Add("from the first question until the last answer", took.Seconds(), "s")
	r.Bound("that time, as a share of all answers one after the other", took.Seconds()/alone.Seconds(), 1.0/40, "")
	r.Bound("store reads before that of an object made while no controller ran", float64(readsBefore(got.store, made.keys(0)[0])), 2*workers, "requests")
	r.Bound("writes, events among them", float64(written+events), 3, "requests")
	r.Bound("writes for others than that object", float64(othersWritten+othersEvents), 0, "requests")
	r.Add("controller CPU", got.cpu.Seconds(), "s")
	return r, nil
}

// readsBefore returns how many reads began before the first of a key.
func readsBefore(requests []countingstore.Request, key string) int {
	began := slices.DeleteFunc(slices.Clone(requests), func(req countingstore.Request) bool { return req.Kind != countingstore.Read })
	slices.SortFunc(began, func(a, b countingstore.Request) int { return a.At.Compare(b.At) })
	return slices.IndexFunc(began, func(req countingstore.Request) bool { return req.Key == key })
}

// spanOf returns how long the reads took from the first question to the last answer, and how long one after the other.
func spanOf(requests []countingstore.Request) (took, alone time.Duration) {
	var first, last time.Time
	for _, req := range requests {
		if req.Kind != countingstore.Read {
			continue
		}
		if first.IsZero() || req.At.Before(first) {
			first = req.At
		}
		if req.Done.After(last) {
			last = req.Done
		}
		alone += req.Done.Sub(req.At)
	}
	return last.Sub(first), alone
}

// large is the big cluster at rest: 10 000 objects that read five keys each, which nobody else reads, once an hour.
func large(ctx context.Context, w *world) (*Report, error) {
	const objects, keys, interval, window = 10000, 5, time.Hour, time.Minute
	if err := w.fill(ctx, group{prefix: "es", objects: objects, namespaces: 100, interval: interval, properties: keys}); err != nil {
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
	// What was read less than a minute ago is not asked for again.
	if err := w.pause(ctx, window); err != nil {
		return nil, err
	}
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	if err := w.pause(ctx, window); err != nil {
		return nil, err
	}
	got, err := w.since(before)
	if err != nil {
		return nil, err
	}
	written, events := writes(got.calls)
	mean := float64(objects*keys) * window.Seconds() / interval.Seconds()
	r := &Report{}
	r.Add("ExternalSecrets", float64(w.objects), "objects")
	r.Add("keys", objects*keys, "keys")
	r.Add("first sync of all, a store read for each key", synced.Seconds(), "s")
	r.Bound("writes in a minute at rest, events among them", float64(written+events), 0, "requests")
	r.Bound("store reads in that minute, as a multiple of those of a mean minute", float64(reads(got.store))/mean, 1.5, "")
	r.Bound("other store requests in that minute (logins and the like)", float64(len(got.store)-reads(got.store)), 10, "requests")
	r.Add("controller CPU in that minute", got.cpu.Seconds(), "s")
	r.Add("controller peak memory", float64(got.peak)/mib, "MiB")
	return r, nil
}

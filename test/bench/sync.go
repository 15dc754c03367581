package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// firstSync measures how the controller brings n objects into being that exist before it starts; the clock runs from the
// start of the process until the last one is Ready, and must not run longer than most seconds.
func firstSync(n int, most float64) func(context.Context, *world) (*Report, error) {
	return func(ctx context.Context, w *world) (*Report, error) {
		if err := w.fill(ctx, group{prefix: "es", objects: n, namespaces: 20}); err != nil {
			return nil, err
		}
		r := &Report{}
		return r, w.measureSync(ctx, r, most, sharedKeys, 100)
	}
}

// untilReady is the figure of a first sync by which it is compared.
const untilReady = "until all are ready"

// measureSync starts the controller and measures until all objects are Ready. Keys is how many distinct keys they read.
func (w *world) measureSync(ctx context.Context, r *Report, mostSeconds float64, keys int, mostMiB float64) error {
	before, err := w.mark()
	if err != nil {
		return err
	}
	fmt.Fprintln(w.log, "  starting the controller")
	before.at = time.Now()
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.ready(ctx, w.objects); err != nil {
		return err
	}
	elapsed := time.Since(before.at)
	plane, err := w.planeCPU()
	if err != nil {
		return err
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	settled := time.Since(before.at)
	got, err := w.since(before)
	if err != nil {
		return err
	}
	secrets, err := w.targets(ctx)
	if err != nil {
		return err
	}
	if secrets != w.objects {
		return fmt.Errorf("%d of %d Secrets exist although all are ready", secrets, w.objects)
	}
	n := float64(w.objects)
	written, events := writes(got.calls)
	r.Add("ExternalSecrets", n, "objects")
	r.Bound(untilReady, elapsed.Seconds(), mostSeconds, "s")
	r.Add("until the last event is written, at most", settled.Seconds(), "s")
	// The store is an object too: its status is written, and it has an event.
	r.Bound("writes per object, the store among them", float64(written)/(n+1), 2, "requests")
	r.Bound("events per object, the store among them", float64(events)/(n+1), 1, "requests")
	r.Bound("store reads", float64(reads(got.store)), float64(keys), "requests")
	r.addStore(got.store)
	r.Bound("controller peak memory", float64(got.peak)/mib, mostMiB, "MiB")
	r.Add("controller CPU", got.cpu.Seconds(), "s")
	r.Add("controller CPU per object", got.cpu.Seconds()/n*1000, "ms")
	r.Add("control plane CPU per object until all are ready", (plane-before.plane).Seconds()/n*1000, "ms")
	r.Add("control plane CPU per object in all", got.plane.Seconds()/n*1000, "ms")
	r.addCalls(got.calls)
	return nil
}

// fanOut is the pull secret that everybody needs: many namespaces, few keys.
func fanOut(ctx context.Context, w *world) (*Report, error) {
	if err := w.fill(ctx, group{prefix: "es", objects: 2000, namespaces: 800}); err != nil {
		return nil, err
	}
	r := &Report{}
	return r, w.measureSync(ctx, r, 15, sharedKeys, 100)
}

// restart measures two starts with everything in sync: one with nothing to do, and one with one new object, which is
// ready when the controller is.
func restart(ctx context.Context, w *world) (*Report, error) {
	r := &Report{}
	if err := w.idleStart(ctx, r); err != nil {
		return nil, err
	}
	w.stopController()
	one := group{prefix: "late", objects: 1, namespaces: 1}
	start := time.Now()
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if err := w.fill(ctx, one); err != nil {
		return nil, err
	}
	if err := w.ready(ctx, 1, client.MatchingFields{"metadata.name": one.secret(0).Name}); err != nil {
		return nil, err
	}
	r.Bound("until it has served a new object", time.Since(start).Seconds(), 3, "s")
	return r, nil
}

// idleStart starts the controller and watches what it does for a while. When it asks the store, something may have fallen
// due meanwhile, which a second look tells from a controller that always asks: what was read is not due then. The users of
// one key fall due within half a minute, which is waited for.
func (w *world) idleStart(ctx context.Context, r *Report) error {
	const tries, window, due = 3, 12 * time.Second, 40 * time.Second
	for try := 1; ; try++ {
		w.stopController()
		before, err := w.mark()
		if err != nil {
			return err
		}
		before.use = usage{}
		if err := w.start(ctx); err != nil {
			return err
		}
		if err := w.pause(ctx, window); err != nil {
			return err
		}
		got, err := w.since(before)
		if err != nil {
			return err
		}
		if len(got.store) > 0 && try < tries {
			fmt.Fprintf(w.log, "  %d store requests: something may have fallen due; starting again\n", len(got.store))
			if err := w.pause(ctx, due); err != nil {
				return err
			}
			continue
		}
		written, events := writes(got.calls)
		r.Add("ExternalSecrets in sync", float64(w.objects), "objects")
		r.Bound("writes, events among them", float64(written+events), 0, "requests")
		r.Bound("store requests", float64(len(got.store)), 0, "requests")
		r.addStore(got.store)
		r.Bound("Secrets read one by one", float64(singleGets(got.calls, "secrets")), 0, "requests")
		r.Bound("ExternalSecrets read one by one", float64(singleGets(got.calls, "externalsecrets")), 0, "requests")
		r.Add("controller CPU", got.cpu.Seconds(), "s")
		r.Add("controller peak memory", float64(got.peak)/mib, "MiB")
		r.Add("bytes read by the controller", float64(got.read)/mib, "MiB")
		r.addCalls(got.calls)
		return nil
	}
}

// setInterval gives all objects a refreshInterval.
func (w *world) setInterval(ctx context.Context, d time.Duration) error {
	var list esv1.ExternalSecretList
	if err := w.client.List(ctx, &list); err != nil {
		return fmt.Errorf("list ExternalSecrets: %w", err)
	}
	for i := range list.Items {
		es := &list.Items[i]
		before := es.DeepCopy()
		es.Spec.RefreshInterval = &metav1.Duration{Duration: d}
		if err := w.client.Patch(ctx, es, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("set the interval of %s: %w", es.Name, err)
		}
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

// steadyState measures a minute in which nothing changes.
func steadyState(ctx context.Context, w *world) (*Report, error) {
	const interval, window = 10 * time.Second, time.Minute
	if err := w.setInterval(ctx, interval); err != nil {
		return nil, err
	}
	if err := w.pause(ctx, 2*interval); err != nil {
		return nil, err
	}
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	w.profile(ctx, "window", 30*time.Second)
	if err := w.pause(ctx, window); err != nil {
		return nil, err
	}
	got, err := w.since(before)
	if err != nil {
		return nil, err
	}
	written, events := writes(got.calls)
	r := &Report{}
	r.Add("ExternalSecrets", float64(w.objects), "objects")
	r.Bound("writes, events among them", float64(written+events), 0, "requests")
	r.Bound("store requests per 10 s", float64(len(got.store))/window.Seconds()*10, sharedKeys, "requests")
	r.Bound("controller CPU per minute", got.cpu.Seconds(), 2, "s")
	r.Add("controller peak memory", float64(got.peak)/mib, "MiB")
	r.addStore(got.store)
	r.addCalls(got.calls)
	return r, nil
}

// rotate changes a key that 300 objects read once an hour, and syncs one of them by force, which is the first to see it.
func rotate(ctx context.Context, w *world) (*Report, error) {
	g := group{prefix: "rotated", objects: 300, namespaces: 20, key: "rotated"}
	if err := w.fill(ctx, g); err != nil {
		return nil, err
	}
	if err := w.ready(ctx, w.objects); err != nil {
		return nil, err
	}
	if err := w.pause(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	before, err := w.mark()
	if err != nil {
		return nil, err
	}
	changed := make(chan time.Time, 1)
	failed := make(chan error, 1)
	go func() { failed <- w.changes(ctx, g, changed) }()
	if err := w.pause(ctx, time.Second); err != nil { // the watch has all of them
		return nil, err
	}
	w.store.Put(g.key, fields("new"))
	if err := w.force(ctx, g.secret(0)); err != nil {
		return nil, err
	}
	if err := <-failed; err != nil {
		return nil, err
	}
	last := <-changed
	if err := w.pause(ctx, time.Second); err != nil {
		return nil, err
	}
	got, err := w.since(before)
	if err != nil {
		return nil, err
	}
	seen, asked := time.Time{}, 0
	for _, req := range got.store {
		if req.Kind == countingstore.Read && req.Key == g.key {
			if asked++; asked == 1 {
				seen = req.Done
			}
		}
	}
	r := &Report{}
	r.Add("ExternalSecrets that read the key", float64(g.objects), "objects")
	r.Bound("from the first fetch until the last Secret is updated", last.Sub(seen).Seconds(), 2, "s")
	r.Bound("store reads of the key", float64(asked), 1, "requests")
	r.Add("controller CPU", got.cpu.Seconds(), "s")
	r.addCalls(got.calls)
	return r, nil
}

// force asks for fresh values, as users do: by an annotation.
func (w *world) force(ctx context.Context, es *esv1.ExternalSecret) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"force-sync":"%d"}}}`, time.Now().UnixNano())
	if err := w.client.Patch(ctx, es, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return fmt.Errorf("annotate %s: %w", es.Name, err)
	}
	return nil
}

// changes sends when the last Secret of the group has changed.
func (w *world) changes(ctx context.Context, g group, last chan<- time.Time) error {
	versions, changed := map[string]string{}, map[string]bool{}
	err := w.each(ctx, secretMetadata(), func(obj client.Object) bool {
		if len(obj.GetName()) < len(g.prefix) || obj.GetName()[:len(g.prefix)] != g.prefix {
			return false
		}
		name := obj.GetNamespace() + "/" + obj.GetName()
		if was, ok := versions[name]; ok && was != obj.GetResourceVersion() {
			changed[name] = true
		}
		versions[name] = obj.GetResourceVersion()
		return len(changed) == g.objects
	}, client.MatchingLabels{esv1.LabelManaged: "true"})
	if err != nil {
		return fmt.Errorf("%d of %d Secrets have changed: %w", len(changed), g.objects, err)
	}
	last <- time.Now()
	return nil
}

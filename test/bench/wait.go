package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// syncTimeout bounds each wait; no scenario needs as much.
const syncTimeout = 10 * time.Minute

// each watches objects until seen, which gets each of them as it is and as it changes, has returned true. A watch that the API
// server ends, as it does when whoever watches falls behind, is begun anew: seen gets all of them once more.
func (w *world) each(ctx context.Context, list client.ObjectList, seen func(client.Object) (done bool), opts ...client.ListOption) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	for {
		done, err := w.watch(ctx, list, seen, opts...)
		if done || err != nil {
			return err
		}
		if err := w.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// watch is one watch of each: neither done nor an error when it has ended by itself.
func (w *world) watch(ctx context.Context, list client.ObjectList, seen func(client.Object) (done bool), opts ...client.ListOption) (done bool, err error) {
	var ended <-chan struct{}
	if w.running != nil {
		ended = w.running.Done()
	}
	events, err := w.client.Watch(ctx, list, opts...)
	if err != nil {
		return false, fmt.Errorf("watch: %w", err)
	}
	defer events.Stop()
	for {
		select {
		case <-ended:
			return false, errors.New("the controller has ended")
		case <-ctx.Done():
			return false, ctx.Err()
		case event, open := <-events.ResultChan():
			if !open || event.Type == watch.Error {
				return false, nil
			}
			if obj, ok := event.Object.(client.Object); ok && seen(obj) {
				return true, nil
			}
		}
	}
}

// ready waits until n ExternalSecrets are Ready.
func (w *world) ready(ctx context.Context, n int, opts ...client.ListOption) error {
	ready := map[string]bool{}
	err := w.each(ctx, &esv1.ExternalSecretList{}, func(obj client.Object) bool {
		if es, ok := obj.(*esv1.ExternalSecret); ok && isReady(es) {
			ready[es.Namespace+"/"+es.Name] = true
		}
		return len(ready) >= n
	}, opts...)
	if err != nil {
		return fmt.Errorf("%d of %d are ready: %w", len(ready), n, err)
	}
	return nil
}

func isReady(es *esv1.ExternalSecret) bool {
	return slices.ContainsFunc(es.Status.Conditions, func(c esv1.Condition) bool {
		return c.Type == esv1.ConditionReady && c.Status == metav1.ConditionTrue
	})
}

// settle waits until the last events are written, which the controller does in the background: until it has asked the API
// server for nothing during a second.
func (w *world) settle(ctx context.Context) error {
	_, last, err := w.audit.calls(0)
	for err == nil {
		if err := w.pause(ctx, time.Second); err != nil {
			return err
		}
		var calls []call
		if calls, last, err = w.audit.calls(last); err == nil && len(calls) == 0 {
			return nil
		}
	}
	return err
}

// targets returns how many Secrets there are that belong to ExternalSecrets.
func (w *world) targets(ctx context.Context) (int, error) {
	list := secretMetadata()
	if err := w.client.List(ctx, list, client.MatchingLabels{esv1.LabelManaged: "true"}); err != nil {
		return 0, fmt.Errorf("list targets: %w", err)
	}
	return len(list.Items), nil
}

func secretMetadata() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	return list
}

package watches

import (
	"context"
	"regexp"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// source is where a loop lists and watches.
type source struct {
	list  func(context.Context, metav1.ListOptions) (*metav1.PartialObjectMetadataList, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// watch lists and watches an object until the context ends. The reflector repeats what fails, with backoff.
func (w *Watcher) watch(ctx context.Context, o Object, ob *object) {
	resource := w.client.Resource(o.resource()).Namespace(o.Namespace)
	from, to := named(resource, o.Name), cache.ReflectorStore(sink{w, o, ob})
	if o.searched() {
		name, err := regexp.Compile(o.Match)
		if err != nil { // it was compiled before
			return
		}
		s := &searchSink{w: w, o: o, ob: ob, name: name, found: map[string]string{}}
		from, to = s.source(resource), s
	}
	logger, said := log.FromContext(ctx).WithName("watches"), false
	check := func(err error) {
		if !apierrors.IsForbidden(err) {
			return
		}
		w.observe(o, ob, "")
		if !said {
			said = true
			logger.Info("may not watch, so changes are noticed later: grant list and watch on it",
				"kind", o.Kind, "namespace", o.Namespace, "name", o.Name)
		}
	}
	quiet := logr.Discard() // the reflector says each failure again at each repetition
	cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			list, err := from.list(ctx, opts)
			check(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			events, err := from.watch(ctx, opts)
			check(err)
			return events, err
		},
	}, &metav1.PartialObjectMetadata{}, to, cache.ReflectorOptions{Name: o.String(), Logger: &quiet}).RunWithContext(logr.NewContext(ctx, quiet))
}

// named lists and watches one object by its name, which roles with resourceNames allow too.
func named(resource metadata.ResourceInterface, name string) source {
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	return source{
		list: func(ctx context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
			opts.FieldSelector = selector
			return resource.List(ctx, opts)
		},
		watch: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.FieldSelector = selector
			return resource.Watch(ctx, opts)
		},
	}
}

// sink takes what the reflector sees of one object, and keeps its version only.
type sink struct {
	w  *Watcher
	o  Object
	ob *object
}

var _ cache.ReflectorStore = sink{}

// Add implements cache.ReflectorStore.
func (s sink) Add(obj any) error {
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok && m.Name == s.o.Name {
		s.w.observe(s.o, s.ob, Version(m.ResourceVersion))
	}
	return nil
}

// Update implements cache.ReflectorStore.
func (s sink) Update(obj any) error { return s.Add(obj) }

// Delete implements cache.ReflectorStore.
func (s sink) Delete(any) error {
	s.w.observe(s.o, s.ob, Absent)
	return nil
}

// Replace implements cache.ReflectorStore.
func (s sink) Replace(objs []any, _ string) error {
	if len(objs) == 0 {
		return s.Delete(nil)
	}
	return s.Add(objs[0])
}

// Resync implements cache.ReflectorStore.
func (sink) Resync() error { return nil }

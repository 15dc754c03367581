package externalsecret

import (
	"sigs.k8s.io/controller-runtime/pkg/cache"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// Cached returns an object of any kind as the cache keeps it: without those who wrote it, and an ExternalSecret in lists that are as long
// as what they hold, which the decoder of JSON makes up to twice as long.
func Cached(obj any) (any, error) {
	if es, ok := obj.(*esv1.ExternalSecret); ok {
		es.Spec.Data, es.Spec.DataFrom, es.Status.Conditions = exact(es.Spec.Data), exact(es.Spec.DataFrom), exact(es.Status.Conditions)
	}
	return cache.TransformStripManagedFields()(obj)
}

func exact[E any](list []E) []E {
	if len(list) == cap(list) {
		return list
	}
	return append(make([]E, 0, len(list)), list...)
}

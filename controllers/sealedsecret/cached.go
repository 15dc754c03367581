package sealedsecret

import (
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// slim leaves of a SealedSecret what says whether it is up to date.
func slim(ss *v1alpha1.SealedSecret) *v1alpha1.SealedSecret {
	// What many have in common is there once.
	kept := &v1alpha1.SealedSecret{Status: ss.Status}
	kept.Namespace, kept.Name, kept.UID, kept.ResourceVersion = unique.Make(ss.Namespace).Value(), ss.Name, ss.UID, ss.ResourceVersion
	kept.Generation, kept.DeletionTimestamp = ss.Generation, ss.DeletionTimestamp
	kept.Status.Conditions = make([]v1alpha1.Condition, len(ss.Status.Conditions)) // as long as it is
	for i, c := range ss.Status.Conditions {
		for _, known := range []v1alpha1.ConditionType{v1alpha1.ConditionSynced, v1alpha1.ConditionReady} {
			if c.Type == known {
				c.Type = known
			}
		}
		if c.Status == metav1.ConditionTrue && c.Reason == v1alpha1.ReasonUnsealed {
			c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonUnsealed
		}
		kept.Status.Conditions[i] = c
	}
	if instance, ok := ss.Labels[instanceLabel]; ok {
		kept.Labels = map[string]string{instanceLabel: instance}
	}
	for _, key := range []string{v1alpha1.AnnotationClusterWide, v1alpha1.AnnotationNamespaceWide} {
		if value, ok := ss.Annotations[key]; ok {
			metav1.SetMetaDataAnnotation(&kept.ObjectMeta, key, value)
		}
	}
	kept.Status.SealingKey = unique.Make(ss.Status.SealingKey).Value()
	if kept.Status.Scope == string(seal.Strict) {
		kept.Status.Scope = string(seal.Strict)
	}
	return kept
}

// cachedVersion is the transform of the cache of the Secrets that the controller has written: it leaves the version. When
// that is another than was written, the rest is read from the API server.
func cachedVersion(obj any) (any, error) {
	m, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil
	}
	kept := secretMetadata()
	kept.Namespace, kept.Name, kept.UID, kept.ResourceVersion = unique.Make(m.Namespace).Value(), m.Name, m.UID, m.ResourceVersion
	return kept, nil
}

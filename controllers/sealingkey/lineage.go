package sealingkey

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/providers"
)

// lineage is a line of keys that follow one another: the common ones, or those of some namespaces.
type lineage struct {
	// namespaces that the keys serve, in order; none for the common ones.
	namespaces []string
	// allowCommon lets the common keys open in these namespaces too.
	allowCommon bool
	ring        *keyring.Ring
}

// id names a lineage within a process.
func (l *lineage) id() string { return strings.Join(l.namespaces, ",") }

// mark makes a Secret one of the lineage.
func (l *lineage) mark(secret *corev1.Secret, label string) {
	if len(l.namespaces) == 0 {
		return
	}
	secret.Labels[label] = v1alpha1.SealingKeyNamespaced
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	secret.Annotations[v1alpha1.AnnotationKeyNamespaces] = l.id()
	if l.allowCommon {
		secret.Annotations[v1alpha1.AnnotationCommonKeys] = v1alpha1.CommonKeysAllow
	}
}

// lineageOf returns the lineage of a key Secret, without keys. A key that is meant for some namespaces never becomes a
// common one by a mistake in its metadata.
func lineageOf(s *corev1.Secret) (lineage, error) {
	list, annotated := s.Annotations[v1alpha1.AnnotationKeyNamespaces]
	if !isNamespaced(s) {
		if annotated {
			return lineage{}, providers.Errorf(providers.ErrInvalid,
				"the annotation %s is for keys whose label says %s", v1alpha1.AnnotationKeyNamespaces, v1alpha1.SealingKeyNamespaced)
		}
		return lineage{}, nil
	}
	var out lineage
	for namespace := range strings.SplitSeq(list, ",") {
		if namespace = strings.TrimSpace(namespace); namespace == "" {
			continue
		}
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return lineage{}, providers.Errorf(providers.ErrInvalid, "the annotation %s has what is no name of a namespace", v1alpha1.AnnotationKeyNamespaces)
		}
		out.namespaces = append(out.namespaces, namespace)
	}
	if len(out.namespaces) == 0 {
		return lineage{}, providers.Errorf(providers.ErrInvalid, "the annotation %s names no namespace", v1alpha1.AnnotationKeyNamespaces)
	}
	slices.Sort(out.namespaces)
	out.namespaces = slices.Compact(out.namespaces)
	switch s.Annotations[v1alpha1.AnnotationCommonKeys] {
	case v1alpha1.CommonKeysAllow:
		out.allowCommon = true
	case "", v1alpha1.CommonKeysDeny:
	default:
		return lineage{}, providers.Errorf(providers.ErrInvalid, "the annotation %s is neither %s nor %s",
			v1alpha1.AnnotationCommonKeys, v1alpha1.CommonKeysAllow, v1alpha1.CommonKeysDeny)
	}
	return out, nil
}

// isNamespaced says whether a key Secret is for some namespaces alone.
func isNamespaced(s *corev1.Secret) bool {
	return s.Labels[v1alpha1.LabelSealingKey] == v1alpha1.SealingKeyNamespaced ||
		s.Labels[v1alpha1.LabelNativeKey] == v1alpha1.SealingKeyNamespaced
}

// hasCommon says whether one of the key Secrets is for all namespaces.
func hasCommon(secrets []corev1.Secret) bool {
	return slices.ContainsFunc(secrets, func(s corev1.Secret) bool { return !isNamespaced(&s) })
}

// ringOf returns the common ring with those of the namespaces that have keys of their own. Where a namespace is in several
// lineages, all of their keys open, and the common ones only if all of them allow it.
func ringOf(lineages map[string]*lineage) *keyring.Ring {
	common := lineages[""].ring
	own, allow := map[string]*keyring.Ring{}, map[string]bool{}
	for _, id := range slices.Sorted(maps.Keys(lineages)) {
		l := lineages[id]
		for _, namespace := range l.namespaces {
			before, known := own[namespace]
			own[namespace] = before.With(slices.Collect(l.ring.All())...)
			allow[namespace] = l.allowCommon && (allow[namespace] || !known)
		}
	}
	for namespace, ring := range own {
		if allow[namespace] {
			own[namespace] = ring.Then(common)
		}
	}
	return common.WithNamespaces(own)
}

package clusterexternalsecret

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/providers"
)

// defaultInterval is spec.refreshTime when it is empty.
const defaultInterval = time.Hour

// intervalOf returns how often all namespaces are looked at; 0 for never.
func intervalOf(spec *esv1.ClusterExternalSecretSpec) time.Duration {
	if spec.RefreshInterval == nil {
		return defaultInterval
	}
	return flow.Interval(spec.RefreshInterval.Duration)
}

// nameOf returns the name of the ExternalSecrets.
func nameOf(ces *esv1.ClusterExternalSecret) string {
	if ces.Spec.ExternalSecretName != "" {
		return ces.Spec.ExternalSecretName
	}
	return ces.Name
}

// targetOf returns the name of the Secret of an ExternalSecret of that name.
func targetOf(spec *esv1.ExternalSecretSpec, name string) string {
	if spec.Target.Name != "" {
		return spec.Target.Name
	}
	return name
}

// selection says which namespaces are selected.
type selection struct {
	selectors []labels.Selector
	names     []string
}

// newSelection reads the selectors of a spec. It fails with ErrInvalid for one that is none.
func newSelection(spec *esv1.ClusterExternalSecretSpec) (selection, error) {
	out := selection{names: spec.Namespaces}
	add := func(path string, s *metav1.LabelSelector) error {
		if s == nil {
			return nil
		}
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			return providers.Errorf(providers.ErrInvalid, "spec.%s cannot be read: %w", path, err)
		}
		out.selectors = append(out.selectors, selector)
		return nil
	}
	if err := add("namespaceSelector", spec.NamespaceSelector); err != nil {
		return selection{}, err
	}
	for i, s := range spec.NamespaceSelectors {
		if err := add(fmt.Sprintf("namespaceSelectors[%d]", i), s); err != nil {
			return selection{}, err
		}
	}
	return out, nil
}

// has reports whether a namespace is selected, also one that is being deleted.
func (c selection) has(namespace metav1.Object) bool {
	set := labels.Set(namespace.GetLabels())
	return slices.Contains(c.names, namespace.GetName()) ||
		slices.ContainsFunc(c.selectors, func(s labels.Selector) bool { return s.Matches(set) })
}

// mentions reports whether a status says something about a namespace.
func mentions(status *esv1.ClusterExternalSecretStatus, namespace string) bool {
	return slices.Contains(status.ProvisionedNamespaces, namespace) ||
		slices.ContainsFunc(status.FailedNamespaces, func(f esv1.NamespaceFailure) bool { return f.Namespace == namespace })
}

// versionOf identifies what the ExternalSecrets are made from: the spec, and the annotation that is mirrored.
func versionOf(ces *esv1.ClusterExternalSecret) string {
	value, ok := ces.Annotations[esv1.AnnotationForceSync]
	sum := sha256.Sum256(fmt.Appendf(nil, "%t %s", ok, value))
	return fmt.Sprintf("%d-%s", ces.Generation, hex.EncodeToString(sum[:8]))
}

// desired returns the ExternalSecret for a namespace.
func desired(ces *esv1.ClusterExternalSecret, namespace string) *esv1.ExternalSecret {
	es := &esv1.ExternalSecret{Spec: *ces.Spec.ExternalSecretSpec.DeepCopy()}
	es.APIVersion, es.Kind = esv1.GroupVersion().String(), esv1.KindExternalSecret
	es.Namespace, es.Name = namespace, nameOf(ces)
	es.Labels = maps.Clone(ces.Spec.ExternalSecretMetadata.Labels)
	es.Annotations = maps.Clone(ces.Spec.ExternalSecretMetadata.Annotations)
	if value, ok := ces.Annotations[esv1.AnnotationForceSync]; ok {
		if es.Annotations == nil {
			es.Annotations = map[string]string{}
		}
		es.Annotations[esv1.AnnotationForceSync] = value
	}
	es.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: esv1.GroupVersion().String(), Kind: esv1.KindClusterExternalSecret, Name: ces.Name, UID: ces.UID,
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
	}}
	return es
}

// differs reports whether an ExternalSecret is not what it should be. The spec is the ClusterExternalSecret's as a whole;
// labels and annotations of others may stand beside its own, and only a changed ClusterExternalSecret can leave some of
// its own behind.
func differs(have, want *esv1.ExternalSecret, changed bool) bool {
	if !equality.Semantic.DeepEqual(have.Spec, want.Spec) || !within(want.Labels, have.Labels) || !within(want.Annotations, have.Annotations) {
		return true
	}
	return changed && (len(have.Labels) != len(want.Labels) || len(have.Annotations) != len(want.Annotations))
}

// within reports whether all of part is in whole.
func within(part, whole map[string]string) bool {
	for key, value := range part {
		if have, ok := whole[key]; !ok || have != value {
			return false
		}
	}
	return true
}

func groupOf(apiVersion string) string {
	group, _, _ := strings.Cut(apiVersion, "/")
	return group
}

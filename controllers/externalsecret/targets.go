package externalsecret

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// targets is what the controller knows about the Secrets that ExternalSecrets maintain: metadata, never data.
type targets struct{ cache cache.Cache }

// ownerIndex finds Secrets by the UID of the object that controls them where it has another name, so that most have no entry:
// the one of the object's own name is found by its name.
const ownerIndex = "controller"

// newTargets returns a cache of the metadata of the Secrets with the label of managed Secrets, in some namespaces or, with
// none named, in all. The caller starts it.
func newTargets(ctx context.Context, cl cluster.Cluster, namespaces []string) (*targets, error) {
	only := map[string]cache.Config{}
	for _, ns := range namespaces {
		only[ns] = cache.Config{}
	}
	c, err := cache.New(cl.GetConfig(), cache.Options{
		HTTPClient: cl.GetHTTPClient(), Scheme: cl.GetScheme(), Mapper: cl.GetRESTMapper(),
		DefaultNamespaces: only,
		ByObject: map[client.Object]cache.ByObject{secretMetadata(): {
			Label:     labels.SelectorFromSet(labels.Set{esv1.LabelManaged: "true"}),
			Transform: strip,
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of managed Secrets: %w", err)
	}
	err = c.IndexField(ctx, secretMetadata(), ownerIndex, func(obj client.Object) []string {
		if owner := metav1.GetControllerOfNoCopy(obj); owner != nil && owner.Name != obj.GetName() {
			return []string{string(owner.UID)}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("index managed Secrets: %w", err)
	}
	return &targets{cache: c}, nil
}

func secretMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return m
}

// apiVersion is that of ExternalSecrets in owner references.
const apiVersion = esv1.Group + "/" + esv1.Version

// strip leaves of a Secret's metadata what identifies it, says whose it is and what it holds, and of its field managers those
// that External Secrets Operator left behind. What many have in common is kept once.
func strip(obj any) (any, error) {
	m, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil
	}
	kept := secretMetadata()
	kept.Namespace, kept.Name, kept.UID, kept.ResourceVersion = m.Namespace, m.Name, m.UID, m.ResourceVersion
	kept.OwnerReferences = slices.Clone(m.OwnerReferences) // as long as it is
	for i := range kept.OwnerReferences {
		o := &kept.OwnerReferences[i]
		if o.APIVersion == apiVersion && o.Kind == esv1.KindExternalSecret {
			o.APIVersion, o.Kind = apiVersion, esv1.KindExternalSecret
		}
		if o.Name == m.Name {
			o.Name = m.Name
		}
	}
	for _, f := range m.ManagedFields {
		if f.Operation == metav1.ManagedFieldsOperationUpdate && f.Subresource == "" && strings.HasPrefix(f.Manager, esv1.FieldOwnerPrefix) {
			kept.ManagedFields = append(kept.ManagedFields, metav1.ManagedFieldsEntry{Manager: f.Manager, Operation: f.Operation})
		}
	}
	for name, value := range m.Annotations {
		switch {
		case name == esv1.AnnotationDataHash:
			metav1.SetMetaDataAnnotation(&kept.ObjectMeta, esv1.AnnotationDataHash, value)
		case strings.HasPrefix(name, esv1.AnnotationInputs):
			metav1.SetMetaDataAnnotation(&kept.ObjectMeta, name, value)
		}
	}
	return kept, nil
}

// get returns what is known about the target of an ExternalSecret.
func (t *targets) get(ctx context.Context, es *esv1.ExternalSecret) (target, error) {
	m, namespace, name := secretMetadata(), es.Namespace, targetName(es)
	err := t.cache.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, m, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return target{}, nil
	}
	if err != nil {
		return target{}, fmt.Errorf("look up Secret %s/%s: %w", namespace, name, redact.API(err))
	}
	found := target{exists: true, uid: m.UID, resourceVersion: m.ResourceVersion, dataHash: m.Annotations[esv1.AnnotationDataHash],
		inputs: m.Annotations[inputsAnnotation(es)]}
	if owner := metav1.GetControllerOfNoCopy(m); owner != nil {
		found.controller, found.controllerName, found.controllerIsES = owner.UID, owner.Kind+" "+owner.Name, isExternalSecret(owner)
		found.predecessor = isPredecessor(owner, es)
	}
	for _, f := range m.ManagedFields {
		found.updaters = append(found.updaters, f.Manager)
	}
	return found, nil
}

// ownedBy returns the Secrets that an ExternalSecret controls.
func (t *targets) ownedBy(ctx context.Context, es *esv1.ExternalSecret) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	err := t.cache.List(ctx, list, client.InNamespace(es.Namespace), client.MatchingFields{ownerIndex: string(es.UID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list the Secrets of the ExternalSecret: %w", redact.API(err))
	}
	m := secretMetadata()
	err = t.cache.Get(ctx, client.ObjectKeyFromObject(es), m, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("look up the Secret of the ExternalSecret: %w", redact.API(err))
	}
	if err == nil && metav1.IsControlledBy(m, es) {
		list.Items = append(list.Items, *m)
	}
	return list.Items, nil
}

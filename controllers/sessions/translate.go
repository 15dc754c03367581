package sessions

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

// Name returns how messages call a store, for example "SecretStore team-a/vault" or "ClusterSecretStore vault".
func Name(kind, namespace, name string) string {
	if kind == esv1.KindClusterSecretStore {
		return kind + " " + name
	}
	return fmt.Sprintf("%s %s/%s", kind, namespace, name)
}

// Parts returns the kind, spec and status of a store; the pointers lead into obj. It returns nil pointers for an object
// that is no store.
func Parts(obj client.Object) (string, *esv1.SecretStoreSpec, *esv1.SecretStoreStatus) {
	switch s := obj.(type) {
	case *esv1.SecretStore:
		return esv1.KindSecretStore, &s.Spec, &s.Status
	case *esv1.ClusterSecretStore:
		return esv1.KindClusterSecretStore, &s.Spec, &s.Status
	default:
		return "", nil, nil
	}
}

// Translate turns a SecretStore or ClusterSecretStore of the API into the pool's own form. It fails with ErrInvalid for
// one that names no provider that is built in, more than one, or retry settings that cannot be read.
func (p *Pool) Translate(obj client.Object) (Store, error) {
	kind, spec, _ := Parts(obj)
	if spec == nil {
		return Store{}, providers.Errorf(providers.ErrInvalid, "%T is not a store", obj)
	}
	name := Name(kind, obj.GetNamespace(), obj.GetName())
	provider, config, err := p.member(&spec.Provider)
	if err != nil {
		return Store{}, providers.Errorf(providers.ErrInvalid, "%s: %w", name, err)
	}
	s := Store{
		Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(), Generation: obj.GetGeneration(),
		Provider: provider, Config: providers.Config{Store: name, Spec: config},
	}
	if retry := spec.RetrySettings; retry != nil {
		if retry.MaxRetries != nil {
			s.Retries = max(0, int(*retry.MaxRetries))
		}
		if retry.RetryInterval != "" {
			if s.RetryInterval, err = time.ParseDuration(retry.RetryInterval); err != nil || s.RetryInterval < 0 {
				return Store{}, providers.Errorf(providers.ErrInvalid,
					"%s: spec.retrySettings.retryInterval is not a duration such as 10s", name)
			}
		}
	}
	return s, nil
}

// member returns the one member of the union that is set, with the provider that it is for.
func (p *Pool) member(union *stores.Provider) (providers.Provider, any, error) {
	set := map[string]any{}
	for name, raw := range union.Other {
		set[name] = raw
	}
	add := func(name string, is bool, config any) {
		if is {
			set[name] = config
		}
	}
	add("aws", union.AWS != nil, union.AWS)
	add("azurekv", union.AzureKV != nil, union.AzureKV)
	add("fake", union.Fake != nil, union.Fake)
	add("gcpsm", union.GCPSM != nil, union.GCPSM)
	add("kubernetes", union.Kubernetes != nil, union.Kubernetes)
	add("vault", union.Vault != nil, union.Vault)
	add("webhook", union.Webhook != nil, union.Webhook)

	names, known := slices.Sorted(maps.Keys(set)), slices.Sorted(maps.Keys(p.providers))
	switch {
	case len(names) == 0:
		return nil, nil, fmt.Errorf("spec.provider names no provider: set one of %s", strings.Join(known, ", "))
	case len(names) > 1:
		return nil, nil, fmt.Errorf("spec.provider names %s: keep one of them", strings.Join(names, " and "))
	}
	provider, ok := p.providers[names[0]]
	if !ok {
		return nil, nil, fmt.Errorf("provider %q is not built into this controller: use one of %s, or let the controller serve this store that has it",
			names[0], strings.Join(known, ", "))
	}
	return provider, set[names[0]], nil
}

// Serves reports whether a controller of the given class serves a store: one that names the class, or none.
func Serves(class string, spec *esv1.SecretStoreSpec) bool {
	return spec.Controller == "" || spec.Controller == class
}

// Admits reports whether a ClusterSecretStore may be used from a namespace: one that matches any of the conditions, or
// any at all without conditions. It fails with ErrInvalid for a selector or regular expression that cannot be read.
func Admits(conditions []esv1.StoreCondition, namespace metav1.Object) (bool, error) {
	for i, c := range conditions {
		ok, err := admits(c, namespace)
		if err != nil {
			return false, providers.Errorf(providers.ErrInvalid, "spec.conditions[%d]: %w", i, err)
		}
		if ok {
			return true, nil
		}
	}
	return len(conditions) == 0, nil
}

func admits(c esv1.StoreCondition, namespace metav1.Object) (bool, error) {
	if slices.Contains(c.Namespaces, namespace.GetName()) {
		return true, nil
	}
	for i, expr := range c.NamespaceRegexes {
		re, err := regexp.Compile(expr)
		if err != nil {
			return false, fmt.Errorf("namespaceRegexes[%d] is not a regular expression (RE2)", i)
		}
		if re.MatchString(namespace.GetName()) {
			return true, nil
		}
	}
	if c.NamespaceSelector == nil {
		return false, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(c.NamespaceSelector)
	if err != nil {
		return false, fmt.Errorf("namespaceSelector: %w", err)
	}
	set := labels.Set{corev1.LabelMetadataName: namespace.GetName()}
	maps.Copy(set, namespace.GetLabels())
	return selector.Matches(set), nil
}

// serviceOf returns which of its services a provider's configuration names; empty where there is but one.
func serviceOf(spec any) string {
	if aws, ok := spec.(*stores.AWS); ok && aws != nil {
		return string(aws.Service)
	}
	return ""
}

package apply

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// stage is a group of objects that are applied together, after all earlier stages and before all later ones.
type stage int

const (
	// definitions: kinds and namespaces, which other objects need to exist at all.
	definitions stage = iota
	// foundations: identities, rights, classes and quotas, which other objects refer to.
	foundations
	// sources: what secrets are made from and plain configuration; nothing here waits for anything.
	sources
	// secrets: objects whose controllers materialise Secrets.
	secrets
	// rest: workloads and whatever is not named above.
	rest
	// webhooks: admission and aggregation, which can refuse everything that follows when their backend is not up.
	webhooks
	stageCount
)

const (
	externalSecrets = "external-secrets.io"
	generators      = "generators.external-secrets.io"
	sealedSecrets   = "bitnami.com"
	rbac            = "rbac.authorization.k8s.io"
	admission       = "admissionregistration.k8s.io"
)

// stageOf says when objects of a kind are applied.
func stageOf(gk schema.GroupKind) stage {
	switch gk.Group {
	case "":
		return coreStage(gk.Kind)
	case "apiextensions.k8s.io":
		return definitions
	case rbac, "scheduling.k8s.io", "node.k8s.io":
		return foundations
	case generators:
		return sources
	case externalSecrets:
		return externalStage(gk.Kind)
	case sealedSecrets:
		return secrets
	case admission, "apiregistration.k8s.io":
		return webhooks
	}
	if strings.HasSuffix(gk.Kind, "Class") {
		return foundations
	}
	return rest
}

func coreStage(kind string) stage {
	switch kind {
	case "Namespace":
		return definitions
	case "ServiceAccount", "ResourceQuota", "LimitRange":
		return foundations
	case "Secret", "ConfigMap":
		return sources
	default:
		return rest
	}
}

func externalStage(kind string) stage {
	switch kind {
	case "SecretStore", "ClusterSecretStore":
		return sources
	case "ExternalSecret", "ClusterExternalSecret":
		return secrets
	default: // PushSecret and its like read Secrets
		return rest
	}
}

// staged sorts the objects once and cuts them into stages.
func staged(objects []Object) [stageCount][]Object {
	slices.SortFunc(objects, func(a, b Object) int { return a.Ref.Compare(b.Ref) })
	var out [stageCount][]Object
	for _, o := range objects {
		s := stageOf(o.Ref.GroupKind())
		out[s] = append(out[s], o)
	}
	return out
}

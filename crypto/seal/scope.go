package seal

import "fmt"

// Scope says where a sealed value may be opened.
type Scope string

// The scopes of Sealed Secrets.
const (
	// Strict binds a value to one namespace and name.
	Strict Scope = "strict"
	// NamespaceWide binds a value to one namespace.
	NamespaceWide Scope = "namespace-wide"
	// ClusterWide lets a value be opened anywhere in the cluster.
	ClusterWide Scope = "cluster-wide"
)

// The annotations by which Sealed Secrets marks a scope; only the value "true" counts.
const (
	AnnotationNamespaceWide = "sealedsecrets.bitnami.com/namespace-wide"
	AnnotationClusterWide   = "sealedsecrets.bitnami.com/cluster-wide"
)

// ParseScope returns the scope of that name; the empty name is strict.
func ParseScope(name string) (Scope, error) {
	switch s := Scope(name); s {
	case "":
		return Strict, nil
	case Strict, NamespaceWide, ClusterWide:
		return s, nil
	default:
		return "", fmt.Errorf("scope must be one of: %s, %s, %s", Strict, NamespaceWide, ClusterWide)
	}
}

// ScopeOf returns the scope that an object's annotations choose. Cluster-wide wins over namespace-wide.
func ScopeOf(annotations map[string]string) Scope {
	switch {
	case annotations[AnnotationClusterWide] == "true":
		return ClusterWide
	case annotations[AnnotationNamespaceWide] == "true":
		return NamespaceWide
	default:
		return Strict
	}
}

// Label returns what a value is bound to: "namespace/name" for strict, "namespace" for namespace-wide and nothing for
// cluster-wide. A scope that is none of the three is taken as strict, the narrowest.
func Label(scope Scope, namespace, name string) []byte {
	switch scope {
	case ClusterWide:
		return []byte{}
	case NamespaceWide:
		return []byte(namespace)
	default:
		return []byte(namespace + "/" + name)
	}
}

// complete says whether a place has all that its scope binds a value to.
func complete(scope Scope, namespace, name string) bool {
	switch scope {
	case ClusterWide:
		return true
	case NamespaceWide:
		return namespace != ""
	default:
		return namespace != "" && name != ""
	}
}

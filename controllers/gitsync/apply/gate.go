package apply

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// secretKey names a Secret that is not there yet; an empty namespace means any.
type secretKey struct {
	namespace, name string
	// maker is the object that makes it, where the name is a field of that and so can be a decrypted value.
	maker Ref
}

// String names the Secret in messages.
func (k secretKey) String() string {
	if k.maker != (Ref{}) {
		return "the Secret of " + k.maker.String()
	}
	return "Secret " + k.namespace + "/" + k.name
}

// target returns the Secret that a live object of the secrets stage materialises; ok is false when it makes none.
func target(u *unstructured.Unstructured) (key secretKey, ok bool) {
	key = secretKey{namespace: u.GetNamespace(), name: u.GetName()}
	switch u.GetKind() {
	case "SealedSecret":
		return key, true
	case "ExternalSecret":
		if name := str(u, "spec", "target", "name"); name != "" {
			key.name = name
		}
		return key, str(u, "spec", "target", "creationPolicy") != "None"
	case "ClusterExternalSecret":
		key.namespace = ""
		if name := str(u, "spec", "externalSecretName"); name != "" {
			key.name = name
		}
		if name := str(u, "spec", "externalSecretSpec", "target", "name"); name != "" {
			key.name = name
		}
		return key, true
	default:
		return key, false
	}
}

// synced tells whether the controller of a live object of the secrets stage has materialised it as it is now; why says
// what is missing, in the controller's own words when it has some.
func synced(u *unstructured.Unstructured) (ok bool, why string) {
	kind := "Ready"
	if u.GetKind() == "SealedSecret" {
		kind = "Synced"
	}
	if observed, found, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); found && observed != u.GetGeneration() {
		return false, "its controller has not seen the last change"
	}
	// External Secrets writes "<generation>-<hash of the metadata>" for the last sync that succeeded.
	version := str(u, "status", "syncedResourceVersion")
	if version != "" && !strings.HasPrefix(version, fmt.Sprintf("%d-", u.GetGeneration())) {
		return false, "its controller has not seen the last change"
	}
	status, reason, found := condition(u, kind)
	switch {
	case !found:
		return false, "its controller has not reported yet; is it running?"
	case status == "True":
		return true, ""
	default:
		return false, strings.TrimSuffix("condition "+kind+" is "+status+" ("+reason+")", " ()")
	}
}

// Materialised tells whether the Secret of a live ExternalSecret, SealedSecret or ClusterExternalSecret is materialised
// as the object is now; applies is false for all other kinds.
func Materialised(u *unstructured.Unstructured) (ok, applies bool) {
	if stageOf(RefOf(u).GroupKind()) != secrets {
		return false, false
	}
	ok, _ = synced(u)
	return ok, true
}

// served tells whether the Secret may be used although the last sync failed: the object has not changed since a sync
// that succeeded, so what is materialised is still what Git asks for.
func served(u *unstructured.Unstructured) bool {
	return strings.HasPrefix(str(u, "status", "syncedResourceVersion"), fmt.Sprintf("%d-", u.GetGeneration()))
}

// condition reads the status and reason of a condition; both are machine words, a message is not read: it may quote.
func condition(u *unstructured.Unstructured, kind string) (status, reason string, found bool) {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		m, _ := c.(map[string]any)
		if m["type"] == kind {
			status, _ = m["status"].(string)
			reason, _ = m["reason"].(string)
			return status, reason, true
		}
	}
	return "", "", false
}

func str(u *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(u.Object, path...)
	return s
}

func compareSecrets(a, b secretKey) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

// mentions returns the first of the missing Secrets that the object refers to: any string of it, outside of
// metadata and selectors, that equals the Secret's name counts. That errs on the side of waiting, and needs no knowledge
// of kinds. An object without a namespace may mean a Secret of any.
func mentions(u *unstructured.Unstructured, missing []secretKey) (secretKey, bool) {
	if len(missing) == 0 {
		return secretKey{}, false
	}
	words := make(map[string]bool)
	for field, v := range u.Object {
		if field != "metadata" && field != "kind" && field != "apiVersion" {
			collect(v, words)
		}
	}
	for _, k := range missing {
		near := k.namespace == "" || u.GetNamespace() == "" || k.namespace == u.GetNamespace()
		if near && words[k.name] {
			return k, true
		}
	}
	return secretKey{}, false
}

// collect adds every string of v that may name an object.
func collect(v any, words map[string]bool) {
	switch v := v.(type) {
	case string:
		words[v] = true
	case []any:
		for _, e := range v {
			collect(e, words)
		}
	case map[string]any:
		for field, e := range v {
			switch field {
			case "metadata", "labels", "matchLabels", "selector":
			default:
				collect(e, words)
			}
		}
	}
}

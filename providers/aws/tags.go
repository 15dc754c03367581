package aws

import (
	"maps"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
)

// The session tags that say who asks.
const (
	tagNamespace = "esoNamespace"
	tagStoreName = "esoStoreName"
	tagStoreKind = "esoStoreKind"
)

// tagged reports whether the role is assumed with the namespace as a tag, so that the session is that namespace's alone.
func tagged(spec *stores.AWS) bool {
	return spec.Role != "" && (spec.SessionTagsPolicy == stores.AWSSessionTagsSimple || spec.SessionTagsPolicy == stores.AWSSessionTagsCustom)
}

// sessionTags returns the tags that the role is assumed with, in a steady order. With a policy they take the place of
// spec.sessionTags, as in External Secrets Operator. store is Config.Store: kind and name.
func sessionTags(spec *stores.AWS, store, namespace string) []stores.AWSTag {
	if !tagged(spec) {
		return spec.SessionTags
	}
	all := map[string]string{}
	if spec.SessionTagsPolicy == stores.AWSSessionTagsCustom {
		for key, value := range spec.CustomSessionTags {
			if key != "" && value != "" {
				all[key] = value
			}
		}
	}
	kind, name, _ := strings.Cut(store, " ")
	name = name[strings.LastIndex(name, "/")+1:]
	all[tagNamespace], all[tagStoreName], all[tagStoreKind] = namespace, name, kind
	tags := make([]stores.AWSTag, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, stores.AWSTag{Key: key, Value: all[key]})
	}
	return tags
}

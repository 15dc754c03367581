package externalsecret

import (
	"strings"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// The bounds of status.sources: what a store says about versions is its own affair.
const (
	maxSources = 100
	maxVersion = 256
)

// sourcesOf names the documents that the values were read from, in the order of the entries, each once.
func (s *scope) sourcesOf() []esv1.Source {
	var out []esv1.Source
	seen := map[esv1.Source]bool{}
	for _, e := range entriesOf(&s.es.Spec) {
		result, asked := s.documents[e.origin]
		if !asked || result.Err != nil || e.find != nil || len(out) == maxSources {
			continue
		}
		version := strings.ToValidUTF8(result.Version, "?")
		if len(version) > maxVersion {
			version = strings.ToValidUTF8(version[:maxVersion], "")
		}
		source := esv1.Source{StoreRef: e.origin.store, Key: e.origin.ref.Key, Version: version}
		if !seen[source] {
			seen[source] = true
			out = append(out, source)
		}
	}
	return out
}

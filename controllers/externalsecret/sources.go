package externalsecret

import (
	"cmp"
	"slices"
	"strings"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/sessions"
)

// The bounds of status.sources: what a store says about versions is its own affair, and a search finds what it finds.
const (
	maxSources = 100
	maxVersion = 256
)

// templatesOf names the objects that templates were read from.
func (s *scope) templatesOf() []esv1.TemplateSource {
	var out []esv1.TemplateSource
	for h, is := range s.templates {
		out = append(out, esv1.TemplateSource{Kind: h.kind, Name: h.name, ResourceVersion: is.version})
	}
	slices.SortFunc(out, func(a, b esv1.TemplateSource) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), maxSources)]
}

// sourcesOf names the documents that the values were read from, in the order of the entries and of what each found, each
// once, and says how many more there are.
func (s *scope) sourcesOf() (sources []esv1.Source, more int32) {
	seen := map[esv1.Source]bool{}
	add := func(e entry, key, version string) {
		version = strings.ToValidUTF8(version, "?")
		if len(version) > maxVersion {
			version = strings.ToValidUTF8(version[:maxVersion], "")
		}
		source := esv1.Source{StoreRef: e.origin.store, Key: key, Version: version}
		switch {
		case seen[source]:
			return
		case len(sources) == maxSources:
			more++
		default:
			sources = append(sources, source)
		}
		seen[source] = true
	}
	for _, e := range entriesOf(&s.es.Spec) {
		result, asked := s.documents[e.origin]
		if !asked || result.Err != nil {
			continue
		}
		if found, ok := result.Document.(sessions.Found); ok {
			for _, m := range found.Matches() {
				add(e, m.Key, m.Version)
			}
			continue
		}
		add(e, e.origin.ref.Key, result.Version)
	}
	return sources, more
}

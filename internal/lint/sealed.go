package lint

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sealbridge/sealbridge/crypto/seal"
)

func (f *file) sealedSecret(o *object) {
	if apiVersion, _ := o.item.Kind(); apiVersion != "bitnami.com/v1alpha1" {
		f.add(Error, o.line("apiVersion"), "format", o.name(), "write bitnami.com/v1alpha1", "the apiVersion is none that is served")
	}
	f.lastApplied(o, "metadata")
	f.lastApplied(o, "spec", "template", "metadata")
	f.scope(o)
	values := o.mapping("spec", "encryptedData")
	deprecated, _ := o.at("spec", "data").(string)
	switch {
	case deprecated != "" && len(values) > 0:
		f.add(Error, o.line("spec", "data"), "format", o.name(), "remove spec.data", "the deprecated spec.data and spec.encryptedData exclude each other")
	case deprecated != "":
		f.add(Warning, o.line("spec", "data"), "deprecated", o.name(), "seal the Secret anew; sealbridge rewrap keeps the old format", "spec.data is the old format, in which one value holds the whole Secret")
	case len(values) == 0 && len(o.mapping("spec", "template", "data")) == 0:
		f.add(Warning, o.line("spec"), "empty", o.name(), "sealbridge set puts a value into it", "it has no value")
	}
	f.values(o, values)
}

// values judges what each value shows without a key.
func (f *file) values(o *object, values map[string]any) {
	formats, bits := map[seal.Format]int{}, map[int]int{}
	keys, classic := map[string]int{}, 0
	for _, key := range slices.Sorted(maps.Keys(values)) {
		line := o.line("spec", "encryptedData", key)
		where := fmt.Sprintf("spec.encryptedData[%q]", key)
		if len(validation.IsConfigMapKey(key)) > 0 {
			f.add(Error, line, "key", o.name(), "letters, digits, - _ and . are allowed", "%s is no key that a Secret can have", where)
		}
		text, ok := values[key].(string)
		if !ok {
			f.add(Error, line, "format", o.name(), "seal the value: sealbridge set", "%s is not a string", where)
			continue
		}
		info, err := seal.Inspect(text)
		if err != nil {
			f.add(Error, line, "format", o.name(), "seal the value anew: sealbridge set; if it is the value itself, replace it, because history keeps it", "%s: %s", where, err)
			continue
		}
		formats[info.Format]++
		if info.Classic {
			classic++
		}
		if info.Format == seal.FormatNative {
			for _, k := range info.Keys {
				keys[k]++
			}
			continue
		}
		bits[info.Bits]++
		if c := f.options.Certificate; c != nil && c.Key.Size()*8 != info.Bits {
			f.add(Error, line, "certificate", o.name(), "seal it with the certificate, or give lint the one that it was sealed with", "%s is sealed to another key than the certificate's: that has %d bits, this one %d", where, c.Key.Size()*8, info.Bits)
		} else if c != nil && !info.MayBeTo(c.Key) {
			f.add(Error, line, "certificate", o.name(), "seal it with the certificate, or give lint the one that it was sealed with", "%s is sealed to another key of the same size than the certificate's", where)
		}
	}
	line := o.line("spec", "encryptedData")
	if all := formats[seal.FormatNative] + formats[seal.FormatCompat]; classic > 0 && classic < all {
		f.add(Warning, line, "mixed", o.name(), "seal all values to the same recipients: sealbridge rewrap --recipients", "some values are sealed to post-quantum recipients, others to an RSA key, whose secrecy ends with quantum computers")
	} else if len(formats) > 1 {
		f.add(Warning, line, "mixed", o.name(), "seal all values to the same recipients: sealbridge rewrap --recipients", "some values are sealed in the format of Sealed Secrets, others to a key that a KMS or Vault holds")
	}
	if len(bits) > 1 {
		f.add(Warning, line, "mixed", o.name(), "sealbridge rewrap seals all to one key", "the values are sealed to RSA keys of different sizes, and so to different keys")
	}
	for _, n := range keys {
		if n != formats[seal.FormatNative] {
			f.add(Warning, line, "mixed", o.name(), "sealbridge rewrap --recipients seals all to the same", "the values are sealed to different recipients, so that one of them does not open all")
			break
		}
	}
}

// scope finds annotations and places that say something else than their author means.
func (f *file) scope(o *object) {
	own, template := o.mapping("metadata", "annotations"), o.mapping("spec", "template", "metadata", "annotations")
	for _, name := range []string{seal.AnnotationClusterWide, seal.AnnotationNamespaceWide} {
		switch value, set := own[name]; {
		case set && value != "true" && value != "false":
			f.add(Error, o.line("metadata", "annotations", name), "scope", o.name(), `write "true", in quotes, or remove it`, `only "true" counts as the value of %s; the scope is narrower than it looks`, name)
		case own[name] != "true" && template[name] == "true":
			f.add(Error, o.line("spec", "template", "metadata", "annotations", name), "scope", o.name(), "the annotations of the SealedSecret itself decide; make the two the same and seal anew",
				"the template has %s, the SealedSecret has not", name)
		}
	}
	if own[seal.AnnotationClusterWide] == "true" && own[seal.AnnotationNamespaceWide] == "true" {
		f.add(Warning, o.line("metadata", "annotations", seal.AnnotationNamespaceWide), "scope", o.name(), "remove one", "both scopes are asked for; cluster-wide wins")
	}
	annotations := map[string]string{}
	for name, value := range own {
		annotations[name], _ = value.(string)
	}
	scope := seal.ScopeOf(annotations)
	missing := map[string]bool{}
	for _, field := range []string{"name", "namespace"} {
		value := o.at("metadata", field)
		missing[field] = value == nil || value == ""
		if _, isText := value.(string); value != nil && !isText {
			f.add(Error, o.line("metadata", field), "scope", o.name(), "put it in quotes; YAML reads numbers, and words such as n, on and yes, as something else than text", "metadata.%s is not a string", field)
		}
	}
	if missing["name"] && scope == seal.Strict {
		f.add(Error, o.line("metadata"), "scope", o.name(), "write metadata.name", "it has no name, to which its values are bound")
	}
	if missing["namespace"] && scope != seal.ClusterWide {
		f.add(Warning, o.line("metadata"), "scope", o.name(), "write metadata.namespace, so that it opens wherever it is applied from", "it has no namespace, to which its values are bound: it opens only when it is applied to the right one")
	}
	for _, field := range []string{"name", "namespace"} {
		value, other := o.text("metadata", field), o.text("spec", "template", "metadata", field)
		if other != "" && value != "" && other != value {
			f.add(Warning, o.line("spec", "template", "metadata", field), "scope", o.name(), "make the two the same", "the template has another %s than the SealedSecret, whose own counts", field)
		}
	}
}

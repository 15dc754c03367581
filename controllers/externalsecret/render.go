package externalsecret

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/aliases"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
)

// content is what the target shall hold.
type content struct {
	// secretType is empty where the template does not say.
	secretType          corev1.SecretType
	data                map[string][]byte
	labels, annotations map[string]string
	finalizers          []string
	// hash is that of data.
	hash string
}

// render makes the content of the target from the values and the templates that were read from elsewhere. The error names
// the template at fault, never a value.
func render(
	ctx context.Context, o template.Options, es *esv1.ExternalSecret, values map[string][]byte, templates map[holder]held,
) (content, error) {
	c := content{data: values}
	if tpl := es.Spec.Target.Template; tpl != nil {
		if err := c.fill(ctx, template.New(o), tpl, values, templates); err != nil {
			return content{}, err
		}
	} else {
		c.labels, c.annotations = inherited(es.Labels), inherited(es.Annotations)
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(c.data)) {
		if err := checkKey(key); err != nil {
			return content{}, err
		}
		size += len(c.data[key])
	}
	if size > corev1.MaxSecretSize {
		return content{}, providers.Errorf(providers.ErrInvalid, "the values are %d bytes, a Secret holds %d at most", size, corev1.MaxSecretSize)
	}
	c.hash = dataHash(c.data)
	return c, nil
}

// newRenderer returns a renderer for the rules of rewrite of one object. As in External Secrets Operator their delimiters are
// always the usual ones, and a key that is missing has no value.
func newRenderer(cache *template.Cache) *template.Renderer {
	return template.New(template.Options{MissingKey: template.MissingKeyNoValue, Cache: cache})
}

// targetTemplates are the options of a renderer for the template of one target.
func (r *Reconciler) targetTemplates() template.Options {
	return template.Options{Cache: r.deps.Templates, Delims: r.deps.Delims}
}

// fill applies a template: templateFrom in order, then data, which wins; then labels and annotations.
func (c *content) fill(
	ctx context.Context, r *template.Renderer, tpl *esv1.Template, values map[string][]byte, templates map[holder]held,
) error {
	c.secretType, c.finalizers = corev1.SecretType(tpl.Type), tpl.Metadata.Finalizers
	c.labels, c.annotations = map[string]string{}, map[string]string{}
	if len(tpl.Data) > 0 || len(tpl.TemplateFrom) > 0 {
		c.data = map[string][]byte{}
		if tpl.MergePolicy == esv1.TemplateMerge {
			maps.Copy(c.data, values)
		}
	}
	texts := make(map[string]string, len(values))
	for key, v := range values {
		texts[key] = string(v)
	}
	for _, p := range partsOf(tpl, templates) {
		if err := c.fillFrom(ctx, r, p, texts); err != nil {
			return err
		}
	}
	return errorsIn(
		each(ctx, r, "data", tpl.Data, texts, func(key string, out []byte) { c.data[key] = out }),
		each(ctx, r, "metadata.labels", tpl.Metadata.Labels, texts, func(key string, out []byte) { c.labels[key] = string(out) }),
		each(ctx, r, "metadata.annotations", tpl.Metadata.Annotations, texts, func(key string, out []byte) { c.annotations[key] = string(out) }),
	)
}

// fillFrom renders one template of templateFrom, and puts what it makes where it belongs.
func (c *content) fillFrom(ctx context.Context, r *template.Renderer, p part, texts map[string]string) error {
	render := r.Render
	if p.secret {
		render = r.RenderSecret
	}
	out, err := render(ctx, p.path, p.text, texts)
	if err != nil {
		return err
	}
	entries := map[string]string{p.key: string(out)}
	if p.key == "" {
		entries = nil
		if n := aliases.Nodes(out); n > aliases.MaxNodes {
			return providers.Errorf(providers.ErrInvalid, "%s makes YAML of about %d values, %d are allowed; leave out those that are not needed", p.path, n, aliases.MaxNodes)
		}
		if !aliases.Fit(out, template.DefaultMaxOutput) {
			return providers.Errorf(providers.ErrInvalid, "%s makes YAML whose aliases expand to more than a Secret holds; write the values out that shall be there", p.path)
		}
		if err := yaml.Unmarshal(out, &entries); err != nil {
			// The parser's own error quotes what it read.
			return providers.Errorf(providers.ErrInvalid, "%s does not make a YAML map of strings; quote its values (with toYaml, say)", p.path)
		}
	}
	to, _ := templateTarget(p.target)
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		value, err := decode([]byte(entries[key]), p.encoding)
		if err != nil {
			return providers.Errorf(providers.ErrInvalid, "%s: a value is not encoded as valuesDecodingStrategy %s says", p.path, p.encoding)
		}
		switch to {
		case esv1.TemplateTargetLabels:
			c.labels[key] = string(value)
		case esv1.TemplateTargetAnnotations:
			c.annotations[key] = string(value)
		default:
			c.data[key] = value
		}
	}
	return nil
}

// templateTarget returns which of Data, Labels and Annotations a templateFrom writes to, in any case of letters.
func templateTarget(target string) (string, bool) {
	for _, known := range []string{esv1.TemplateTargetData, esv1.TemplateTargetLabels, esv1.TemplateTargetAnnotations} {
		if target == "" || strings.EqualFold(target, known) {
			return known, true
		}
	}
	return "", false
}

// each renders a map of templates in the order of their keys.
func each(ctx context.Context, r *template.Renderer, where string, texts, values map[string]string, set func(string, []byte)) error {
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		out, err := r.Render(ctx, "spec.target.template."+where+"."+key, texts[key], values)
		if err != nil {
			return err
		}
		set(key, out)
	}
	return nil
}

// errorsIn returns the first error.
func errorsIn(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// mark adds what External Secrets Operator writes on the Secrets that it maintains, with a hash of the data of our own.
func (c *content) mark(es *esv1.ExternalSecret, hash string) {
	if c.labels == nil {
		c.labels = map[string]string{}
	}
	if c.annotations == nil {
		c.annotations = map[string]string{}
	}
	c.labels[esv1.LabelManaged] = "true"
	delete(c.labels, esv1.LabelCreatedBy) // of somebody's manifest
	if owns(&es.Spec) {
		c.labels[esv1.LabelCreatedBy] = createdBy(es)
	}
	// The hash of a shared target would be one of what others put there, which we do not know.
	if !shares(&es.Spec) {
		c.annotations[esv1.AnnotationDataHash] = hash
	}
}

// inherited returns the labels or annotations of an ExternalSecret that its target gets when there is no template: all
// but those by which other tools recognize the objects that they applied, because they did not apply the Secret. Others of theirs
// stay, such as argocd.argoproj.io/secret-type, by which Argo CD finds its clusters and repositories.
func inherited(from map[string]string) map[string]string {
	out := maps.Clone(from)
	maps.DeleteFunc(out, func(key, _ string) bool {
		switch key {
		case "kubectl.kubernetes.io/last-applied-configuration",
			"argocd.argoproj.io/instance", "argocd.argoproj.io/tracking-id", "argocd.argoproj.io/installation-id",
			"kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace":
			return true
		default:
			return strings.HasPrefix(key, "sealbridge.dev/") || strings.Contains(key, ".sealbridge.dev/")
		}
	})
	return out
}

// dynamicMetadata reports whether the labels and annotations of the target can change while the ExternalSecret does not.
func dynamicMetadata(spec *esv1.ExternalSecretSpec, d template.Delims) bool {
	tpl := spec.Target.Template
	if tpl == nil {
		return false
	}
	for _, texts := range []map[string]string{tpl.Metadata.Labels, tpl.Metadata.Annotations} {
		for _, text := range texts {
			if d.Has(text) {
				return true
			}
		}
	}
	return slices.ContainsFunc(tpl.TemplateFrom, func(f esv1.TemplateFrom) bool {
		to, _ := templateTarget(f.Target)
		return to != esv1.TemplateTargetData
	})
}

// fingerprint is a fingerprint of the content, for comparison within the process.
func (c *content) fingerprint() string {
	return hashText(fmt.Sprintf("%q %q %q %q", c.secretType, c.hash, c.labels, c.annotations))
}

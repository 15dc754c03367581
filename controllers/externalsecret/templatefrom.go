package externalsecret

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// maxTemplates is how many bytes the templates of one object may have that are read from elsewhere.
const maxTemplates = 4 << 20

// holder is a ConfigMap or Secret, by the kinds of package watches, that holds templates, in the namespace of the
// ExternalSecret: a reference names no other.
type holder struct{ kind, name string }

// held is what was read of a holder: the texts that the spec names, and the version that they are of.
type held struct {
	version string
	texts   map[string]string
}

// part is one template of templateFrom.
type part struct {
	// path is where the template comes from, for messages.
	path string
	text string
	// secret is set for a text that is data of a Secret.
	secret bool
	// key is what the result is put under; empty for a template that makes keys itself.
	key string
	// target and encoding are those of the templateFrom.
	target   string
	encoding esv1.DecodingStrategy
}

// holdersOf calls do for each reference of a template to a holder, in order, with the path of the reference.
func holdersOf(tpl *esv1.Template, do func(path string, from esv1.TemplateFrom, h holder, items []esv1.TemplateRefItem) error) error {
	if tpl == nil {
		return nil
	}
	for i, from := range tpl.TemplateFrom {
		path := fmt.Sprintf("spec.target.template.templateFrom[%d]", i)
		if ref := from.ConfigMap; ref != nil {
			if err := do(path+".configMap", from, holder{watches.ConfigMap, ref.Name}, ref.Items); err != nil {
				return err
			}
		}
		if ref := from.Secret; ref != nil {
			if err := do(path+".secret", from, holder{watches.Secret, ref.Name}, ref.Items); err != nil {
				return err
			}
		}
	}
	return nil
}

// readTemplates reads the ConfigMaps and Secrets that hold templates, each once. They are read from the API server itself,
// so that no data of a Secret is in a cache, and before the store is asked: without them nothing can be made.
func (r *Reconciler) readTemplates(ctx context.Context, s *scope) error {
	s.templates = map[holder]held{}
	objects, size := map[holder]client.Object{}, 0
	return holdersOf(s.es.Spec.Target.Template, func(path string, _ esv1.TemplateFrom, h holder, items []esv1.TemplateRefItem) error {
		if objects[h] == nil {
			obj, err := r.readHolder(ctx, s.es.Namespace, h)
			s.noteHolder(h, obj, err)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			objects[h] = obj
			s.templates[h] = held{version: obj.GetResourceVersion(), texts: map[string]string{}}
		}
		texts := s.templates[h].texts
		for i, item := range items {
			if _, twice := texts[item.Key]; twice {
				continue
			}
			text, err := textOf(objects[h], item.Key)
			if err != nil {
				return fmt.Errorf("%s.items[%d]: %w", path, i, err)
			}
			if size += len(text); size > maxTemplates {
				return providers.Errorf(providers.ErrInvalid, "%s: the templates have more than %d bytes together", path, maxTemplates)
			}
			texts[item.Key] = text
		}
		return nil
	})
}

func (r *Reconciler) readHolder(ctx context.Context, namespace string, h holder) (client.Object, error) {
	var obj client.Object = &corev1.ConfigMap{}
	if h.kind == watches.Secret {
		obj = &corev1.Secret{}
	}
	err := r.deps.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: h.name}, obj)
	switch {
	case apierrors.IsNotFound(err):
		return nil, providers.Errorf(providers.ErrNotFound, "%s %s/%s does not exist; create it, or correct the name", h.kind, namespace, h.name)
	case apierrors.IsForbidden(err):
		return nil, providers.Errorf(providers.ErrDenied, "the controller may not read %s %s/%s: grant its ServiceAccount the verb get on it",
			h.kind, namespace, h.name)
	case err != nil:
		return nil, fmt.Errorf("read %s %s/%s: %w", h.kind, namespace, h.name, redact.API(err))
	}
	return obj, nil
}

// textOf returns the template under a key of a holder.
func textOf(obj client.Object, key string) (string, error) {
	switch h := obj.(type) {
	case *corev1.ConfigMap:
		if text, ok := h.Data[key]; ok {
			return text, nil
		}
		if _, binary := h.BinaryData[key]; binary {
			return "", providers.Errorf(providers.ErrInvalid,
				"ConfigMap %s/%s has key %q in binaryData, which holds no templates; move it to data", h.Namespace, h.Name, key)
		}
		return "", noKey(watches.ConfigMap, h, key)
	case *corev1.Secret:
		if err := refuseType(h.Type); err != nil {
			return "", fmt.Errorf("secret %s/%s: %w", h.Namespace, h.Name, err)
		}
		if text, ok := h.Data[key]; ok {
			return string(text), nil
		}
		return "", noKey(watches.Secret, h, key)
	default:
		return "", providers.Errorf(providers.ErrInvalid, "%T holds no templates", obj)
	}
}

func noKey(kind string, obj client.Object, key string) error {
	return providers.Errorf(providers.ErrNotFound, "%s %s/%s has no key %q; add it, or correct the key", kind, obj.GetNamespace(), obj.GetName(), key)
}

// partsOf returns the templates of templateFrom in the order in which they are rendered: the list's, and within one
// element ConfigMap, Secret and literal, as External Secrets Operator has it.
func partsOf(tpl *esv1.Template, templates map[holder]held) []part {
	var parts []part
	for i, from := range tpl.TemplateFrom {
		one := &esv1.Template{TemplateFrom: []esv1.TemplateFrom{from}}
		_ = holdersOf(one, func(_ string, from esv1.TemplateFrom, h holder, items []esv1.TemplateRefItem) error {
			for _, item := range items {
				p := part{
					path: fmt.Sprintf("spec.target.template.templateFrom[%d] (%s %s, key %s)", i, h.kind, h.name, item.Key),
					text: templates[h].texts[item.Key], secret: h.kind == watches.Secret, key: item.Key, target: from.Target, encoding: from.ValuesDecodingStrategy,
				}
				if item.TemplateAs == esv1.TemplateKeysAndValues {
					p.key = ""
				}
				parts = append(parts, p)
			}
			return nil
		})
		if from.Literal != nil {
			parts = append(parts, part{
				path: fmt.Sprintf("spec.target.template.templateFrom[%d].literal", i),
				text: *from.Literal, target: from.Target, encoding: from.ValuesDecodingStrategy,
			})
		}
	}
	return parts
}

package externalsecret

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/template"
)

// What is random or looks at the clock, a template or a rule of rewrite, is evaluated once for the same values and the same
// texts. What it made is kept in the memory of the process, so that a changed target is repaired to what it was. After a
// restart it is found in the target itself, which says in an annotation what it was made from. The annotation is an HMAC
// under a key that nobody but the controller can read, so that it helps nobody to guess a value; and it covers the hash of
// the data, so that data which somebody else put there is not taken for ours.

// made is what was made by something volatile, and the fingerprint of what from.
type made struct {
	inputs  []byte
	content content
}

// makeOnce makes the content of the target, or finds what was made before from the same inputs.
func (r *Reconciler) makeOnce(ctx context.Context, s *scope) error {
	inputs, err := r.inputsOf(ctx, s)
	if err != nil {
		return failed(err)
	}
	if s.memo.made == nil || !hmac.Equal(s.memo.made.inputs, inputs) {
		c, err := r.make(ctx, s)
		if err != nil {
			return err
		}
		if err := r.keep(ctx, s, &c, inputs); err != nil {
			return failed(err)
		}
		s.memo.made = &made{inputs, c}
	}
	s.content = s.memo.made.content
	s.content.labels, s.content.annotations = maps.Clone(s.content.labels), maps.Clone(s.content.annotations)
	if s.es.Spec.Target.Template == nil {
		s.content.labels, s.content.annotations = inherited(s.es.Labels), inherited(s.es.Annotations)
	}
	if s.content.annotations == nil {
		s.content.annotations = map[string]string{}
	}
	s.content.annotations[inputsAnnotation(s.es)] = bind(s.key, inputs, s.content.hash)
	return nil
}

// inputsAnnotation is the annotation of a target that binds what the ExternalSecret put there. Those that share a target have
// one each.
func inputsAnnotation(es *esv1.ExternalSecret) string {
	if !shares(&es.Spec) {
		return esv1.AnnotationInputs
	}
	const enough = 16
	return esv1.AnnotationInputs + "." + hashText(es.Name)[:enough]
}

// keep replaces what was just made by what the target holds of the ExternalSecret, if that was made from the same inputs.
// The target is read once for that, by a process that has made nothing of it yet.
func (r *Reconciler) keep(ctx context.Context, s *scope, c *content, inputs []byte) error {
	if s.memo.made != nil || s.target.inputs == "" || !s.target.belongs(s.es) {
		return nil
	}
	live, err := r.read(ctx, s)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	held := heldBy(live, fieldOwner(s.es.Name))
	hash := dataHash(held.data)
	if s.target.inputs != bind(s.key, inputs, hash) {
		return nil
	}
	c.data, c.hash = held.data, hash
	for _, m := range []struct{ made, held map[string]string }{{c.labels, held.labels}, {c.annotations, held.annotations}} {
		for name := range m.made {
			if value, ok := m.held[name]; ok {
				m.made[name] = value
			}
		}
	}
	return nil
}

// heldBy returns what a Secret holds of one field manager. What somebody else has changed since is not among it.
func heldBy(live *corev1.Secret, manager string) content {
	var owned struct {
		Data     map[string]json.RawMessage `json:"f:data"`
		Metadata struct {
			Labels      map[string]json.RawMessage `json:"f:labels"`
			Annotations map[string]json.RawMessage `json:"f:annotations"`
		} `json:"f:metadata"`
	}
	for _, entry := range live.ManagedFields {
		if entry.Manager == manager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "" && entry.FieldsV1 != nil {
			_ = json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned) // fields that cannot be read are nobody's
		}
	}
	return content{
		data: fieldsIn(live.Data, owned.Data), labels: fieldsIn(live.Labels, owned.Metadata.Labels),
		annotations: fieldsIn(live.Annotations, owned.Metadata.Annotations),
	}
}

// fieldsIn returns the entries of a map whose fields (metav1.FieldsV1) are in a set.
func fieldsIn[V any](all map[string]V, fields map[string]json.RawMessage) map[string]V {
	out := map[string]V{}
	for name, value := range all {
		if _, ok := fields["f:"+name]; ok {
			out[name] = value
		}
	}
	return out
}

// volatile reports whether anything that makes the target is random or looks at the clock.
func volatile(o template.Options, spec *esv1.ExternalSecretSpec, templates map[holder]held) bool {
	return slices.ContainsFunc(spec.DataFrom, func(d esv1.DataFrom) bool { return volatileRules(o.Cache, d.Rewrite) }) ||
		spec.Target.Template != nil && volatileTemplate(o, spec.Target.Template, templates)
}

func volatileRules(cache *template.Cache, rules []esv1.Rewrite) bool {
	return slices.ContainsFunc(rules, func(rule esv1.Rewrite) bool {
		return rule.Transform != nil && cache.Volatile(rule.Transform.Template, template.Delims{})
	})
}

func volatileTemplate(o template.Options, tpl *esv1.Template, templates map[holder]held) bool {
	for _, texts := range []map[string]string{tpl.Data, tpl.Metadata.Labels, tpl.Metadata.Annotations} {
		for _, text := range texts {
			if o.Cache.Volatile(text, o.Delims) {
				return true
			}
		}
	}
	return slices.ContainsFunc(partsOf(tpl, templates), func(p part) bool {
		if p.secret {
			return template.Volatile(p.text, o.Delims)
		}
		return o.Cache.Volatile(p.text, o.Delims)
	})
}

// unnamed is what was found for an entry whose rules are volatile, and all that makes values of it.
type unnamed struct {
	Path    string
	Fields  map[string][]byte
	Rewrite []esv1.Rewrite
	Remote  esv1.RemoteRef
}

// inputsOf is the fingerprint of all that a target is made from: values, and where their keys are volatile, what they are
// made from themselves.
func (r *Reconciler) inputsOf(ctx context.Context, s *scope) ([]byte, error) {
	var steady []finding
	var others []unnamed
	for _, f := range s.found {
		if volatileRules(r.deps.Templates, f.rewrite) {
			others = append(others, unnamed{f.path, f.fields, f.rewrite, esv1.RemoteRef{DecodingStrategy: f.remote.DecodingStrategy, NullBytePolicy: f.remote.NullBytePolicy}})
		} else {
			steady = append(steady, f)
		}
	}
	values, err := assemble(ctx, newRenderer(r.deps.Templates), steady)
	if err != nil {
		return nil, err
	}
	texts := map[string]map[string]string{}
	for h, what := range s.templates {
		texts[h.kind+"/"+h.name] = what.texts
	}
	printed, err := json.Marshal(struct {
		Template *esv1.Template
		Values   map[string][]byte
		Texts    map[string]map[string]string
		Unnamed  []unnamed       `json:",omitempty"`
		Delims   template.Delims `json:",omitzero"`
	}{s.es.Spec.Target.Template, values, texts, others, r.deps.Delims})
	if err != nil {
		return nil, fmt.Errorf("fingerprint what the target is made from: %w", err)
	}
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write(printed)
	return mac.Sum(nil), nil
}

// bind ties data, by its hash, to what it was made from.
func bind(key, inputs []byte, hash string) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(inputs)
	_, _ = mac.Write([]byte(hash))
	return hex.EncodeToString(mac.Sum(nil))
}

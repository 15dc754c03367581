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

	ctrl "sigs.k8s.io/controller-runtime"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/template"
)

// A template that is random or looks at the clock is rendered once for the same values and the same texts. What it made
// is kept in the memory of the process, so that a changed target is repaired to what it was. After a restart it is
// found in the target itself, which says in an annotation what it was made from. The annotation is an HMAC under a key that
// nobody but the controller can read, so that it helps nobody to guess a value; and it covers the data's hash, so that
// data which somebody else put there is not taken for ours.

// made is what a volatile template made, and the fingerprint of what from.
type made struct {
	inputs  []byte
	content content
}

// make renders the content of the target, or returns what was rendered before from the same inputs.
func (r *Reconciler) make(ctx context.Context, s *scope) (content, error) {
	tpl := s.es.Spec.Target.Template
	if !volatile(tpl, s.templates) {
		s.memo.made = nil
		return render(ctx, r.deps.Templates, s.es, s.values, s.templates)
	}
	key := r.key(ctx)
	inputs, err := inputsOf(key, tpl, s.values, s.templates)
	if err != nil {
		return content{}, err
	}
	if s.memo.made == nil || !hmac.Equal(s.memo.made.inputs, inputs) {
		c, err := render(ctx, r.deps.Templates, s.es, s.values, s.templates)
		if err != nil {
			return content{}, err
		}
		if err := r.keep(ctx, s, &c, key, inputs); err != nil {
			return content{}, err
		}
		s.memo.made = &made{inputs, c}
	}
	c := s.memo.made.content
	c.labels, c.annotations = maps.Clone(c.labels), maps.Clone(c.annotations)
	c.mark(s.es)
	if !shares(&s.es.Spec) { // two that share a target would overwrite it
		c.annotations[esv1.AnnotationInputs] = bind(key, inputs, c.hash)
	}
	return c, nil
}

// keep replaces the data that was just rendered by what the target holds, if that was made from the same inputs. The
// target is read once for that, and only when its metadata says so.
func (r *Reconciler) keep(ctx context.Context, s *scope, c *content, key, inputs []byte) error {
	if shares(&s.es.Spec) || !s.target.belongs(s.es) || s.target.inputs != bind(key, inputs, s.target.dataHash) {
		return nil
	}
	live, err := r.read(ctx, s)
	if err != nil {
		return err
	}
	data := map[string][]byte{}
	for name := range c.data {
		if value, ok := live.Data[name]; ok {
			data[name] = value
		}
	}
	if hash := dataHash(data); s.target.inputs == bind(key, inputs, hash) {
		c.data, c.hash = data, hash
	}
	return nil
}

// volatile reports whether anything that makes the target is random or looks at the clock.
func volatile(tpl *esv1.Template, templates map[holder]held) bool {
	if tpl == nil {
		return false
	}
	for _, texts := range []map[string]string{tpl.Data, tpl.Metadata.Labels, tpl.Metadata.Annotations} {
		for _, text := range texts {
			if template.Volatile(text) {
				return true
			}
		}
	}
	return slices.ContainsFunc(partsOf(tpl, templates), func(p part) bool { return template.Volatile(p.text) })
}

// inputsOf is the fingerprint of all that a target is made from.
func inputsOf(key []byte, tpl *esv1.Template, values map[string][]byte, templates map[holder]held) ([]byte, error) {
	texts := map[string]map[string]string{}
	for h, what := range templates {
		texts[h.kind+"/"+h.name] = what.texts
	}
	printed, err := json.Marshal(struct {
		Template *esv1.Template
		Values   map[string][]byte
		Texts    map[string]map[string]string
	}{tpl, values, texts})
	if err != nil {
		return nil, fmt.Errorf("fingerprint what the template is made from: %w", err)
	}
	mac := hmac.New(sha256.New, key)
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

// key returns the key of the controller, or that of the process where there is none.
func (r *Reconciler) key(ctx context.Context) []byte {
	if r.deps.Key == nil {
		return r.ownKey
	}
	key, err := r.deps.Key(ctx)
	if err != nil {
		r.keyless.Do(func() {
			ctrl.LoggerFrom(ctx).Error(err, "what random templates made will not be recognized after a restart")
		})
		return r.ownKey
	}
	return key
}

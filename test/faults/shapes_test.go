package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/watches"
)

// shapeName is the name of the ConfigMap and of the Secret that hold a tenant's templates, and shapeKey the key of both.
const (
	shapeName = "shape"
	shapeKey  = "all"
)

// shape is a version of a template in an object of a kind. It marks each value that goes through it.
type shape struct {
	kind    string
	version int
}

func (s shape) mark() string {
	if s.kind == "" {
		return ""
	}
	return "/" + s.kind + "/" + strconv.Itoa(s.version)
}

// text is the template.
func (s shape) text() string {
	return `{{ range $key, $value := . }}{{ $key }}: "{{ $value }}` + s.mark() + "\"\n{{ end }}"
}

func parseShape(kind, version string) (shape, bool) {
	n, err := strconv.Atoi(version)
	return shape{kind, n}, err == nil
}

// shape is the newest template of a kind; none for no kind.
func (t *tenant) shape(kind string) shape {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shapes[kind]
}

// reshape makes the next version of a template.
func (t *tenant) reshape(kind string) shape {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := shape{kind, t.shapes[kind].version + 1}
	t.shapes[kind] = next
	return next
}

func (t *tenant) hadShape(s shape) bool {
	return s.kind == "" || s.version > 0 && s.version <= t.shape(s.kind).version
}

// templateOf is the template of an ExternalSecret, nil for most.
func templateOf(e *external) *esv1.Template {
	if e.shape == "" && !e.random {
		return nil
	}
	out := &esv1.Template{MergePolicy: esv1.TemplateMerge}
	ref := &esv1.TemplateRef{Name: shapeName, Items: []esv1.TemplateRefItem{{Key: shapeKey, TemplateAs: esv1.TemplateKeysAndValues}}}
	switch e.shape {
	case watches.ConfigMap:
		out.TemplateFrom = []esv1.TemplateFrom{{ConfigMap: ref}}
	case watches.Secret:
		out.TemplateFrom = []esv1.TemplateFrom{{Secret: ref}}
	}
	if e.random {
		out.Data = map[string]string{randomKey: drawTemplate(e.draw)}
	}
	return out
}

// form makes the object that holds a template of a tenant, with the next version.
func (w *world) form(t *tenant, kind string) {
	w.t.Helper()
	text := t.reshape(kind).text()
	if kind == watches.ConfigMap {
		w.create(&corev1.ConfigMap{ObjectMeta: meta(t.name, shapeName), Data: map[string]string{shapeKey: text}})
	} else {
		w.create(&corev1.Secret{ObjectMeta: meta(t.name, shapeName), Data: map[string][]byte{shapeKey: []byte(text)}})
	}
	t.shapeless[kind] = false
}

// reshape changes a template, deletes the object that holds it, or makes one that was deleted.
func (w *world) reshape() string {
	t, kind := w.someone(), pick(w, []string{watches.ConfigMap, watches.Secret})
	text := fmt.Sprintf("the template %s %s/%s", kind, t.name, shapeName)
	var obj client.Object = &corev1.ConfigMap{ObjectMeta: meta(t.name, shapeName)}
	if kind == watches.Secret {
		obj = &corev1.Secret{ObjectMeta: meta(t.name, shapeName)}
	}
	switch {
	case t.shapeless[kind]:
		w.form(t, kind)
		return "create " + text
	case w.random.IntN(3) == 0:
		if kind == watches.Secret {
			w.witness.take(w.secret(t.name, shapeName).UID)
		}
		w.remove(obj)
		t.shapeless[kind] = true
		return "delete " + text
	}
	field := "data"
	if kind == watches.Secret {
		field = "stringData"
	}
	w.patch(obj, fmt.Sprintf(`{%q:{%q:%q}}`, field, shapeKey, t.reshape(kind).text()))
	return "change " + text
}

// randomKey is a key whose value is drawn once, and kept until what stands beside it, or the spec, changes.
const randomKey = "random"

func drawTemplate(draw int) string { return "{{ randAlphaNum 20 }}" + drawnMark(draw) }

// drawnMark ends each value that was drawn for a version of the spec.
func drawnMark(draw int) string { return "-" + strconv.Itoa(draw) }

func isDrawn(value, mark string) bool {
	head, found := strings.CutSuffix(value, mark)
	return found && len(head) == 20 && !strings.Contains(head, "-")
}

// redraw changes the template of a random value.
func (w *world) redraw() string {
	t := w.someone()
	e := pick(w, slices.DeleteFunc(slices.Clone(t.externals), func(e *external) bool { return !e.random }))
	e.draw++
	if e.uid != "" {
		w.patch(&esv1.ExternalSecret{ObjectMeta: meta(t.name, e.name)},
			fmt.Sprintf(`{"spec":{"target":{"template":{"data":{%q:%q}}}}}`, randomKey, drawTemplate(e.draw)))
	}
	return fmt.Sprintf("draw the random value of %s/%s anew", t.name, e.name)
}

// drawing is one state of a Secret that has a random value.
type drawing struct {
	version
	name types.NamespacedName
	// of is what the value was drawn for: the owner, and all that stands beside it.
	of, value string
	at        time.Time
}

// drawn is what a Secret has held for the same owner and the same input.
type drawn struct {
	uid    types.UID
	of     string
	values map[string]bool
	// touched is set when an act has changed the Secret since: a process that did not know the value draws another.
	touched bool
	// at is when the newest value was seen first.
	at time.Time
}

// overlap is how long two processes may lead after one of them was paused: it goes on until it notices that its lease is another's,
// and what each has drawn is in its own memory only. Whatever stands there when that is over stays.
const overlap = 5 * time.Second

// draws judges the order of random values.
type draws struct {
	seen []drawing
	held map[types.NamespacedName]*drawn
	// woken is when a paused leader was let go on last.
	woken time.Time
}

// woke notes that a leader goes on which may still write what it has drawn for itself.
func (v *witness) woke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.draws.woken = time.Now()
}

// missed notes that states may not have been seen.
func (d *draws) missed() {
	for _, held := range d.held {
		held.touched = true
	}
}

func (d *draws) see(s *corev1.Secret) {
	value, ok := s.Data[randomKey]
	held := d.held[client.ObjectKeyFromObject(s)]
	if !ok && held == nil {
		return
	}
	one := drawing{version: version{s.UID, s.ResourceVersion}, name: client.ObjectKeyFromObject(s), at: time.Now()}
	if owner := metav1.GetControllerOf(s); ok && owner != nil && string(value) != byHand {
		_, mark, _ := strings.Cut(string(value), "-")
		of := []string{string(owner.UID), mark}
		for _, key := range slices.Sorted(maps.Keys(s.Data)) {
			if key != randomKey && key != foreign {
				of = append(of, key+"="+string(s.Data[key]))
			}
		}
		one.of, one.value = strings.Join(of, "\n"), string(value)
	}
	d.seen = append(d.seen, one)
}

// verdict says which values were drawn without a reason, from the states in their order and those that the test wrote itself.
func (d *draws) verdict(hand map[version]bool) []string {
	var wrong []string
	for _, one := range d.seen {
		held := d.held[one.name]
		if held != nil && (hand[one.version] || one.of == "" || held.uid != one.uid) {
			held.uid, held.touched = one.uid, true
		}
		switch {
		case hand[one.version] || one.of == "":
		case held == nil || held.of != one.of:
			d.held[one.name] = &drawn{uid: one.uid, of: one.of, values: map[string]bool{one.value: true}, at: one.at}
		case held.values[one.value]:
			held.touched = false
		case held.touched || held.at.Before(d.woken.Add(overlap)):
			held.values[one.value], held.touched, held.at = true, false, one.at
		default:
			wrong = append(wrong, fmt.Sprintf("Secret %s: key %s was drawn anew for the same input", one.name, randomKey))
			held.values[one.value] = true
		}
	}
	d.seen = nil
	return wrong
}

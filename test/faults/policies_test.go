package faults_test

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// claim is what an object may have a Secret hold.
type claim struct {
	groups []group
	// partial is set when groups may be missing, shared when others may write beside it, and deletes when the Secret is deleted
	// while the stores have none of it.
	partial, shared, deletes bool
}

// group are keys that are there together or not at all. They are those of a document where a document may go alone.
type group struct {
	document string
	keys     []string
}

func (c claim) keys() []string {
	var out []string
	for _, g := range c.groups {
		out = append(out, g.keys...)
	}
	return out
}

func (e *external) claim() claim {
	c := claim{partial: e.drops || e.deletes, shared: e.target == "common", deletes: e.deletes}
	if !c.partial {
		c.groups = []group{{keys: e.keys()}}
		return c
	}
	for _, d := range e.whole {
		c.groups = append(c.groups, group{document: d, keys: keysOf(d)})
	}
	return c
}

// owns reports whether the target belongs to the ExternalSecret.
func (e *external) owns() bool { return e.policy == "" || e.policy == esv1.CreationOwner }

// shares reports whether the target may hold keys of others.
func (e *external) shares() bool {
	return e.policy == esv1.CreationMerge || e.policy == esv1.CreationCreateOrMerge
}

// stays reports whether a Secret of the name may outlive whoever wrote it.
func (t *tenant) stays(name string) bool {
	return slices.ContainsFunc(t.externals, func(e *external) bool { return e.target == name && (e.turns || !e.owns()) })
}

// lacked reports whether a backend has been without a document at some time since.
func (t *tenant) lacked(document string, since time.Time) bool {
	for _, b := range t.backends {
		b.mu.Lock()
		lacked := b.removed[document] || b.restored[document].After(since.Add(-time.Second))
		b.mu.Unlock()
		if lacked {
			return true
		}
	}
	return false
}

// count is how many of a group's keys there are, and how many of them are not as they were.
func (g group) count(data, was map[string]string) (there, changed int) {
	for _, key := range g.keys {
		value, is := data[key]
		before, had := was[key]
		if is {
			there++
		}
		if is != had || value != before {
			changed++
		}
	}
	return there, changed
}

// complete reports whether there are all keys of an object that may want the Secret, or of several while one takes it over, and
// no others. A group of which a hand took a part is as it was when another object writes.
func complete(data, was map[string]string, claims []claim) bool {
	whole := map[string]bool{}
	satisfied := false
	for _, c := range claims {
		full := true
		for _, g := range c.groups {
			there, changed := g.count(data, was)
			if there == len(g.keys) || c.shared && changed == 0 {
				for _, key := range g.keys {
					if _, is := data[key]; is {
						whole[key] = true
					}
				}
			} else {
				full = false
			}
		}
		satisfied = satisfied || full || c.partial || c.shared
	}
	return satisfied && len(whole) == len(data)
}

// dropped are the groups of which a Secret had all keys, and has none.
func dropped(data, was map[string]string, claims []claim) []group {
	var out []group
	for _, c := range claims {
		for _, g := range c.groups {
			had, _ := g.count(was, nil)
			has, _ := g.count(data, nil)
			if (c.partial || c.shared) && had == len(g.keys) && has == 0 {
				out = append(out, g)
			}
		}
	}
	return out
}

// robbed reports whether a Secret that several share has lost what belongs to none of them.
func robbed(s, before *corev1.Secret, claims []claim) bool {
	if before == nil || before.UID != s.UID || !slices.ContainsFunc(claims, func(c claim) bool { return c.shared }) {
		return false
	}
	_, had := before.Data[foreign]
	_, has := s.Data[foreign]
	return had && !has
}

// deletes reports whether a Secret may be deleted because the stores had none of its documents.
func (v *witness) deletes(s *corev1.Secret) bool {
	for _, t := range v.w.tenants {
		for _, c := range t.claims(s.Name) {
			if t.name != s.Namespace || !c.deletes {
				continue
			}
			if !slices.ContainsFunc(c.groups, func(g group) bool { return !t.lacked(g.document, s.CreationTimestamp.Time) }) {
				return true
			}
		}
	}
	return false
}

// broke reports whether a Secret may be deleted because the ExternalSecret that the ClusterExternalSecret made had to go.
func (v *witness) broke(s *corev1.Secret) bool {
	return s.Name == spreadName && slices.ContainsFunc(v.w.tenants, func(t *tenant) bool {
		return t.name == s.Namespace && t.broke(s.CreationTimestamp.Time)
	})
}

// wrongFree says what is wrong with a Secret that belongs to no object, and notes who has it.
func (t *tenant) wrongFree(name string, s *corev1.Secret, holder map[types.UID]bool) []string {
	var wrong []string
	add := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s: Secret %s ", t.name, name)+fmt.Sprintf(format, args...))
	}
	users := slices.DeleteFunc(slices.Clone(t.externals), func(e *external) bool { return e.target != name || e.uid == "" })
	if s == nil {
		if slices.ContainsFunc(users, func(e *external) bool { return e.policy != esv1.CreationMerge }) {
			add("is missing")
		}
		return wrong
	}
	if owner := metav1.GetControllerOf(s); owner != nil {
		add("belongs to %s %s", owner.Kind, owner.Name)
	}
	text := map[*external]string{}
	for _, e := range users {
		own := s.DeepCopy()
		if e.shares() {
			for key := range own.Data {
				if !slices.Contains(e.keys(), key) {
					delete(own.Data, key)
				}
			}
		}
		text[e] = differs(own, t.expected(e))
		holder[e.uid] = text[e] == ""
	}
	for _, e := range users {
		contends := func(other *external) bool {
			return other != e && text[other] == "" && slices.Equal(other.keys(), e.keys())
		}
		if text[e] != "" && !slices.ContainsFunc(users, contends) {
			add("of %s %s", e.name, text[e])
		}
	}
	return wrong
}

// turn gives an ExternalSecret another creationPolicy.
func (w *world) turn() string {
	t := w.someone()
	e := pick(w, slices.DeleteFunc(slices.Clone(t.externals), func(e *external) bool { return !e.turns }))
	all := []esv1.CreationPolicy{esv1.CreationOwner, esv1.CreationOrphan, esv1.CreationMerge, esv1.CreationCreateOrMerge}
	e.policy = pick(w, slices.DeleteFunc(all, func(p esv1.CreationPolicy) bool { return p == e.policy }))
	if e.uid != "" {
		w.patch(&esv1.ExternalSecret{ObjectMeta: meta(t.name, e.name)}, fmt.Sprintf(`{"spec":{"target":{"creationPolicy":%q}}}`, e.policy))
	}
	return fmt.Sprintf("turn ExternalSecret %s/%s to %s", t.name, e.name, e.policy)
}

// toggleSharer deletes an ExternalSecret that owns nothing, or makes one that does not exist.
func (w *world) toggleSharer() string {
	t := w.someone()
	return w.toggle(t, pick(w, slices.DeleteFunc(slices.Clone(t.externals), func(e *external) bool { return e.owns() && !e.turns })))
}

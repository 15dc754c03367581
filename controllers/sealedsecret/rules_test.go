package sealedsecret_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// shape is what a rule says of a Secret; our own label is left out.
type shape struct {
	Data, Labels, Annotations map[string]string
	Type                      corev1.SecretType
	Owned, Immutable          bool
}

func (w *world) shape(name string) *shape {
	w.t.Helper()
	s := w.secret(name)
	if s == nil {
		return nil
	}
	labels := maps.Clone(s.Labels)
	delete(labels, v1alpha1.LabelSealedBy)
	return &shape{
		Data: w.data(name), Labels: labels, Annotations: s.Annotations, Type: s.Type,
		Owned: len(s.OwnerReferences) == 1 && s.OwnerReferences[0].Kind == "SealedSecret", Immutable: s.Immutable != nil && *s.Immutable,
	}
}

// rule is one of the rules that Sealed Secrets publishes for a SealedSecret with the values foo=bar and the label
// ours=1 in its template.
type rule struct {
	// before is the Secret that is there first, nil for none.
	before *corev1.Secret
	// shape changes the SealedSecret before it is created, then update it or its Secret afterwards.
	shape func(w *world, obj *v1alpha1.SealedSecret)
	then  func(w *world, obj *v1alpha1.SealedSecret)
	// want is the Secret in the end; event is a part of "Type Reason message" of one of the events.
	want  *shape
	event string
}

const (
	unsealed     = "Normal Unsealed SealedSecret unsealed successfully"
	notUnsealed  = "Warning ErrUnsealFailed Failed to unseal: no key could decrypt secret (foo)"
	managed      = v1alpha1.AnnotationManaged
	patched      = v1alpha1.AnnotationPatch
	skipOwner    = v1alpha1.AnnotationSkipSetOwnerReferences
	clusterWide  = seal.AnnotationClusterWide
	namespaceAll = seal.AnnotationNamespaceWide
)

// there returns a Secret of somebody else.
func there(annotations ...string) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"theirs": "1"}},
		Data:       map[string][]byte{"foo": []byte("old"), "foo2": []byte("bar2")},
	}
	for _, a := range annotations {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, a, "true")
	}
	return s
}

// ours is the Secret as the SealedSecret says, changed.
func ours(change ...func(*shape)) *shape {
	out := &shape{Data: map[string]string{"foo": "bar"}, Labels: map[string]string{"ours": "1"}, Type: corev1.SecretTypeOpaque, Owned: true}
	for _, c := range change {
		c(out)
	}
	return out
}

func annotated(names ...string) map[string]string {
	out := map[string]string{}
	for _, n := range names {
		out[n] = "true"
	}
	return out
}

// movedFrom seals foo for another place, under a scope, and annotates the SealedSecret with it.
func movedFrom(namespace, name string, scope seal.Scope, annotation string) func(*world, *v1alpha1.SealedSecret) {
	return func(w *world, obj *v1alpha1.SealedSecret) {
		if namespace == "" {
			namespace = w.ns
		}
		if name == "" {
			name = obj.Name
		}
		obj.Spec.EncryptedData["foo"] = w.sealedTo(newest(w), scope, namespace, name, "bar")
		if annotation != "" {
			obj.Annotations = annotated(annotation)
		}
	}
}

func changeSpec(change func(w *world, s *v1alpha1.SealedSecret)) func(*world, *v1alpha1.SealedSecret) {
	return func(w *world, obj *v1alpha1.SealedSecret) {
		w.synced(obj.Name)
		update(w, obj, func(s *v1alpha1.SealedSecret) { change(w, s) })
	}
}

func deleteSecret(w *world, obj *v1alpha1.SealedSecret) {
	w.synced(obj.Name)
	if err := w.client.Delete(w.t.Context(), w.secret(obj.Name)); err != nil {
		w.t.Fatal(err)
	}
}

// rules follow the integration suite of Sealed Secrets 0.40.
func rules() map[string]rule {
	data := func(d map[string]string) func(*shape) { return func(s *shape) { s.Data = d } }
	return map[string]rule{
		"create": {want: ours(), event: unsealed},
		"update": {
			then: changeSpec(func(w *world, s *v1alpha1.SealedSecret) {
				s.Spec.EncryptedData["foo"] = w.sealed(seal.Strict, s.Name, "baz")
				s.Spec.Template.Metadata.Labels = map[string]string{"new": "2"}
			}),
			want: ours(data(map[string]string{"foo": "baz"}), func(s *shape) { s.Labels = map[string]string{"new": "2"} }), event: unsealed,
		},
		"renamed encrypted keys": {
			then: changeSpec(func(_ *world, s *v1alpha1.SealedSecret) {
				s.Spec.EncryptedData = map[string]string{"renamed": s.Spec.EncryptedData["foo"]}
			}),
			want: ours(data(map[string]string{"renamed": "bar"})), event: unsealed,
		},
		"appended encrypted keys": {
			then: changeSpec(func(w *world, s *v1alpha1.SealedSecret) {
				s.Spec.EncryptedData["foo2"] = w.sealed(seal.Strict, s.Name, "bar2")
			}),
			want: ours(data(map[string]string{"foo": "bar", "foo2": "bar2"})), event: unsealed,
		},
		"metadata and type of the template": {
			shape: func(_ *world, obj *v1alpha1.SealedSecret) {
				obj.Spec.Template.Type = "custom/type"
				obj.Spec.Template.Metadata.Annotations = map[string]string{"note": "kept"}
				obj.Spec.Template.Metadata.Name, obj.Spec.Template.Metadata.Namespace = "other", "other"
			},
			want: ours(func(s *shape) { s.Type, s.Annotations = "custom/type", map[string]string{"note": "kept"} }), event: unsealed,
		},
		"managed": {before: there(managed), want: ours(), event: unsealed},
		"managed and patch": {before: there(managed, patched), want: ours(data(map[string]string{"foo": "bar", "foo2": "bar2"}), func(s *shape) {
			s.Labels, s.Annotations = map[string]string{"ours": "1", "theirs": "1"}, annotated(managed, patched)
		}), event: unsealed},
		"patch": {before: there(patched), want: ours(data(map[string]string{"foo": "bar", "foo2": "bar2"}), func(s *shape) {
			s.Labels, s.Annotations, s.Owned = map[string]string{"ours": "1", "theirs": "1"}, annotated(patched), false
		}), event: unsealed},
		"patch of an empty Secret": {
			before: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Annotations: annotated(patched)}},
			want:   ours(func(s *shape) { s.Annotations, s.Owned = annotated(patched), false }), event: unsealed,
		},
		"neither managed nor patch": {
			before: there(),
			want:   &shape{Data: map[string]string{"foo": "old", "foo2": "bar2"}, Labels: map[string]string{"theirs": "1"}, Type: corev1.SecretTypeOpaque},
			event:  `" already exists and is not managed by SealedSecret`,
		},
		"managed that does not say true": {
			before: func() *corev1.Secret { s := there(); s.Annotations = map[string]string{managed: "yes"}; return s }(),
			want: &shape{
				Data: map[string]string{"foo": "old", "foo2": "bar2"}, Labels: map[string]string{"theirs": "1"},
				Annotations: map[string]string{managed: "yes"}, Type: corev1.SecretTypeOpaque,
			},
			event: `Warning ErrUpdateFailed`,
		},
		"skip-set-owner-references": {
			shape: func(_ *world, obj *v1alpha1.SealedSecret) {
				obj.Spec.Template.Metadata.Annotations = annotated(skipOwner)
			},
			then: changeSpec(func(w *world, s *v1alpha1.SealedSecret) {
				s.Spec.EncryptedData["foo"] = w.sealed(seal.Strict, s.Name, "baz")
			}),
			want: ours(data(map[string]string{"foo": "baz"}), func(s *shape) { s.Annotations, s.Owned = annotated(skipOwner), false }), event: unsealed,
		},
		"an owned Secret is recreated":  {then: deleteSecret, want: ours(), event: unsealed},
		"a managed Secret is recreated": {before: there(managed), then: deleteSecret, want: ours(), event: unsealed},
		"the same name, another key": {
			shape: func(w *world, obj *v1alpha1.SealedSecret) {
				obj.Spec.EncryptedData["foo"] = w.sealedTo(generateBits(w.t, 2048, 0), seal.Strict, w.ns, obj.Name, "bar")
			},
			event: notUnsealed,
		},
		"immutable": {
			shape: func(_ *world, obj *v1alpha1.SealedSecret) { yes := true; obj.Spec.Template.Immutable = &yes },
			want:  ours(func(s *shape) { s.Immutable = true }), event: unsealed,
		},
		"an immutable Secret cannot change": {
			shape: func(_ *world, obj *v1alpha1.SealedSecret) { yes := true; obj.Spec.Template.Immutable = &yes },
			then: changeSpec(func(w *world, s *v1alpha1.SealedSecret) {
				s.Spec.EncryptedData["foo"] = w.sealed(seal.Strict, s.Name, "baz")
			}),
			want: ours(func(s *shape) { s.Immutable = true }), event: "the target Secret is immutable",
		},
		"a type cannot change": {
			then: changeSpec(func(_ *world, s *v1alpha1.SealedSecret) { s.Spec.Template.Type = "custom/type" }),
			want: ours(), event: "Warning ErrUpdateFailed",
		},
		"a wrong name":                       {shape: movedFrom("", "y", seal.Strict, ""), event: notUnsealed},
		"a wrong namespace":                  {shape: movedFrom("elsewhere", "", seal.Strict, ""), event: notUnsealed},
		"cluster-wide, another name":         {shape: movedFrom("", "y", seal.ClusterWide, clusterWide), want: ours(), event: unsealed},
		"cluster-wide, another namespace":    {shape: movedFrom("elsewhere", "", seal.ClusterWide, clusterWide), want: ours(), event: unsealed},
		"namespace-wide, another name":       {shape: movedFrom("", "y", seal.NamespaceWide, namespaceAll), want: ours(), event: unsealed},
		"namespace-wide, another namespace":  {shape: movedFrom("elsewhere", "", seal.NamespaceWide, namespaceAll), event: notUnsealed},
		"a strict value called cluster-wide": {shape: movedFrom("", "", seal.Strict, clusterWide), event: notUnsealed},
	}
}

func TestEachRuleThatSealedSecretsPublishesHolds(t *testing.T) {
	t.Parallel()
	w := started(t)
	for title, r := range rules() {
		name := strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' {
				return c
			}
			return '-'
		}, strings.ToLower(title))
		t.Run(title, func(t *testing.T) {
			w := *w
			w.t = t
			if r.before != nil {
				r.before.Namespace, r.before.Name = w.ns, name
				w.create(r.before)
			}
			obj := w.object(name, map[string]string{"foo": "bar"})
			obj.Spec.Template.Metadata.Labels = map[string]string{"ours": "1"}
			if r.shape != nil {
				r.shape(&w, obj)
			}
			w.create(obj)
			if r.then != nil {
				r.then(&w, obj)
			}
			w.eventually("the event "+r.event, func() bool {
				return slices.ContainsFunc(w.events(name), func(e string) bool { return strings.Contains(e, r.event) })
			})
			w.get(name, "is reported", func(s *v1alpha1.SealedSecret) bool {
				return (s.Status.Conditions[0].Status == metav1.ConditionTrue) == (r.event == unsealed)
			})
			w.eventually("the Secret of the rule", func() bool { return cmp.Equal(r.want, w.shape(name), cmpopts.EquateEmpty()) })
			if w.client.Get(t.Context(), client.ObjectKey{Namespace: "other", Name: "other"}, &corev1.Secret{}) == nil {
				t.Error("a template chose the place of the Secret")
			}
		})
	}
}

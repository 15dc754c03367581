package clusterexternalsecret

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// owned returns the reference of an owner, as it is when it is not changed.
func owned(edit ...func(*metav1.OwnerReference)) []metav1.OwnerReference {
	ref := metav1.OwnerReference{APIVersion: "external-secrets.io/v1", Kind: "ClusterExternalSecret", Name: "ces", UID: "uid", Controller: ptr.To(true)}
	for _, f := range edit {
		f(&ref)
	}
	return []metav1.OwnerReference{ref}
}

func TestAnExternalSecretBelongsToTheClusterExternalSecretThatControlsIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		refs []metav1.OwnerReference
		is   bool
	}{
		"controlled":                 {owned(), true},
		"of another version":         {owned(func(r *metav1.OwnerReference) { r.APIVersion = "external-secrets.io/v1beta1" }), true},
		"of nobody":                  {nil, false},
		"owned and not controlled":   {owned(func(r *metav1.OwnerReference) { r.Controller = nil }), false},
		"of another kind":            {owned(func(r *metav1.OwnerReference) { r.Kind = "PushSecret" }), false},
		"of another group's kind":    {owned(func(r *metav1.OwnerReference) { r.APIVersion = "example.com/v1" }), false},
		"of a group that ends alike": {owned(func(r *metav1.OwnerReference) { r.APIVersion = "my.external-secrets.io/v1" }), false},
	} {
		owner := ownerOf(&esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{OwnerReferences: tt.refs}})
		if (owner != nil) != tt.is || owner != nil && owner.UID != "uid" {
			t.Errorf("%s: owner %+v", name, owner)
		}
	}
}

func TestAnExternalSecretIsLookedAtWhenItMayNotBeWhatItShould(t *testing.T) {
	t.Parallel()
	passes := externalSecretChanged()
	for name, tt := range map[string]struct {
		change func(*esv1.ExternalSecret)
		looked bool
	}{
		"its spec":                      {func(es *esv1.ExternalSecret) { es.Generation++ }, true},
		"its labels":                    {func(es *esv1.ExternalSecret) { es.Labels = nil }, true},
		"its annotations":               {func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{"a": "c"} }, true},
		"whose it is: nobody's now":     {func(es *esv1.ExternalSecret) { es.OwnerReferences = nil }, true},
		"its status":                    {func(es *esv1.ExternalSecret) { es.ResourceVersion, es.Status.Binding.Name = "2", "x" }, false},
		"whose it is: of the same name": {func(es *esv1.ExternalSecret) { es.OwnerReferences[0].UID = "anew" }, false},
	} {
		before := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{
			Generation: 1, Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"a": "b"}, OwnerReferences: owned()}}
		after := before.DeepCopy()
		tt.change(after)
		if got := passes.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tt.looked {
			t.Errorf("%s: looked at %t", name, got)
		}
		if got := passes.Update(event.UpdateEvent{ObjectOld: after, ObjectNew: before}); got != tt.looked {
			t.Errorf("%s, the other way: looked at %t", name, got)
		}
	}
	es := &esv1.ExternalSecret{}
	if passes.Create(event.CreateEvent{Object: es}) || !passes.Delete(event.DeleteEvent{Object: es}) {
		t.Error("want one that goes to be looked at, because it may have been in the way, and none that comes")
	}
}

func TestANamespaceIsLookedAtWhenItMayBeSelectedOrHeld(t *testing.T) {
	t.Parallel()
	passes := namespaceChanged()
	namespace := func(finalizers ...string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: map[string]string{"a": "b"}, Finalizers: finalizers}}
	}
	const held = esv1.FinalizerNamespacePrefix + "ces"
	for name, tt := range map[string]struct {
		change func(client.Object)
		looked bool
	}{
		"its labels":                {func(ns client.Object) { ns.SetLabels(nil) }, true},
		"it is to go":               {func(ns client.Object) { ns.SetDeletionTimestamp(ptr.To(metav1.Now())) }, true},
		"the operator holds it":     {func(ns client.Object) { ns.SetFinalizers([]string{held, held + "-2"}) }, true},
		"the operator lets it go":   {func(ns client.Object) { ns.SetFinalizers(nil) }, true},
		"somebody else holds it":    {func(ns client.Object) { ns.SetFinalizers([]string{held + "-2", "other"}) }, false},
		"its annotations":           {func(ns client.Object) { ns.SetAnnotations(map[string]string{"a": "b"}) }, false},
		"nothing, as once in a day": {func(client.Object) {}, false},
	} {
		before, after := namespace(held+"-2"), namespace(held+"-2")
		tt.change(after)
		if got := passes.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tt.looked {
			t.Errorf("%s: looked at %t", name, got)
		}
	}
	for name, tt := range map[string]struct {
		event  event.CreateEvent
		looked bool
	}{
		"that is new":                          {event.CreateEvent{Object: namespace()}, true},
		"that the start finds":                 {event.CreateEvent{Object: namespace("other"), IsInInitialList: true}, false},
		"that the start finds, which are held": {event.CreateEvent{Object: namespace("other", held), IsInInitialList: true}, true},
	} {
		if got := passes.Create(tt.event); got != tt.looked {
			t.Errorf("namespaces %s: looked at %t", name, got)
		}
	}
}

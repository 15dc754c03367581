package sealedsecret

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

// newObject returns a SealedSecret that is new.
func newObject(name string) *v1alpha1.SealedSecret {
	text := "{{ .k }}"
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "u", ResourceVersion: "7", Generation: 1}}
	obj.Spec.EncryptedData = map[string]string{"k": "c2VhbGVk"}
	obj.Spec.Template.Data = map[string]*string{"t": &text, "k": nil}
	obj.Spec.Template.Metadata.Labels = map[string]string{"tier": "web"}
	return obj
}

// show gives an object to the cache and returns what that has of it.
func show(t *testing.T, h *Handover, obj *v1alpha1.SealedSecret) *v1alpha1.SealedSecret {
	t.Helper()
	got, err := h.Cached(obj.DeepCopy())
	kept, ok := got.(*v1alpha1.SealedSecret)
	if err != nil || !ok || len(kept.Spec.EncryptedData) > 0 {
		t.Fatalf("the cache has %+v, %v", got, err)
	}
	return kept
}

func TestWhatTheCacheLeavesOutIsHandedOverOnce(t *testing.T) {
	t.Parallel()
	h, obj := &Handover{}, newObject("app")
	kept := show(t, h, obj)
	kept = show(t, h, kept) // as a cache that is being filled does
	spec, ok := h.take(kept)
	if diff := cmp.Diff(obj.Spec, spec); !ok || diff != "" {
		t.Errorf("%t %s", ok, diff)
	}
	if _, ok := h.take(kept); ok {
		t.Error("it was handed over twice")
	}
	kept = show(t, h, kept)
	if _, ok := h.take(kept); ok || h.size != 0 || len(h.specs) != 0 {
		t.Errorf("what the cache has left was handed over: %+v", h)
	}
}

func TestOnlyTheSpecOfTheVersionThatTheCacheShowsIsHandedOver(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Now())
	for name, change := range map[string]func(*v1alpha1.SealedSecret){
		"reported on":  func(s *v1alpha1.SealedSecret) { s.Status.ObservedGeneration = 1 },
		"being gone":   func(s *v1alpha1.SealedSecret) { s.DeletionTimestamp = &now },
		"empty":        func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData = nil },
		"without room": func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["k"] = strings.Repeat("x", maxHanded) },
	} {
		h, obj := &Handover{}, newObject("app")
		show(t, h, obj)
		change(obj)
		obj.ResourceVersion = "8"
		if kept := show(t, h, obj); len(h.specs) != 0 || h.size != 0 {
			t.Errorf("%s: %+v is held for %+v", name, h.specs, kept)
		}
	}
	for name, change := range map[string]func(*v1alpha1.SealedSecret){
		"later":            func(s *v1alpha1.SealedSecret) { s.ResourceVersion = "8" },
		"earlier":          func(s *v1alpha1.SealedSecret) { s.ResourceVersion = "6" },
		"another":          func(s *v1alpha1.SealedSecret) { s.UID = "v" },
		"of another place": func(s *v1alpha1.SealedSecret) { s.Namespace = "other" },
	} {
		h := &Handover{}
		kept := show(t, h, newObject("app"))
		change(kept)
		if _, ok := h.take(kept); ok {
			t.Errorf("%s: it was handed over", name)
		}
	}
}

func TestOfAnyNumberOfObjectsNoMoreThanAFewMegabytesAreHeld(t *testing.T) {
	t.Parallel()
	h := &Handover{}
	var all []*v1alpha1.SealedSecret
	sum := 0
	for i := range 100 {
		obj := newObject(fmt.Sprint("app-", i))
		obj.Spec.EncryptedData["k"] = strings.Repeat("x", maxHanded/50)
		all = append(all, show(t, h, obj))
		sum += maxHanded / 50
	}
	if n := len(h.specs); n < 30 || n >= 38 || sum < maxHanded || h.size > maxHanded*3/4 {
		t.Errorf("%d objects of %d bytes are held, %d bytes", n, maxHanded/50, h.size)
	}
	handed := 0
	for i, kept := range all {
		if i%2 == 0 {
			h.forget(client.ObjectKeyFromObject(kept))
		} else if _, ok := h.take(kept); ok {
			handed++
		}
	}
	if handed < 15 || h.size != 0 || len(h.specs) != 0 {
		t.Errorf("%d were handed over, and %d bytes of %d objects are left", handed, h.size, len(h.specs))
	}
	if kept := show(t, h, newObject("app")); len(h.specs) != 1 {
		t.Errorf("there is no room again for %s", kept.Name)
	}
	var none *Handover
	kept := show(t, none, newObject("app"))
	if _, ok := none.take(kept); ok {
		t.Error("nobody handed it over")
	}
	none.forget(client.ObjectKeyFromObject(kept))
	if n := none.neighbours(kept); n != 0 {
		t.Errorf("nobody has %d neighbours", n)
	}
}

func TestThoseThatFoundNoRoomAreKnownUntilTheyAreRead(t *testing.T) {
	t.Parallel()
	h, one := &Handover{Bytes: 100_000}, newObject("large")
	one.Spec.EncryptedData["k"] = strings.Repeat("x", 73_000)
	large := show(t, h, one)
	var small []*v1alpha1.SealedSecret
	for i := range 10 {
		small = append(small, show(t, h, newObject(fmt.Sprint("small-", i))))
	}
	held := len(h.specs) - 1
	small = small[held:]
	elsewhere := newObject("small-0")
	elsewhere.Namespace = "other"
	if n := h.neighbours(show(t, h, elsewhere)); n != 1 {
		t.Errorf("%d found no room elsewhere", n)
	}
	if n := h.neighbours(large); n != 0 {
		t.Errorf("the one that is held has %d neighbours", n)
	}
	h.take(large)
	if n := h.neighbours(small[0]); n != len(small) {
		t.Errorf("%d of %d found no room", n, len(small))
	}
	h.forget(client.ObjectKeyFromObject(small[0]))
	if n, one := h.neighbours(small[1]), h.neighbours(small[0]); n != len(small)-1 || one != 0 {
		t.Errorf("%d of %d are left, and %d of the one that was read", n, len(small)-1, one)
	}
	// What is read meanwhile: one of those, one that was read already, one that is up to date and one of another version.
	read := []v1alpha1.SealedSecret{*newObject(small[0].Name), *newObject(small[1].Name), *newObject(small[2].Name), *newObject(small[3].Name), *newObject("new")}
	read[2].Status.ObservedGeneration, read[3].ResourceVersion = 1, "8"
	if names := h.refill(read); len(names) != 3 {
		t.Errorf("%v were read", names)
	}
	for i, want := range []bool{false, true, false, false} {
		if _, ok := h.take(small[i]); ok != want {
			t.Errorf("%s: handed over: %t", small[i].Name, ok)
		}
	}
	if n := h.neighbours(small[4]); n != len(small)-4 {
		t.Errorf("%d of %d are left", n, len(small)-4)
	}
	many := newObject("small-0")
	many.Spec.EncryptedData["k"] = strings.Repeat("x", 26_000)
	many.Namespace = "other"
	h.size = h.Bytes
	kept := show(t, h, many)
	if n := h.neighbours(elsewhere); n != 0 {
		t.Errorf("%d are read together where there is no room", n)
	}
	if h.size = 0; h.neighbours(kept) != 0 {
		t.Error("more than a quarter of what is held at all is read together")
	}
}

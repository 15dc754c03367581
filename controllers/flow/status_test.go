package flow

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writer is a client that knows the kind of everything, and answers with a version.
type writer struct {
	client.SubResourceWriter
	kind error
	err  error

	sent  string
	asked client.Object
}

func (w *writer) Status() client.SubResourceWriter { return w }

func (w *writer) GroupVersionKindFor(runtime.Object) (schema.GroupVersionKind, error) {
	return corev1.SchemeGroupVersion.WithKind("Namespace"), w.kind
}

func (w *writer) Patch(_ context.Context, obj client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	w.sent, w.asked = string(data), obj
	if w.err == nil {
		obj.SetResourceVersion("8")
	}
	return w.err
}

func TestAStatusIsAnsweredWithItsVersionAlone(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	tests := map[string]struct {
		writer  writer
		version string
	}{
		"written":         {version: "8"},
		"refused":         {writer: writer{err: broken}, version: "7"},
		"an unknown kind": {writer: writer{kind: broken}, version: "7"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team", ResourceVersion: "7"}}
			obj := before.DeepCopy()
			obj.Status.Phase = corev1.NamespaceActive
			err := writeStatus(t.Context(), &tc.writer, before, obj)
			if failed := tc.version == "7"; failed != errors.Is(err, broken) {
				t.Errorf("the error is %v", err)
			}
			if obj.ResourceVersion != tc.version || obj.Status.Phase != corev1.NamespaceActive {
				t.Errorf("the object is %+v", obj)
			}
			if tc.writer.kind != nil {
				return
			}
			if tc.writer.sent != `{"status":{"phase":"Active"}}` {
				t.Errorf("sent: %s", tc.writer.sent)
			}
			if m, ok := tc.writer.asked.(*metav1.PartialObjectMetadata); !ok || m.Kind != "Namespace" || m.Name != "team" {
				t.Errorf("asked for %+v", tc.writer.asked)
			}
		})
	}
}

// nowhere writes no status and knows no kinds, as where the user wants none.
type nowhere struct{ client.SubResourceWriter }

func (n nowhere) Status() client.SubResourceWriter { return n }

func (nowhere) Patch(context.Context, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
	return nil
}

func TestAStatusThatIsWrittenNowhereLeavesTheVersionAsItIs(t *testing.T) {
	t.Parallel()
	before := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team", ResourceVersion: "7"}}
	obj := before.DeepCopy()
	obj.Status.Phase = corev1.NamespaceActive
	if err := writeStatus(t.Context(), nowhere{}, before, obj); err != nil || obj.ResourceVersion != "7" || obj.Status.Phase == "" {
		t.Errorf("%v: %+v", err, obj)
	}
}

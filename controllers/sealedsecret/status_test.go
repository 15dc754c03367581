package sealedsecret

import (
	"context"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nothingWritten writes no status, as where the user wants none.
type nothingWritten struct{ client.SubResourceWriter }

func (n nothingWritten) Status() client.SubResourceWriter { return n }

func (nothingWritten) Patch(context.Context, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
	return nil
}

func TestAStatusThatIsNotWrittenLeavesTheVersionAsItIs(t *testing.T) {
	t.Parallel()
	obj := newObject("app")
	before := obj.DeepCopy()
	obj.Status.Scope = "strict"
	err := briefStatus{nothingWritten{}}.Status().Patch(t.Context(), obj, client.MergeFrom(before))
	if err != nil || obj.ResourceVersion != before.ResourceVersion || obj.Status.Scope != "strict" {
		t.Errorf("%v: %+v", err, obj)
	}
}

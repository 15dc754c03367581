package crd_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestEverySampleIsStoredAsItWasApplied(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	namespace := cp.Namespace(t)
	for name, manifest := range files(t, "samples") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := parse(t, manifest)
			place(t, c, want, namespace)
			t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), want.DeepCopy()) })

			apply(t, cp, namespace, manifest, "created")
			got := &unstructured.Unstructured{}
			got.SetGroupVersionKind(want.GroupVersionKind())
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(want), got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
				t.Errorf("spec changed on its way (-applied +stored):\n%s", diff)
			}
			apply(t, cp, namespace, manifest, "unchanged")
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(want), got); err != nil {
				t.Fatal(err)
			}
			if got.GetGeneration() != 1 {
				t.Errorf("generation is %d after applying the same twice", got.GetGeneration())
			}
		})
	}
}

func TestEverySampleIsReadWholeByOurTypes(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	// What is written in another way and means the same.
	same := strings.NewReplacer(`"1h0m0s"`, `"1h"`, `"15m0s"`, `"15m"`, `"5m0s"`, `"5m"`, `"3m0s"`, `"3m"`)
	for name, manifest := range files(t, "samples") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := parse(t, manifest)
			obj, err := scheme.New(want.GroupVersionKind())
			if err != nil {
				t.Fatal(err)
			}
			if err := fromJSON(toJSON(t, want.Object), obj); err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			if err := fromJSON(same.Replace(toJSON(t, obj)), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Object, got); diff != "" {
				t.Errorf("the sample and what our type makes of it (-, +):\n%s", diff)
			}
		})
	}
}

// apply runs client-side kubectl apply with strict validation and checks what it says about the object.
func apply(t *testing.T, cp *controlplane.ControlPlane, namespace, manifest, want string) {
	t.Helper()
	out, err := cp.Kubectl(t.Context(), manifest, "apply", "--namespace="+namespace, "--validate=strict", "-f", "-")
	if err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
	if !strings.HasSuffix(strings.TrimSpace(out), want) {
		t.Fatalf("kubectl apply says %q, want %q", out, want)
	}
}

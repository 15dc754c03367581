package gitsync

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

// at has one GitSync, in a version.
type at struct {
	client.Client
	version string
}

func (a at) Get(_ context.Context, name types.NamespacedName, obj client.Object, _ ...client.GetOption) error {
	*obj.(*v1alpha1.GitSync) = v1alpha1.GitSync{ObjectMeta: metav1.ObjectMeta{
		Namespace: name.Namespace, Name: name.Name, UID: "a", ResourceVersion: a.version,
	}}
	return nil
}

func TestWhatIsKnownOfAGitSyncIsForgottenWhereTheClusterHasGoneBackBehindIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cache, server string
		want          string
		forgotten     bool
	}{
		"the cache shows what was written": {cache: "150", server: "1", want: "150"},
		"the cache is behind":              {cache: "100", server: "150", want: "150"},
		"somebody has written since":       {cache: "100", server: "160", want: "160"},
		"the cluster was restored":         {cache: "100", server: "100", want: "100", forgotten: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &Reconciler{deps: Deps{Client: at{version: tc.cache}, Reader: at{version: tc.server}, Now: time.Now}, states: newStates()}
			request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "team", Name: "app"}}
			r.states.of(request.NamespacedName, "a").wrote("150")
			sync, err := r.read(t.Context(), request)
			if err != nil || sync.ResourceVersion != tc.want {
				t.Errorf("read version %s, %v; want %s", sync.ResourceVersion, err, tc.want)
			}
			if _, known := r.states.find(request.NamespacedName); known == tc.forgotten {
				t.Errorf("what is known of it is known: %t", known)
			}
		})
	}
}

package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// history is an API server that is at a version, and the informers of what it has.
type history struct {
	client.Reader
	cache.Informers
	cache.Informer
	version string
	// has are the versions of the ExternalSecret and the GitSync that it is asked for; empty for none.
	has, sync string
	fails     error
	asked     []string
	handler   toolscache.ResourceEventHandler
}

func (h *history) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(opts)
	h.asked = append(h.asked, fmt.Sprintf("%s in %s, %s", list.GetObjectKind().GroupVersionKind().Kind, o.Namespace, o.FieldSelector))
	list.SetResourceVersion(h.version)
	has := h.has
	if list.GetObjectKind().GroupVersionKind().Kind == "GitSyncList" {
		has = h.sync
	}
	if has != "" {
		list.(*metav1.PartialObjectMetadataList).Items = []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{ResourceVersion: has}}}
	}
	if list.GetObjectKind().GroupVersionKind().Kind == "ExternalSecretList" {
		return h.fails
	}
	return nil
}

func (h *history) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return h, nil
}

func (h *history) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	h.handler = handler
	return nil, nil
}

// written is a writer of statuses whose writes make a version; none when it is empty.
type written string

func (w written) WriteStatus(_ context.Context, obj client.Object) error {
	obj.SetResourceVersion(cmp.Or(string(w), "1000"))
	if w == "" {
		return errors.New("down")
	}
	return nil
}

func TestAClusterWhoseHistoryHasGoneBackIsBegunAnew(t *testing.T) {
	t.Parallel()
	at := func(version string) *esv1.ExternalSecret {
		return &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "db", ResourceVersion: version}}
	}
	of := func(uid types.UID, generation int64, version string) *esv1.ExternalSecret {
		es := at(version)
		es.UID, es.Generation = uid, generation
		return es
	}
	for name, tc := range map[string]struct {
		version string // at which the API server is
		has     string // in which it has the object
		fails   error
		then    func(toolscache.ResourceEventHandler)
		// writes is the status of a GitSync that is written, and sync the version in which the API server has that.
		writes flow.StatusWriter
		sync   string
		want   bool
	}{
		"an object changes":       {then: func(h toolscache.ResourceEventHandler) { h.OnUpdate(at("100"), at("101")) }},
		"it is seen again":        {then: func(h toolscache.ResourceEventHandler) { h.OnUpdate(at("100"), at("100")) }},
		"it has an older version": {then: func(h toolscache.ResourceEventHandler) { h.OnUpdate(at("100"), at("99")) }, want: true},
		"it is gone and one is made": {then: func(h toolscache.ResourceEventHandler) {
			h.OnDelete(at("100"))
			h.OnAdd(at("101"), false)
		}},
		"it was restored, and written since": {then: func(h toolscache.ResourceEventHandler) { h.OnUpdate(of("a", 2, "100"), of("a", 1, "101")) }, want: true},
		"its spec changes":                   {then: func(h toolscache.ResourceEventHandler) { h.OnUpdate(of("a", 2, "100"), of("a", 3, "101")) }},
		"one is made in its place":           {then: func(h toolscache.ResourceEventHandler) { h.OnUpdate(of("a", 2, "100"), of("b", 1, "101")) }},
		"versions are no numbers":            {then: func(h toolscache.ResourceEventHandler) { h.OnUpdate(at("b"), at("a")) }},
		"the API server is as far":           {version: "100"},
		"it is behind":                       {version: "99", want: true},
		"it is behind what came last":        {version: "150", then: func(h toolscache.ResourceEventHandler) { h.OnUpdate(at("100"), at("151")) }, want: true},
		"it is behind what came before": {version: "150", want: true, then: func(h toolscache.ResourceEventHandler) {
			h.OnAdd(at("151"), false)
			h.OnAdd(at("9"), false)
		}},
		"it has what was seen":                             {has: "100"},
		"it has what was seen, and tells of an older list": {version: "99", has: "100"},
		"it has a later one":                               {has: "101"},
		"it has an older one":                              {has: "99", want: true},
		"it does not answer":                               {version: "1", has: "1", fails: errors.New("down")},
		"it has what was written":                          {has: "100", writes: written("90"), sync: "90"},
		"it has an older one than was written before the last of another kind": {has: "100", writes: written("90"), sync: "89", want: true},
		"it has none of what was written last":                                 {has: "100", writes: written("201"), want: true},
		"it does not answer for another kind":                                  {fails: errors.New("down"), writes: written("90"), sync: "89", want: true},
		"it has another version than what was not written":                     {has: "100", writes: written(""), sync: "90"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &history{version: cmp.Or(tc.version, "200"), has: tc.has, sync: tc.sync, fails: tc.fails}
				scheme, err := newScheme()
				if err != nil {
					t.Fatal(err)
				}
				r := &restored{informers: h, kinds: []client.Object{at("")}, reader: h, scheme: scheme, log: logr.Discard(), every: lookBack}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Start(ctx) }()
				synctest.Wait()
				h.handler.OnAdd(at("100"), true)
				if tc.then != nil {
					tc.then(h.handler)
				}
				if tc.writes != nil {
					w := (&Options{restored: r}).statuses(tc.writes)
					_ = w.WriteStatus(t.Context(), &sbv1.GitSync{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "deploy"}})
				}
				time.Sleep(lookBack)
				synctest.Wait()
				cancel()
				if err := <-ended; Again(err) != tc.want || (err != nil) != tc.want {
					t.Errorf("it ended with %v", err)
				}
				asked := []string{"ExternalSecretList in team, metadata.name=db"}
				if tc.sync != "" && tc.writes != written("") {
					asked = append(asked, "GitSyncList in team, metadata.name=deploy")
				}
				if slices.Sort(h.asked); !tc.want && !slices.Equal(h.asked, asked) {
					t.Errorf("asked for %q", h.asked)
				}
			})
		})
	}
}

func TestAManagerOfWhichSomethingGoesOnIsNotFollowedByAnother(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"all of it has ended":       {errAnew, true},
		"something goes on":         {utilerrors.NewAggregate([]error{errAnew, fmt.Errorf("wait: %w", context.DeadlineExceeded)}), false},
		"it was told to end":        {nil, false},
		"it ended by another fault": {errors.New("leader election lost"), false},
	} {
		if got := Again(tc.err); got != tc.want {
			t.Errorf("%s: another follows: %t", name, got)
		}
	}
}

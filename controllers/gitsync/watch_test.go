package gitsync

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// slowMapper is the real one, over a connection on which the API server does not answer about one kind at first.
type slowMapper struct {
	meta.RESTMapper
	kind            string
	once            sync.Once
	asked, answered chan struct{}
}

func (m *slowMapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if kind.Kind == m.kind {
		m.once.Do(func() { close(m.asked) })
		<-m.answered
	}
	return m.RESTMapper.RESTMapping(kind, versions...)
}

// connection returns how the test's API server is reached, and what names its kinds.
func connection(t *testing.T) (*rest.Config, *http.Client, meta.RESTMapper) {
	t.Helper()
	cfg := controlplane.New(t).Config()
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(cfg, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, httpClient, mapper
}

// runInformers runs informers until the test ends, and returns the context of those who ask them.
func runInformers(t *testing.T, informers cache.Cache) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = informers.Start(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return ctx
}

func TestNoGitSyncWaitsBecauseTheAPIServerIsSlowToNameAKindOfAnother(t *testing.T) {
	t.Parallel()
	cfg, httpClient, mapper := connection(t)
	slow := &slowMapper{RESTMapper: mapper, kind: "ConfigMap", asked: make(chan struct{}), answered: make(chan struct{})}
	informers, err := cache.New(cfg, cache.Options{HTTPClient: httpClient, Scheme: runtime.NewScheme(), Mapper: slow})
	if err != nil {
		t.Fatal(err)
	}
	ctx := runInformers(t, informers)
	w := &watcher{informers: informers, mapper: slow, states: newStates(), now: time.Now, kinds: map[schema.GroupVersionKind]*watched{}}
	kind := func(name string) map[schema.GroupVersionKind]bool {
		return map[schema.GroupVersionKind]bool{{Version: "v1", Kind: name}: true}
	}
	waits, other := types.NamespacedName{Namespace: "a", Name: "waits"}, types.NamespacedName{Namespace: "b", Name: "other"}
	var waiting sync.WaitGroup
	waiting.Go(func() { w.use(ctx, waits, kind("ConfigMap")) })
	<-slow.asked

	served := make(chan bool, 1)
	go func() {
		w.use(ctx, other, kind("ServiceAccount"))
		watched := w.kinds[schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccount"}] != nil
		_ = w.live(ctx, apply.Entry{Ref: apply.Ref{Kind: "ServiceAccount", Namespace: "b", Name: "default"}, Version: "v1"})
		w.use(ctx, other, nil)
		served <- watched
	}()
	select {
	case watched := <-served:
		if !watched {
			t.Error("the kind of the other GitSync was not watched")
		}
	case <-time.After(30 * time.Second):
		t.Error("the other GitSync waits too")
	}
	close(slow.answered)
	waiting.Wait()
	if k := w.kinds[schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}]; k == nil || !k.users[waits] || len(w.kinds) != 1 {
		t.Errorf("kinds %v: want the one that was waited for, for who waits", w.kinds)
	}
}

// Of several that have objects of a kind, the last ends its watch: at any time, also while another asks.
func TestWhoAsksForAKindThatNobodyWatchesAnyMoreBeginsNoWatch(t *testing.T) {
	t.Parallel()
	cfg, httpClient, mapper := connection(t)
	r, err := New(Deps{Config: cfg, HTTPClient: httpClient, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	ctx := runInformers(t, r.watch.informers)
	kind := schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	object := apply.Entry{Ref: apply.Ref{Kind: kind.Kind, Namespace: "default", Name: "none"}, Version: "v1"}
	r.watch.use(ctx, types.NamespacedName{Namespace: "b", Name: "other"}, map[schema.GroupVersionKind]bool{kind: true})
	for end := time.Now().Add(30 * time.Second); !r.watch.live(ctx, object).Known; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the kind is not watched")
		}
	}
	if err := r.watch.informers.RemoveInformer(ctx, metadataOf(kind)); err != nil {
		t.Fatal(err)
	}
	if r.watch.live(ctx, object).Known {
		t.Error("the kind is watched again, for nobody")
	}
}

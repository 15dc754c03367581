package setup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rights is an API server that refuses what it is told to, as "secrets in b", and fails when it is told to.
type rights struct {
	client.Client
	mu      sync.Mutex
	refused []string
	fails   error
}

// become changes what it says.
func (r *rights) become(fails error, refused ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused, r.fails = refused, fails
}

func (r *rights) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	review := obj.(*authorizationv1.SelfSubjectAccessReview)
	a := review.Spec.ResourceAttributes
	review.Status.Allowed = !slices.Contains(r.refused, a.Resource+" in "+a.Namespace)
	return r.fails
}

func TestANamespaceIsLeftOutByTheControllersThatMayNotReadIt(t *testing.T) {
	t.Parallel()
	everything := []string{"externalsecrets", "secretstores", "sealedsecrets", "gitsyncs", "secrets"}
	in := func(namespace string, resources ...string) (out []string) {
		for _, r := range resources {
			out = append(out, r+" in "+namespace)
		}
		return out
	}
	both := []string{"--watch-namespaces=a,b"}
	for name, tc := range map[string]struct {
		args    []string
		refused []string
		fails   error
		// want are the namespaces that controllers serve, where those are not both, and gaps what is asked for again.
		want map[string]string
		gaps []string
	}{
		"all may be read":     {args: both},
		"a namespace":         {args: both, refused: in("b", everything...), want: map[string]string{ExternalSecret: "a", SecretStore: "a", SealedSecret: "a", GitSync: "a"}, gaps: []string{"externalsecret b", "gitsync b", "sealedsecret b"}},
		"its ExternalSecrets": {args: both, refused: in("b", "externalsecrets"), want: map[string]string{ExternalSecret: "a", SecretStore: "a"}, gaps: []string{"externalsecret b"}},
		"its stores":          {args: both, refused: in("b", "secretstores"), want: map[string]string{ExternalSecret: "a", SecretStore: "a"}, gaps: []string{"externalsecret b"}},
		"its Secrets":         {args: both, refused: in("b", "secrets"), want: map[string]string{ExternalSecret: "a", SecretStore: "a", SealedSecret: "a"}, gaps: []string{"externalsecret b", "sealedsecret b"}},
		"its GitSyncs":        {args: both, refused: in("b", "gitsyncs"), want: map[string]string{GitSync: "a"}, gaps: []string{"gitsync b"}},
		"a kind in each": {
			args: both, refused: append(in("a", "gitsyncs"), in("b", "gitsyncs")...), gaps: []string{"gitsync a", "gitsync b"},
		},
		"its stores, which nobody reads": {args: append(both, "--controllers=sealedsecret"), refused: in("b", "secretstores", "externalsecrets", "gitsyncs")},
		"its stores, which their controller reads alone": {
			args: append(both, "--controllers=secretstore"), refused: in("b", "secretstores", "secrets"),
			want: map[string]string{ExternalSecret: "a", SecretStore: "a"}, gaps: []string{"externalsecret b"},
		},
		"its Secrets, which are not watched": {args: append(both, "--controllers=sealedsecret", "--skip-recreate"), refused: in("b", "secrets")},
		"one of Sealed Secrets' own flag": {
			args: append(both, "--additional-namespaces=c"), refused: in("c", "sealedsecrets"),
			want: map[string]string{SealedSecret: "own"}, gaps: []string{"sealedsecret c"},
		},
		"the only one":                    {args: []string{"--watch-namespaces=b"}, refused: in("b", everything...), want: map[string]string{ExternalSecret: "b", SecretStore: "b", SealedSecret: "b", GitSync: "b"}},
		"who may not ask is let in":       {args: both, refused: in("b", everything...), fails: apierrors.NewForbidden(schema.GroupResource{}, "", nil)},
		"all namespaces are to be served": {refused: in("", everything...), want: map[string]string{ExternalSecret: "", SecretStore: "", SealedSecret: "", GitSync: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(t, nil, append(tc.args, "--namespace=own")...)
			if err != nil {
				t.Fatal(err)
			}
			on, err := o.enabled()
			if err != nil {
				t.Fatal(err)
			}
			gaps, err := o.gaps(t.Context(), &rights{refused: tc.refused, fails: tc.fails}, on, served())
			if err != nil {
				t.Fatal(err)
			}
			o.leave(gaps)
			want := map[string]string{ExternalSecret: "a b", SecretStore: "a b", SealedSecret: "a b", GitSync: "a b"}
			maps.Copy(want, tc.want)
			got := map[string]string{}
			for controller := range want {
				got[controller] = strings.Join(o.namespaces(controller), " ")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("served (-want +got):\n%s", diff)
			}
			var asked []string
			for _, g := range gaps {
				asked = append(asked, fmt.Sprintf("%s %s", g.controllers[0], g.namespace))
			}
			slices.Sort(asked)
			if diff := cmp.Diff(tc.gaps, asked); diff != "" {
				t.Errorf("asked for again (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheControllersBeginAnewWhenANamespaceMayBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &rights{refused: []string{"secrets in b", "secrets in c"}}
		gapIn := func(namespace string) gap {
			return gap{controllers: []string{SealedSecret}, namespace: namespace, needed: []act{{"list", schema.GroupVersionResource{Resource: "secrets"}, namespace}}}
		}
		c := &closing{gaps: []gap{gapIn("b"), gapIn("c")}, client: server, log: logr.Discard(), every: asking}
		ended := make(chan error, 1)
		go func() { ended <- c.Start(t.Context()) }()
		still := func(what string) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-ended:
				t.Fatalf("%s, and it ended: %v", what, err)
			default:
			}
		}
		time.Sleep(3 * asking)
		still("nothing may be read")
		server.become(errors.New("busy"))
		time.Sleep(asking)
		still("nobody says that it may be read")
		server.become(nil, "secrets in b")
		time.Sleep(asking)
		synctest.Wait()
		if err := <-ended; !Again(err) {
			t.Errorf("one may be read, and it ended with %v", err)
		}
	})
}

package setup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	ssv1 "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

// served is a mapper of all kinds that the controllers watch.
func served() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"ExternalSecret", "SecretStore"} {
		m.Add(esv1.GroupVersion().WithKind(kind), meta.RESTScopeNamespace)
		m.Add(esv1.GroupVersion().WithKind("Cluster"+kind), meta.RESTScopeRoot)
	}
	m.Add(ssv1.GroupVersion().WithKind("SealedSecret"), meta.RESTScopeNamespace)
	m.Add(sbv1.GroupVersion().WithKind("GitSync"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	m.Add(coordinationv1.SchemeGroupVersion.WithKind("Lease"), meta.RESTScopeNamespace)
	return m
}

func TestAReplicaNeedsWhatItsControllersWatchAndNoMore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options Options
		want    map[string]string
	}{
		"all in all namespaces": {Options{Controllers: []string{"*"}, LeaderElect: true, Sealed: SealedOptions{AllNamespaces: true}}, map[string]string{
			"externalsecrets.external-secrets.io":        "list,watch in [] for externalsecret, clusterexternalsecret",
			"clusterexternalsecrets.external-secrets.io": "list,watch in [] for clusterexternalsecret",
			"secretstores.external-secrets.io":           "list,watch in [] for externalsecret, secretstore",
			"clustersecretstores.external-secrets.io":    "list,watch in [] for externalsecret, secretstore",
			"sealedsecrets.bitnami.com":                  "list,watch in [] for sealedsecret",
			"gitsyncs.sealbridge.dev":                    "list,watch in [] for gitsync",
			"secrets":                                    "list,watch in [ own] for externalsecret, sealedsecret",
			"namespaces":                                 "list,watch in [] for externalsecret, clusterexternalsecret",
			"leases.coordination.k8s.io":                 "get,create,update in [own] for --leader-elect",
		}},
		"some namespaces": {Options{Controllers: []string{"*", "-gitsync"}, WatchNamespaces: []string{"a", "b"}, Sealed: SealedOptions{AllNamespaces: true}}, map[string]string{
			"externalsecrets.external-secrets.io": "list,watch in [a b] for externalsecret",
			"secretstores.external-secrets.io":    "list,watch in [a b] for externalsecret, secretstore",
			"sealedsecrets.bitnami.com":           "list,watch in [a b] for sealedsecret",
			"secrets":                             "list,watch in [a b own] for externalsecret, sealedsecret",
		}},
		"SealedSecrets whose Secrets are not watched": {Options{Controllers: []string{"sealedsecret"}, Sealed: SealedOptions{AllNamespaces: true, SkipRecreate: true}}, map[string]string{
			"sealedsecrets.bitnami.com": "list,watch in [] for sealedsecret",
			"secrets":                   "list,watch in [own] for sealedsecret",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.options.Namespace = "own"
			on, err := tc.options.enabled()
			if err != nil {
				t.Fatal(err)
			}
			needs, err := tc.options.needs(on, served())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, n := range needs {
				got[n.resource.GroupResource().String()] = fmt.Sprintf("%s in %v for %s", strings.Join(n.verbs, ","), n.namespaces, strings.Join(n.by, ", "))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("needs (-want +got):\n%s", diff)
			}
		})
	}
}

// answering is an API server that answers each question about a right in turn.
type answering struct {
	client.Client
	asked   []string
	answers []error
}

var errNo = errors.New("no")

func (a *answering) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	review := obj.(*authorizationv1.SelfSubjectAccessReview)
	attributes := review.Spec.ResourceAttributes
	a.asked = append(a.asked, attributes.Verb+" "+attributes.Namespace)
	err := a.answers[0]
	a.answers = a.answers[1:]
	if errors.Is(err, errNo) {
		return nil
	}
	review.Status.Allowed = err == nil
	return err
}

func TestWhatWasGrantedIsNotAskedAboutAgain(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "selfsubjectaccessreviews"}, "", nil)
	server := &answering{answers: []error{nil, errNo, errors.New("busy"), nil, forbidden, nil}}
	m := may{client: server, need: need{
		resource: corev1.SchemeGroupVersion.WithResource("secrets"), verbs: []string{"list", "watch"}, namespaces: []string{"a", "b"}, by: []string{"sealedsecret"},
	}}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody)
	for i, want := range []string{"may not watch secrets in namespace a: ", "whether the controller may watch secrets in namespace a: busy", "", ""} {
		err := m.check(req)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("probe %d: %v, want %q", i, err, want)
		}
	}
	if want := []string{"list a", "watch a", "watch a", "watch a", "list b", "watch b"}; !slices.Equal(server.asked, want) {
		t.Errorf("asked %q, want %q", server.asked, want)
	}
}

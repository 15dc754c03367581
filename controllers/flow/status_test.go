package flow

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// connection reaches a real API server and remembers how.
type connection struct {
	config *rest.Config
	http   *http.Client
	scheme *runtime.Scheme
	mapper meta.RESTMapper

	mu       sync.Mutex
	requests []string
	answers  []string
	// sent is what the last request for a status held.
	sent string
}

func (c *connection) GetConfig() *rest.Config        { return c.config }
func (c *connection) GetHTTPClient() *http.Client    { return c.http }
func (c *connection) GetScheme() *runtime.Scheme     { return c.scheme }
func (c *connection) GetRESTMapper() meta.RESTMapper { return c.mapper }

// seen returns the methods of the requests for a status since it was asked last, and what was answered.
func (c *connection) seen() (methods, answers string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.requests, c.answers = nil, nil }()
	return strings.Join(c.requests, " "), strings.Join(c.answers, "\n")
}

// exchange makes a request for a status and remembers it with its answer.
func (c *connection) exchange(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.answers, c.sent = append(c.requests, r.Method), append(c.answers, string(body)), string(sent)
	return resp, nil
}

func connect(t *testing.T) (*connection, client.Client) {
	t.Helper()
	c := &connection{config: controlplane.New(t).Config(), scheme: runtime.NewScheme()}
	if err := esv1.AddToScheme(c.scheme); err != nil {
		t.Fatal(err)
	}
	c.config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return capture.RoundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/status") {
				return c.exchange(r, next)
			}
			return next.RoundTrip(r)
		})
	})
	var err error
	if c.http, err = rest.HTTPClientFor(c.config); err != nil {
		t.Fatal(err)
	}
	if c.mapper, err = apiutil.NewDynamicRESTMapper(c.config, c.http); err != nil {
		t.Fatal(err)
	}
	kube, err := client.New(c.config, client.Options{HTTPClient: c.http, Scheme: c.scheme, Mapper: c.mapper})
	if err != nil {
		t.Fatal(err)
	}
	return c, kube
}

func externalSecret(namespace string) *esv1.ExternalSecret {
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"}}
	es.Spec.SecretStoreRef = esv1.StoreRef{Name: "store"}
	es.Spec.Data = []esv1.Data{{SecretKey: "a", RemoteRef: esv1.RemoteRef{Key: "a"}}}
	return es
}

// become gives the object a status with one condition, and nothing else.
func become(es *esv1.ExternalSecret, reason string) {
	es.Status = esv1.ExternalSecretStatus{Conditions: []esv1.Condition{{Type: esv1.ConditionReady, Status: metav1.ConditionTrue, Reason: reason}}}
}

// ownedByAnybody returns the metadata of an object that clients write.
func ownedByAnybody(obj client.Object) []any {
	return []any{obj.GetLabels(), obj.GetAnnotations(), obj.GetFinalizers(), obj.GetOwnerReferences()}
}

// ownedBy returns an owner that there is: an object without is deleted, whenever the garbage collector comes to it.
func ownedBy(t *testing.T, kube client.Client, namespace string) []metav1.OwnerReference {
	t.Helper()
	owner := externalSecret(namespace)
	owner.Name = "owner"
	if err := kube.Create(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	return []metav1.OwnerReference{{APIVersion: esv1.GroupVersion().String(), Kind: esv1.KindExternalSecret, Name: owner.Name, UID: owner.UID}}
}

func TestAStatusIsWrittenAsAWhole(t *testing.T) {
	t.Parallel()
	c, kube := connect(t)
	w := NewStatuses(c)
	for name, tc := range map[string]struct {
		// meanwhile is what somebody else does to the object before its second status is written.
		meanwhile func(t *testing.T, es *esv1.ExternalSecret)
		requests  string
	}{
		"of an object that is as it was": {meanwhile: func(*testing.T, *esv1.ExternalSecret) {}, requests: "PUT"},
		"of an object that has changed meanwhile": {
			meanwhile: func(t *testing.T, es *esv1.ExternalSecret) {
				t.Helper()
				es.Labels, es.Annotations, es.Finalizers = map[string]string{"by": "somebody"}, map[string]string{"by": "somebody"}, []string{"example.com/somebody"}
				es.OwnerReferences = ownedBy(t, kube, es.Namespace)
				if err := kube.Update(t.Context(), es); err != nil {
					t.Fatal(err)
				}
			},
			requests: "PUT PATCH",
		},
	} {
		t.Run(name, func(t *testing.T) {
			es := externalSecret(controlplane.New(t).Namespace(t))
			if err := kube.Create(t.Context(), es); err != nil {
				t.Fatal(err)
			}
			es.Status.SyncedResourceVersion = "1"
			become(es, "First")
			es.Status.SyncedResourceVersion = "1"
			if err := w.WriteStatus(t.Context(), es); err != nil {
				t.Fatal(err)
			}
			tc.meanwhile(t, es.DeepCopy())
			become(es, "Second")
			c.seen()
			if err := w.WriteStatus(t.Context(), es); err != nil {
				t.Fatal(err)
			}
			methods, answers := c.seen()
			if methods != tc.requests {
				t.Errorf("requests %q, want %q", methods, tc.requests)
			}
			if strings.Contains(answers, `"spec"`) || strings.Contains(answers, `"Second"`) || !strings.Contains(answers, `"PartialObjectMetadata"`) {
				t.Errorf("answered with more than the metadata: %s", answers)
			}
			live := &esv1.ExternalSecret{}
			if err := kube.Get(t.Context(), client.ObjectKeyFromObject(es), live); err != nil {
				t.Fatal(err)
			}
			if s := live.Status; len(s.Conditions) != 1 || s.Conditions[0].Reason != "Second" || s.SyncedResourceVersion != "" {
				t.Errorf("status %+v: want the second one, and nothing of the first", s)
			}
			if live.ResourceVersion != es.ResourceVersion {
				t.Errorf("version %s, want %s: the object has the one that it has then", es.ResourceVersion, live.ResourceVersion)
			}
			if len(live.Spec.Data) != 1 {
				t.Errorf("spec %+v: want it as it was", live.Spec)
			}
			become(es, "Third")
			if err := w.WriteStatus(t.Context(), es); err != nil {
				t.Fatal(err)
			}
			var sent metav1.PartialObjectMetadata
			if err := json.Unmarshal([]byte(c.sent), &sent); err != nil {
				t.Fatal(err)
			}
			if methods, _ := c.seen(); methods != "PUT" {
				t.Errorf("the third one: requests %q, want one for the whole", methods)
			}
			if diff := cmp.Diff(ownedByAnybody(live), ownedByAnybody(&sent)); diff != "" {
				t.Errorf("the third one was sent with other metadata than the object has (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAStatusIsNotWrittenToAnotherObjectOfTheSameName(t *testing.T) {
	t.Parallel()
	c, kube := connect(t)
	es := externalSecret(controlplane.New(t).Namespace(t))
	gone := es.DeepCopy()
	if err := kube.Create(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if err := kube.Delete(t.Context(), gone.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	become(gone, "Late")
	if err := NewStatuses(c).WriteStatus(t.Context(), gone); !apierrors.IsNotFound(err) {
		t.Errorf("error %v, want that it is gone", err)
	}
	if err := kube.Create(t.Context(), es); err != nil {
		t.Fatal(err)
	}
	if err := NewStatuses(c).WriteStatus(t.Context(), gone); err == nil {
		t.Error("written, want a refusal")
	}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(es), es); err != nil {
		t.Fatal(err)
	}
	if len(es.Status.Conditions) != 0 {
		t.Errorf("status %+v of a new object, want none", es.Status)
	}
}

// TestAStatusTakesNoMetadataFromThoseWhoOwnIt: an API server before 1.36 takes what a status leaves out from its owner, who then cannot
// remove it any more by applying without it, as Flux and Argo CD do. This one would not, so that it is seen by what is sent.
func TestAStatusTakesNoMetadataFromThoseWhoOwnIt(t *testing.T) {
	t.Parallel()
	c, kube := connect(t)
	es := externalSecret(controlplane.New(t).Namespace(t))
	es.Labels, es.Annotations, es.Finalizers = map[string]string{"a": "label"}, map[string]string{"an": "annotation"}, []string{"example.com/finalizer"}
	es.OwnerReferences = ownedBy(t, kube, es.Namespace)
	if err := kube.Create(t.Context(), es); err != nil {
		t.Fatal(err)
	}
	become(es, "First")
	if err := NewStatuses(c).WriteStatus(t.Context(), es); err != nil {
		t.Fatal(err)
	}
	if methods, _ := c.seen(); methods != "PUT" {
		t.Errorf("requests %q, want one for the whole", methods)
	}
	var sent metav1.PartialObjectMetadata
	if err := json.Unmarshal([]byte(c.sent), &sent); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ownedByAnybody(es), ownedByAnybody(&sent)); diff != "" {
		t.Errorf("sent of the metadata (-want +got):\n%s", diff)
	}

	part := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: es.Namespace, Name: es.Name, UID: es.UID, ResourceVersion: es.ResourceVersion}}
	become(part, "Second")
	if err := NewStatusesOfParts(c).WriteStatus(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	if methods, _ := c.seen(); methods != "PATCH" || strings.Contains(c.sent, "label") {
		t.Errorf("of an object that is known in part: %s %s, want its status alone", methods, c.sent)
	}
}

package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// StatusWriter writes the statuses of objects.
type StatusWriter interface {
	// WriteStatus writes the status of obj and gives obj the resource version that it has then, and the labels, annotations, finalizers
	// and owners where it knew them. Errors are those of the API server; an object of the same name with another UID is not written to.
	WriteStatus(ctx context.Context, obj client.Object) error
}

// Connection is how the API server is reached; a manager is one.
type Connection interface {
	GetConfig() *rest.Config
	GetHTTPClient() *http.Client
	GetScheme() *runtime.Scheme
	GetRESTMapper() meta.RESTMapper
}

// Statuses writes statuses as a whole: no patch has to be made here and carried out there, which costs the API server an eighth
// of a write. The API server is asked to answer with the metadata alone: the rest is known, and decoding it takes longer than
// sending the status. An object that has changed meanwhile is patched, because nobody else writes its status.
//
// All metadata is sent that anybody can own: API servers before 1.36 change none of it by a status, and take what is missing from whoever
// owns it all the same, whose next server-side apply then removes nothing (the status strategy of custom resources resets the fields of
// metadata since 1.36). Of an object that is known in part a status is patched.
// It is safe for concurrent use.
type Statuses struct {
	to Connection
	// partial is set where objects are known in part.
	partial bool

	mu    sync.Mutex
	kinds map[reflect.Type]statusKind
}

// NewStatuses returns a writer of the statuses of objects whose labels, annotations, finalizers and owners are known.
func NewStatuses(to Connection) *Statuses {
	return &Statuses{to: to, kinds: map[reflect.Type]statusKind{}}
}

// NewStatusesOfParts returns a writer of the statuses of objects of which a cache keeps a part.
func NewStatusesOfParts(to Connection) *Statuses {
	return &Statuses{to: to, partial: true, kinds: map[reflect.Type]statusKind{}}
}

// statusKind is where the objects of a Go type are written to.
type statusKind struct {
	kind     schema.GroupVersionKind
	resource string
	client   rest.Interface
}

// statusBody is the part of an object that is sent.
type statusBody struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   statusMetadata `json:"metadata"`
	Status     any            `json:"status"`
}

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

type statusMetadata struct {
	Name            string    `json:"name"`
	Namespace       string    `json:"namespace,omitempty"`
	UID             types.UID `json:"uid,omitempty"`
	ResourceVersion string    `json:"resourceVersion,omitempty"`

	Labels      map[string]string       `json:"labels,omitempty"`
	Annotations map[string]string       `json:"annotations,omitempty"`
	Finalizers  []string                `json:"finalizers,omitempty"`
	Owners      []metav1.OwnerReference `json:"ownerReferences,omitempty"`
}

// metadataAlone asks for an answer that holds no more (API concepts of Kubernetes, metadata-only fetches).
const metadataAlone = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// WriteStatus implements StatusWriter for an object that is a pointer to a struct with a field Status.
func (w *Statuses) WriteStatus(ctx context.Context, obj client.Object) error {
	kind, err := w.kindOf(obj)
	if err != nil {
		return err
	}
	status := reflect.ValueOf(obj).Elem().FieldByName("Status").Interface()
	var now statusMetadata
	if !w.partial {
		now, err = kind.send(ctx, kind.client.Put().SetHeader("Content-Type", runtime.ContentTypeJSON), obj, statusBody{
			APIVersion: kind.kind.GroupVersion().String(), Kind: kind.kind.Kind, Metadata: owned(obj), Status: status,
		})
	}
	if w.partial || apierrors.IsConflict(err) {
		now, err = kind.send(ctx, kind.client.Patch(types.JSONPatchType), obj, []operation{
			{"test", "/metadata/uid", obj.GetUID()}, {"add", "/status", status},
		})
	}
	if err != nil {
		return err
	}
	obj.SetResourceVersion(now.ResourceVersion)
	if !w.partial { // whoever changed it meanwhile owns what the next status sends
		obj.SetLabels(now.Labels)
		obj.SetAnnotations(now.Annotations)
		obj.SetFinalizers(now.Finalizers)
		obj.SetOwnerReferences(now.Owners)
	}
	return nil
}

// owned returns which object it is, and the metadata of it that anybody can own.
func owned(obj client.Object) statusMetadata {
	return statusMetadata{
		Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
		Labels: obj.GetLabels(), Annotations: obj.GetAnnotations(), Finalizers: obj.GetFinalizers(), Owners: obj.GetOwnerReferences(),
	}
}

// send sends what changes the status of an object, and returns the metadata that the object has then.
func (k statusKind) send(ctx context.Context, to *rest.Request, obj client.Object, body any) (statusMetadata, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return statusMetadata{}, fmt.Errorf("encode status: %w", err)
	}
	raw, err = to.NamespaceIfScoped(obj.GetNamespace(), obj.GetNamespace() != "").
		Resource(k.resource).Name(obj.GetName()).SubResource("status").
		SetHeader("Accept", metadataAlone).Body(raw).Do(ctx).Raw()
	if err != nil {
		return statusMetadata{}, err
	}
	var answer struct {
		Metadata statusMetadata `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return statusMetadata{}, fmt.Errorf("read the answer to a status: %w", err)
	}
	return answer.Metadata, nil
}

// kindOf returns where an object is written to, which is found out once for each type.
func (w *Statuses) kindOf(obj client.Object) (statusKind, error) {
	t := reflect.TypeOf(obj)
	w.mu.Lock()
	defer w.mu.Unlock()
	if k, ok := w.kinds[t]; ok {
		return k, nil
	}
	kind, err := apiutil.GVKForObject(obj, w.to.GetScheme())
	if err != nil {
		return statusKind{}, err
	}
	mapping, err := w.to.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return statusKind{}, fmt.Errorf("find the resource of %s: %w", kind.Kind, err)
	}
	c, err := apiutil.RESTClientForGVK(kind, true, false, w.to.GetConfig(), serializer.NewCodecFactory(w.to.GetScheme()), w.to.GetHTTPClient())
	if err != nil {
		return statusKind{}, fmt.Errorf("make a client for the status of %s: %w", kind.Kind, err)
	}
	k := statusKind{kind: kind, resource: mapping.Resource.Resource, client: c}
	w.kinds[t] = k
	return k, nil
}

package externalsecrets_test

import (
	"context"
	"crypto/sha3"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// looker sees what became of a case.
type looker struct {
	client.Reader
	c       *conformanceCase
	changes *changes
	// namespaces are those of the case, cluster the names of its objects without namespace.
	namespaces []string
	cluster    map[string]bool
}

func newLooker(w *world, c *conformanceCase) *looker {
	l := &looker{Reader: w.cache, c: c, changes: &w.changes, namespaces: []string{c.namespace}, cluster: map[string]bool{}}
	c.objects(func(o *unstructured.Unstructured) {
		switch {
		case o.GetKind() == "Namespace":
			l.namespaces = append(l.namespaces, o.GetName())
		case o.GetNamespace() == "":
			l.cluster[o.GetName()] = true
		}
	})
	return l
}

// seen is how many changes there were of what is looked at.
func (l *looker) seen() int {
	return l.changes.of(slices.Concat(l.namespaces, slices.Collect(maps.Keys(l.cluster))))
}

// look returns what there is now.
func (l *looker) look(ctx context.Context) (answer, error) {
	a := answer{}
	var stores esv1.ClusterSecretStoreList
	var spreads esv1.ClusterExternalSecretList
	for _, list := range []client.ObjectList{&stores, &spreads} {
		if err := l.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, err
		}
	}
	for _, s := range stores.Items {
		if l.cluster[s.Name] {
			a.add("ClusterSecretStore", s.Name, storeFields(s.Status))
		}
	}
	for _, s := range spreads.Items {
		if l.cluster[s.Name] {
			a.add("ClusterExternalSecret", s.Name, spreadFields(s.Status))
		}
	}
	for _, namespace := range l.namespaces {
		if err := l.lookInto(ctx, namespace, a); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (l *looker) lookInto(ctx context.Context, namespace string, a answer) error {
	var objects esv1.ExternalSecretList
	var stores esv1.SecretStoreList
	var secrets corev1.SecretList
	var events corev1.EventList
	for _, list := range []client.ObjectList{&objects, &stores, &secrets, &events} {
		if err := l.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return err
		}
	}
	name := func(o client.Object) string {
		if namespace == l.c.namespace {
			return o.GetName()
		}
		return namespace + "/" + o.GetName()
	}
	for i := range objects.Items {
		es := &objects.Items[i]
		a.add("ExternalSecret", name(es), objectFields(es, events.Items))
	}
	for i := range stores.Items {
		a.add("SecretStore", name(&stores.Items[i]), storeFields(stores.Items[i].Status))
	}
	for i := range secrets.Items {
		if s := &secrets.Items[i]; s.Type != corev1.SecretTypeServiceAccountToken && s.Name != credentialsName {
			a.add("Secret", name(s), secretFields(s))
		}
	}
	return nil
}

// add adds what is known of an object; what is empty is left out.
func (a answer) add(kind, name string, fields map[string]any) {
	if a[kind] == nil {
		a[kind] = map[string]map[string]any{}
	}
	maps.DeleteFunc(fields, func(_ string, v any) bool {
		switch v := v.(type) {
		case string:
			return v == ""
		case []any:
			return len(v) == 0
		case map[string]any:
			return len(v) == 0
		default:
			return v == false
		}
	})
	a[kind][name] = fields
}

func objectFields(es *esv1.ExternalSecret, events []corev1.Event) map[string]any {
	said := map[string]bool{}
	for _, e := range events {
		if e.InvolvedObject.UID == es.UID {
			said[e.Type+" "+e.Reason] = true
		}
	}
	return map[string]any{
		"ready": ready(es.Status.Conditions), "binding": es.Status.Binding.Name, "events": list(slices.Sorted(maps.Keys(said))),
	}
}

// storeFields leaves the message out, which is ours too.
func storeFields(s esv1.SecretStoreStatus) map[string]any {
	state, _, _ := strings.Cut(ready(s.Conditions), ":")
	return map[string]any{"ready": state}
}

func spreadFields(s esv1.ClusterExternalSecretStatus) map[string]any {
	var failed []string
	for _, f := range s.FailedNamespaces {
		failed = append(failed, f.Namespace)
	}
	for _, c := range s.Conditions {
		if c.Type == esv1.ConditionReady {
			return map[string]any{
				"ready": string(c.Status), "name": s.ExternalSecretName, "provisioned": list(s.ProvisionedNamespaces), "failed": list(failed),
			}
		}
	}
	return map[string]any{}
}

// ready says status and reason, and the message of what is ready: that of what is not is ours, and says more.
func ready(conditions []esv1.Condition) string {
	for _, c := range conditions {
		switch {
		case c.Type != esv1.ConditionReady:
		case c.Status == metav1.ConditionTrue:
			return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		default:
			return fmt.Sprintf("%s %s", c.Status, c.Reason)
		}
	}
	return ""
}

// secretFields is what somebody who uses a Secret may rely on.
func secretFields(s *corev1.Secret) map[string]any {
	data := map[string]any{}
	for key, v := range s.Data {
		data[key] = string(v)
		if !utf8.Valid(v) {
			data[key] = "base64 " + base64.StdEncoding.EncodeToString(v)
		}
	}
	var marks []string
	labels, annotations := without(s.Labels), without(s.Annotations)
	if labels[esv1.LabelManaged] == "true" {
		marks = append(marks, "managed")
		delete(labels, esv1.LabelManaged)
	}
	owner := ""
	if o := metav1.GetControllerOf(s); o != nil {
		owner = o.Kind + "/" + o.Name
		if labels[esv1.LabelCreatedBy] == operatorHash(s.Namespace+"/"+o.Name) {
			marks = append(marks, "created-by")
			delete(labels, esv1.LabelCreatedBy)
		}
	}
	delete(annotations, esv1.AnnotationDataHash)
	typ := string(s.Type)
	if s.Type == corev1.SecretTypeOpaque {
		typ = ""
	}
	return map[string]any{
		"type": typ, "data": data, "labels": labels, "annotations": annotations, "marks": strings.Join(marks, ", "), "owner": owner,
		"immutable": s.Immutable != nil && *s.Immutable, "finalizers": list(s.Finalizers),
	}
}

// operatorHash is the operator's hash of an object, which is part of what it writes.
func operatorHash(object any) string {
	sum := sha3.Sum224(fmt.Appendf(nil, "%+v", object))
	return hex.EncodeToString(sum[:])
}

// without returns a copy in the form in which YAML is read.
func without(from map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range from {
		out[k] = v
	}
	return out
}

func list(of []string) []any {
	var out []any
	for _, v := range of {
		out = append(out, v)
	}
	return out
}

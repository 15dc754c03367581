package sealing

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/crypto/seal"
)

// APIVersion and Kind of what is written.
const (
	APIVersion = "bitnami.com/v1alpha1"
	Kind       = "SealedSecret"
)

// SealedSecret is a SealedSecret as it is written, in kubeseal's order of fields.
type SealedSecret struct {
	Kind       string           `json:"kind"`
	APIVersion string           `json:"apiVersion"`
	Metadata   Metadata         `json:"metadata"`
	Spec       SealedSecretSpec `json:"spec"`
}

// SealedSecretSpec holds the sealed values and what the Secret will look like around them.
type SealedSecretSpec struct {
	Template      Template          `json:"template"`
	EncryptedData map[string]string `json:"encryptedData"`
}

// Template is the Secret without its values.
type Template struct {
	Metadata  Metadata `json:"metadata"`
	Type      string   `json:"type,omitempty"`
	Immutable *bool    `json:"immutable,omitempty"`
}

// Options say how Secrets are sealed.
type Options struct {
	// To returns whom the values of a namespace are sealed to, "" for values that name none. It is safe for concurrent use.
	To func(namespace string) (seal.Recipient, error)
	// Random is crypto/rand.Reader outside of tests. Values are sealed at the same time.
	Random io.Reader
	// Scope is the scope that was asked for; "" leaves it to the Secret's annotations.
	Scope seal.Scope
	// Name replaces the Secret's own; "" keeps that.
	Name string
	// AllowEmpty accepts Secrets without any data.
	AllowEmpty bool
	// Namespace returns the namespace that applies to Secrets without one, and whether it was asked for explicitly, in
	// which case Secrets must not name another. It is not called for cluster-wide Secrets.
	Namespace func(needed bool) (namespace string, explicit bool, err error)
	// Memory keeps the ciphertexts of unchanged values when a file is updated; nil seals all anew.
	Memory Memory

	existing func(namespace, name string) *Object
}

// Seal returns the SealedSecret of a Secret. Its errors have kubeseal's texts where kubeseal has them.
func Seal(s Secret, o Options) (*SealedSecret, error) {
	if len(s.Data) == 0 && !o.AllowEmpty {
		return nil, problem(s.where+" has neither data nor stringData",
			"secret.data is empty in input Secret, assuming this is an error and aborting. To work with empty data, --allow-empty-data can be used")
	}
	meta := s.Metadata
	if o.Name != "" {
		meta.Name = o.Name
	}
	if meta.Name == "" {
		return nil, problem(s.where+": set metadata.name, or give --name", "missing metadata.name in input Secret")
	}
	meta.Annotations = scopedAnnotations(withoutLastApplied(meta.Annotations), o.Scope)
	scope := seal.ScopeOf(meta.Annotations)
	if scope != seal.ClusterWide {
		namespace, err := namespaceOf(s, o)
		if err != nil {
			return nil, err
		}
		meta.Namespace = namespace
	}
	values, err := o.sealed(s, scope, meta)
	if err != nil {
		return nil, err
	}
	return &SealedSecret{
		Kind:       Kind,
		APIVersion: APIVersion,
		Metadata:   Metadata{Name: meta.Name, Namespace: meta.Namespace, Annotations: scopedAnnotations(nil, scope)},
		Spec:       SealedSecretSpec{Template: Template{Metadata: meta, Type: s.Type, Immutable: s.Immutable}, EncryptedData: values},
	}, nil
}

// sealed returns the sealed values of a Secret, on which all processors work: one may have a thousand.
func (o Options) sealed(s Secret, scope seal.Scope, meta Metadata) (map[string]string, error) {
	to, err := o.To(meta.Namespace)
	if err != nil {
		return nil, err
	}
	keys := slices.Sorted(maps.Keys(s.Data))
	texts, errs := make([]string, len(keys)), make([]error, len(keys))
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i, key := range keys {
		var kept bool
		if texts[i], kept = o.kept(scope, meta.Namespace, meta.Name, key, s.Data[key]); kept {
			continue
		}
		workers.Go(func() error {
			texts[i], errs[i] = seal.Seal(o.Random, to, scope, meta.Namespace, meta.Name, s.Data[key])
			return nil
		})
	}
	_ = workers.Wait() // they return nothing
	out := make(map[string]string, len(keys))
	for i, key := range keys {
		if errs[i] != nil { // the first of the keys is told of, whichever failed first
			return nil, sealError(s.where, key, errs[i])
		}
		if o.Memory != nil {
			o.Memory.Sealed(scope, meta.Namespace, meta.Name, texts[i], s.Data[key])
		}
		out[key] = texts[i]
	}
	return out, nil
}

func sealError(where, key string, err error) error {
	hint := "seal to another certificate or recipient; --fetch-cert writes the controller's"
	if errors.Is(err, seal.ErrTooLarge) {
		hint = "split the value; Kubernetes holds at most 1 MiB in one Secret"
	}
	return &Error{Problem: where + ": seal " + key + ": " + err.Error(), Hint: hint, Cause: err}
}

// namespaceOf returns the namespace that a Secret's values are bound to.
func namespaceOf(s Secret, o Options) (string, error) {
	namespace, explicit, err := o.Namespace(s.Metadata.Namespace == "")
	if err != nil {
		return "", err
	}
	own := s.Metadata.Namespace
	switch {
	case own != "" && explicit && own != namespace:
		return "", problem(s.where+": leave --namespace out, or seal Secrets of different namespaces one by one",
			"namespace mismatch: input secret is in namespace %q but %q was specified", own, namespace)
	case own != "":
		return own, nil
	case namespace == "":
		return "", problem(s.where+": set metadata.namespace, or give --namespace", "secret must declare a namespace")
	default:
		return namespace, nil
	}
}

// scopedAnnotations returns a copy of some annotations that asks for a scope; "" keeps what they ask for.
func scopedAnnotations(annotations map[string]string, scope seal.Scope) map[string]string {
	out := maps.Clone(annotations)
	if scope == "" {
		return out
	}
	if out == nil {
		out = map[string]string{}
	}
	delete(out, seal.AnnotationNamespaceWide)
	delete(out, seal.AnnotationClusterWide)
	switch scope {
	case seal.NamespaceWide:
		out[seal.AnnotationNamespaceWide] = "true"
	case seal.ClusterWide:
		out[seal.AnnotationClusterWide] = "true"
	}
	return out
}

// withoutLastApplied returns a copy of some annotations without those in which client-side apply keeps the whole object,
// plaintext included.
func withoutLastApplied(annotations map[string]string) map[string]string {
	out := maps.Clone(annotations)
	delete(out, "kubectl.kubernetes.io/last-applied-configuration")
	delete(out, "kubecfg.ksonnet.io/last-applied-configuration")
	return out
}

// Format is how manifests are written.
type Format string

// The formats of kubeseal's -o.
const (
	JSON Format = "json"
	YAML Format = "yaml"
)

// ParseFormat returns the format of that name in any case; no name is JSON.
func ParseFormat(name string) (Format, error) {
	switch f := Format(strings.ToLower(name)); f {
	case "":
		return JSON, nil
	case JSON, YAML:
		return f, nil
	default:
		return "", problem("use json or yaml", "unsupported output format: %s", name)
	}
}

// Encode returns an object as a manifest: YAML begins with a separator, JSON is indented by two, both end with a newline.
func Encode(f Format, object any) ([]byte, error) {
	if f == YAML {
		if s, ok := object.(*SealedSecret); ok {
			return s.yaml()
		}
		out, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		return append([]byte("---\n"), out...), nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	if err := e.Encode(object); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// yaml returns the manifest with each long value in the place of a mark that cannot be anywhere else: the library looks at
// every character of a value several times to find that it needs no quotes, which is half the cost of writing YAML.
func (s *SealedSecret) yaml() ([]byte, error) {
	marked := *s
	marked.Spec.EncryptedData = make(map[string]string, len(s.Spec.EncryptedData))
	unique := "sealed-" + rand.Text()
	size := 0
	var swaps []string
	for i, key := range slices.Sorted(maps.Keys(s.Spec.EncryptedData)) {
		text := s.Spec.EncryptedData[key]
		if !isPlain(text) {
			marked.Spec.EncryptedData[key] = text
			continue
		}
		mark := fmt.Sprintf("%s-%d-", unique, i)
		marked.Spec.EncryptedData[key] = mark
		swaps = append(swaps, mark, text)
		size += len(text)
	}
	text, err := yamlv2.Marshal(marked.sorted())
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(len(text) + size)
	out.WriteString("---\n")
	_, err = strings.NewReplacer(swaps...).WriteString(&out, string(text))
	return out.Bytes(), err
}

// isPlain says whether a text is the same in YAML: it is base64 that cannot be read as a number or a word.
func isPlain(text string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return len(text) > 64 && strings.IndexByte(letters, text[0]) >= 0 && strings.TrimLeft(text, letters+"0123456789+/=") == ""
}

// sorted returns the fields as sigs.k8s.io/yaml sorts them. That library gets at them by way of JSON, in five times the
// time.
func (s *SealedSecret) sorted() yamlv2.MapSlice {
	t := s.Spec.Template
	template := yamlv2.MapSlice{}
	if t.Immutable != nil {
		template = append(template, yamlv2.MapItem{Key: "immutable", Value: *t.Immutable})
	}
	template = append(template, yamlv2.MapItem{Key: "metadata", Value: t.Metadata.sorted()})
	return yamlv2.MapSlice{
		{Key: "apiVersion", Value: s.APIVersion},
		{Key: "kind", Value: s.Kind},
		{Key: "metadata", Value: s.Metadata.sorted()},
		{Key: "spec", Value: yamlv2.MapSlice{
			{Key: "encryptedData", Value: s.Spec.EncryptedData},
			{Key: "template", Value: appendText(template, "type", t.Type)},
		}},
	}
}

func (m *Metadata) sorted() yamlv2.MapSlice {
	out := yamlv2.MapSlice{}
	if len(m.Annotations) > 0 {
		out = append(out, yamlv2.MapItem{Key: "annotations", Value: m.Annotations})
	}
	if len(m.Finalizers) > 0 {
		out = append(out, yamlv2.MapItem{Key: "finalizers", Value: m.Finalizers})
	}
	out = appendText(out, "generateName", m.GenerateName)
	if len(m.Labels) > 0 {
		out = append(out, yamlv2.MapItem{Key: "labels", Value: m.Labels})
	}
	return appendText(appendText(out, "name", m.Name), "namespace", m.Namespace)
}

// appendText appends a field that is left out when it is empty.
func appendText(fields yamlv2.MapSlice, key, value string) yamlv2.MapSlice {
	if value == "" {
		return fields
	}
	return append(fields, yamlv2.MapItem{Key: key, Value: value})
}

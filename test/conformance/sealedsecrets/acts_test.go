package sealedsecrets_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// firstKey is the sealing key that every suite begins with.
const firstKey = "first"

// sealer makes the sealing keys of a suite, which are in its namespace, and seals to them.
type sealer struct {
	namespace string
	keys      map[string]*keyring.Pair
}

// key returns the key of a name. Each is a minute younger than the one before it; one called expired is not valid any more.
func (s *sealer) key(name string) (*keyring.Pair, error) {
	if key := s.keys[name]; key != nil {
		return key, nil
	}
	const smallest = 1024 // nothing is kept secret by it
	o := keyring.Options{Bits: smallest, NotBefore: time.Now().Add(time.Duration(len(s.keys)-60) * time.Minute)}
	if name == "expired" {
		o.Validity = time.Second
	}
	key, err := keyring.Generate(o)
	s.keys[name] = key
	return key, err
}

// secret returns the Secret of a key.
func (s *sealer) secret(name, label string) (*corev1.Secret, error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: key.CertificatePEM(), corev1.TLSPrivateKeyKey: key.PrivateKeyPEM()},
	}
	if label != "" {
		secret.Labels = map[string]string{"sealedsecrets.bitnami.com/sealed-secrets-key": label}
	}
	return secret, nil
}

// expand returns a value of a case as it is written to the cluster: "ss/" before a key of a map is the prefix of the annotations of Sealed Secrets,
// and a text "seal [key=] [scope=] [namespace=] [name=] [as=] VALUE" is the sealed value.
func (s *sealer) expand(v any, namespace, name string) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if short, ok := strings.CutPrefix(key, "ss/"); ok {
				key = "sealedsecrets.bitnami.com/" + short
			}
			value, e := s.expand(value, namespace, name)
			out[key], err = value, errors.Join(err, e)
		}
		return out, err
	case []any:
		out := make([]any, len(v))
		for i := range v {
			value, e := s.expand(v[i], namespace, name)
			out[i], err = value, errors.Join(err, e)
		}
		return out, err
	case string:
		if order, ok := strings.CutPrefix(v, "seal "); ok {
			return s.seal(order, namespace, name)
		}
	}
	return v, nil
}

func (s *sealer) seal(order, namespace, name string) (string, error) {
	options := map[string]string{"key": firstKey, "scope": string(seal.Strict), "namespace": namespace, "name": name, "as": ""}
	for {
		word, rest, _ := strings.Cut(order, " ")
		option, value, ok := strings.Cut(word, "=")
		if _, known := options[option]; !ok || !known {
			break
		}
		options[option], order = value, rest
	}
	key, err := s.key(options["key"])
	if err != nil {
		return "", err
	}
	text, err := seal.Seal(rand.Reader, seal.Compat(key.Public()), seal.Scope(options["scope"]), options["namespace"], options["name"], []byte(order))
	if err != nil {
		return "", err
	}
	switch options["as"] {
	case "cut":
		return text[:len(text)-4], nil
	case "unpadded":
		return strings.TrimRight(text, "="), nil
	case "lines":
		return text[:76] + "\n" + text[76:] + "\n", nil
	default:
		return text, nil
	}
}

// object returns an empty object of the kind of a step, "sealed" or "secret".
func (c *controller) object(kind, name string) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret"}}
	if kind == "sealed" {
		obj.Object = map[string]any{"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret"}
	}
	obj.SetNamespace(c.namespace)
	obj.SetName(name)
	return obj
}

// apply patches the object, or makes it where there is none, and returns why the API server refuses it.
func (c *controller) apply(ctx context.Context, kind, name string, content map[string]any) (refusal string, err error) {
	if content, err = c.resolve(ctx, content); err != nil {
		return "", err
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	err = c.client.Patch(ctx, c.object(kind, name), client.RawPatch(types.MergePatchType, raw))
	if apierrors.IsNotFound(err) {
		obj := &unstructured.Unstructured{Object: content}
		base := c.object(kind, name)
		obj.SetGroupVersionKind(base.GroupVersionKind())
		obj.SetNamespace(c.namespace)
		obj.SetName(name)
		err = c.client.Create(ctx, obj)
	}
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return string(apierrors.ReasonForError(err)), nil
	}
	return "", err
}

// resolve gives the owner references, of objects of this side, their uids.
func (c *controller) resolve(ctx context.Context, content map[string]any) (map[string]any, error) {
	obj := (&unstructured.Unstructured{Object: content}).DeepCopy()
	for _, path := range [][]string{{"metadata", "ownerReferences"}, {"spec", "template", "metadata", "ownerReferences"}} {
		owners, _, _ := unstructured.NestedFieldNoCopy(obj.Object, path...)
		list, _ := owners.([]any)
		for _, owner := range list {
			ref, _ := owner.(map[string]any)
			of := &unstructured.Unstructured{Object: map[string]any{"apiVersion": ref["apiVersion"], "kind": ref["kind"]}}
			if err := c.client.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: fmt.Sprint(ref["name"])}, of); err != nil {
				return nil, err
			}
			ref["uid"] = string(of.GetUID())
		}
	}
	return obj.Object, nil
}

// act does what a step says, whose objects are expanded, and returns what the API server refused.
func (c *controller) act(ctx context.Context, s *sealer, name string, st step) (refusal string, err error) {
	for key, label := range st.Keys {
		if err := c.setKey(ctx, s, key, label); err != nil {
			return "", err
		}
	}
	if st.Signal {
		if err := c.askForKey(ctx); err != nil {
			return "", err
		}
	}
	if st.Made {
		if err := c.hasMade(ctx, s); err != nil {
			return "", err
		}
	}
	if st.Secret != nil {
		refusal, err = c.apply(ctx, "secret", name, st.Secret)
	}
	if st.Sealed != nil && err == nil {
		var more string
		more, err = c.apply(ctx, "sealed", name, st.Sealed)
		refusal += more
	}
	switch {
	case err != nil || st.Delete == "":
	case st.Delete == "orphan":
		err = c.client.Delete(ctx, c.object("sealed", name), client.PropagationPolicy(metav1.DeletePropagationOrphan))
	default:
		err = c.client.Delete(ctx, c.object(st.Delete, name))
	}
	return refusal, err
}

// askForKey asks the controller for a new sealing key, and waits until it has made one.
func (c *controller) askForKey(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	count := func() (int, error) {
		var keys corev1.SecretList
		err := c.client.List(ctx, &keys, client.InNamespace(c.namespace), client.HasLabels{v1alpha1.LabelSealingKey})
		return len(keys.Items), err
	}
	before, err := count()
	if err != nil {
		return err
	}
	if err := syscall.Kill(c.process.PID(), syscall.SIGUSR1); err != nil {
		return err
	}
	for {
		now, err := count()
		if err != nil || now > before {
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for the key that was asked for: %w", err)
		}
	}
}

// hasMade waits until the controller serves the certificate of a sealing key that it has made.
func (c *controller) hasMade(ctx context.Context, s *sealer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		answer, err := c.ask(ctx, s, "GET /v1/cert.pem", "")
		if err != nil || slices.Contains(answer, madeHere) {
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for the key that the controller makes: %w", err)
		}
	}
}

// setKey makes, labels or deletes the Secret of a sealing key.
func (c *controller) setKey(ctx context.Context, s *sealer, name, label string) error {
	secret, err := s.secret(name, label)
	if err != nil {
		return err
	}
	if label == "deleted" {
		return c.client.Delete(ctx, secret)
	}
	err = c.client.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		secret.ResourceVersion = ""
		err = c.client.Update(ctx, secret)
	}
	return err
}

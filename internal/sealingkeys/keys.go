// Package sealingkeys knows what the command line says about the sealing keys of a cluster.
//
// It takes key Secrets and SealedSecrets as the API server lists them, and returns the keys, which objects need which, and
// what a backup holds. It asks no cluster, and its errors and texts hold no private key.
package sealingkeys

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// The labels of key Secrets and their values, as the controller has them.
const (
	LabelCompat = "sealedsecrets.bitnami.com/sealed-secrets-key"
	LabelNative = "sealbridge.dev/sealing-key"
	Active      = "active"
	Namespaced  = "namespaced"
	Compromised = "compromised"

	// LegacyName is the default name of a key Secret without a label, of a release of Sealed Secrets before labels.
	LegacyName = "sealed-secrets-key"

	labelSealedBy        = "sealbridge.dev/sealed-by"
	annotationNamespaces = "sealbridge.dev/namespaces"
	annotationCommonKeys = "sealbridge.dev/common-keys"
	lastApplied          = "kubectl.kubernetes.io/last-applied-configuration"
)

// Secret is a key Secret as it is listed.
type Secret struct {
	Metadata struct {
		Name              string            `json:"name"`
		Namespace         string            `json:"namespace"`
		Labels            map[string]string `json:"labels,omitempty"`
		Annotations       map[string]string `json:"annotations,omitempty"`
		CreationTimestamp time.Time         `json:"creationTimestamp"`
		ResourceVersion   string            `json:"resourceVersion"`
	} `json:"metadata"`
	Type      string            `json:"type,omitempty"`
	Immutable *bool             `json:"immutable,omitempty"`
	Data      map[string][]byte `json:"data"`
}

// Key is one sealing key.
type Key struct {
	Secret Secret
	// Label is the one that makes the Secret a key; State its value, Active for a legacy one, which has no label.
	Label, State string
	// Namespaces are those that the key serves alone; none for all of them.
	Namespaces []string
	Format     seal.Format
	// Fingerprint names the key; "" when the Secret holds none that can be used, and Fault says why.
	Fingerprint string
	Fault       error
	// Created is when the key was made; Expires is when values are not sealed to it any more, zero for never.
	Created, Expires time.Time

	key keyring.Key
}

// Object is a SealedSecret as it is listed.
type Object struct {
	Metadata struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		// EncryptedData may be anything: definitions of old releases said nothing of it.
		EncryptedData any    `json:"encryptedData"`
		Data          []byte `json:"data"`
	} `json:"spec"`
	Status struct {
		SealingKey string `json:"sealingKey"`
	} `json:"status"`
}

// String is namespace/name.
func (o *Object) String() string { return o.Metadata.Namespace + "/" + o.Metadata.Name }

// sealed are the values that can be sealed ones.
func (o *Object) sealed() []string {
	var out []string
	values, _ := o.Spec.EncryptedData.(map[string]any)
	for _, value := range values {
		if text, ok := value.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

// Legacy says whether the controller takes a Secret under the legacy name for a key.
func Legacy(s Secret) bool {
	for _, label := range []string{LabelCompat, LabelNative, labelSealedBy} {
		if _, ok := s.Metadata.Labels[label]; ok {
			return false
		}
	}
	return true
}

// Read returns the keys of Secrets, newest first.
func Read(secrets []Secret) []*Key {
	var keys []*Key
	for _, s := range secrets {
		k := &Key{Secret: s, Label: LabelCompat, Format: seal.FormatCompat, Created: s.Metadata.CreationTimestamp}
		if _, ok := s.Metadata.Labels[LabelNative]; ok {
			k.Label, k.Format = LabelNative, seal.FormatNative
		}
		k.State = s.Metadata.Labels[k.Label]
		if Legacy(s) {
			k.State = Active
		}
		k.Namespaces = namespacesOf(s)
		if k.Format == seal.FormatNative {
			identity, err := keyring.ParseIdentity(s.Data["identity.txt"], s.Metadata.CreationTimestamp)
			if k.Fault = err; err == nil {
				k.key, k.Fingerprint, k.Created = identity, identity.Fingerprint(), identity.Since()
			}
		} else {
			pair, err := keyring.ParsePair(s.Data["tls.crt"], s.Data["tls.key"])
			if k.Fault = err; err == nil {
				k.key, k.Fingerprint, k.Created, k.Expires = pair, pair.Fingerprint(), pair.NotBefore(), pair.NotAfter()
			}
		}
		if k.Fault == nil {
			k.Fault = k.misplaced()
		}
		keys = append(keys, k)
	}
	slices.SortStableFunc(keys, func(a, b *Key) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.Fingerprint, b.Fingerprint))
	})
	return keys
}

// Find returns the key in the Secret of a name, or all that have a fingerprint: several Secrets may hold one key.
func Find(keys []*Key, name string) []*Key {
	var found []*Key
	for _, k := range keys {
		if k.Secret.Metadata.Name == name {
			return []*Key{k}
		}
		if k.Fingerprint != "" && k.Fingerprint == name {
			found = append(found, k)
		}
	}
	return found
}

func namespacesOf(s Secret) []string {
	var out []string
	for name := range strings.SplitSeq(s.Metadata.Annotations[annotationNamespaces], ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// misplaced returns why the controller uses a key for no namespace: it cannot tell for which it was meant.
func (k *Key) misplaced() error {
	_, annotated := k.Secret.Metadata.Annotations[annotationNamespaces]
	switch {
	case k.State == Active && annotated:
		return fmt.Errorf("the annotation %s is for keys whose label says %s", annotationNamespaces, Namespaced)
	case k.State == Namespaced && len(k.Namespaces) == 0:
		return fmt.Errorf("the annotation %s names no namespace", annotationNamespaces)
	case k.State != Namespaced:
		return nil
	}
	if slices.ContainsFunc(k.Namespaces, func(name string) bool { return len(validation.IsDNS1123Label(name)) > 0 }) {
		return fmt.Errorf("the annotation %s has what is no name of a namespace", annotationNamespaces)
	}
	if policy := k.Secret.Metadata.Annotations[annotationCommonKeys]; policy != "" && policy != "allow" && policy != "deny" {
		return fmt.Errorf("the annotation %s is neither allow nor deny", annotationCommonKeys)
	}
	return nil
}

// Newest says whether a key is the one of its format that is sealed to: by everybody, or in a namespace that it serves
// alone.
func Newest(keys []*Key, key *Key) bool {
	if key.Fault != nil {
		return false
	}
	first := func(serves func(*Key) bool) bool {
		for _, k := range keys {
			if k.Fault == nil && k.Format == key.Format && serves(k) {
				return k == key
			}
		}
		return false
	}
	switch key.State {
	case Active:
		return first(func(k *Key) bool { return k.State == Active })
	case Namespaced:
		return slices.ContainsFunc(key.Namespaces, func(namespace string) bool {
			return first(func(k *Key) bool { return k.State == Namespaced && k.serves(namespace) })
		})
	default:
		return false
	}
}

// Uses returns how many objects name each fingerprint: as the key that opened them, or as one that native values say they
// are sealed to.
func Uses(objects []Object) map[string]int {
	uses := map[string]int{}
	for _, o := range objects {
		named := map[string]bool{o.Status.SealingKey: true}
		for _, text := range o.sealed() {
			if info, err := seal.Inspect(text); err == nil {
				for _, k := range info.Keys {
					named[k] = true
				}
			}
		}
		delete(named, "")
		for k := range named {
			uses[k]++
		}
	}
	return uses
}

// Need is what an object needs of a key that is to be retired.
type Need int

// The needs.
const (
	// Free: every value opens with a key that stays.
	Free Need = iota
	// Needed: a value opens with the key alone.
	Needed
	// Closed: a value opens with no key at all, so that retiring one changes nothing.
	Closed
)

// NeedOf opens every value of an object with the keys that stay, and those that none opens with what goes. What is
// opened is forgotten at once. It returns the error of ctx, or of a key that cannot be asked.
func NeedOf(ctx context.Context, o *Object, keys, retired []*Key) (Need, error) {
	var stay, leave sealing.PrivateKeys
	for _, k := range keys {
		switch {
		case k.Fault != nil || !k.serves(o.Metadata.Namespace):
		case slices.Contains(retired, k):
			leave = append(leave, k.key)
		default:
			stay = append(stay, k.key)
		}
	}
	scope := seal.ScopeOf(o.Metadata.Annotations)
	staying := seal.NewOpener(stay, o.Status.SealingKey, 0)
	var going *seal.Opener
	if len(leave) > 0 {
		going = seal.NewOpener(leave[:1], "", 0) // all hold one key
	}
	opens := func(opener *seal.Opener, text string) (bool, error) {
		var err error
		if text == "" {
			_, err = opener.OpenBytes(ctx, scope, o.Metadata.Namespace, o.Metadata.Name, o.Spec.Data)
		} else {
			_, err = opener.Open(ctx, scope, o.Metadata.Namespace, o.Metadata.Name, text)
		}
		if errors.Is(err, seal.ErrNoKey) || errors.Is(err, seal.ErrLimit) || seal.IsFault(err) {
			return false, nil
		}
		return err == nil, err
	}
	need := Free
	var texts []string
	for _, text := range o.sealed() {
		if info, err := seal.Inspect(text); err == nil && info.Format == seal.FormatNative && info.Classic {
			continue // a KMS or Vault holds its key, and no key of the cluster is needed for it
		}
		texts = append(texts, text)
	}
	if len(o.Spec.Data) > 0 {
		texts = append(texts, "")
	}
	for _, text := range texts {
		if ok, err := opens(staying, text); ok || err != nil {
			if err != nil {
				return Free, err
			}
			continue
		}
		if going == nil {
			need = max(need, Closed)
			continue
		}
		switch ok, err := opens(going, text); {
		case err != nil:
			return Free, err
		case ok:
			return Needed, nil
		default:
			need = Closed
		}
	}
	return need, nil
}

// serves says whether a key opens objects of a namespace.
func (k *Key) serves(namespace string) bool {
	switch k.State {
	case Active:
		return true
	case Namespaced:
		return slices.Contains(k.Namespaces, namespace)
	default:
		return false
	}
}

// firstOfAll ends the names of the keys that a controller makes first, which are the same in every cluster.
const firstOfAll = "-first"

// nameInBackup returns the name under which a key is restored. A cluster may have made its own first keys before, and the values that were
// sealed to them meanwhile: the restored ones come beside them.
func nameInBackup(k *Key) string {
	name := k.Secret.Metadata.Name
	if k.Fingerprint == "" || !strings.HasSuffix(name, firstOfAll) {
		return name
	}
	sum := sha256.Sum256([]byte(k.Fingerprint))
	return name + "-" + hex.EncodeToString(sum[:8])
}

// Backup returns the key Secrets as a List that kubectl apply takes, without what belongs to the old cluster alone. It
// holds the private keys: encrypt it.
func Backup(keys []*Key) ([]byte, error) {
	type metadata struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Labels      map[string]string `json:"labels,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	type item struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   metadata          `json:"metadata"`
		Type       string            `json:"type,omitempty"`
		Immutable  *bool             `json:"immutable,omitempty"`
		Data       map[string][]byte `json:"data"`
	}
	list := struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Items      []item `json:"items"`
	}{APIVersion: "v1", Kind: "List"}
	for _, k := range keys {
		s := k.Secret
		delete(s.Metadata.Annotations, lastApplied)
		list.Items = append(list.Items, item{
			APIVersion: "v1", Kind: "Secret", Type: s.Type, Immutable: s.Immutable, Data: s.Data,
			Metadata: metadata{nameInBackup(k), s.Metadata.Namespace, s.Metadata.Labels, s.Metadata.Annotations},
		})
	}
	text, err := yaml.Marshal(list)
	if err != nil {
		return nil, errors.New("the key Secrets cannot be written")
	}
	return text, nil
}

// Word says in one word what a key is for.
func (k *Key) Word(newest bool) string {
	switch {
	case k.Fault != nil:
		return "unusable"
	case newest:
		return "sealing"
	case k.State == Active || k.State == Namespaced:
		return "opening"
	case k.State == "":
		return "retired"
	default:
		return fmt.Sprint(k.State)
	}
}

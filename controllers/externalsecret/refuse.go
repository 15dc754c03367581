package externalsecret

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/privileged"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/internal/rewrite"
	"github.com/sealbridge/sealbridge/providers"
)

// unsupported returns the fields of a spec that the API accepts and that this version does not honor. An object that
// uses one is refused as a whole: doing a part of what it says would be a surprise.
func unsupported(spec *esv1.ExternalSecretSpec) []string {
	var fields []string
	note := func(is bool, format string, args ...any) {
		if is {
			fields = append(fields, fmt.Sprintf(format, args...))
		}
	}
	t := &spec.Target
	note(t.Manifest != nil, "spec.target.manifest (targets other than Secrets would hold the values in plain text; remove it to write a Secret)")
	if tpl := t.Template; tpl != nil {
		note(tpl.EngineVersion != "" && tpl.EngineVersion != esv1.TemplateEngineV2, "spec.target.template.engineVersion %s", tpl.EngineVersion)
		for i, from := range tpl.TemplateFrom {
			_, known := templateTarget(from.Target)
			note(!known, "spec.target.template.templateFrom[%d].target", i)
		}
	}
	for i, d := range spec.Data {
		note(d.SourceRef != nil && d.SourceRef.GeneratorRef != nil, "spec.data[%d].sourceRef.generatorRef", i)
	}
	for i, d := range spec.DataFrom {
		note(d.SourceRef != nil && d.SourceRef.GeneratorRef != nil, "spec.dataFrom[%d].sourceRef.generatorRef", i)
	}
	return fields
}

// refuse says why a spec cannot be acted on: it uses what is not supported, entries name no store, or
// schedules or rules of rewrite have no meaning. Nil when it can.
func refuse(spec *esv1.ExternalSecretSpec) error {
	if fields := unsupported(spec); len(fields) > 0 {
		return providers.Errorf(providers.ErrInvalid,
			"not supported by this version of SealBridge, so nothing was changed: %s", strings.Join(fields, ", "))
	}
	if len(spec.Data) == 0 && len(spec.DataFrom) == 0 {
		return providers.Errorf(providers.ErrInvalid, "spec.data and spec.dataFrom are empty: there is nothing to fetch")
	}
	if _, err := parseWindows(spec.SyncWindows); err != nil {
		return err
	}
	for _, e := range entriesOf(spec) {
		if e.origin.store.Name == "" {
			return providers.Errorf(providers.ErrInvalid, "%s names no store: set spec.secretStoreRef or its sourceRef.storeRef", e.path)
		}
		if err := refuseFind(e); err != nil {
			return err
		}
		if e.find == nil && e.origin.ref.Key == "" {
			return providers.Errorf(providers.ErrInvalid, "%s names no key of the store", e.path)
		}
		if _, err := rewrite.Compile(e.rewrite); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	if t := spec.Target.Template; t != nil {
		return refuseType(corev1.SecretType(t.Type))
	}
	return nil
}

// refuseType says why a Secret of a type is not written: the API server takes it for a credential of the cluster, or
// makes one of it (CVE-2026-42876 of External Secrets Operator).
func refuseType(t corev1.SecretType) error {
	if privileged.Type(t) {
		return providers.Errorf(providers.ErrInvalid,
			"type %s is refused: Kubernetes makes or takes credentials of the cluster through it", t)
	}
	return nil
}

// refuseLabels says why a Secret with these labels is not written: whoever writes the template of a Secret in the
// controller's namespace would choose the key that everybody seals to.
func refuseLabels(labels map[string]string) error {
	if label := privileged.Label(labels); label != "" {
		return providers.Errorf(providers.ErrInvalid, "label %s is refused: it makes a sealing key of the Secret; remove it", label)
	}
	return nil
}

// refuseTarget says why a Secret that exists is not written to; nil when it may be. wants is the type that the template
// asks for, empty for any.
func refuseTarget(live *corev1.Secret, es *esv1.ExternalSecret, wants corev1.SecretType) error {
	if err := refuseOwner(live, es); err != nil {
		return err
	}
	name := fmt.Sprintf("Secret %s/%s", live.Namespace, live.Name)
	switch {
	case live.Immutable != nil && *live.Immutable:
		return providers.Errorf(providers.ErrInvalid, "%s is immutable: delete it, and it is written anew", name)
	case wants != "" && live.Type != wants:
		return providers.Errorf(providers.ErrInvalid,
			"%s has type %s and the template asks for %s: the type of a Secret cannot change; delete it, and it is written anew", name, live.Type, wants)
	default:
		return nil
	}
}

// refuseLack says which key of a Secret that exists would go although the Secret's type needs it: the API server refuses that,
// after the rest has been written.
func refuseLack(live *corev1.Secret, s *scope) error {
	if shares(&s.es.Spec) {
		return nil
	}
	for _, keys := range neededKeys(live.Type) {
		if !slices.ContainsFunc(keys, func(key string) bool { _, ok := s.content.data[key]; return ok }) {
			return providers.Errorf(providers.ErrInvalid, "Secret %s/%s has type %s, which needs the key %s: add it, or delete the Secret, and it is written anew",
				live.Namespace, live.Name, live.Type, strings.Join(keys, " or "))
		}
	}
	return nil
}

// neededKeys are the keys without which the API server takes no Secret of a type; of those together one is enough.
func neededKeys(t corev1.SecretType) [][]string {
	switch t {
	case corev1.SecretTypeBasicAuth:
		return [][]string{{corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey}}
	case corev1.SecretTypeSSHAuth:
		return [][]string{{corev1.SSHAuthPrivateKey}}
	case corev1.SecretTypeTLS:
		return [][]string{{corev1.TLSCertKey}, {corev1.TLSPrivateKeyKey}}
	case corev1.SecretTypeDockercfg:
		return [][]string{{corev1.DockerConfigKey}}
	case corev1.SecretTypeDockerConfigJson:
		return [][]string{{corev1.DockerConfigJsonKey}}
	default:
		return nil
	}
}

// cureOf says what to do about a write that the API server refused because of what was written.
func cureOf(err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || redact.Refuser(err) != "" || !errors.As(err, &status) {
		return ""
	}
	if details := status.Status().Details; details != nil && slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == metav1.CauseTypeTooLong && c.Field == "data"
	}) {
		return "; a Secret holds 1 MiB at most, together with what others write to it: take keys out, or choose another spec.target.name"
	}
	return "; correct spec.target.template, or add the keys that the type of the Secret demands"
}

// refuseOwner says why not even the metadata of a Secret that exists is written to: it is somebody else's, privileged, or on
// its way out.
func refuseOwner(live *corev1.Secret, es *esv1.ExternalSecret) error {
	name := fmt.Sprintf("Secret %s/%s", live.Namespace, live.Name)
	if ref := metav1.GetControllerOf(live); ref != nil && ref.UID != es.UID && !isPredecessor(ref, es) && (owns(&es.Spec) || isExternalSecret(ref)) {
		return ownedByAnother(name, fmt.Sprintf("%s %s", ref.Kind, ref.Name))
	}
	if err := refuseType(live.Type); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if live.DeletionTimestamp != nil {
		return providers.Errorf(providers.ErrUnavailable, "%s is being deleted", name)
	}
	return nil
}

func ownedByAnother(secret, owner string) error {
	return providers.Errorf(providers.ErrInvalid,
		"target is owned by another: %s is controlled by %s; choose another spec.target.name, or delete one of the two", secret, owner)
}

package externalsecret

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// What creationPolicy and deletionPolicy mean for a target:
//
//	policy          made by us   owned   keys of others   repaired
//	Owner           yes          yes     removed          at once
//	Orphan          yes          no      removed          at once, unless the values are read only once
//	CreateOrMerge   yes          no      kept             at once
//	Merge           no           no      kept             at once
//	None            no           no      kept             never

func creationOf(spec *esv1.ExternalSecretSpec) esv1.CreationPolicy {
	if spec.Target.CreationPolicy == "" {
		return esv1.CreationOwner
	}
	return spec.Target.CreationPolicy
}

func deletionOf(spec *esv1.ExternalSecretSpec) esv1.DeletionPolicy {
	if spec.Target.DeletionPolicy == "" {
		return esv1.DeletionRetain
	}
	return spec.Target.DeletionPolicy
}

// owns reports whether the target belongs to the ExternalSecret and goes with it.
func owns(spec *esv1.ExternalSecretSpec) bool { return creationOf(spec) == esv1.CreationOwner }

// shares reports whether the target holds keys of others, which stay.
func shares(spec *esv1.ExternalSecretSpec) bool {
	return creationOf(spec) == esv1.CreationMerge || creationOf(spec) == esv1.CreationCreateOrMerge
}

// belongs reports whether the target exists and is the ExternalSecret's to write: it controls it, or with a policy that
// owns nothing, no other ExternalSecret does.
func (t target) belongs(es *esv1.ExternalSecret) bool {
	if owns(&es.Spec) {
		return t.controller == es.UID
	}
	return t.exists && !t.taken(es) && !t.predecessor
}

// taken reports whether the target is controlled by somebody who does not leave it to the ExternalSecret: with creationPolicy
// Owner anybody else, with the others another ExternalSecret.
func (t target) taken(es *esv1.ExternalSecret) bool {
	if t.controller == "" || t.controller == es.UID || t.predecessor || creationOf(&es.Spec) == esv1.CreationNone {
		return false
	}
	return owns(&es.Spec) || t.controllerIsES
}

// isPredecessor reports whether an owner is an ExternalSecret that had the name of this one before it: it is gone, and its Secret
// goes to its successor, as with External Secrets Operator, or to the garbage collector, whoever comes first.
func isPredecessor(ref *metav1.OwnerReference, es *esv1.ExternalSecret) bool {
	return isExternalSecret(ref) && ref.Name == es.Name && ref.UID != es.UID
}

// isExternalSecret reports whether an owner is an ExternalSecret, of any version.
func isExternalSecret(ref *metav1.OwnerReference) bool {
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	return ref.Kind == esv1.KindExternalSecret && group == esv1.GroupVersion().Group
}

// absentOnPurpose reports whether it was the last run's decision that there is no target. It is only asked about an object
// that was synced; whatever is wrong with the answer costs one more look at the store.
func absentOnPurpose(es *esv1.ExternalSecret) bool {
	ready := conditions.Ready(es.Status.Conditions)
	if ready.Status != metav1.ConditionTrue || es.Status.Target.UID != "" {
		return false
	}
	switch ready.Reason {
	case esv1.ReasonSecretDeleted:
		return deletionOf(&es.Spec) == esv1.DeletionDelete
	case esv1.ReasonSecretMissing:
		return creationOf(&es.Spec) == esv1.CreationMerge
	default:
		return ready.Message == messageRetained
	}
}

// needsFinalizer reports whether the ExternalSecret may go only after its target.
func needsFinalizer(es *esv1.ExternalSecret) bool {
	return owns(&es.Spec) && deletionOf(&es.Spec) == esv1.DeletionDelete
}

// hold puts the finalizer on an ExternalSecret whose target is to be deleted before it, before there is a target.
func (r *Reconciler) hold(ctx context.Context, s *scope) error {
	if !needsFinalizer(s.es) {
		return nil
	}
	if err := r.patchFinalizer(ctx, s.es, controllerutil.AddFinalizer); err != nil {
		return fmt.Errorf("add the finalizer: %w", redact.API(err))
	}
	return nil
}

// release lets an object go that is being deleted, after its target where deletionPolicy says so; any other target follows
// by its owner reference or stays. Objects that External Secrets Operator has served always carry the finalizer.
func (r *Reconciler) release(ctx context.Context, s *scope) error {
	if s.es.DeletionTimestamp.IsZero() {
		return nil
	}
	s.ignored = true
	if needsFinalizer(s.es) {
		owned, err := r.targets.ownedBy(ctx, s.es)
		if err != nil {
			return failed(err)
		}
		for i := range owned {
			if err := r.delete(ctx, s.es, &owned[i]); err != nil {
				return failed(err)
			}
		}
	}
	if err := r.patchFinalizer(ctx, s.es, controllerutil.RemoveFinalizer); err != nil {
		return failed(fmt.Errorf("remove the finalizer: %w", redact.API(err)))
	}
	return flow.Done()
}

// patchFinalizer changes the finalizers of the stored object, when there is something to change, and not those of es, whose
// changes are the write of the status.
func (r *Reconciler) patchFinalizer(ctx context.Context, es *esv1.ExternalSecret, edit func(client.Object, string) bool) error {
	edited := es.DeepCopy()
	if !edit(edited, esv1.FinalizerExternalSecret) {
		return nil
	}
	patch := client.MergeFromWithOptions(es, client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(r.deps.Client.Patch(ctx, edited, patch))
}

// empty decides about a target when the stores answered that they hold nothing at all: it is left as it is, deleted, or
// written without a key. Only a target that the ExternalSecret controls is ever deleted.
func (r *Reconciler) empty(ctx context.Context, s *scope) error {
	if len(s.values) > 0 {
		return nil
	}
	switch deletionOf(&s.es.Spec) {
	case esv1.DeletionMerge:
		return nil
	case esv1.DeletionRetain:
		s.retained = true
		return flow.Done()
	}
	name := fmt.Sprintf("Secret %s/%s", s.es.Namespace, targetName(s.es))
	left := func(why string) error {
		return s.later(providers.Errorf(providers.ErrInvalid, "the stores hold no value any more and deletionPolicy is Delete, but %s is not deleted: %s", name, why))
	}
	if !owns(&s.es.Spec) {
		return left(fmt.Sprintf("with creationPolicy %s it does not belong to the ExternalSecret; delete it, or set creationPolicy Owner", creationOf(&s.es.Spec)))
	}
	s.emptied = true
	if s.target.belongs(s.es) || s.es.Status.Target.UID != "" { // one that has lost its label is in no cache
		secret, deleted, err := r.deleteUnseen(ctx, s.es, targetName(s.es))
		switch {
		case client.IgnoreNotFound(err) != nil:
			return failed(fmt.Errorf("delete %s: %w", name, redact.API(err)))
		case err == nil && !deleted && secret.UID == s.es.Status.Target.UID:
			return left("the ExternalSecret is not its controller any more (metadata.ownerReferences); delete it, unless somebody else needs it")
		}
		s.deleted = deleted
	}
	s.target = target{}
	return flow.Done()
}

// later ends the run with what only time or a change can cure: it is looked at again when the values are due.
func (s *scope) later(err error) error {
	interval := intervalOf(&s.es.Spec)
	if interval == 0 {
		return flow.Stall(esv1.ReasonSecretSyncedError, err)
	}
	return flow.Wait(esv1.ReasonSecretSyncedError, max(storeGrace, nextDue(s.es.UID, s.memo.aim, s.now, interval).Sub(s.now)), err)
}

// announceMissing says once which entries the stores do not have, where deletionPolicy lets their keys go.
func (r *Reconciler) announceMissing(s *scope, missing []string) {
	text := strings.Join(missing, "; ")
	if text != "" && text != s.memo.missing {
		r.deps.Events.Eventf(s.es, nil, corev1.EventTypeNormal, esv1.ReasonMissingProviderSecret, "Fetch", "%s", flow.Note(text))
	}
	s.memo.missing = text
}

// contest is a field that another ExternalSecret writes otherwise.
type contest struct{ manager, field string }

// contests returns what the API server says of other ExternalSecrets when it refuses a write: two that write the same field would take
// it from each other for ever.
func contests(err error, es *esv1.ExternalSecret) []contest {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var out []contest
	for _, cause := range status.Status().Details.Causes {
		_, rest, _ := strings.Cut(cause.Message, `"`)
		name, _, _ := strings.Cut(rest, `"`)
		if cause.Type == metav1.CauseTypeFieldManagerConflict && strings.HasPrefix(name, esv1.FieldOwnerPrefix) && name != fieldOwner(es.Name) {
			out = append(out, contest{name, cause.Field})
		}
	}
	return out
}

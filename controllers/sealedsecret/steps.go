package sealedsecret

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
)

// skipCurrent ends the run when the Secret is as it was written for this very object: without opening anything, and on
// the caches' word alone unless they contradict what this process has just written.
func (c *Controller) skipCurrent(ctx context.Context, s *scope) error {
	if s.obj.DeletionTimestamp != nil {
		s.current = true // the garbage collector removes the Secret
		return flow.Done()
	}
	live, err := c.cachedSecret(ctx, s.obj)
	if err != nil {
		return err
	}
	s.live = live
	want, ok := expected(s.obj, s.record, s.sealScope)
	if !ok {
		return nil
	}
	if s.repair, err = c.changed(ctx, s, want); s.repair || err != nil {
		return err
	}
	if s.record.written.UID != "" && !s.record.reported {
		s.written, s.sealingKey = want, s.record.sealingKey
		return flow.Done()
	}
	s.current = true
	return flow.Done()
}

// changed says whether the Secret is not at the version that was written; where nobody watches, it is taken to be.
func (c *Controller) changed(ctx context.Context, s *scope, want v1alpha1.SecretVersion) (bool, error) {
	if c.deps.SkipRecreate || is(s.live, want) {
		return false, nil
	}
	if s.record.written.UID != "" {
		live, err := c.liveSecret(ctx, s.obj)
		if err != nil {
			return false, err
		}
		s.live = live
	}
	return !is(s.live, want), nil
}

// checkSpec refuses what no key and no retry can make right.
func (c *Controller) checkSpec(_ context.Context, s *scope) error {
	if _, found := s.whole.Spec.EncryptedData[""]; found {
		return flow.Stall(v1alpha1.ReasonInvalid, providers.Errorf(providers.ErrInvalid,
			"spec.encryptedData is no map of keys to sealed values, or has a value without a key: seal again, and replace it"))
	}
	if len(s.whole.Spec.Data) > 0 && len(s.whole.Spec.EncryptedData) > 0 {
		return flow.Stall(v1alpha1.ReasonInvalid, providers.Errorf(providers.ErrInvalid,
			"remove spec.data (the deprecated format) or spec.encryptedData: a SealedSecret holds one of them"))
	}
	if c.deps.RefuseDeprecated && len(s.whole.Spec.Data) > 0 {
		return flow.Stall(v1alpha1.ReasonUnsealFailed, providers.Errorf(providers.ErrInvalid,
			"using deprecated 'data' field, use 'encryptedData' or flip the feature flag (--accept-deprecated-v1-data)"))
	}
	t := s.whole.Spec.Template
	if err := checkPrivileges(corev1.SecretType(t.Type), t.Metadata.Labels); err != nil {
		return flow.Stall(v1alpha1.ReasonInvalid, err)
	}
	return nil
}

// openLater ends a run over what the cache has of an object that is not current.
func openLater(_ context.Context, s *scope) error {
	s.outdated = true
	return flow.Done()
}

// checkBlocked looks, before anything is opened, at the Secret that is there: the cache has shown its version alone. One of
// somebody else that was in the way may still be.
func (c *Controller) checkBlocked(ctx context.Context, s *scope) error {
	if s.live == nil && reasonOf(s.obj) != v1alpha1.ReasonNotManaged {
		return nil
	}
	live, err := c.liveSecret(ctx, s.obj)
	if err != nil {
		return err
	}
	if s.live = live; decide(s.obj, live) == refuse {
		return c.refuse(ctx, s)
	}
	return nil
}

// refuse stalls until the Secret that is in the way changes.
func (c *Controller) refuse(ctx context.Context, s *scope) error {
	if !c.blockers.watch(ctx, client.ObjectKeyFromObject(s.obj), s.live.ResourceVersion) {
		return flow.Wait(v1alpha1.ReasonNotManaged, blockedPoll, notManaged(s.obj))
	}
	return flow.Stall(v1alpha1.ReasonNotManaged, notManaged(s.obj))
}

// render shapes the Secret from the opened values and the templates.
func (c *Controller) render(ctx context.Context, s *scope) error {
	if len(s.whole.Spec.Data) > 0 {
		secret, err := fromDeprecated(s.opened[deprecatedKey])
		if err != nil {
			return flow.Stall(v1alpha1.ReasonUnsealFailed, err)
		}
		if err := checkPrivileges(secret.Type, secret.Labels); err != nil {
			return flow.Stall(v1alpha1.ReasonInvalid, err)
		}
		s.secret = secret
		finish(s.whole, s.secret)
		return nil
	}
	s.secret = fromTemplate(s.whole)
	s.secret.Data = published(s.whole, s.opened)
	keys := rendered(s.whole, s.opened)
	if len(keys) > 0 {
		renderer := template.New(template.Options{MissingKey: template.MissingKeyNoValue, Cache: c.deps.Templates})
		input := templateInput(s.whole, s.opened)
		for _, key := range keys {
			out, err := renderer.Render(ctx, key, *s.whole.Spec.Template.Data[key], input)
			if err != nil {
				return renderFailure(err)
			}
			s.secret.Data[key] = out
		}
	}
	finish(s.whole, s.secret)
	return nil
}

// renderFailure stalls for a template that is at fault; one that took too long may do better on an idle machine.
func renderFailure(err error) error {
	var fault *template.Error
	if !errors.As(err, &fault) {
		return err
	}
	err = fmt.Errorf("%w; correct spec.template.data", fault)
	if fault.Kind == template.KindTimeout {
		return flow.Fail(v1alpha1.ReasonTemplateFailed, err)
	}
	return flow.Stall(v1alpha1.ReasonTemplateFailed, err)
}

// write brings the Secret into the cluster, all keys at once. What the cache says of the Secret is tried first; when the
// API server disagrees, its own answer is asked for.
func (c *Controller) write(ctx context.Context, s *scope) error {
	const tries = 3
	var err error
	for range tries {
		err = c.writeOnce(ctx, s)
		vanished := apierrors.IsNotFound(err) && s.live != nil
		if !vanished && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
			break
		}
		live, getErr := c.liveSecret(ctx, s.obj)
		if getErr != nil {
			return getErr
		}
		s.live = live
	}
	if err != nil {
		return writeFailure(s.obj, err)
	}
	c.blockers.forget(client.ObjectKeyFromObject(s.obj))
	c.memory.written(client.ObjectKeyFromObject(s.obj))
	*s.record = record{
		uid: s.record.uid, written: s.written, generation: s.obj.Generation, scope: s.sealScope, sealingKey: s.sealingKey,
	}
	return nil
}

// writeOnce writes by what s.live says and notes the version that it wrote.
func (c *Controller) writeOnce(ctx context.Context, s *scope) error {
	how := decide(s.obj, s.live)
	if how == replace && isSuccessor(s.obj, s.live) {
		if err := c.askSuccessor(ctx, s.obj); err != nil {
			return err
		}
	}
	switch how {
	case refuse:
		return c.refuse(ctx, s)
	case merge:
		patch, err := mergePatch(s.secret, s.live, s.repair)
		if err != nil {
			return fmt.Errorf("add to %s: %w", place(s.obj), err)
		}
		out := s.live.DeepCopy()
		err = c.client.Patch(ctx, out, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldOwner))
		s.written = v1alpha1.SecretVersion{UID: out.UID, ResourceVersion: out.ResourceVersion}
		return err
	case replace:
		out := replacement(s.secret, s.live, s.repair)
		err := c.client.Update(ctx, out, client.FieldOwner(fieldOwner))
		if refusesMutation(err) && (out.Immutable == nil || !*out.Immutable) {
			// It cannot be made mutable again, and if it holds what it shall nobody misses that.
			immutable := true
			out.Immutable = &immutable
			err = c.client.Update(ctx, out, client.FieldOwner(fieldOwner))
		}
		s.written = v1alpha1.SecretVersion{UID: out.UID, ResourceVersion: out.ResourceVersion}
		return err
	default:
		out := s.secret.DeepCopy()
		err := c.client.Create(ctx, out, client.FieldOwner(fieldOwner))
		s.written = v1alpha1.SecretVersion{UID: out.UID, ResourceVersion: out.ResourceVersion}
		return err
	}
}

// askSuccessor fails when the SealedSecret is not there any more, or another has its name: the cache of a leader that was paused, and
// wakes when another has its place, may be behind.
func (c *Controller) askSuccessor(ctx context.Context, obj *v1alpha1.SealedSecret) error {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(v1alpha1.KindSealedSecret))
	err := c.live.Get(ctx, client.ObjectKeyFromObject(obj), live)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if live.UID != obj.UID {
		return flow.Fail(v1alpha1.ReasonUpdateFailed,
			providers.Errorf(providers.ErrUnavailable, "%s belongs to a SealedSecret that was made anew meanwhile", place(obj)))
	}
	return nil
}

// cachedSecret returns the metadata of the Secret if it bears our label, nil otherwise.
func (c *Controller) cachedSecret(ctx context.Context, obj *v1alpha1.SealedSecret) (*metav1.PartialObjectMetadata, error) {
	if c.marked == nil {
		return nil, nil //nolint:nilnil // no Secret is known
	}
	return readMetadata(ctx, c.marked, obj)
}

// liveSecret asks the API server for the metadata of the Secret, nil when there is none.
func (c *Controller) liveSecret(ctx context.Context, obj *v1alpha1.SealedSecret) (*metav1.PartialObjectMetadata, error) {
	return readMetadata(ctx, c.live, obj)
}

func readMetadata(ctx context.Context, from client.Reader, obj *v1alpha1.SealedSecret) (*metav1.PartialObjectMetadata, error) {
	live := secretMetadata()
	err := from.Get(ctx, client.ObjectKeyFromObject(obj), live)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // no Secret is an answer, and what decide takes
	}
	if err != nil {
		return nil, flow.Fail(v1alpha1.ReasonUpdateFailed, providers.Errorf(providers.ErrUnavailable, "read %s: %w", place(obj), redact.API(err)))
	}
	return live, nil
}

func secretMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return m
}

// writeFailure sorts what the API server said into what only a change of a manifest cures and what is tried again. A
// refusal of ours passes.
func writeFailure(obj *v1alpha1.SealedSecret, err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		if errors.Is(err, providers.ErrInvalid) || errors.Is(err, providers.ErrUnavailable) {
			return err
		}
		return flow.Fail(v1alpha1.ReasonUpdateFailed, providers.Errorf(providers.ErrUnavailable, "write %s: %w", place(obj), redact.API(err)))
	}
	text := fmt.Sprintf("failed update: write %s: %s", place(obj), redact.API(err))
	switch {
	case refusesMutation(err):
		text = fmt.Sprintf("failed update: the target Secret is immutable: delete %s, it is created again from the SealedSecret", place(obj))
	case complainsOf(status.Status(), "type"):
		text = fmt.Sprintf("failed update: the type of a Secret cannot be changed: delete %s, it is created again with the new type", place(obj))
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause): // the object goes with its namespace
		return flow.Wait(v1alpha1.ReasonUpdateFailed, blockedPoll, providers.Errorf(providers.ErrUnavailable, "%s", text))
	case redact.Refuser(err) != "": // who may change their mind
		return flow.Fail(v1alpha1.ReasonUpdateFailed, providers.Errorf(providers.ErrUnavailable, "%s", text))
	case apierrors.IsInvalid(err):
		text += "; correct spec.template, or seal the keys that the type of the Secret demands, under names that a Secret can have"
	case apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
	default:
		return flow.Fail(v1alpha1.ReasonUpdateFailed, providers.Errorf(providers.ErrUnavailable, "%s", text))
	}
	return flow.Stall(v1alpha1.ReasonUpdateFailed, providers.Errorf(providers.ErrInvalid, "%s", text))
}

// refusesMutation says whether the API server refused because the Secret has immutable set.
func refusesMutation(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == "FieldValueForbidden" && (cause.Field == "data" || cause.Field == "immutable") {
			return true
		}
	}
	return false
}

func complainsOf(s metav1.Status, field string) bool {
	if s.Details == nil {
		return false
	}
	for _, cause := range s.Details.Causes {
		if cause.Field == field {
			return true
		}
	}
	return false
}

package apply

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// The reasons of an ObjectError.
const (
	ReasonOwnedByOther = "OwnedByOther"
	ReasonImmutable    = "ImmutableField"
	ReasonForbidden    = "Forbidden"
	ReasonInvalid      = "InvalidObject"
	ReasonNoKind       = "NoSuchKind"
	ReasonNotFound     = "NotFound"
	ReasonConflict     = "Conflict"
	ReasonUnavailable  = "Unavailable"
	ReasonInternal     = "InternalError"
)

// ObjectError says why one object could not be applied or pruned. Its text is safe to show, stable and bounded.
type ObjectError struct {
	Ref    Ref
	Reason string
	// Text says what is wrong and what to do.
	Text string

	cause error
}

func (e *ObjectError) Error() string { return e.Ref.String() + ": " + e.Text }

// Unwrap lets errors.Is and errors.As classify the API server's answer; nobody prints it.
func (e *ObjectError) Unwrap() error { return e.cause }

// Terminal reports whether trying again changes nothing until somebody changes something.
func (e *ObjectError) Terminal() bool {
	return e.Reason == ReasonOwnedByOther || e.Reason == ReasonImmutable || e.Reason == ReasonInvalid
}

// about is what the API server's words about an object can quote.
type about struct {
	// sensitive: decrypted values, of the object itself.
	sensitive bool
	// there: what the cluster has already, under the same name. It can hold what nobody who may commit can read.
	there bool
}

// objectError reduces the API server's answer about an object to an ObjectError. The answer's own words are kept only
// where they cannot quote a secret value.
func objectError(r Ref, a about, err error) *ObjectError {
	var already *ObjectError
	if errors.As(err, &already) {
		return already
	}
	e := &ObjectError{Ref: r, cause: err, Reason: ReasonUnavailable, Text: redact.API(err).Error()}
	words := redact.API(err).Error()
	var status apierrors.APIStatus
	if !a.sensitive && errors.As(err, &status) && (!a.there || isSchemaError(err)) {
		words = shorten(status.Status().Message)
	}
	switch {
	case meta.IsNoMatchError(err):
		e.Reason = ReasonNoKind
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err) && redact.Refuser(err) != "":
		e.Reason, e.Text = ReasonForbidden, words+"; grant the rights to the GitSync's identity, or change what the admission policy refuses"
	case isImmutable(err):
		e.Reason, e.Text = ReasonImmutable, words+"; an immutable field changed: delete the object, or set spec.force or the annotation "+v1alpha1.AnnotationForce+"="+enabled
	case isSchemaError(err) && a.sensitive:
		e.Reason, e.Text = ReasonInvalid, "a field is not one of its kind, or has a value of another type; kubectl apply --dry-run=server says which"
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), isSchemaError(err):
		e.Reason, e.Text = ReasonInvalid, words
	case apierrors.IsNotFound(err):
		e.Reason, e.Text = ReasonNotFound, words
	case apierrors.IsConflict(err):
		e.Reason, e.Text = ReasonConflict, "changed by somebody else at the same time"
	}
	return e
}

// isSchemaError recognises what server-side apply answers to a field that the kind does not have or a value of the wrong
// type: a plain 500 whose text starts with these words, and quotes values of what is applied and of nothing else.
func isSchemaError(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == 500 &&
		strings.HasPrefix(strings.TrimPrefix(status.Status().Message, "Internal error occurred: "), "failed to create typed patch object")
}

// isImmutable recognises a refused change of an immutable field. Kubernetes has no reason for it: built-in kinds say
// "field is immutable" in a cause, a few say "may not be changed" or "updates to ... are forbidden".
func isImmutable(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Reason != metav1.StatusReasonInvalid || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool {
		m := strings.ToLower(c.Message)
		return strings.Contains(m, "immutable") || strings.Contains(m, "may not be changed") ||
			strings.Contains(m, "may not change") || (strings.Contains(m, "updates to") && strings.Contains(m, "forbidden"))
	})
}

// shorten makes text of the API server fit a condition: one line, at most 300 bytes.
func shorten(s string) string {
	const most = 300
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

func join(names []string) string { return strings.Join(names, ", ") }

// Summary joins the errors of the failed results in the order of the objects; it shows the first five.
func Summary(results []Result) string {
	const shown = 5
	var texts []string
	failed := 0
	for _, r := range sorted(results) {
		if r.Err == nil {
			continue
		}
		if failed++; failed <= shown {
			texts = append(texts, r.Err.Error())
		}
	}
	if failed > shown {
		texts = append(texts, fmt.Sprintf("and %d more objects failed", failed-shown))
	}
	return strings.Join(texts, "; ")
}

func sorted(results []Result) []Result {
	out := slices.Clone(results)
	slices.SortFunc(out, func(a, b Result) int { return a.Ref.Compare(b.Ref) })
	return out
}

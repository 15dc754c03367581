// Package redact reduces errors to text that may be shown to anybody.
//
// It takes errors of the API server, whose messages can quote the data of a rejected Secret, and returns errors with a
// stable text that names the reason and the fields at fault and nothing that was in them.
package redact

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// API returns err with its text reduced to the API server's reason, the paths of the fields it complains about and who
// refused it (see Refuser), so that it may stand in a condition, event or log. errors.Is and errors.As still reach the original (apierrors.IsConflict
// and its like work). It returns nil for nil. An error that is not the API server's answer is reduced to its kind.
func API(err error) error {
	if err == nil {
		return nil
	}
	return &reduced{text: apiText(err), cause: err}
}

type reduced struct {
	text  string
	cause error
}

func (e *reduced) Error() string { return e.text }

// Unwrap lets errors.Is and errors.As classify the cause; nobody prints what they find.
func (e *reduced) Unwrap() error { return e.cause }

func apiText(err error) string {
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		text := statusText(status.Status())
		if who := Refuser(err); who != "" {
			text += ": " + who
		}
		return text
	case meta.IsNoMatchError(err):
		return "the API server does not serve this kind (NoMatch); install its CustomResourceDefinition, or correct apiVersion and kind"
	case errors.Is(err, context.DeadlineExceeded):
		return "the API server did not answer in time"
	case errors.Is(err, context.Canceled):
		return "the request was cancelled"
	default:
		return "the API server could not be reached"
	}
}

func statusText(s metav1.Status) string {
	text := "the API server answered " + reasonOf(s)
	if s.Details == nil || deniedByWebhook.MatchString(s.Message) { // a webhook chooses what it calls a field
		return text
	}
	var fields []string
	for _, c := range s.Details.Causes {
		if f := Field(known(s.Details, c.Field)); f != "" {
			fields = append(fields, f)
		}
	}
	slices.Sort(fields)
	if fields = slices.Compact(fields); len(fields) > 0 {
		text += " for " + strings.Join(fields, ", ")
	}
	return text
}

// reasonOf is the reason or, where there is none that Kubernetes has, the code: a proxy before the API server gives none, and the
// words of an admission webhook stand there as they are.
func reasonOf(s metav1.Status) string {
	switch s.Reason {
	case metav1.StatusReasonUnauthorized, metav1.StatusReasonForbidden, metav1.StatusReasonNotFound, metav1.StatusReasonAlreadyExists,
		metav1.StatusReasonConflict, metav1.StatusReasonGone, metav1.StatusReasonInvalid, metav1.StatusReasonServerTimeout,
		metav1.StatusReasonStoreReadError, metav1.StatusReasonTimeout, metav1.StatusReasonTooManyRequests, metav1.StatusReasonBadRequest,
		metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonNotAcceptable, metav1.StatusReasonRequestEntityTooLarge,
		metav1.StatusReasonUnsupportedMediaType, metav1.StatusReasonInternalError, metav1.StatusReasonExpired,
		metav1.StatusReasonServiceUnavailable:
		return string(s.Reason)
	default:
		return fmt.Sprintf("HTTP %d", s.Code)
	}
}

// known returns a path as far as it is made of the fields of the kind. Keys of maps stand in it as well, in brackets or, where the schema
// of a custom resource is what is violated, like fields, and a text that was decrypted can have given them. Those of a Secret may be
// shown, and deeper than two names no custom resource is shown.
func known(of *metav1.StatusDetails, path string) string {
	switch {
	case of.Group == "" && of.Kind == "Secret":
		return path
	case strings.Contains(of.Group, "."):
		return twoNames.FindString(path)
	default:
		return indexed.FindString(path)
	}
}

var (
	indexed  = regexp.MustCompile(`^[^\[]*(?:\[[0-9]+\][^\[]*)*`)
	twoNames = regexp.MustCompile(`^[^.\[]*(?:\.[^.\[]*)?(?:\[[0-9]+\])?`)
)

var plainField = regexp.MustCompile(`^[A-Za-z0-9_./\-\[\]]{1,128}$`)

// Field returns a field path of an API error when it is one, and "" when it could be something else: the API server puts
// map keys into paths, and those are chosen by whoever wrote the object.
func Field(path string) string {
	if !plainField.MatchString(path) {
		return ""
	}
	return path
}

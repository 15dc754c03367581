package redact_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sealbridge/sealbridge/internal/redact"
)

const canary = "canary-c0ffee"

// refusals are what the API server answers, with the canary where something of an object or of somebody else's words can stand.
func refusals() map[string]error {
	secrets := schema.GroupResource{Resource: "secrets"}
	forbidden := func(words string) error { return apierrors.NewForbidden(secrets, "db", errors.New(words)) }
	said := func(err *apierrors.StatusError, message string) error {
		err.ErrStatus.Message = message
		return err
	}
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "db", nil)
	invalid.ErrStatus.Details.Causes = []metav1.StatusCause{{Message: canary}}
	terminating := apierrors.NewForbidden(secrets, "db", errors.New("unable to create new content in namespace "+canary+" because it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause, Message: canary, Field: "metadata.namespace"}}
	return map[string]error{
		"the API server answered Forbidden: ResourceQuota few is used up: raise it, or delete what nobody needs": forbidden(
			"exceeded quota: few, requested: secrets=1, used: secrets=1, limited: secrets=" + canary),
		"the API server answered Invalid: ValidatingAdmissionPolicy no.example.com refuses it: change the one or the other": said(
			invalid, `secrets "db" is forbidden: ValidatingAdmissionPolicy 'no.example.com' with binding 'x' denied request: `+canary),
		"the API server answered Forbidden: the right to patch secrets is missing: grant it": forbidden(
			`User "system:serviceaccount:x:` + canary + `" cannot patch resource "secrets" in API group "" in the namespace "` + canary + `"`),
		"the API server answered Forbidden: admission webhook check.example.com refuses it: ask who runs it": said(
			apierrors.NewForbidden(secrets, "db", nil), `admission webhook "check.example.com" denied the request: `+canary),
		"the API server answered InternalError: admission webhook check.example.com does not answer: ask who runs it": apierrors.NewInternalError(
			errors.New(`failed calling webhook "check.example.com": failed to call webhook: Post "https://` + canary + `"`)),
		"the API server answered Forbidden for metadata.namespace: the namespace is being deleted": terminating,
		"the API server answered BadRequest": apierrors.NewBadRequest(
			`json: cannot unmarshal "secrets \"db\" is forbidden: exceeded quota: ` + canary + `,"`),
		"the API server answered Forbidden": forbidden(`exceeded quota: ` + canary + ` IS MINE, and more`),
	}
}

func TestWhoRefusedIsNamedAndNothingThatTheySay(t *testing.T) {
	t.Parallel()
	for want, err := range refusals() {
		if got := redact.API(err).Error(); got != want {
			t.Errorf("text %q, want %q", got, want)
		}
		if who := redact.Refuser(fmt.Errorf("write: %w", err)); !strings.HasSuffix(want, who) || (who == "") == strings.Contains(want, ": ") {
			t.Errorf("%q is refused by %q", want, who)
		}
	}
	long := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "db", nil)
	long.ErrStatus.Message = `admission webhook "` + strings.Repeat("a", 254) + `" denied the request: no`
	if who := redact.Refuser(long); who != "" {
		t.Errorf("what is longer than a name is named: %q", who)
	}
	if who := redact.Refuser(errors.New(`admission webhook "x.example.com" denied the request`)); who != "" {
		t.Errorf("an error that is no answer of the API server is refused by %q", who)
	}
}

func TestAPIErrorsKeepTheReasonAndTheFieldsAndNothingElse(t *testing.T) {
	t.Parallel()
	kind := schema.GroupKind{Kind: "Secret"}
	tests := map[string]struct {
		err  error
		want string
	}{
		"a rejected field is named, not quoted": {
			apierrors.NewInvalid(kind, "db", field.ErrorList{field.Invalid(field.NewPath("data").Key("password"), canary, "bad")}),
			"the API server answered Invalid for data[password]"},
		"fields have one order": {
			apierrors.NewInvalid(kind, "db", field.ErrorList{field.Required(field.NewPath("type"), ""), field.Required(field.NewPath("data"), ""), field.Required(field.NewPath("type"), "")}),
			"the API server answered Invalid for data, type"},
		"a fault of no field names none": {apierrors.NewInvalid(kind, "db", field.ErrorList{field.Invalid(nil, canary, "bad")}), "the API server answered Invalid"},
		"an answer without a reason":     {apierrors.NewGenericServerResponse(451, "patch", schema.GroupResource{Resource: "secrets"}, "db", canary, 0, true), "the API server answered HTTP 451"},
		"a reason in a webhook's own words": {&apierrors.StatusError{ErrStatus: metav1.Status{Reason: canary, Code: 403, Message: `admission webhook "a.b" denied the request: ` + canary,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: canary}}}}},
			"the API server answered HTTP 403: admission webhook a.b refuses it: ask who runs it"},
		"no answer in time":           {fmt.Errorf("dial %s: %w", canary, context.DeadlineExceeded), "the API server did not answer in time"},
		"a request that was given up": {fmt.Errorf("dial %s: %w", canary, context.Canceled), "the request was cancelled"},
		"a map key that is not a plain name is left out": {
			apierrors.NewInvalid(kind, "db", field.ErrorList{field.Invalid(field.NewPath("data").Key("a "+canary), 1, "bad")}),
			"the API server answered Invalid"},
		"a map key of another kind is left out, and an index is not": {
			apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "db", field.ErrorList{
				field.Invalid(field.NewPath("spec", "containers").Index(0).Child("resources", "limits").Key(canary).Child(canary), 1, "bad"),
			}), "the API server answered Invalid for spec.containers[0].resources.limits"},
		"two names are shown of a custom resource, whose map keys look like fields": {
			apierrors.NewInvalid(schema.GroupKind{Group: "x.example", Kind: "Secret"}, "db", field.ErrorList{
				field.Invalid(field.NewPath("spec", "labels").Child(canary), 1, "bad"), field.Invalid(field.NewPath("spec", "data").Index(12).Child("key"), 1, "bad"),
				field.Invalid(field.NewPath("spec").Key(canary), 1, "bad"), field.Invalid(field.NewPath("spec", "a").Key(canary).Index(1), 1, "bad"),
			}), "the API server answered Invalid for spec, spec.a, spec.data[12], spec.labels"},
		"a decoding error is not quoted": {apierrors.NewBadRequest("json: cannot unmarshal " + canary), "the API server answered BadRequest"},
		"a wrapped answer is found":      {fmt.Errorf("apply: %w", apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "db", errors.New(canary))), "the API server answered Forbidden"},
		"a kind that is not served": {&meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "ConfgMap"}, SearchedVersions: []string{"v1"}},
			"the API server does not serve this kind (NoMatch); install its CustomResourceDefinition, or correct apiVersion and kind"},
		"an answer that is none is named": {errors.New("dial " + canary), "the API server could not be reached"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := redact.API(tc.err)
			if got.Error() != tc.want {
				t.Errorf("text %q, want %q", got, tc.want)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", got, got), canary) {
				t.Errorf("the canary leaked: %v", got)
			}
			if !errors.Is(got, tc.err) {
				t.Error("the cause cannot be classified any more")
			}
		})
	}
	if redact.API(nil) != nil {
		t.Error("no error became one")
	}
}

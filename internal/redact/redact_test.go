package redact_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/sealbridge/sealbridge/internal/redact"
)

const canary = "canary-c0ffee"

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
		"no answer in time":              {fmt.Errorf("dial %s: %w", canary, context.DeadlineExceeded), "the API server did not answer in time"},
		"a request that was given up":    {fmt.Errorf("dial %s: %w", canary, context.Canceled), "the request was cancelled"},
		"a map key that is not a plain name is left out": {
			apierrors.NewInvalid(kind, "db", field.ErrorList{field.Invalid(field.NewPath("data").Key("a "+canary), 1, "bad")}),
			"the API server answered Invalid"},
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

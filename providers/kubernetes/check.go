package kubernetes

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

const reviews = "apis/authorization.k8s.io/v1/"

// Check implements providers.Checker: the API server says whether the identity may read Secrets of the namespace, all of
// them or at least some. One that may not ask for its rights is not verified.
func (s *session) Check(ctx context.Context) error {
	access := authorizationv1.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"},
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: s.namespace, Verb: "get", Resource: "secrets",
		}},
	}
	if err := s.review(ctx, "selfsubjectaccessreviews", &access); err != nil || access.Status.Allowed {
		return err
	}
	// Rights on Secrets by name do not count as rights on Secrets; only the rules show them.
	rules := authorizationv1.SelfSubjectRulesReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectRulesReview"},
		Spec:     authorizationv1.SelfSubjectRulesReviewSpec{Namespace: s.namespace},
	}
	if err := s.review(ctx, "selfsubjectrulesreviews", &rules); err != nil || slices.ContainsFunc(rules.Status.ResourceRules, readsSecrets) {
		return err
	}
	if rules.Status.Incomplete { // as of clusters whose cloud decides, too, which does not list what it grants
		return s.errorf(providers.ErrUnverified, "the API server cannot list all rights of %s, so they are not known before a Secret of namespace %s is read", s.who, s.namespace)
	}
	return s.errorf(providers.ErrDenied, "%s may not read Secrets in namespace %s: grant it the verb \"get\" on secrets there", s.who, s.namespace)
}

func readsSecrets(rule authorizationv1.ResourceRule) bool {
	has := func(list []string, want string) bool {
		return slices.Contains(list, want) || slices.Contains(list, "*")
	}
	return has(rule.Verbs, "get") && has(rule.APIGroups, "") && has(rule.Resources, "secrets")
}

// review posts a review and reads the answer into it.
func (s *session) review(ctx context.Context, resource string, review any) error {
	answer, err := s.do(ctx, jsonhttp.Request{Method: http.MethodPost, Path: reviews + resource, Body: review})
	switch {
	case err != nil:
		return err
	case answer.Status == http.StatusForbidden && !s.anonymous: // it may still read what it is to read
		return s.errorf(providers.ErrUnverified, "%s may not ask the API server for its rights (create %s), so they are not known before a Secret is read", s.who, resource)
	case answer.Status == http.StatusForbidden:
		return s.errorf(providers.ErrDenied, "%s may not ask the API server for its rights (create %s)", s.who, resource)
	case answer.Status != http.StatusCreated || json.Unmarshal(answer.Body, review) != nil:
		return s.strange(answer)
	default:
		return nil
	}
}

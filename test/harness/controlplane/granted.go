package controlplane

import (
	"context"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// grantTimeout bounds how long the API server may not have heard of a role; on an idle machine it is some milliseconds.
const grantTimeout = time.Minute

// Granted waits until the API server lets the subject do what the role of the kind ("Role" or "ClusterRole") says, in the
// namespace or, when that is empty, in the whole cluster. It hears of roles and bindings some moments after they are made.
func (c *ControlPlane) Granted(ctx context.Context, subject rbacv1.Subject, namespace, kind, role string) error {
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	clients, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	var rules []rbacv1.PolicyRule
	if kind == "ClusterRole" {
		found, getErr := clients.RbacV1().ClusterRoles().Get(ctx, role, metav1.GetOptions{})
		rules, err = found.Rules, getErr
	} else {
		found, getErr := clients.RbacV1().Roles(namespace).Get(ctx, role, metav1.GetOptions{})
		rules, err = found.Rules, getErr
	}
	if err != nil {
		return fmt.Errorf("get %s %s: %w", kind, role, err)
	}
	for _, rule := range rules {
		for _, spec := range reviews(rule, namespace) {
			spec.User, spec.Groups = asked(subject)
			if err := allowed(ctx, clients, spec); err != nil {
				return fmt.Errorf("wait until %s may do what %s %s says: %w", subject.Name, kind, role, err)
			}
		}
	}
	return nil
}

// asked returns whom the API server is asked about to learn of a subject.
func asked(subject rbacv1.Subject) (user string, groups []string) {
	switch subject.Kind {
	case rbacv1.ServiceAccountKind:
		return "system:serviceaccount:" + subject.Namespace + ":" + subject.Name, nil
	case rbacv1.GroupKind:
		return "anybody", []string{subject.Name}
	default:
		return subject.Name, nil
	}
}

// reviews are the questions about everything that a rule grants.
func reviews(rule rbacv1.PolicyRule, namespace string) []authorizationv1.SubjectAccessReviewSpec {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	var out []authorizationv1.SubjectAccessReviewSpec
	for _, verb := range rule.Verbs {
		if namespace == "" { // a binding in a namespace grants no paths
			for _, path := range rule.NonResourceURLs {
				out = append(out, authorizationv1.SubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: verb, Path: path}})
			}
		}
		for _, group := range rule.APIGroups {
			for _, full := range rule.Resources {
				resource, sub, _ := strings.Cut(full, "/")
				for _, name := range names {
					out = append(out, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
						Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: sub, Name: name,
					}})
				}
			}
		}
	}
	return out
}

// allowed asks again until the answer is yes.
func allowed(ctx context.Context, clients kubernetes.Interface, spec authorizationv1.SubjectAccessReviewSpec) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		review, err := clients.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("review the access to %+v: %w", spec, err)
		}
		if review.Status.Allowed {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("review the access to %+v: %w", spec, ctx.Err())
		case <-tick.C:
		}
	}
}

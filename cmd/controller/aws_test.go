package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

const (
	awsRole     = "eks.amazonaws.com/role-arn"
	awsAudience = "sts.amazonaws.com"
)

// awsWorld is a namespace whose ServiceAccount "reader" is bound to a role of an AWS account.
type awsWorld struct {
	*storeWorld
	aws *moto.Server
}

func newAWSWorld(t *testing.T) *awsWorld {
	t.Helper()
	w := &awsWorld{storeWorld: newStoreWorld(t), aws: moto.New(t)}
	w.clouds, w.private = w.aws.Environment(), w.aws.Private
	return w
}

// verify judges a token as AWS does, by the API server that is the issuer.
func (w *awsWorld) verify(ctx context.Context, token string) (subject string, err error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{awsAudience}}}
	if err := w.client.Create(ctx, review); err != nil {
		return "", err
	}
	if !review.Status.Authenticated || !slices.Contains(review.Status.Audiences, awsAudience) {
		return "", errors.New("the API server does not know the token")
	}
	return review.Status.User.Username, nil
}

// role declares a role that trusts the account "reader" of a namespace.
func (w *awsWorld) role(a *moto.Account, name, namespace string) string {
	return a.Role(name, moto.Role{Verify: w.verify, Subject: "system:serviceaccount:" + namespace + ":reader"})
}

// account makes the ServiceAccount "reader" of a namespace, bound to a role.
func (w *awsWorld) account(namespace, role string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "reader", Annotations: map[string]string{awsRole: role}}}
}

func (w *awsWorld) store(service stores.AWSService) esv1.SecretStoreSpec {
	return esv1.SecretStoreSpec{Controller: w.class(), Provider: stores.Provider{AWS: &stores.AWS{
		Service: service, Region: moto.Region, Auth: stores.AWSAuth{JWT: &stores.AWSJWTAuth{ServiceAccountRef: &stores.ServiceAccountSelector{Name: "reader"}}},
	}}}
}

// did returns how often a role did something.
func (w *awsWorld) did(role, action string) int {
	n := 0
	for _, r := range w.aws.Requests() {
		if r.Role == role && r.Action == action {
			n++
		}
	}
	return n
}

// TestAWSIsReadByTheRoleOfTheServiceAccount walks the whole way: the ServiceAccount's annotation names the role, the API server
// mints the token, STS gives keys for it, and values come from Secrets Manager and Parameter Store, as long as they are there.
func TestAWSIsReadByTheRoleOfTheServiceAccount(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t)
	ctx, first, other := t.Context(), w.aws.Account(t), w.aws.Account(t)
	must(t,
		first.PutSecret(ctx, "apps/db", `{"password":"one-`+storeCanary+`"}`), first.PutParameter(ctx, "/apps/token", "token-"+storeCanary),
		other.PutSecret(ctx, "apps/db", `{"password":"other-`+storeCanary+`"}`), other.PutParameter(ctx, "/apps/token", "other-"+storeCanary),
	)
	role, second := w.role(first, "reader", w.ns), w.role(other, "reader", w.ns)
	account := w.account(w.ns, role)
	w.make(account,
		&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "secrets"}, Spec: w.store(stores.AWSSecretsManager)},
		&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "parameters"}, Spec: w.store(stores.AWSParameterStore)})
	w.run()
	gone := w.externalSecret(w.ns, "gone", esv1.StoreRef{Name: "secrets"}, esv1.RemoteRef{Key: "apps/db", Property: "password"})
	gone.Spec.Target.DeletionPolicy = esv1.DeletionDelete
	w.make(gone,
		w.externalSecret(w.ns, "db", esv1.StoreRef{Name: "secrets"}, esv1.RemoteRef{Key: "apps/db", Property: "password"}),
		w.externalSecret(w.ns, "token", esv1.StoreRef{Name: "parameters"}, esv1.RemoteRef{Key: "/apps/token"}))

	w.says("db", "the controller may not mint a token of ServiceAccount "+w.ns+"/reader")
	w.mint(w.ns)
	w.holds(w.ns, "db", "one-"+storeCanary)
	w.holds(w.ns, "gone", "one-"+storeCanary)
	w.holds(w.ns, "token", "token-"+storeCanary)

	// A new value.
	must(t, first.PutSecret(ctx, "apps/db", `{"password":"two-`+storeCanary+`"}`), first.PutParameter(ctx, "/apps/token", "new-"+storeCanary))
	w.holds(w.ns, "db", "two-"+storeCanary)
	w.holds(w.ns, "token", "new-"+storeCanary)
	if n := w.did(role, "AssumeRoleWithWebIdentity"); n > 2 {
		t.Errorf("the role was assumed %d times for two stores", n)
	}

	// Another role.
	bind := func(role string) {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, awsRole, role)
		must(t, w.client.Patch(ctx, account, client.RawPatch("application/merge-patch+json", patch)))
	}
	bind(second)
	w.holds(w.ns, "db", "other-"+storeCanary)
	w.holds(w.ns, "token", "other-"+storeCanary)

	// A role that does not trust the account; what is there stays.
	stranger := w.role(first, "stranger", "elsewhere")
	bind(stranger)
	w.says("db", "AWS refuses sts:AssumeRoleWithWebIdentity on role "+stranger)
	w.says("token", "AWS refuses sts:AssumeRoleWithWebIdentity on role "+stranger)
	w.holds(w.ns, "db", "other-"+storeCanary)
	bind(role)
	w.holds(w.ns, "db", "two-"+storeCanary)
	w.holds(w.ns, "gone", "two-"+storeCanary)

	// No value any more: each does as its deletionPolicy says.
	must(t, first.DeleteSecret(ctx, "apps/db"))
	w.holds(w.ns, "gone", "")
	w.says("db", "apps/db")
	w.holds(w.ns, "db", "two-"+storeCanary)
}

// TestAClusterSecretStoreOfAWSReadsAsTheAccountOfEachNamespace: what one namespace may read, another does not get by the same
// store.
func TestAClusterSecretStoreOfAWSReadsAsTheAccountOfEachNamespace(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t)
	ctx, ours, theirs, elsewhere := t.Context(), w.aws.Account(t), w.aws.Account(t), w.cp.Namespace(t)
	must(t, ours.PutSecret(ctx, "db", "ours-"+storeCanary), theirs.PutSecret(ctx, "db", "theirs-"+storeCanary))
	store := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: w.store(stores.AWSSecretsManager)}
	w.make(store, w.account(w.ns, w.role(ours, "reader", w.ns)), w.account(elsewhere, w.role(theirs, "reader", elsewhere)))
	t.Cleanup(func() { _ = w.client.Delete(context.WithoutCancel(ctx), store) })
	w.mint(w.ns)
	w.mint(elsewhere)
	w.run()
	ref := esv1.StoreRef{Name: w.ns, Kind: esv1.KindClusterSecretStore}
	w.make(w.externalSecret(w.ns, "db", ref, esv1.RemoteRef{Key: "db"}), w.externalSecret(elsewhere, "db", ref, esv1.RemoteRef{Key: "db"}))
	w.holds(w.ns, "db", "ours-"+storeCanary)
	w.holds(elsewhere, "db", "theirs-"+storeCanary)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

const (
	team = "shop"
	// stepTimeout is how long a state that the demo claims may take to come.
	stepTimeout = 30 * time.Second
)

// walk is the story: each step does one thing and waits for the state that it claims.
func walk(ctx context.Context, s *story) error {
	start := time.Now()
	for i, step := range []struct {
		say string
		do  func(context.Context) error
	}{
		{"The team's password goes into Vault, by hand, as it always did", s.fillVault},
		{"A repository holds what a real team commits: references and ciphertext", s.commitRepository},
		{"One GitSync takes it the whole way", s.applyGitSync},
		{"A value is rotated in Vault and arrives by refresh", s.rotate},
		{"A value is sealed again and arrives by commit", s.reseal},
		{"A Secret is deleted by hand and comes back", s.deleteByHand},
		{"A commit with a plaintext Secret is refused, and nothing changes", s.refusePlaintext},
		{"A file is removed from Git and what it made is pruned", s.removeFile},
	} {
		s.say("\n%d. %s", i+1, step.say)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, lowerFirst(step.say), err)
		}
	}
	s.say("\nAll of it held (%.0f s). Everything is still running; look around:", time.Since(start).Seconds())
	s.say("  export KUBECONFIG=$PWD/%s/kubeconfig", home)
	s.say("  bin/kubectl get externalsecrets,sealedsecrets,gitsyncs,secrets -n %s", team)
	s.say("and end it with: make demo-down")
	return nil
}

// story is what the steps remember of one another.
type story struct {
	*parts
	password, license, token string
	// values are all that were ever secret, for the search that none of them came out.
	values []string
}

// fillVault writes a password of its own for each run.
func (s *story) fillVault(ctx context.Context) error {
	s.password = s.newValue()
	_, err := s.vault.Put(ctx, "kv", "shop/database", map[string]any{"password": s.password, "host": "db.shop.internal"})
	s.say("   kv/shop/database: keys password, host")
	return err
}

// applyGitSync waits until everything that the repository describes is there and true.
func (s *story) applyGitSync(ctx context.Context) error {
	if err := s.kubectlApply(ctx, "cluster/gitsync.yaml", map[string]string{"GitURL": s.repo.HTTPS()}); err != nil {
		return err
	}
	if err := s.waitGitSync(ctx, func(g *sbv1.GitSync) bool { return isTrue(g, sbv1.ConditionReady) }); err != nil {
		return err
	}
	want := map[string]map[string]string{
		"database":    {"password": s.password, "host": "db.shop.internal"},
		"connection":  {"url": s.connectionURL()},
		"license":     {"key": s.license},
		"payment-api": {"stripe_token": s.token},
	}
	for _, name := range []string{"database", "connection", "license", "payment-api"} {
		if err := s.waitSecret(ctx, name, want[name]); err != nil {
			return err
		}
	}
	if err := s.show(ctx, "get", "gitsyncs,externalsecrets,sealedsecrets,clustersecretstores", "-n", team); err != nil {
		return err
	}
	for _, name := range []string{"database", "connection", "license", "payment-api"} {
		if err := s.showKeys(ctx, name); err != nil {
			return err
		}
	}
	s.say("   the control plane has no nodes: the Deployment is applied, its pods stay pending")
	return s.show(ctx, "get", "deployments", "-n", team)
}

func (s *story) rotate(ctx context.Context) error {
	s.password = s.newValue()
	if _, err := s.vault.Rotate(ctx, "kv", "shop/database", map[string]any{"password": s.password, "host": "db.shop.internal"}); err != nil {
		return err
	}
	err := errors.Join(
		s.waitSecret(ctx, "database", map[string]string{"password": s.password, "host": "db.shop.internal"}),
		s.waitSecret(ctx, "connection", map[string]string{"url": s.connectionURL()}))
	if err != nil {
		return err
	}
	s.say("   both Secrets that read it have the new value")
	return s.show(ctx, "get", "externalsecrets", "-n", team)
}

func (s *story) reseal(ctx context.Context) error {
	s.license = s.newValue()
	sealed, err := s.sealLicense(ctx)
	if err != nil {
		return err
	}
	if err := s.commit(ctx, "Renew the license", map[string]string{"shop/license.yaml": sealed}); err != nil {
		return err
	}
	if err := s.waitSecret(ctx, "license", map[string]string{"key": s.license}); err != nil {
		return err
	}
	s.say("   the Secret has the new value")
	return s.show(ctx, "get", "gitsyncs,sealedsecrets", "-n", team)
}

func (s *story) deleteByHand(ctx context.Context) error {
	for name, keys := range map[string]map[string]string{
		"database":    {"password": s.password},
		"license":     {"key": s.license},
		"payment-api": {"stripe_token": s.token},
	} {
		var before corev1.Secret
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: team, Name: name}, &before); err != nil {
			return fmt.Errorf("read Secret %s: %w", name, err)
		}
		if err := s.show(ctx, "delete", "secret", name, "-n", team); err != nil {
			return err
		}
		start := time.Now()
		if err := s.waitSecret(ctx, name, keys); err != nil {
			return err
		}
		s.say("   it is back after %.1f s", time.Since(start).Seconds())
	}
	return nil
}

func (s *story) refusePlaintext(ctx context.Context) error {
	before, err := s.settledSecretVersions(ctx)
	if err != nil {
		return err
	}
	careless := "apiVersion: v1\nkind: Secret\nmetadata:\n  name: careless\nstringData:\n  token: " + s.newValue() + "\n"
	files := map[string]string{"shop/careless.yaml": careless, "shop/kustomization.yaml": s.kustomization("careless.yaml")}
	if err := s.commit(ctx, "Add a token", files); err != nil {
		return err
	}
	var refusal string
	err = s.waitGitSync(ctx, func(g *sbv1.GitSync) bool {
		c := meta.FindStatusCondition(g.Status.Conditions, sbv1.ConditionReady)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != sbv1.ReasonPlaintextSecret {
			return false
		}
		refusal = c.Message
		return true
	})
	if err != nil {
		return err
	}
	s.say("   Ready=False, %s: %s", sbv1.ReasonPlaintextSecret, refusal)
	for _, want := range []string{"careless.yaml", "token"} {
		if !strings.Contains(refusal, want) {
			return fmt.Errorf("the refusal does not name %q", want)
		}
	}
	after, err := s.secretVersions(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(before, after) {
		return fmt.Errorf("the Secrets changed although the commit was refused: %v, before %v", after, before)
	}
	if err := s.remove(ctx, "Take the token out again", map[string]string{"shop/kustomization.yaml": s.kustomization()}, "shop/careless.yaml"); err != nil {
		return err
	}
	if err := s.waitGitSync(ctx, func(g *sbv1.GitSync) bool { return isTrue(g, sbv1.ConditionReady) }); err != nil {
		return err
	}
	s.say("   the commit is taken back, and the GitSync is ready again")
	return nil
}

func (s *story) removeFile(ctx context.Context) error {
	files := map[string]string{"shop/kustomization.yaml": s.kustomization("-connection.yaml")}
	if err := s.remove(ctx, "The shop builds its URL itself now", files, "shop/connection.yaml"); err != nil {
		return err
	}
	err := s.wait(ctx, "Secret connection to be gone", func(ctx context.Context) (bool, error) {
		err := s.client.Get(ctx, client.ObjectKey{Namespace: team, Name: "connection"}, &corev1.Secret{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return err
	}
	s.say("   the ExternalSecret is pruned and its Secret went with it")
	return s.show(ctx, "get", "externalsecrets", "-n", team)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

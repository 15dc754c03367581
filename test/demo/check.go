package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

func (p *parts) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// show runs kubectl as the reader could and prints the command with what it says.
func (p *parts) show(ctx context.Context, args ...string) error {
	out, err := p.kubectl(ctx, "", args...)
	p.say("   $ kubectl %s", strings.Join(args, " "))
	for line := range strings.Lines(out) {
		p.say("     %s", strings.TrimRight(line, "\n"))
	}
	return err
}

func (p *parts) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.root, "bin", "kubectl"), args...)
	cmd.Env = append(cmd.Environ(), "KUBECONFIG="+filepath.Join(p.dir, "kubeconfig"))
	cmd.Stdin = strings.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out.String(), nil
}

// showKeys prints which keys a Secret has, never what is under them.
func (p *parts) showKeys(ctx context.Context, name string) error {
	var secret corev1.Secret
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: team, Name: name}, &secret); err != nil {
		return fmt.Errorf("read Secret %s: %w", name, err)
	}
	p.say("   Secret %-12s keys: %s", name, strings.Join(slices.Sorted(maps.Keys(secret.Data)), ", "))
	return nil
}

// wait polls until the state has come.
func (p *parts) wait(ctx context.Context, what string, arrived func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		ok, err := arrived(ctx)
		if ok {
			return nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			last = err
		}
		select {
		case <-p.controller.Done():
			return fmt.Errorf("wait for %s: the controller has ended; its log is %s", what, p.controller.Log())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s did not come within %s", what, stepTimeout), last)
		case <-tick.C:
		}
	}
}

// waitSecret waits until the Secret has these values, compared here and never printed.
func (p *parts) waitSecret(ctx context.Context, name string, want map[string]string) error {
	var secret *corev1.Secret
	err := p.wait(ctx, "the right value of Secret "+name, func(ctx context.Context) (bool, error) {
		secret = &corev1.Secret{}
		if err := p.client.Get(ctx, client.ObjectKey{Namespace: team, Name: name}, secret); err != nil {
			secret = nil
			return false, err
		}
		for key, value := range want {
			if string(secret.Data[key]) != value {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil && secret != nil {
		return fmt.Errorf("%w; there is %s with another value", err, versionOf(secret))
	}
	return err
}

// waitGitSync waits until the GitSync has seen its last change and is as asked.
func (p *parts) waitGitSync(ctx context.Context, is func(*sbv1.GitSync) bool) error {
	var sync sbv1.GitSync
	err := p.wait(ctx, "the GitSync's state", func(ctx context.Context) (bool, error) {
		if err := p.client.Get(ctx, client.ObjectKey{Namespace: team, Name: team}, &sync); err != nil {
			return false, err
		}
		return sync.Status.ObservedGeneration == sync.Generation && is(&sync), nil
	})
	if err != nil {
		if c := meta.FindStatusCondition(sync.Status.Conditions, sbv1.ConditionReady); c != nil {
			return fmt.Errorf("%w; it says Ready=%s, %s: %s", err, c.Status, c.Reason, c.Message)
		}
	}
	return err
}

func isTrue(sync *sbv1.GitSync, condition string) bool {
	return meta.IsStatusConditionTrue(sync.Status.Conditions, condition)
}

// secretVersions identifies the state of all Secrets of the team, and who wrote it.
func (p *parts) secretVersions(ctx context.Context) ([]string, error) {
	var list corev1.SecretList
	if err := p.client.List(ctx, &list, client.InNamespace(team)); err != nil {
		return nil, fmt.Errorf("list Secrets: %w", err)
	}
	var versions []string
	for _, s := range list.Items {
		versions = append(versions, versionOf(&s))
	}
	return versions, nil
}

// versionOf names a Secret, its version and who wrote to it when: what tells one writer from another in a failure.
func versionOf(s *corev1.Secret) string {
	writers := make([]string, len(s.ManagedFields))
	for i, m := range s.ManagedFields {
		writers[i] = fmt.Sprintf("%s %s %s", m.Manager, m.Operation, m.Time)
	}
	return fmt.Sprintf("%s@%s (%s)", s.Name, s.ResourceVersion, strings.Join(writers, ", "))
}

// settledSecretVersions is secretVersions once the repairs of the step before have come to an end: when nothing was
// written for a second.
func (p *parts) settledSecretVersions(ctx context.Context) ([]string, error) {
	const calm = time.Second
	var versions []string
	since := time.Now()
	err := p.wait(ctx, "the repairs to end", func(ctx context.Context) (bool, error) {
		now, err := p.secretVersions(ctx)
		if err != nil {
			return false, err
		}
		if !slices.Equal(now, versions) {
			versions, since = now, time.Now()
		}
		return time.Since(since) >= calm, nil
	})
	return versions, err
}

// newValue makes a value that no earlier run had.
func (s *story) newValue() string {
	value := rand.Text()
	s.values = append(s.values, value)
	return value
}

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// TestTheWholeWayHoldsAndNoValueComesOut walks through the demo and then looks for every value that was ever secret in
// all that anybody could read without the right to read Secrets.
func TestTheWholeWayHoldsAndNoValueComesOut(t *testing.T) {
	for _, binary := range []string{"controlplane", "kubectl", "vault", "sealbridge-controller", "sealbridge"} {
		process.Require(t, binary)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	dir := t.TempDir()
	p, err := startParts(ctx, dir, &out)
	if err != nil {
		t.Fatalf("start: %v\n%s", err, &out)
	}
	defer p.stop()
	s := &story{parts: p}
	if err := walk(ctx, s); err != nil {
		log, _ := os.ReadFile(p.controller.Log())
		t.Fatalf("walk: %v\n%s\nthe controller's log ends with:\n%s", err, &out, last(log, 4000))
	}
	const made = 6 // passwords, licenses, the token, and the careless one
	if len(s.values) != made {
		t.Errorf("%d values were made, want %d: the search below would miss some", len(s.values), made)
	}
	places := map[string]string{"what the demo prints": out.String(), "the metrics": scraped(ctx, t, p.metricsURL)}
	for _, name := range []string{p.controller.Log(), filepath.Join(dir, "controlplane", "kube-controller-manager.log")} {
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		places[filepath.Base(name)] = string(log)
	}
	for _, gvk := range []schema.GroupVersionKind{
		{Group: "events.k8s.io", Version: "v1", Kind: "EventList"},
		{Group: "external-secrets.io", Version: "v1", Kind: "ExternalSecretList"},
		{Group: "external-secrets.io", Version: "v1", Kind: "ClusterSecretStoreList"},
		{Group: "bitnami.com", Version: "v1alpha1", Kind: "SealedSecretList"},
		{Group: "sealbridge.dev", Version: "v1alpha1", Kind: "GitSyncList"},
		{Group: "apps", Version: "v1", Kind: "DeploymentList"},
	} {
		places[gvk.Kind] = listed(ctx, t, p, gvk)
	}
	for place, text := range places {
		for _, value := range s.values {
			if strings.Contains(text, value) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(value))) {
				t.Errorf("%s shows a secret value", place)
			}
		}
	}
	repairsAreWrittenOnce(ctx, t, s)
}

// repairsAreWrittenOnce deletes the Secrets of all three kinds by hand, again and again, and looks whether anybody writes
// to one that has come back: a repair is one write, whatever the caches of the controllers show meanwhile.
func repairsAreWrittenOnce(ctx context.Context, t *testing.T, s *story) {
	t.Helper()
	const rounds = 5
	names := []string{"database", "license", "payment-api"}
	for range rounds {
		before := map[string]types.UID{}
		for _, name := range names {
			secret := readSecret(ctx, t, s, name)
			before[name] = secret.UID
			if err := s.client.Delete(ctx, secret, client.Preconditions{UID: &secret.UID}); err != nil {
				t.Fatalf("delete Secret %s: %v", name, err)
			}
		}
		back := map[string]string{}
		for _, name := range names {
			err := s.wait(ctx, "Secret "+name+" to come back", func(ctx context.Context) (bool, error) {
				var secret corev1.Secret
				err := s.client.Get(ctx, client.ObjectKey{Namespace: team, Name: name}, &secret)
				back[name] = versionOf(&secret)
				return err == nil && secret.UID != before[name], err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // for whoever would write again
		for _, name := range names {
			if now := versionOf(readSecret(ctx, t, s, name)); now != back[name] {
				t.Errorf("a repaired Secret was written again: %s, before %s", now, back[name])
			}
		}
	}
}

func readSecret(ctx context.Context, t *testing.T, s *story, name string) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: team, Name: name}, &secret); err != nil {
		t.Fatalf("read Secret %s: %v", name, err)
	}
	return &secret
}

func scraped(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), "controller_runtime_reconcile_total") {
		t.Fatalf("there are no metrics to search: %v", err)
	}
	return string(b)
}

func listed(ctx context.Context, t *testing.T, p *parts, gvk schema.GroupVersionKind) string {
	t.Helper()
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(gvk)
	if err := p.client.List(ctx, &list); err != nil {
		t.Fatalf("list %s: %v", gvk.Kind, err)
	}
	if len(list.Items) == 0 {
		t.Errorf("there is nothing to search in %s", gvk.Kind)
	}
	b, err := list.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func last(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/gitserver"
)

// overlong returns the address of a server whose answers go on after the length that they say.
func overlong(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		for in := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"k\":\"value\"} %q", canary)
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "http://" + l.Addr().String()
}

func TestWhatABackendSendsBeyondItsAnswerIsNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("--controllers=*", "--watch-namespaces="+w.ns)
	s := w.secretStore()
	s.Spec.Provider.Webhook = &stores.Webhook{URL: overlong(t)}
	w.must(w.client.Create(t.Context(), s))
	w.externalSecret("db")
	w.eventually("the value arrives, and the rest of the answer is noticed", func() bool {
		log, err := os.ReadFile(r.Log())
		w.must(err)
		if strings.Contains(string(log), canary) {
			t.Fatal("the log shows what was sent beyond the answer")
		}
		return w.secret("db") != "" && strings.Contains(string(log), "Unsolicited response received")
	})
}

// A policy or webhook that only warns has seen the Secret, and can quote it.
func TestAWarningOfTheAPIServerIsNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("--controllers=*", "--watch-namespaces="+w.ns)
	policy := fmt.Sprintf(`
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: %[1]s}, spec: {
  matchConstraints: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}, resourceRules: [
    {apiGroups: [""], apiVersions: [v1], resources: [secrets], operations: [CREATE]}]},
  validations: [{expression: "false", messageExpression: "'it holds ' + string(object.data.k)"}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: %[1]s}, spec: {policyName: %[1]s, validationActions: [Warn]}}
`, w.ns)
	_, err := w.cp.Kubectl(t.Context(), policy, "create", "-f", "-")
	w.must(err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := w.cp.Kubectl(ctx, policy, "delete", "-f", "-"); err != nil {
			t.Error(err)
		}
	})
	var warned capture.Log
	cfg := w.cp.Config()
	cfg.WarningHandler = rest.NewWarningWriter(&warned, rest.WarningWriterOptions{})
	c, err := client.New(cfg, client.Options{})
	w.must(err)
	w.eventually("the policy warns", func() bool {
		try := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "try"}, Data: map[string][]byte{"k": []byte("value")}}
		w.must(c.Create(t.Context(), try, client.DryRunAll))
		return strings.Contains(warned.String(), "it holds dmFsdWU=")
	})
	s := w.secretStore()
	s.Spec.Provider.Webhook = &stores.Webhook{URL: overlong(t)}
	w.must(w.client.Create(t.Context(), s))
	w.externalSecret("db")
	w.eventually("the value arrives", func() bool { return w.secret("db") != "" })
	log, err := os.ReadFile(r.Log())
	w.must(err)
	if strings.Contains(string(log), "it holds") {
		t.Error("the log shows what a policy says of a Secret")
	}
}

// kustomize says on the standard error that a field is deprecated, which broke the lines of the log.
func TestNothingButTheLogIsWrittenWhileAKustomizationWithOldFieldsIsApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := gitserver.NewWith(t, gitserver.Options{})
	repo, err := server.Create(t.Context(), "team/app")
	w.must(err)
	_, err = repo.Commit(t.Context(), gitserver.Change{Files: map[string]string{
		"kustomization.yaml": "bases: [base]\ncommonLabels: {a: b}\n", "base/kustomization.yaml": "resources: [x.yaml]\n",
		"base/x.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {k: v}}\n",
	}})
	w.must(err)
	w.must(w.client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "ca"}, Data: map[string][]byte{"ca.crt": server.CA()},
	}))
	r := w.start("--controllers=*", "--watch-namespaces="+w.ns)
	s := &sbv1.GitSync{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "app"}}
	s.Spec = sbv1.GitSyncSpec{URL: repo.HTTPS(), SecretRef: &sbv1.LocalRef{Name: "ca"}, Interval: metav1.Duration{Duration: time.Hour}}
	w.must(w.client.Create(t.Context(), s))
	w.eventually("the ConfigMap is there with its label", func() bool {
		var found corev1.ConfigMap
		err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "x"}, &found)
		return err == nil && found.Labels["a"] == "b"
	})
	log, err := os.ReadFile(r.Log())
	w.must(err)
	for line := range bytes.Lines(log) {
		if !json.Valid(line) {
			t.Errorf("it says %q", line)
		}
	}
}

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// planted makes a key Secret with a pair, and returns whom to seal to.
func (w *world) planted(name string, age time.Duration, labels, annotations map[string]string) seal.Recipient {
	w.t.Helper()
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-age)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.keySecret(name, pair, labels, annotations)
	return seal.Compat(pair.Public())
}

// pair makes the Secret of a common key.
func (w *world) pair(name string, pair *keyring.Pair) {
	w.t.Helper()
	w.keySecret(name, pair, map[string]string{v1alpha1.LabelSealingKey: v1alpha1.SealingKeyActive}, nil)
}

func (w *world) keySecret(name string, pair *keyring.Pair, labels, annotations map[string]string) {
	w.t.Helper()
	secret := &corev1.Secret{Type: corev1.SecretTypeTLS, ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, Labels: labels, Annotations: annotations}}
	secret.Data = map[string][]byte{corev1.TLSCertKey: pair.CertificatePEM(), corev1.TLSPrivateKeyKey: pair.PrivateKeyPEM()}
	if err := w.client.Create(w.t.Context(), secret); err != nil {
		w.t.Fatal(err)
	}
}

// sealedObjects are one SealedSecret for each recipient, by its name.
func sealedObjects(t *testing.T, namespaces map[string]string, to map[string]seal.Recipient) []*v1alpha1.SealedSecret {
	t.Helper()
	var out []*v1alpha1.SealedSecret
	for name, recipient := range to {
		obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespaces[name], Name: name}}
		text, err := seal.Seal(rand.Reader, recipient, seal.Strict, obj.Namespace, name, []byte(canary))
		if err != nil {
			t.Fatal(err)
		}
		obj.Spec.EncryptedData = map[string]string{"k": text}
		out = append(out, obj)
	}
	return out
}

// allOpened applies SealedSecrets and waits until the Secret of each is there.
func (w *world) allOpened(objects []*v1alpha1.SealedSecret) {
	w.t.Helper()
	for _, obj := range objects {
		if err := w.client.Create(w.t.Context(), obj.DeepCopy()); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, obj := range objects {
		w.eventually(obj.Name+" is opened", func() bool {
			var s corev1.Secret
			return w.client.Get(w.t.Context(), client.ObjectKeyFromObject(obj), &s) == nil && string(s.Data["k"]) == canary
		})
	}
}

// documentedRestore is the command of docs/cli.md that brings keys back.
func documentedRestore(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "age -d -i identity.txt keys.age |") {
			command, _, _ := strings.Cut(line, "#")
			return command
		}
	}
	t.Fatal("docs/cli.md does not say how to restore")
	return ""
}

func TestABackupOpensEverythingInANewCluster(t *testing.T) {
	bin := filepath.Dir(process.Require(t, "sealbridge"))
	process.Require(t, "age")
	w := newWorld(t)
	tenant := w.cp.Namespace(t)
	const label = v1alpha1.LabelSealingKey
	to := map[string]seal.Recipient{
		"by-the-key-without-label": w.planted("sealed-secrets-key", 5*time.Hour, nil, nil),
		"by-an-older-key":          w.planted("older", 4*time.Hour, map[string]string{label: v1alpha1.SealingKeyActive}, nil),
		"by-the-newest-key":        w.planted("newest", 3*time.Hour, map[string]string{label: v1alpha1.SealingKeyActive}, nil),
		"by-the-tenants-key": w.planted("tenant", 2*time.Hour, map[string]string{label: v1alpha1.SealingKeyNamespaced},
			map[string]string{v1alpha1.AnnotationKeyNamespaces: tenant}),
	}
	namespaces := map[string]string{"by-the-tenants-key": tenant}
	for name := range to {
		if namespaces[name] == "" {
			namespaces[name] = w.ns
		}
	}
	flags := []string{"--all-namespaces=false", "--additional-namespaces=" + tenant}
	w.start(flags...)
	var native corev1.Secret
	w.eventually("there is a native key", func() bool {
		return w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "sealed-secrets-key-native-first"}, &native) == nil
	})
	identity, err := keyring.ParseIdentity(native.Data[v1alpha1.IdentityKey], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	to["by-the-native-key"], namespaces["by-the-native-key"] = seal.Native(identity.Recipient()), w.ns
	objects := sealedObjects(t, namespaces, to)
	w.allOpened(objects)

	// The real age makes the identity that is kept away from the cluster, and opens the backup.
	dir := t.TempDir()
	sh := func(kubeconfig, commands string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", commands)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "KUBECONFIG=" + kubeconfig, "PATH=" + bin + ":" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("PRIVATE")) {
			t.Fatalf("%v: %s", err, out)
		}
	}
	sh(w.cp.Kubeconfig(), "umask 077; age-keygen -pq -o identity.txt 2>/dev/null; sealbridge keys backup --controller-namespace "+w.ns+
		` --recipient "$(age-keygen -y identity.txt)" -w keys.age`)

	second, err := controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{"../../config/crd"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Stop() })
	fresh := worldOn(t, second)
	fresh.ns = w.ns
	for _, namespace := range []string{w.ns, tenant} {
		if err := second.Apply(t.Context(), fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", namespace)); err != nil {
			t.Fatal(err)
		}
	}
	sh(second.Kubeconfig(), documentedRestore(t))
	fresh.start(flags...)
	fresh.allOpened(objects)
	var secrets corev1.SecretList
	if err := fresh.client.List(t.Context(), &secrets, client.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	if keys, made := len(secrets.Items)-(len(objects)-1), len(to); keys != made {
		t.Errorf("there are %d keys after %d were restored", keys, made)
	}
}

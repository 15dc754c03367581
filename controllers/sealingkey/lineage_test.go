package sealingkey

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// tenantKey returns a key Secret for namespaces, and its fingerprint.
func tenantKey(t *testing.T, name, namespaces, common string) (corev1.Secret, string) {
	t.Helper()
	pair, err := keyring.Generate(keyring.Options{Bits: 1024, NotBefore: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s := keySecret(client.ObjectKey{Namespace: "ns", Name: name}, pair, nil, nil)
	s.Labels[v1alpha1.LabelSealingKey] = v1alpha1.SealingKeyNamespaced
	s.Annotations = map[string]string{v1alpha1.AnnotationKeyNamespaces: namespaces}
	if common != "" {
		s.Annotations[v1alpha1.AnnotationCommonKeys] = common
	}
	return *s, pair.Fingerprint()
}

func TestAKeyOfSomeNamespacesServesThemAndNoOthers(t *testing.T) {
	t.Parallel()
	commonSecret, common := tenantKey(t, "common", "", "")
	commonSecret.Labels[v1alpha1.LabelSealingKey], commonSecret.Annotations = v1alpha1.SealingKeyActive, nil
	one, first := tenantKey(t, "one", "b, a,,b", "")
	two, second := tenantKey(t, "two", "c", "allow")
	three, third := tenantKey(t, "three", "c,d", "deny")
	four, fourth := tenantKey(t, "four", "e", "allow")
	keys := load([]corev1.Secret{commonSecret, one, two, three, four}, "")
	if len(keys.faults) > 0 {
		t.Fatalf("%v", keys.faults[0].err)
	}
	for namespace, want := range map[string][]string{
		"":      {common},
		"other": {common},
		"a":     {first},
		"b":     {first},
		"c":     {second, third}, // one of the two does not allow the common keys
		"d":     {third},
		"e":     {fourth, common},
	} {
		got := map[string]bool{}
		for key := range keys.ring.For(namespace).All() {
			got[key.Fingerprint()] = true
		}
		ok := len(got) == len(want)
		for _, w := range want {
			ok = ok && got[w]
		}
		if !ok {
			t.Errorf("%q has %v, want %v", namespace, got, want)
		}
	}
	var keeper = NewKeeper()
	keeper.replace(keys.ring)
	if keeper.replace(load([]corev1.Secret{commonSecret, one, two, three, four}, "").ring) {
		t.Error("the same keys replace the ring")
	}
	if !keeper.replace(load([]corev1.Secret{commonSecret, one, two, three}, "").ring) {
		t.Error("a key of a namespace that goes changes nothing")
	}
}

func TestAKeyWhoseNamespacesAreUnclearServesNone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		namespaces, common, label, want string
	}{
		"no namespace":             {"", "", v1alpha1.SealingKeyNamespaced, "names no namespace"},
		"commas alone":             {" , ", "", v1alpha1.SealingKeyNamespaced, "names no namespace"},
		"no name":                  {"a,*", "", v1alpha1.SealingKeyNamespaced, "no name of a namespace"},
		"another policy":           {"a", "yes", v1alpha1.SealingKeyNamespaced, "is neither allow nor deny"},
		"the label of common keys": {"a", "", v1alpha1.SealingKeyActive, "is for keys whose label says namespaced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := tenantKey(t, "k", test.namespaces, test.common)
			s.Labels[v1alpha1.LabelSealingKey] = test.label
			keys := load([]corev1.Secret{s}, "")
			if len(keys.faults) != 1 || !strings.Contains(keys.faults[0].err.Error(), test.want) {
				t.Fatalf("%+v", keys.faults)
			}
			if keys.ring.Len() != 0 || keys.ring.For("a").Len() != 0 {
				t.Error("it is used")
			}
		})
	}
}

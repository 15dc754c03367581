// Package privileged knows the Secrets that are credentials of the cluster or of the controller itself, which nobody makes by
// writing an ExternalSecret or a SealedSecret.
//
// It takes what a Secret would be and says whether it is one of them. What users are told is up to the controller that refuses.
package privileged

import (
	corev1 "k8s.io/api/core/v1"

	ssv1 "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

// Type reports whether Kubernetes makes a credential of the cluster of a Secret of that type, or takes it for one: a token of any
// ServiceAccount of the namespace, or one that lets a node join.
func Type(t corev1.SecretType) bool {
	return t == corev1.SecretTypeServiceAccountToken || t == corev1.SecretTypeBootstrapToken
}

// Label returns the first label that would make a sealing key of a Secret, empty for none. Whoever writes one in the
// controller's namespace chooses the key that everybody seals to, and opens what they seal.
func Label(labels map[string]string) string {
	for _, label := range []string{ssv1.LabelSealingKey, ssv1.LabelNativeKey} {
		if _, ok := labels[label]; ok {
			return label
		}
	}
	return ""
}

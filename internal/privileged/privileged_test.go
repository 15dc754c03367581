package privileged

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	ssv1 "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

func TestSecretsThatAreCredentialsOfTheClusterAreKnownByTheirType(t *testing.T) {
	t.Parallel()
	for secretType, want := range map[corev1.SecretType]bool{
		"kubernetes.io/service-account-token": true, "bootstrap.kubernetes.io/token": true,
		"": false, "Opaque": false, "kubernetes.io/tls": false, "kubernetes.io/dockerconfigjson": false, "example.com/own": false,
	} {
		if got := Type(secretType); got != want {
			t.Errorf("%q: %v", secretType, got)
		}
	}
}

func TestSealingKeysAreKnownByTheirLabelWhateverItSays(t *testing.T) {
	t.Parallel()
	for _, label := range []string{ssv1.LabelSealingKey, ssv1.LabelNativeKey} {
		for _, value := range []string{"active", "", "anything"} {
			if got := Label(map[string]string{"app": "x", label: value}); got != label {
				t.Errorf("%s=%q: %q", label, value, got)
			}
		}
	}
	if got := Label(map[string]string{"app": "x", ssv1.LabelSealedBy: "uid"}); got != "" {
		t.Errorf("%q makes no sealing key", got)
	}
}

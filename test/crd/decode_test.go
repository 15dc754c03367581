package crd_test

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// One stored object that our types cannot read would fail the list of every object of its kind, and so stop the controller
// for all tenants. What a schema lets in must therefore be readable; each of these is refused or read.
func TestWhateverTheServerAcceptsOurTypesCanRead(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	namespace := cp.Namespace(t)
	for name, spec := range odd() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := parse(t, spec)
			obj.SetNamespace(namespace)
			obj.SetGenerateName("odd-")
			err := c.Create(t.Context(), obj)
			if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
				t.Logf("refused: %v", err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(obj), typed(t, c, obj)); err != nil {
				t.Errorf("the server accepts what we cannot read: %v", err)
			}
		})
	}
}

// odd returns manifests that put into each kind of field what its Go type has no room for.
func odd() map[string]string {
	es := "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nspec:\n  data: [{secretKey: a, remoteRef: {key: a}}]\n  "
	store := "apiVersion: external-secrets.io/v1\nkind: SecretStore\nspec:\n  provider: {fake: {data: []}}\n  "
	provider := "apiVersion: external-secrets.io/v1beta1\nkind: SecretStore\nspec:\n  provider: "
	ss := "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec:\n  "
	gs := "apiVersion: sealbridge.dev/v1alpha1\nkind: GitSync\nspec:\n  url: https://a.example/b\n  prune: true\n  "
	out := map[string]string{
		"seconds beyond an int32":         store + "refreshInterval: 3000000000",
		"fractional seconds":              store + "refreshInterval: 1.5",
		"retries beyond an int32":         store + "retrySettings: {maxRetries: 3000000000}",
		"retry interval that is a number": store + "retrySettings: {retryInterval: 5}",
		"validation result beyond int32":  provider + "{fake: {data: [], validationResult: 3000000000}}",
		"days beyond an int64":            provider + "{aws: {service: SecretsManager, region: a, secretsManager: {recoveryWindowInDays: 10000000000000000000}}}",
		"days with an exponent":           provider + "{aws: {service: SecretsManager, region: a, secretsManager: {recoveryWindowInDays: 1e3}}}",
		"seconds as a float":              provider + "{vault: {server: a, auth: {jwt: {kubernetesServiceAccountToken: {serviceAccountRef: {name: a}, expirationSeconds: 600.0}}}}}",
		"CA that is not base64":           provider + "{vault: {server: a, caBundle: '-----BEGIN'}}",
		"CA with bad padding":             provider + "{vault: {server: a, caBundle: 'QQ='}}",
		"CA as base64url":                 provider + "{webhook: {url: a, caBundle: '_-8='}}",
		"CA with line breaks":             provider + "{kubernetes: {server: {caBundle: \"QUFB\\nQUFB\\n\"}}}",
		"null member":                     provider + "{vault: null}",
		"null provider":                   provider + "null",
		"null beside a member":            provider + "{vault: null, akeyless: {}}",
		"other provider that is a text":   provider + "{doppler: text}",
		"other provider that is a list":   provider + "{doppler: [1, [null]]}",
		"other provider that is null":     provider + "{doppler: null}",
		"built-in provider in capitals":   provider + "{Vault: {server: a}}",
		"empty name of a provider":        provider + "{'': {}}",
		"value that is a number":          provider + "{fake: {data: [{key: a, value: 1}]}}",
		"null in a list":                  provider + "{fake: {data: [null]}}",
		"null in a list of texts":         provider + "{aws: {service: SecretsManager, region: a, transitiveTagKeys: [null]}}",
		"null in a map of texts":          provider + "{webhook: {url: a, headers: {a: null}}}",
		"null in labels of the template":  es + "target: {template: {metadata: {labels: {a: null}}}}",
		"null target":                     es + "target: null",
		"sealed value that is a number":   ss + "encryptedData: {a: 1}",
		"sealed value that is null":       ss + "encryptedData: {a: null}",
		"sealed data that is not base64":  ss + "{data: '%%', encryptedData: {}}",
		"null template":                   ss + "{template: null, encryptedData: {}}",
		"null parts of a template":        ss + "{template: {metadata: null, data: null, immutable: null}, encryptedData: {}}",
		"template value that is a number": ss + "{template: {data: {a: 1}}, encryptedData: {}}",
		"odd members of metadata":         ss + "{template: {metadata: {creationTimestamp: 5, ownerReferences: x, generation: y}}, encryptedData: {}}",
		"label that is a number":          ss + "{template: {metadata: {labels: {a: 1}}}, encryptedData: {}}",
		"finalizer that is a map":         ss + "{template: {metadata: {finalizers: [{}]}}, encryptedData: {}}",
		"chart values that are a list":    gs + "interval: 1m\n  helm: {values: [a]}",
		"chart values that are null":      gs + "interval: 1m\n  helm: {values: null}",
		"chart values of any depth":       gs + "interval: 1m\n  helm: {values: {a: [1, {b: null}]}}",
	}
	for _, duration := range []string{"''", "' '", "1", "null", "1d", "5", "banana", "1h ", "-5m", "+5m", ".5h", "1.5.5h", "0", "9999999h", "1e3s", "1µs", "1μs", "2562048h", "5m5"} {
		out["duration "+duration+" of an ExternalSecret"] = es + "refreshInterval: " + duration
		out["duration "+duration+" of a sync window"] = es + "syncWindows: {kind: deny, windows: [{schedule: '@daily', duration: " + duration + "}]}"
		out["duration "+duration+" of a store"] = store + "refreshInterval: " + duration
		out["duration "+duration+" of a webhook"] = provider + "{webhook: {url: a, timeout: " + duration + "}}"
		out["duration "+duration+" of a GitSync"] = gs + "interval: " + duration
	}
	return out
}

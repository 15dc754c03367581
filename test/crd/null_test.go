package crd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// Charts write null where a value was not set. These are the fields that have a default in the definitions of External Secrets
// Operator 2.9, where null is the default.
func TestNullIsWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	c := newClient(t, cp)
	for i, tt := range []struct{ kind, spec string }{
		{"ExternalSecret", `{secretStoreRef: {name: s}, refreshInterval: null, target: null, data: [{secretKey: a, remoteRef: {key: a}}]}`},
		{"ExternalSecret", `{secretStoreRef: {name: s}, target: {creationPolicy: null, deletionPolicy: null, template: null}, data: [{secretKey: a, remoteRef: {key: a}}]}`},
		{"ExternalSecret", `{secretStoreRef: {name: s}, target: {name: t, template: {engineVersion: null, mergePolicy: null, templateFrom: [
			{target: null, configMap: {name: c, items: [{key: k, templateAs: null}]}}, {secret: {name: c, items: [{key: k, templateAs: null}]}}]}},
			data: [{secretKey: a, remoteRef: {key: a, conversionStrategy: null, decodingStrategy: null, metadataPolicy: null}}]}`},
		{"ExternalSecret", `{secretStoreRef: {name: s}, dataFrom: [
			{extract: {key: a, conversionStrategy: null, decodingStrategy: null, metadataPolicy: null}, rewrite: [{merge: {conflictPolicy: null, into: null, priorityPolicy: null, strategy: null}}]},
			{find: {name: {regexp: a}, conversionStrategy: null, decodingStrategy: null}}, {sourceRef: {generatorRef: {apiVersion: null, kind: Fake, name: f}}}]}`},
		{"SecretStore", `{provider: {aws: {service: SecretsManager, region: r, sessionTagsPolicy: null}}}`},
		{"SecretStore", `{provider: {azurekv: {vaultUrl: "https://v", authType: null, environmentType: null, useAzureSDK: null}}}`},
		{"SecretStore", `{provider: {gcpsm: {projectID: p, secretVersionSelectionPolicy: null}}}`},
		{"SecretStore", `{provider: {kubernetes: {remoteNamespace: null, server: {url: null}, auth: {serviceAccount: {name: a}}}}}`},
		{"SecretStore", `{provider: {vault: {server: "https://v", version: null, auth: {appRole: {path: null, roleId: r, secretRef: {name: s, key: k}}}}}}`},
		{"SecretStore", `{provider: {vault: {server: "https://v", auth: {kubernetes: {mountPath: null, role: r}}}}}`},
		{"SecretStore", `{provider: {vault: {server: "https://v", auth: {ldap: {path: null, username: u, secretRef: {name: s, key: k}}}}}}`},
		{"SecretStore", `{provider: {vault: {server: "https://v", auth: {userPass: {path: null, username: u, secretRef: {name: s, key: k}}}}}}`},
		{"SecretStore", `{provider: {vault: {server: "https://v", auth: {jwt: {path: null, role: r, secretRef: {name: s, key: k}}}}}}`},
		{"SecretStore", `{provider: {vault: {server: "https://v", auth: {cert: {path: null, clientCert: {name: s, key: k}, secretRef: {name: s, key: k}}}}}}`},
		{"SecretStore", `{provider: {vault: {server: "https://v", auth: {gcp: {path: null, role: r}}}}}`},
	} {
		for _, version := range []string{"v1", "v1beta1"} {
			name := fmt.Sprintf("%s-%d", version, i)
			manifest := fmt.Sprintf("{apiVersion: external-secrets.io/%s, kind: %s, metadata: {name: %s, namespace: %s}, spec: %s}", version, tt.kind, name, ns, tt.spec)
			obj := parse(t, strings.ReplaceAll(manifest, "\n\t\t\t", " "))
			if err := c.Create(t.Context(), obj); err != nil {
				t.Errorf("%s %s: %v", version, tt.spec, err)
				continue
			}
			typed := map[string]client.Object{"ExternalSecret": &esv1.ExternalSecret{}, "SecretStore": &esv1.SecretStore{}}[tt.kind]
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(obj), typed); err != nil {
				t.Errorf("%s %s: %v", version, tt.spec, err)
			}
		}
	}
}

// Server-side apply makes null of what had fields and is {} now.
func TestWhatBecomesEmptyByServerSideApplyIsEmpty(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	c := newClient(t, cp)
	for i, tt := range []struct{ before, after string }{
		{"target: {name: t}", "target: {}"},
		{"target: {creationPolicy: Orphan}", "refreshPolicy: Periodic"},
		{"target: {template: {type: example.com/kind}}", "target: {template: {}}"},
		{"target: {name: t, template: {data: {a: b}}}", "target: {template: {}}"},
	} {
		name := fmt.Sprint("app-", i)
		for _, part := range []string{tt.before, tt.after} {
			manifest := fmt.Sprintf("{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: %s, namespace: %s}, spec: {%s, secretStoreRef: {name: s}, data: [{secretKey: a, remoteRef: {key: a}}]}}", name, ns, part)
			if out, err := cp.Kubectl(t.Context(), manifest, "apply", "--server-side", "-f", "-"); err != nil {
				t.Fatalf("%s: %v\n%s", part, err, out)
			}
		}
		var es esv1.ExternalSecret
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &es); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(esv1.Target{}, es.Spec.Target); diff != "" {
			t.Errorf("%s: %s", tt.after, diff)
		}
	}
}

package crd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// rule is one thing that a schema refuses, and what is nearest to it and fine.
type rule struct {
	kind     string
	says     string // what the refusal contains; the message of a CEL rule where there is one
	refused  []string
	accepted []string
}

// frame is the smallest valid manifest of a kind, with room for the version and for what a rule is about.
func frame(kind string) string {
	return map[string]string{
		"ExternalSecret":        `{apiVersion: external-secrets.io/%s, kind: ExternalSecret, metadata: {generateName: r-}, spec: {%s}}`,
		"SecretStore":           `{apiVersion: external-secrets.io/%s, kind: SecretStore, metadata: {generateName: r-}, spec: {%s}}`,
		"ClusterExternalSecret": `{apiVersion: external-secrets.io/%s, kind: ClusterExternalSecret, metadata: {generateName: r-}, spec: {externalSecretSpec: {data: [{secretKey: a, remoteRef: {key: a}}]}, %s}}`,
		"SealedSecret":          `{apiVersion: bitnami.com/%s, kind: SealedSecret, metadata: {generateName: r-}, spec: {%s}}`,
		"GitSync":               `{apiVersion: sealbridge.dev/%s, kind: GitSync, metadata: {generateName: r-}, spec: {interval: 1m, prune: true, %s}}`,
	}[kind]
}

const (
	data     = `data: [{secretKey: a, remoteRef: {key: a}}]`
	sameKeys = `data: [{secretKey: a, remoteRef: {key: a}}, {secretKey: a, remoteRef: {key: b}}]`
	url      = `url: "https://git.example.com/a"`
	saToken  = `type: kubernetes.io/service-account-token`
)

func TestEachRuleRefusesWhatCannotWorkAndNothingElse(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	namespace := cp.Namespace(t)
	for name, r := range rules() {
		for _, version := range served(t, r.kind) {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				for _, spec := range r.refused {
					err := create(t, c, namespace, fmt.Sprintf(frame(r.kind), version, spec))
					if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), r.says) {
						t.Errorf("%s\nwant a refusal that says %q, got %v", spec, r.says, err)
					}
				}
				for _, spec := range r.accepted {
					if err := create(t, c, namespace, fmt.Sprintf(frame(r.kind), version, spec)); err != nil {
						t.Errorf("%s\nis fine and was refused: %v", spec, err)
					}
				}
			})
		}
	}
}

func TestEachRuleIsTried(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{}
	for name, r := range rules() {
		tried[r.says] = true
		if len(r.refused) == 0 || len(r.accepted) == 0 {
			t.Errorf("%s has no manifest that is refused, or none that is accepted", name)
		}
	}
	for _, version := range versions(t) {
		walk("", version.schema, func(path string, node map[string]any) {
			list, _ := node["x-kubernetes-validations"].([]any)
			for _, entry := range list {
				message, _ := entry.(map[string]any)["message"].(string)
				if !tried[message] {
					t.Errorf("no test for the rule of %s %s %s: %q", version.kind, version.name, path, message)
				}
			}
		})
	}
}

func create(t *testing.T, c client.Client, namespace, manifest string) error {
	t.Helper()
	obj := parse(t, manifest)
	place(t, c, obj, namespace)
	err := c.Create(t.Context(), obj, client.FieldValidation("Strict"))
	if err == nil {
		t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), obj) })
	}
	return err
}

// served returns the served versions of a kind.
func served(t *testing.T, kind string) []string {
	t.Helper()
	var out []string
	for _, v := range versions(t) {
		if v.kind == kind && v.served {
			out = append(out, v.name)
		}
	}
	return out
}

func rules() map[string]rule {
	out := map[string]rule{}
	for _, part := range []map[string]rule{externalSecretRules(), templateRules(), lengthRules(), storeRules(), clusterRules(), otherRules(), gitSyncRules()} {
		for name, r := range part {
			out[name] = r
		}
	}
	return out
}

func externalSecretRules() map[string]rule {
	const gen = `generatorRef: {kind: Password, name: a}`
	return map[string]rule{
		"something to fetch": {
			kind: "ExternalSecret", says: "set data or dataFrom: without them there is nothing to fetch",
			refused:  []string{``, `data: []`, `data: [], dataFrom: []`},
			accepted: []string{data, `dataFrom: [{extract: {key: a}}]`},
		},
		"each key once": {
			kind: "ExternalSecret", says: "data names a secretKey twice: remove one of the entries",
			refused: []string{
				sameKeys, sameKeys + `, target: {name: a}`, sameKeys + `, target: {deletionPolicy: Retain}`,
				strings.Replace(sameKeys, "[", "[{secretKey: b, remoteRef: {key: a}}, ", 1),
				manyKeys(99, 98),
			},
			// Beyond 100 entries there are too many for an API server to compare.
			accepted: []string{sameKeys + `, target: {deletionPolicy: Merge}`, sameKeys + `, target: {deletionPolicy: Delete}`, manyKeys(1000), manyKeys(100, 98)},
		},
		"refresh interval": {
			kind: "ExternalSecret", says: "must be a duration such as 30s, 15m or 1h30m",
			refused:  []string{data + `, refreshInterval: 1d`},
			accepted: []string{data + `, refreshInterval: 0s`, data + `, refreshInterval: "0"`, data + `, refreshInterval: 1h30m`},
		},
		"length of a sync window": {
			kind: "ExternalSecret", says: "must be a duration such as 30m or 8h",
			refused:  []string{data + `, syncWindows: {kind: deny, windows: [{schedule: "@daily", duration: 1d}]}`},
			accepted: []string{data + `, syncWindows: {kind: allow, windows: [{schedule: "0 22 * * 1-5", duration: 8h}]}`},
		},
		"schedule of a sync window": {
			kind: "ExternalSecret", says: "spec.syncWindows.windows[0].schedule in body should match",
			refused:  []string{data + `, syncWindows: {kind: deny, windows: [{schedule: "* * *", duration: 1h}]}`},
			accepted: []string{data + `, syncWindows: {kind: deny, windows: [{schedule: "@every 6h", duration: 1h}]}`},
		},
		"a source for dataFrom": {
			kind: "ExternalSecret", says: "set extract, find or sourceRef.generatorRef",
			refused:  []string{`dataFrom: [{}]`, `dataFrom: [{rewrite: [{regexp: {source: a, target: b}}]}]`},
			accepted: []string{`dataFrom: [{find: {name: {regexp: a}}}, {sourceRef: {` + gen + `}}]`},
		},
		"one source for dataFrom": {
			kind: "ExternalSecret", says: "keep one of extract, find and sourceRef.generatorRef, and move the others to entries of their own",
			refused:  []string{`dataFrom: [{extract: {key: a}, find: {}}]`, `dataFrom: [{extract: {key: a}, sourceRef: {` + gen + `}}]`, `dataFrom: [{find: {}, sourceRef: {` + gen + `}}]`},
			accepted: []string{`dataFrom: [{extract: {key: a}, sourceRef: {storeRef: {name: a}}}]`},
		},
		"one member of sourceRef": {
			kind: "ExternalSecret", says: "spec.dataFrom[0].sourceRef",
			refused:  []string{`dataFrom: [{sourceRef: {}}]`, `dataFrom: [{sourceRef: {storeRef: {name: a}, ` + gen + `}}]`},
			accepted: []string{`dataFrom: [{find: {}, sourceRef: {storeRef: {name: a, kind: ClusterSecretStore}}}]`},
		},
		"one operation per rewrite": {
			kind: "ExternalSecret", says: "spec.dataFrom[0].rewrite[0]",
			refused:  []string{`dataFrom: [{find: {}, rewrite: [{}]}]`, `dataFrom: [{find: {}, rewrite: [{merge: {}, transform: {template: a}}]}]`},
			accepted: []string{`dataFrom: [{find: {}, rewrite: [{merge: {}}, {transform: {template: a}}]}]`},
		},
		"kind of store": {
			kind: "ExternalSecret", says: `supported values: "SecretStore", "ClusterSecretStore"`,
			refused:  []string{data + `, secretStoreRef: {name: a, kind: Vault}`},
			accepted: []string{data + `, secretStoreRef: {name: a}`},
		},
	}
}

func templateRules() map[string]rule {
	target := func(fields string) string { return data + `, target: {` + fields + `}` }
	template := func(fields string) string { return target(`template: {` + fields + `}`) }
	return map[string]rule{
		"who may delete": {
			kind: "ExternalSecret", says: "deletionPolicy Delete needs creationPolicy Owner or Orphan: a Secret that others write to is not ours to delete",
			refused:  []string{target(`deletionPolicy: Delete, creationPolicy: Merge`), target(`deletionPolicy: Delete, creationPolicy: None`), target(`deletionPolicy: Delete, creationPolicy: CreateOrMerge`)},
			accepted: []string{target(`deletionPolicy: Delete`), target(`deletionPolicy: Delete, creationPolicy: Owner`), target(`deletionPolicy: Delete, creationPolicy: Orphan`)},
		},
		"something to merge into": {
			kind: "ExternalSecret", says: "deletionPolicy Merge needs another creationPolicy than None: there is no Secret to remove keys from",
			refused:  []string{target(`deletionPolicy: Merge, creationPolicy: None`)},
			accepted: []string{target(`deletionPolicy: Merge`), target(`deletionPolicy: Merge, creationPolicy: Merge`), target(`creationPolicy: None`)},
		},
		"parts of a Secret": {
			kind: "ExternalSecret", says: "templateFrom[].target must be Data, Annotations or Labels when the target is a Secret",
			refused:  []string{template(`templateFrom: [{literal: a, target: type}]`), template(`templateFrom: [{literal: a, target: Data}, {literal: a, target: type}]`), target(`manifest: {apiVersion: v1, kind: Secret}, template: {templateFrom: [{literal: a, target: metadata.ownerReferences}]}`)},
			accepted: []string{template(`templateFrom: [{literal: a}, {literal: a, target: ""}, {literal: a, target: data}, {literal: a, target: LABELS}]`), target(`manifest: {apiVersion: v1, kind: ConfigMap}, template: {templateFrom: [{literal: a, target: spec.a}]}`)},
		},
		"tokens that join nodes": {
			kind: "ExternalSecret", says: "type bootstrap.kubernetes.io/token is refused: it would let nodes join the cluster",
			refused:  []string{template(`type: bootstrap.kubernetes.io/token`)},
			accepted: []string{template(`type: kubernetes.io/tls`)},
		},
		"tokens of accounts": {
			kind: "ExternalSecret", says: "type kubernetes.io/service-account-token is refused together with annotations that name the account: it would mint a token; use the TokenRequest API",
			refused:  []string{template(saToken + `, metadata: {annotations: {kubernetes.io/service-account.name: a}}`), template(saToken + `, templateFrom: [{literal: a, target: annotations}]`), template(saToken + `, templateFrom: [{literal: a}, {literal: a, target: Annotations}]`)},
			accepted: []string{template(saToken), template(saToken + `, metadata: {annotations: {a: b}}, templateFrom: [{literal: a, target: Labels}]`)},
		},
		"engine version": {
			kind: "ExternalSecret", says: `supported values: "v2"`,
			refused:  []string{template(`engineVersion: v1`)},
			accepted: []string{template(`engineVersion: v2`)},
		},
	}
}

// lengthRules are the bounds of lists, without which the other rules would take an API server too long.
func lengthRules() map[string]rule {
	list := func(entry string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(entry+", ", n), ", ") + "]"
	}
	from := func(n int) string { return "dataFrom: " + list("{extract: {key: a}}", n) }
	templates := func(n int) string {
		return data + ", target: {template: {templateFrom: " + list(`{literal: "a: b"}`, n) + "}}"
	}
	windows := func(n int) string {
		return data + ", syncWindows: {kind: allow, windows: " + list(`{schedule: "@daily", duration: 1h}`, n) + "}"
	}
	return map[string]rule{
		"data of more than 1000 entries": {
			kind: "ExternalSecret", says: "spec.data: Too many: 1001: must have at most 1000 items", refused: []string{manyKeys(1001)}, accepted: []string{manyKeys(1000)},
		},
		"dataFrom of more than 1000 entries": {
			kind: "ExternalSecret", says: "spec.dataFrom: Too many: 1001: must have at most 1000 items", refused: []string{from(1001)}, accepted: []string{from(1000)},
		},
		"more than 100 templates from elsewhere": {
			kind: "ExternalSecret", says: "spec.target.template.templateFrom: Too many: 101: must have at most 100 items", refused: []string{templates(101)}, accepted: []string{templates(100)},
		},
		"more than 100 windows": {
			kind: "ExternalSecret", says: "spec.syncWindows.windows: Too many: 101: must have at most 100 items", refused: []string{windows(101)}, accepted: []string{windows(100)},
		},
	}
}

func storeRules() map[string]rule {
	const sa = `serviceAccount: {name: a}`
	kube := func(fields string) string { return `provider: {kubernetes: {` + fields + `}}` }
	aws := func(fields string) string {
		return `provider: {aws: {service: SecretsManager, region: a, ` + fields + `}}`
	}
	return map[string]rule{
		"a provider": {
			kind: "SecretStore", says: "spec.provider in body should have at least 1 properties",
			refused:  []string{`provider: {}`},
			accepted: []string{`provider: {fake: {data: []}}`},
		},
		"one provider": {
			kind: "SecretStore", says: "spec.provider: Too many: 2: must have at most 1 item",
			refused:  []string{`provider: {fake: {data: []}, vault: {server: a}}`, `provider: {fake: {data: []}, akeyless: {}}`},
			accepted: []string{`provider: {akeyless: {anything: [1]}}`},
		},
		"one way into a cluster": {
			kind: "SecretStore", says: "set exactly one of cert, token and serviceAccount",
			refused:  []string{kube(`auth: {}`), kube(`auth: {` + sa + `, token: {bearerToken: {name: a}}}`)},
			accepted: []string{kube(`auth: {` + sa + `}`), kube(`auth: {cert: {clientCert: {name: a}, clientKey: {name: a}}}`), kube(`authRef: {name: a}`), kube(``)},
		},
		"tags of the controller": {
			kind: "SecretStore", says: "remove esoNamespace, esoStoreName and esoStoreKind: these tags are set by the controller",
			refused:  []string{aws(`customSessionTags: {esoNamespace: a}`), aws(`customSessionTags: {esoStoreName: a}`), aws(`customSessionTags: {a: b, esoStoreKind: a}`)},
			accepted: []string{aws(`sessionTagsPolicy: Custom, customSessionTags: {team: a}`)},
		},
		"timeout of a webhook": {
			kind: "SecretStore", says: "must be a duration such as 30s or 1m30s",
			refused:  []string{`provider: {webhook: {url: a, timeout: soon}}`},
			accepted: []string{`provider: {webhook: {url: a, timeout: 5s}}`},
		},
		"interval of a store": {
			kind: "SecretStore", says: "must be a number of seconds or a duration such as 5m, and not negative",
			refused:  []string{`refreshInterval: -1, provider: {fake: {data: []}}`, `refreshInterval: "60", provider: {fake: {data: []}}`, `refreshInterval: -1s, provider: {fake: {data: []}}`},
			accepted: []string{`refreshInterval: 0, provider: {fake: {data: []}}`, `refreshInterval: 60, provider: {fake: {data: []}}`, `refreshInterval: 2147483647, provider: {fake: {data: []}}`, `refreshInterval: 0s, provider: {fake: {data: []}}`, `refreshInterval: 5m, provider: {fake: {data: []}}`},
		},
	}
}

func otherRules() map[string]rule {
	return map[string]rule{
		"one sealed format": {
			kind: "SealedSecret", says: "remove data (the deprecated format) or encryptedData: a SealedSecret holds one of them",
			refused:  []string{`data: AgA=, encryptedData: {a: AgA=}`},
			accepted: []string{`data: AgA=, encryptedData: {}`, `encryptedData: {}, template: {data: {a: b}}`, `encryptedData: {a: AgA=}`},
		},
		"sealed values": {
			kind: "SealedSecret", says: "spec.encryptedData: Required value",
			refused:  []string{`template: {}`},
			accepted: []string{`encryptedData: {}`},
		},
	}
}

func gitSyncRules() map[string]rule {
	const interval = "must be a duration of at least 1s, such as 30s or 5m"
	hash := strings.Repeat("0123456789abcdef0123", 2)
	return map[string]rule{
		"scheme of the URL": {
			kind: "GitSync", says: "use a URL that starts with https:// or ssh:// and a host",
			refused:  []string{`url: "http://a.example/b"`, `url: "git@a.example:b"`, `url: "file:///etc"`, `url: "ext::sh -c id"`, `url: "https://"`, `url: ""`, `url: "ssh://-oProxyCommand=id/b"`, `url: "ssh://git@-oProxyCommand=id/b"`, `url: "ssh://-l@a.example/b"`, `url: "x+https://a.example/b"`},
			accepted: []string{url, `url: "ssh://git@a.example:2222/b.git"`, `url: "https://[::1]:8443/b"`, `url: "https://127.0.0.1:8443/b"`},
		},
		"no credentials in the URL": {
			kind: "GitSync", says: "remove the user and password from the URL, and name a Secret that holds them in secretRef",
			refused:  []string{`url: "https://user:pass@a.example/b"`, `url: "https://token@a.example/b"`, `url: "ssh://git:pass@a.example/b"`},
			accepted: []string{`url: "https://a.example/b@c"`, `url: "ssh://a.example/b"`},
		},
		"nothing but the repository in the URL": {
			kind: "GitSync", says: "remove the query, the fragment and white space from the URL; a branch or tag belongs into ref",
			refused:  []string{`url: "https://a.example/b?token=c"`, `url: "https://a.example/b#main"`, `url: "https://a.example/b c"`},
			accepted: []string{url},
		},
		"one reference": {
			kind: "GitSync", says: "set exactly one of branch, tag, semver, name and commit",
			refused:  []string{url + `, ref: {}`, url + `, ref: {branch: main, commit: ` + hash + `}`, url + `, ref: {branch: main, tag: v1}`, url + `, ref: {tag: v1, semver: "1"}`, url + `, ref: {semver: "1", name: refs/heads/a}`, url + `, ref: {name: refs/heads/a, commit: ` + hash + `}`},
			accepted: []string{url + `, ref: {branch: main}`, url + `, ref: {tag: v1}`, url + `, ref: {name: refs/heads/a}`, url + `, ref: {semver: ">=1.0.0"}`, url + `, ref: {commit: ` + hash + `}`},
		},
		"whole commits": {
			kind: "GitSync", says: "spec.ref.commit in body should match",
			refused:  []string{url + `, ref: {commit: abc1234}`},
			accepted: []string{url + `, ref: {commit: ` + hash + `}`},
		},
		"intervals": {
			kind: "GitSync", says: interval,
			// The first end the spec and give the object another one, as the frame has an interval.
			refused:  []string{url + `}, spec: {interval: 999ms, prune: true, ` + url, url + `, timeout: 0s`, url + `, retryInterval: 10ms`, url + `, retryInterval: soon`},
			accepted: []string{url + `}, spec: {interval: 1s, prune: true, ` + url, url + `, timeout: 1s, retryInterval: 1m30s`},
		},
		"paths": {
			kind: "GitSync", says: "must be relative to the root of the repository and must not contain '..'",
			refused:  []string{url + `, path: /etc`, url + `, path: ../a`, url + `, path: a/../../b`, url + `, path: ..`},
			accepted: []string{url + `, path: ./apps/a`, url + `, path: a..b/..c`, url + `, path: ""`},
		},
		"paths of values": {
			kind: "GitSync", says: "must be relative to the chart's folder and must not contain '..'",
			refused:  []string{url + `, helm: {valuesFiles: [a.yaml, ../b.yaml]}`, url + `, helm: {valuesFiles: [/a.yaml]}`},
			accepted: []string{url + `, helm: {valuesFiles: [a.yaml, env/b.yaml]}`},
		},
		"a namespace to create": {
			kind: "GitSync", says: "createNamespace needs targetNamespace, the namespace to create",
			refused:  []string{url + `, createNamespace: true`},
			accepted: []string{url + `, createNamespace: true, targetNamespace: a`, url + `, createNamespace: false`},
		},
		"length of the name": {
			kind: "GitSync", says: "metadata.name must have at most 63 characters: it is the value of a label on each applied object",
			// These end the spec and give the object another name than the frame's.
			refused:  []string{url + `}, metadata: {name: ` + strings.Repeat("a", 64)},
			accepted: []string{url + `}, metadata: {name: ` + strings.Repeat("a", 63)},
		},
		"plain values": {
			kind: "GitSync", says: `supported values: "Deny", "Allow"`,
			refused:  []string{url + `, plaintextSecrets: Warn`},
			accepted: []string{url + `, plaintextSecrets: Allow`, url + `, plaintextSecrets: Deny`},
		},
	}
}

// manyKeys is a list of n different keys, each as long as a key can be, and of those that come again.
func manyKeys(n int, again ...int) string {
	entries := make([]string, n+len(again))
	for i := range entries {
		key := i
		if i >= n {
			key = again[i-n]
		}
		entries[i] = fmt.Sprintf(`{secretKey: k%0252d, remoteRef: {key: a}}`, key)
	}
	return `data: [` + strings.Join(entries, ", ") + `]`
}

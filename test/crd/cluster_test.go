package crd_test

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestWhatIsRefusedOfAnExternalSecretIsRefusedWhereverAClusterExternalSecretHoldsIt(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	const holder = `{apiVersion: external-secrets.io/%s, kind: ClusterExternalSecret, metadata: {generateName: h-}, spec: {externalSecretSpec: {%s}}}`
	for name, r := range rules() {
		if r.kind != "ExternalSecret" {
			continue
		}
		for _, version := range served(t, "ClusterExternalSecret") {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				for _, spec := range r.refused {
					err := create(t, c, "", fmt.Sprintf(holder, version, spec))
					if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), strings.TrimPrefix(r.says, "spec.")) {
						t.Errorf("%s\nwant a refusal that says %q, got %v", spec, r.says, err)
					}
				}
				for _, spec := range r.accepted {
					if err := create(t, c, "", fmt.Sprintf(holder, version, spec)); err != nil {
						t.Errorf("%s\nis fine and was refused: %v", spec, err)
					}
				}
			})
		}
	}
}

func clusterRules() map[string]rule {
	return map[string]rule{
		"refresh time": {
			kind: "ClusterExternalSecret", says: "must be a duration such as 15m or 1h30m, and not negative",
			refused:  []string{`refreshTime: 1d`, `refreshTime: -5m`, `refreshTime: -1ms`},
			accepted: []string{`refreshTime: 0s`, `refreshTime: 1h30m`},
		},
		"name of the ExternalSecrets": {
			kind: "ClusterExternalSecret", says: "spec.externalSecretName in body should",
			refused:  []string{`externalSecretName: ""`, `externalSecretName: A`},
			accepted: []string{`externalSecretName: a.b-c`},
		},
		"names of namespaces": {
			kind: "ClusterExternalSecret", says: "spec.namespaces[0] in body should",
			refused:  []string{`namespaces: [a.b]`, `namespaces: [""]`},
			accepted: []string{`namespaces: [a-b]`, `namespaceSelector: {}`, `namespaceSelectors: [{matchExpressions: [{key: a, operator: Exists}]}]`},
		},
	}
}

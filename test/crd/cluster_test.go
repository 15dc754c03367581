package crd_test

func clusterRules() map[string]rule {
	return map[string]rule{
		"refresh time": {
			kind: "ClusterExternalSecret", says: "must be a duration such as 15m or 1h30m, and not negative",
			refused:  []string{`refreshTime: 1d`, `refreshTime: -5m`},
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

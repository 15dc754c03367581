package layers

import "slices"

// Names that several rules use.
const (
	apimachinery      = "k8s.io/apimachinery/..."
	coreTypes         = "k8s.io/api/core/v1"
	clientGo          = "k8s.io/client-go/..."
	controllerRuntime = "sigs.k8s.io/controller-runtime/..."
)

// Rules returns the layers of the house: an import that is not allowed here is refused.
func Rules() []Rule { return slices.Concat(foundations(), programs()) }

// foundations are the rules of what others build on.
func foundations() []Rule {
	return []Rule{
		{
			From: []string{"api/..."}, May: []string{"api/..."}, MayOutside: []string{apimachinery, coreTypes}, Never: []string{clientGo, controllerRuntime},
			Why: "api holds types for everyone: it may import apimachinery and core/v1 alone",
		},
		{
			From: []string{"providers"}, May: []string{}, MayOutside: []string{},
			Why: "the provider contract must outlive API versions and work out of process: it may import the standard library alone",
		},
		{
			From: []string{"providers/providertest/..."}, May: []string{"providers", "providers/providertest/...", "test/harness/goroutines"},
			Why: "the conformance suite knows the contract alone, and what finds goroutines that are left",
		},
		{
			From: []string{"providers/builtin"}, May: []string{"providers", "providers/*"},
			Why: "builtin is the list of providers and nothing else",
		},
		{
			From: []string{"providers/internal/..."}, May: []string{"providers", "providers/internal/...", "api/stores", "internal/archive", "internal/jsonhttp", "internal/property", "internal/proxy"}, Never: []string{clientGo, controllerRuntime},
			Why: "what providers share knows the contract and the stores' configuration alone",
		},
		{
			From: []string{"providers/$/..."}, Except: []string{"providers", "providers/providertest/...", "providers/builtin", "providers/internal/..."},
			May: []string{"providers", "providers/$/...", "providers/internal/...", "api/stores", "internal/aliases", "internal/archive", "internal/expression", "internal/jsonhttp", "internal/large", "internal/property", "internal/proxy", "internal/template"},
			Why: "a provider may import the contract, the stores' configuration, internal/aliases, internal/archive, internal/expression, internal/jsonhttp, internal/large, internal/property, internal/proxy and internal/template: no other provider, no controller",
		},
		{
			From: []string{"providers/..."}, Except: []string{"providers/webhook/...", "providers/builtin"}, Never: []string{"internal/template"},
			Why: "no provider but webhook has templates",
		},
		{
			From: []string{"providers/..."}, Except: []string{"providers/kubernetes/...", "providers/builtin"}, Never: []string{clientGo, controllerRuntime},
			Why: "no provider but kubernetes reaches a Kubernetes client",
		},
		{
			From: []string{"crypto/..."}, May: []string{"crypto/..."}, Never: []string{"k8s.io/...", "sigs.k8s.io/controller-runtime/...", "api/..."},
			Why: "crypto seals and opens bytes: it knows neither Kubernetes nor our API",
		},
		{
			From: []string{"internal/..."}, May: []string{"internal/...", "api/...", "crypto/...", "providers"}, Never: []string{clientGo, controllerRuntime},
			Why: "internal is pure domain code: it may import apimachinery, api, crypto and the contract's error classes",
		},
	}
}

// programs are the rules of controllers, plugins and commands, and those that hold everywhere.
func programs() []Rule {
	return []Rule{
		{
			From: []string{"controllers/flow", "controllers/conditions/..."}, May: []string{"controllers/conditions", "internal/...", "providers", "api/..."},
			Why: "the reconciler engine knows no reconciler and no backend",
		},
		{
			From: []string{"controllers/metrics"}, May: []string{}, Never: []string{clientGo},
			Why: "registering metrics knows no controller",
		},
		{
			From: []string{"controllers/announce"}, May: []string{"internal/..."},
			Why: "writing events knows no controller",
		},
		{
			From: []string{"controllers/sessions/..."}, May: []string{"controllers/sessions/...", "controllers/watches", "internal/...", "providers", "api/..."},
			Why: "sessions know providers through the contract alone",
		},
		{
			From: []string{"controllers/watches/..."}, May: []string{},
			Why: "watches know objects of Kubernetes, not who depends on them or why",
		},
		{
			From: []string{"controllers/$/..."}, Except: []string{"controllers/flow", "controllers/announce", "controllers/conditions/...", "controllers/metrics", "controllers/sessions/...", "controllers/watches/...", "controllers/setup/..."},
			May: []string{
				"controllers/$/...", "controllers/flow", "controllers/conditions", "controllers/metrics", "controllers/sessions", "controllers/watches", "controllers/sealhttp",
				"internal/...", "api/...", "providers", "crypto/...", "plugins/decrypt",
			},
			Why: "a reconciler may import flow, sessions, api, internal, crypto and the provider contract: no other reconciler, no provider",
		},
		{
			From: []string{"controllers/setup/..."}, May: []string{"controllers/...", "providers", "providers/builtin", "plugins/decrypt", "plugins/transit", "internal/...", "api/...", "crypto/..."},
			Why: "setup lists controllers; providers come from the builtin list",
		},
		{
			From: []string{"plugins/..."}, May: []string{"plugins/...", "internal/...", "api/...", "crypto/..."}, Never: []string{"controllers/...", controllerRuntime},
			Why: "plugins run inside other tools: no controller, no provider, no manager",
		},
		{
			From: []string{"cmd/controller/..."}, May: []string{"controllers/setup", "internal/redact", "internal/program"},
			Why: "the controller's command hands its flags to setup, and keeps values out of the log and its own file out of memory",
		},
		{
			From: []string{"cmd/sealbridge/..."}, May: []string{"api/...", "crypto/...", "internal/...", "plugins/...", "providers", "providers/builtin"}, Never: []string{"controllers/...", controllerRuntime},
			Why: "the CLI runs no controller",
		},
		{
			From:   []string{"api/...", "providers/...", "crypto/...", "internal/...", "controllers/...", "plugins/...", "cmd/..."},
			Except: []string{"providers/providertest/..."}, // which is none of it
			Never:  []string{"test/...", "cmd/..."},
			Why:    "the product imports neither its tests nor its commands",
		},
	}
}

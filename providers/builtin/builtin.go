// Package builtin is the one list of the providers that are built into SealBridge.
//
// It takes nothing and gives back each provider once. A new provider is one folder under providers/ and one line here.
package builtin

import (
	"os"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/aws"
	"github.com/sealbridge/sealbridge/providers/azure"
	"github.com/sealbridge/sealbridge/providers/fake"
	"github.com/sealbridge/sealbridge/providers/gcp"
	"github.com/sealbridge/sealbridge/providers/kubernetes"
	"github.com/sealbridge/sealbridge/providers/vault"
	"github.com/sealbridge/sealbridge/providers/webhook"
)

// All returns the providers, sorted by name. Where the services of AWS are is read from the environment here and nowhere else.
func All() []providers.Provider {
	amazon := aws.ReadEnvironment(os.LookupEnv)
	return []providers.Provider{
		aws.Provider{Environment: amazon},
		azure.Provider{},
		fake.Provider{},
		gcp.Provider{},
		kubernetes.Provider{},
		vault.Provider{AWS: amazon},
		webhook.Provider{},
	}
}

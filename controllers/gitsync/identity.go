package gitsync

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// identities hands out clients that act as a ServiceAccount, or as the controller itself. They share one REST mapper and
// one connection pool; none reads from a cache, because rights differ.
type identities struct {
	config *rest.Config
	mapper meta.RESTMapper

	mu      sync.Mutex
	clients map[types.NamespacedName]client.Client
}

// maxIdentities bounds the clients that are kept; one is cheap to make again.
const maxIdentities = 512

// as returns a client that acts as the ServiceAccount; an empty name means the controller's own identity.
func (i *identities) as(account types.NamespacedName) (client.Client, error) {
	if account.Name == "" {
		account = types.NamespacedName{}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if c, ok := i.clients[account]; ok {
		return c, nil
	}
	config := rest.CopyConfig(i.config)
	config.WarningHandler, config.WarningHandlerWithContext = nil, rest.NoWarnings{} // warnings quote objects, and would be logged
	if account.Name != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + account.Namespace + ":" + account.Name}
	}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // a deletion answers with a Status
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: i.mapper})
	if err != nil {
		return nil, fmt.Errorf("act as ServiceAccount %s: %w", account, err)
	}
	if len(i.clients) >= maxIdentities {
		for k := range i.clients {
			delete(i.clients, k)
			break
		}
	}
	i.clients[account] = c
	return c, nil
}

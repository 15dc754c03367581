package stores

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Provider is the union under spec.provider of a store: exactly one member is set, and its JSON name is the provider's
// name.
type Provider struct {
	// AWS reads AWS Secrets Manager, Systems Manager Parameter Store or Certificate Manager.
	// +optional
	AWS *AWS `json:"aws,omitempty"`

	// AzureKV reads Azure Key Vault.
	// +optional
	AzureKV *AzureKV `json:"azurekv,omitempty"`

	// Fake serves the values that are written in the store itself, for tests.
	// +optional
	Fake *Fake `json:"fake,omitempty"`

	// GCPSM reads Google Cloud Secret Manager.
	// +optional
	GCPSM *GCPSM `json:"gcpsm,omitempty"`

	// Kubernetes reads Secrets of a Kubernetes cluster, this one or another.
	// +optional
	Kubernetes *Kubernetes `json:"kubernetes,omitempty"`

	// Vault reads a KV secrets engine of HashiCorp Vault.
	// +optional
	Vault *Vault `json:"vault,omitempty"`

	// Webhook reads any HTTP API that answers with a value or with JSON.
	// +optional
	Webhook *Webhook `json:"webhook,omitempty"`

	// Other holds the members that are none of the above, verbatim, by name: providers of External Secrets Operator that
	// are not built into SealBridge. It is nil when there are none.
	Other map[string]json.RawMessage `json:"-"`
}

// UnmarshalJSON reads the union and puts the members that have no field of their own into Other.
func (p *Provider) UnmarshalJSON(data []byte) error {
	type fields Provider // the same struct without this method
	var known fields
	if err := utiljson.Unmarshal(data, &known); err != nil {
		return fmt.Errorf("read provider: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return fmt.Errorf("read provider: %w", err)
	}
	t := reflect.TypeFor[Provider]()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "-" {
			delete(members, name)
		}
	}
	*p = Provider(known)
	if len(members) > 0 {
		p.Other = members
	}
	return nil
}

// MarshalJSON writes the members that have a field and those in Other as one object.
func (p Provider) MarshalJSON() ([]byte, error) {
	type fields Provider // the same struct without this method
	known, err := json.Marshal(fields(p))
	if err != nil || len(p.Other) == 0 {
		return known, err
	}
	members := make(map[string]json.RawMessage, len(p.Other)+1)
	if err := json.Unmarshal(known, &members); err != nil {
		return nil, fmt.Errorf("write provider: %w", err)
	}
	for name, raw := range p.Other {
		members[name] = raw
	}
	return json.Marshal(members)
}

package builtin_test

import (
	"slices"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/builtin"
)

func TestEachProviderIsListedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range builtin.All() {
		names = append(names, p.Name())
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("providers are not sorted or not unique: %v", names)
	}
}

func TestNoProviderPanicsOnAConfigurationOfAnotherKind(t *testing.T) {
	t.Parallel()
	for _, p := range builtin.All() {
		for _, spec := range []any{nil, "x", (*int)(nil), struct{}{}} {
			cfg := providers.Config{Store: "SecretStore a/b", Spec: spec}
			if len(p.Validate(cfg)) == 0 {
				t.Errorf("%s accepts %T", p.Name(), spec)
			}
			if _, err := p.Open(t.Context(), cfg, nil); err == nil {
				t.Errorf("%s opens %T", p.Name(), spec)
			}
		}
	}
}

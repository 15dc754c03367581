package builtin_test

import (
	"slices"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/aws"
	"github.com/sealbridge/sealbridge/providers/builtin"
	"github.com/sealbridge/sealbridge/providers/vault"
)

func TestEachProviderIsListedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range builtin.All() {
		names = append(names, p.Name())
	}
	// They are the fields of spec.provider.
	if want := []string{"aws", "azurekv", "fake", "gcpsm", "kubernetes", "vault", "webhook"}; !slices.Equal(names, want) {
		t.Errorf("the providers are %q, want %q", names, want)
	}
}

func TestWhereAWSIsReachesWhoeverLogsInThere(t *testing.T) {
	t.Setenv("AWS_STS_ENDPOINT", "https://sts.example.com")
	reached := 0
	for _, p := range builtin.All() {
		var got aws.Environment
		switch p := p.(type) {
		case aws.Provider:
			got = p.Environment
		case vault.Provider:
			got = p.AWS
		default:
			continue
		}
		if reached++; got.Endpoints.STS != "https://sts.example.com" || !got.Ambient {
			t.Errorf("%s knows of AWS: %+v", p.Name(), got)
		}
	}
	if reached != 2 {
		t.Errorf("%d providers were asked", reached)
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

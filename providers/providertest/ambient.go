package providertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
)

// errAmbient is what strict answers.
var errAmbient = providers.Errorf(providers.ErrInvalid, "the controller keeps its own identity")

// strict lends what another Env lends but nothing of the controller's own, and remembers what was asked for of that.
type strict struct {
	providers.Env
	mu    sync.Mutex
	asked []providers.Ambient
}

// Ambient implements providers.Env.
func (e *strict) Ambient(own providers.Ambient) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, own)
	return errAmbient
}

// ambient checks that the provider says of each store whether it leaves the identity to the controller, and takes none that
// it is not given.
func (s suite) ambient(t *testing.T) {
	for i := range s.Configs {
		cfg, _ := s.Configs[i](t)
		if own := s.Provider.Ambient(cfg); own != nil {
			t.Errorf("store %d names its identity, and leaves it to the controller in %s", i, own.Field)
		}
	}
	odd := map[string]providers.Config{"nothing": {}, "nil": {Spec: nil}, "something else": {Spec: struct{}{}}}
	for name, cfg := range s.Invalid {
		odd[name] = cfg
	}
	for name, cfg := range odd {
		if own := s.Provider.Ambient(cfg); own != nil && (own.Field == "" || own.Instead == "") {
			t.Errorf("invalid %s: %+v does not say where, or what to do", name, *own)
		}
	}
	for name, store := range s.Ambient {
		t.Run(name, func(t *testing.T) {
			cfg, env := store(t)
			if problems := s.Provider.Validate(cfg); len(problems) > 0 {
				t.Errorf("the store is valid and has problems: %v", problems)
			}
			own := s.Provider.Ambient(cfg)
			if own == nil || own.Field == "" || own.Instead == "" || strings.HasSuffix(own.Instead, ".") {
				t.Fatalf("the provider does not say where the identity is left to the controller, and what to do: %+v", own)
			}
			keeps := &strict{Env: env}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			session, err := s.Provider.Open(ctx, cfg, keeps)
			if err == nil {
				closeSession(t, session)
			}
			if !errors.Is(err, errAmbient) {
				t.Errorf("the session has an identity that it was not given: %v", err)
			}
			if len(keeps.asked) == 0 || keeps.asked[0] != *own {
				t.Errorf("the provider says %+v, and asks for %+v", *own, keeps.asked)
			}
		})
	}
}

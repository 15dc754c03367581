package gcp

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sealbridge/sealbridge/providers"
)

// The library refuses what is too large with the code of a server that is asked too often.
func TestAnAnswerThatIsTooLargeIsNoReasonToAskLater(t *testing.T) {
	t.Parallel()
	s := &session{store: "SecretStore team-a/google"}
	throttled := new(providers.ThrottledError)
	for text, large := range map[string]bool{
		"grpc: received message larger than max (5242891 vs. 4194304)":            true,
		"grpc: received message after decompression larger than max 4194304":      true,
		"grpc: message after decompression larger than max (5242891 vs. 4194304)": true,
		"Quota exceeded for quota metric 'Access requests'":                       false,
		"": false,
	} {
		err := s.refused(status.Error(codes.ResourceExhausted, text), request{name: "projects/p/secrets/a"})
		if errors.Is(err, providers.ErrInvalid) != large || errors.As(err, &throttled) == large {
			t.Errorf("%q: %v", text, err)
		}
	}
}

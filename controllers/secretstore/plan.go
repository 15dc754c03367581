package secretstore

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
)

// intervalOf returns how often a store is checked: spec.refreshInterval, in seconds or as a duration, or the default
// when it is empty, zero or cannot be read (the schema refuses that).
func intervalOf(v *intstr.IntOrString, fallback time.Duration) time.Duration {
	if v == nil {
		return fallback
	}
	d := time.Duration(v.IntValue()) * time.Second
	if v.Type == intstr.String {
		if parsed, err := time.ParseDuration(v.StrVal); err == nil {
			d = parsed
		}
	}
	if d <= 0 {
		return fallback
	}
	return flow.Interval(d)
}

// nextCheck returns when a store is checked that was checked (or first seen) at last: within interval, at a point of it
// that is the store's own, so that stores do not fall due together.
func nextCheck(uid types.UID, last time.Time, interval time.Duration) time.Time {
	sum := sha256.Sum256([]byte(uid))
	phase := time.Duration(float64(binary.BigEndian.Uint32(sum[:])) / (1 << 32) * float64(interval))
	sinceEpoch := time.Duration(last.UnixNano())
	passed := (sinceEpoch - phase) % interval
	if passed < 0 {
		passed += interval
	}
	return last.Add(interval - passed)
}

// endingOf ends the run of a check that failed: it is repeated with backoff, or when the backend has asked for, within bounds.
func endingOf(err error) error {
	var throttled *providers.ThrottledError
	switch {
	case errors.As(err, &throttled) && throttled.After > 0:
		return flow.Wait(esv1.ReasonValidationFailed, min(throttled.After, sessions.MaxThrottle), err)
	case errors.Is(err, sessions.ErrAmbient):
		return flow.Fail(esv1.ReasonAmbientCredentials, err)
	case errors.Is(err, providers.ErrInvalid):
		return flow.Fail(esv1.ReasonInvalidProviderConfig, err)
	default:
		return flow.Fail(esv1.ReasonValidationFailed, err)
	}
}

// ready reports whether the status says that the store, as it is now, can be used.
func ready(generation int64, status *esv1.SecretStoreStatus) bool {
	return status.ObservedGeneration == generation && conditions.Ready(status.Conditions).Status == metav1.ConditionTrue
}

// maxCredentials bounds status.credentials.
const maxCredentials = 100

// credentialsOf writes down what a store was opened with, in order.
func credentialsOf(lent map[watches.Object]watches.Version) []esv1.CredentialSource {
	var out []esv1.CredentialSource
	for o, v := range lent {
		out = append(out, esv1.CredentialSource{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, ResourceVersion: string(v)})
	}
	slices.SortFunc(out, func(a, b esv1.CredentialSource) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out[:min(len(out), maxCredentials)]
}

// lentOf is the reverse of credentialsOf.
func lentOf(credentials []esv1.CredentialSource) map[watches.Object]watches.Version {
	lent := map[watches.Object]watches.Version{}
	for _, c := range credentials {
		lent[watches.Object{Kind: c.Kind, Namespace: c.Namespace, Name: c.Name}] = watches.Version(c.ResourceVersion)
	}
	return lent
}

// describe joins what is wrong with a configuration into one message.
func describe(problems []providers.Problem) string {
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = p.String()
	}
	return strings.Join(texts, "; ")
}

package gitsync

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
	"github.com/sealbridge/sealbridge/providers"
)

// unsupported returns the fields of the spec that are accepted and not honoured, in their order in the API.
func unsupported(spec *v1alpha1.GitSyncSpec) []string {
	var out []string
	for _, f := range []struct {
		set  bool
		name string
	}{
		{spec.Verify != nil, "spec.verify"},
		{spec.RecurseSubmodules, "spec.recurseSubmodules"},
		{spec.Helm != nil, "spec.helm"},
		{spec.PostBuild != nil, "spec.postBuild"},
		{spec.Decryption != nil && spec.Decryption.ServiceAccountName != "", "spec.decryption.serviceAccountName"},
		{len(spec.HealthCheckExprs) > 0, "spec.healthCheckExprs"},
	} {
		if f.set {
			out = append(out, f.name)
		}
	}
	return out
}

// refused says why the spec cannot be reconciled at all, or returns nil.
func refused(sync *v1alpha1.GitSync, requireServiceAccount bool) *Problem {
	if fields := unsupported(&sync.Spec); len(fields) > 0 {
		return &Problem{Reason: v1alpha1.ReasonUnsupported, Terminal: true, Err: providers.Errorf(providers.ErrInvalid,
			"%s: not supported by this version; remove it", strings.Join(fields, ", "))}
	}
	if requireServiceAccount && sync.Spec.ServiceAccountName == "" {
		return &Problem{Reason: v1alpha1.ReasonInvalid, Terminal: true, Err: providers.Errorf(providers.ErrInvalid,
			"spec.serviceAccountName is required here; name the ServiceAccount of namespace %s to apply as", sync.Namespace)}
	}
	for _, d := range sync.Spec.DependsOn {
		if d.Name == sync.Name && (d.Namespace == "" || d.Namespace == sync.Namespace) {
			return &Problem{Reason: v1alpha1.ReasonInvalid, Terminal: true, Err: providers.Errorf(providers.ErrInvalid,
				"spec.dependsOn names the GitSync itself; remove it")}
		}
	}
	for _, h := range sync.Spec.HealthChecks {
		if _, err := groupVersion(h.APIVersion); err != nil {
			return &Problem{Reason: v1alpha1.ReasonInvalid, Terminal: true, Err: providers.Errorf(providers.ErrInvalid,
				"spec.healthChecks: %q is no apiVersion; write it as group/version", h.APIVersion)}
		}
	}
	return nil
}

// minTimeout is the least time that one attempt has when spec.timeout does not say.
const minTimeout = 30 * time.Second

// timeoutOf returns how long one attempt may take.
func timeoutOf(spec *v1alpha1.GitSyncSpec) time.Duration {
	if spec.Timeout != nil {
		return spec.Timeout.Duration
	}
	return max(spec.Interval.Duration, minTimeout)
}

// intervalOf spreads the checks of many GitSyncs: the interval shortened by up to a tenth, the same for the same object.
func intervalOf(sync *v1alpha1.GitSync) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(sync.UID)) // never fails
	interval := sync.Spec.Interval.Duration
	return interval - interval*time.Duration(h.Sum32()%100)/1000
}

// due reports whether Git has to be asked.
func due(sync *v1alpha1.GitSync, st *state, now time.Time) bool {
	return st.revision == "" || st.generation != sync.Generation ||
		st.requested != sync.Annotations[v1alpha1.AnnotationRequestedAt] || !now.Before(st.checked.Add(intervalOf(sync)))
}

// next is when Git has to be asked again.
func next(sync *v1alpha1.GitSync, st *state, now time.Time) time.Duration {
	if st.checked.IsZero() {
		return intervalOf(sync)
	}
	return max(time.Second, st.checked.Add(intervalOf(sync)).Sub(now))
}

// ending turns an error into the end of a run: terminal ones stall, others are repeated after spec.retryInterval or,
// when that is empty, with backoff.
func ending(sync *v1alpha1.GitSync, reason string, err error) error {
	if terminal(err) {
		return flow.Stall(reason, err)
	}
	if sync.Spec.RetryInterval != nil {
		return flow.Wait(reason, sync.Spec.RetryInterval.Duration, err)
	}
	return flow.Fail(reason, err)
}

// terminal reports whether only another revision, spec or key cures an error.
func terminal(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Terminal
	}
	return errors.Is(err, providers.ErrInvalid)
}

// repeats reports whether the same input always gives the same error.
func repeats(err error) bool {
	var p *Problem
	return errors.As(err, &p) || errors.Is(err, providers.ErrInvalid)
}

// reasonOf returns the reason that an error of Git carries, or the one of its class.
func reasonOf(err error, otherwise string) string {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p.Reason
	case errors.Is(err, providers.ErrDenied):
		return v1alpha1.ReasonAuthenticationFailed
	default:
		return otherwise
	}
}

// applyFailure returns why an apply did not succeed, or nil: the reason, whether repeating it can help, and the text.
func applyFailure(results []apply.Result) *Problem {
	failed := slices.DeleteFunc(slices.Clone(results), func(r apply.Result) bool { return r.Err == nil })
	if len(failed) == 0 {
		return nil
	}
	p := &Problem{Reason: v1alpha1.ReasonApplyFailed, Terminal: true, Err: errors.New(apply.Summary(failed))}
	foreign := true
	for _, r := range failed {
		p.Terminal = p.Terminal && r.Err.Terminal()
		foreign = foreign && r.Err.Reason == apply.ReasonOwnedByOther
	}
	if foreign {
		p.Reason = v1alpha1.ReasonOwnedByOther
	}
	return p
}

// waits lists what the results wait for, the first five.
func waits(results []apply.Result) []string {
	var out []string
	for _, r := range results {
		if r.Waits != "" {
			out = append(out, r.Ref.String()+" "+r.Waits)
		}
	}
	return out
}

// few joins the first five of many texts.
func few(texts []string) string {
	const shown = 5
	if len(texts) > shown {
		return fmt.Sprintf("%s; and %d more", strings.Join(texts[:shown], "; "), len(texts)-shown)
	}
	return strings.Join(texts, "; ")
}

// maxTries is the number of tries after which the pause does not grow.
const maxTries = 10

// pause is how long to wait before looking again at something that an event should have told us: doubling from half a
// second up to a quarter of a minute.
func pause(tries int) time.Duration {
	return min(15*time.Second, 500*time.Millisecond<<min(tries, maxTries))
}

// digestOf identifies a build: the files as they are in Git, and all of the spec and keys that shape it. No decrypted
// value goes into it. Where values lie in Git in plain text the revision stands in for the files, because whoever may read a
// status could test guesses of them with a digest of the files alone.
func digestOf(b *Built, in input, spec *v1alpha1.GitSyncSpec) string {
	of := b.Digest
	if b.Plaintext != nil {
		of = in.revision
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", of, spec.Path, spec.TargetNamespace, in.keys))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// emptied reports whether nothing was built although there were objects: a mistake that must not delete everything.
func emptied(sync *v1alpha1.GitSync, built []Desired) bool {
	return len(built) == 0 && len(inventory(sync)) > 0 && !sync.Spec.AllowEmpty
}

// counts describes what changed: "2 created, 1 pruned: Secret shop/db, ...".
func counts(results []apply.Result) string {
	tally := make(map[apply.Action]int)
	var names []string
	for _, r := range results {
		if r.Wrote() {
			tally[r.Action]++
			names = append(names, r.Ref.String())
		}
	}
	var parts []string
	for _, a := range []apply.Action{apply.Created, apply.Configured, apply.Repaired, apply.Recreated, apply.Pruned} {
		if tally[a] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", tally[a], a))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, ", ") + ": " + few(names)
}

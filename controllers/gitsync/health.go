package gitsync

import (
	"context"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
	"github.com/sealbridge/sealbridge/providers"
)

// health looks at the objects that spec.wait or spec.healthChecks name. One that was healthy and has not changed since
// costs nothing; the events of the others begin the next run.
func (r *Reconciler) health(ctx context.Context, s *scope) error {
	checks := healthChecks(s.sync)
	if len(checks) == 0 {
		s.state.healthy = nil
		return nil
	}
	s.checkedHealth = true
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(&s.sync.Spec))
	defer cancel()
	healthy := make(map[apply.Ref]string, len(checks))
	var failed bool
	var c client.Client
	for _, e := range checks {
		if live := r.watch.live(ctx, e); live.Object != nil && live.Object.ResourceVersion == s.state.healthy[e.Ref] {
			healthy[e.Ref] = live.Object.ResourceVersion
			continue
		}
		if c == nil {
			engine, err := r.engineOf(ctx, s)
			if err != nil {
				return ending(s.sync, reasonOf(err, v1alpha1.ReasonHealthCheckFailed), err)
			}
			c = engine.Client
		}
		version, state := stateOf(ctx, c, e)
		if state == status.CurrentStatus {
			healthy[e.Ref] = version
			continue
		}
		failed = failed || state == status.FailedStatus
		s.unhealthy = append(s.unhealthy, fmt.Sprintf("%s is %s", e.Ref, state))
	}
	s.state.healthy = healthy
	if len(s.unhealthy) == 0 {
		return nil
	}
	if failed {
		s.state.watching.Store(true)
		return flow.Wait(v1alpha1.ReasonHealthCheckFailed, pause(maxTries),
			providers.Errorf(providers.ErrUnavailable, "%s", few(s.unhealthy)))
	}
	return r.waiting(s, s.unhealthy)
}

// stateOf computes the health of an object; an object that cannot be read is of unknown health.
func stateOf(ctx context.Context, c client.Client, e apply.Entry) (resourceVersion string, state status.Status) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(e.GVK())
	err := c.Get(ctx, e.Key(), u)
	if apierrors.IsNotFound(err) {
		return "", status.NotFoundStatus
	}
	if err != nil {
		return "", status.UnknownStatus
	}
	return u.GetResourceVersion(), compute(u)
}

// compute is kstatus, and knows besides when a Secret is materialised: a SealedSecret has no condition Ready.
func compute(u *unstructured.Unstructured) status.Status {
	if ok, applies := apply.Materialised(u); applies {
		if ok {
			return status.CurrentStatus
		}
		return status.InProgressStatus
	}
	res, err := status.Compute(u)
	if err != nil {
		return status.UnknownStatus
	}
	return res.Status
}

// healthChecks returns the objects whose health counts.
func healthChecks(sync *v1alpha1.GitSync) []apply.Entry {
	if sync.Spec.Wait {
		return inventory(sync)
	}
	out := make([]apply.Entry, 0, len(sync.Spec.HealthChecks))
	for _, h := range sync.Spec.HealthChecks {
		gv, err := groupVersion(h.APIVersion)
		if err != nil {
			continue // refused by validate
		}
		e := apply.Entry{Ref: apply.Ref{Group: gv.Group, Kind: h.Kind, Namespace: h.Namespace, Name: h.Name}, Version: gv.Version}
		if e.Namespace == "" {
			e.Namespace = sync.Namespace
		}
		out = append(out, e)
	}
	return out
}

// groupVersion reads an apiVersion; an empty one means the core group.
func groupVersion(apiVersion string) (schema.GroupVersion, error) {
	if apiVersion == "" {
		return schema.GroupVersion{Version: "v1"}, nil
	}
	return schema.ParseGroupVersion(apiVersion)
}

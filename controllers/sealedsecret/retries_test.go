package sealedsecret

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

func TestAnObjectThatWasRetriedAsOftenAsItMayBeRests(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	for name, test := range map[string]struct {
		limit *int
		runs  []error // of one object, in turn
		rests []bool  // after each of them
	}{
		"without a bound": {nil, []error{down, down, down, down}, []bool{false, false, false, false}},
		"none":            {new(int), []error{down, nil, down}, []bool{true, false, true}},
		"two":             {retries(2), []error{down, down, down, down}, []bool{false, false, true, true}},
		"two in a row":    {retries(2), []error{down, down, nil, down, down, down}, []bool{false, false, false, false, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := New(Deps{Metrics: prometheus.NewRegistry(), Concurrent: 1, MaxRetries: test.limit})
			if err != nil {
				t.Fatal(err)
			}
			s := &scope{obj: &v1alpha1.SealedSecret{}, record: &record{}}
			for i, run := range test.runs {
				result, err := c.end(s, reconcile.Result{}, run)
				if rests := err == nil && result.RequeueAfter == 5*time.Minute; rests != test.rests[i] || !rests && !errors.Is(err, run) {
					t.Errorf("run %d: %+v, %v", i, result, err)
				}
			}
		})
	}
}

func retries(n int) *int { return &n }

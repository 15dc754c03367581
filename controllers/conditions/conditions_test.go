package conditions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
)

func TestTheTransitionTimeMovesOnlyWithTheStatus(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ready := func(status metav1.ConditionStatus, reason string) esv1.Condition {
		return esv1.Condition{Type: esv1.ConditionReady, Status: status, Reason: reason}
	}
	list := conditions.Set(nil, esv1.Condition{Type: esv1.ConditionDeleted}, start)
	list = conditions.Set(list, ready(metav1.ConditionFalse, "A"), start)
	list = conditions.Set(list, ready(metav1.ConditionFalse, "B"), start.Add(time.Hour))
	got := conditions.Ready(list)
	if got.Reason != "B" || !got.LastTransitionTime.Time.Equal(start) {
		t.Errorf("another reason for the same status: %+v", got)
	}
	list = conditions.Set(list, ready(metav1.ConditionTrue, "C"), start.Add(2*time.Hour))
	if got = conditions.Ready(list); !got.LastTransitionTime.Time.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("another status: %+v", got)
	}
	list = conditions.Set(list, esv1.Condition{Type: esv1.ConditionDeleted}, start)
	if len(list) != 2 {
		t.Errorf("%d conditions, want one of each type", len(list))
	}
	if diff := cmp.Diff(esv1.Condition{}, conditions.Ready(nil)); diff != "" {
		t.Error(diff)
	}
}

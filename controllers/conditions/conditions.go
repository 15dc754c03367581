// Package conditions keeps the conditions of the external-secrets.io kinds.
//
// It takes a list of conditions and one to set, and gives back the list with it: one condition per type, and a
// lastTransitionTime that moves only when the status does, as External Secrets Operator keeps them.
package conditions

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// Set returns list with c in it. The transition time is now when the status changed, and else the one before.
func Set(list []esv1.Condition, c esv1.Condition, now time.Time) []esv1.Condition {
	c.LastTransitionTime = metav1.NewTime(now).Rfc3339Copy()
	i := slices.IndexFunc(list, func(old esv1.Condition) bool { return old.Type == c.Type })
	if i < 0 {
		return append(list, c)
	}
	if list[i].Status == c.Status {
		c.LastTransitionTime = list[i].LastTransitionTime
	}
	list[i] = c
	return list
}

// Ready returns the condition Ready; the zero Condition when there is none.
func Ready(list []esv1.Condition) esv1.Condition {
	for _, c := range list {
		if c.Type == esv1.ConditionReady {
			return c
		}
	}
	return esv1.Condition{}
}

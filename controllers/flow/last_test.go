package flow

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestAnObjectIsNotJudgedByAStatusOlderThanTheLastOne(t *testing.T) {
	t.Parallel()
	at := func(version string) *corev1.Namespace {
		ns := &corev1.Namespace{}
		ns.ResourceVersion = version
		return ns
	}
	now := time.Now()
	written := LastOf(at("100"), nil, now)
	failed := LastOf(at("100"), errors.New("fetch: no"), now)
	unknown := LastOf(at("100"), &unwrittenError{errors.New("connection reset")}, now)
	for name, tc := range map[string]struct {
		last   Last
		cached string
		at     time.Time
		want   time.Duration
	}{
		"nothing is known":                            {Last{}, "1", now, 0},
		"the cache is older":                          {written, "99", now, minCatchUp},
		"it has been for a while":                     {written, "99", now.Add(300 * time.Millisecond), 300 * time.Millisecond},
		"its watch is away":                           {written, "99", now.Add(time.Minute), maxCatchUp},
		"an answer that is doubted is waited for":     {unknown, "100", now.Add(doubt * 4 / 5), doubt / 5},
		"the cache is older, by a digit":              {LastOf(at("1000"), nil, now), "999", now, minCatchUp},
		"the cache shows it":                          {written, "100", now, 0},
		"the cache is newer":                          {written, "101", now, 0},
		"a run that failed and whose status is known": {failed, "100", now, 0},
		"a write without an answer may come yet":      {unknown, "100", now, minCatchUp},
		"a write without an answer came":              {unknown, "101", now, 0},
		"a write without an answer has not been made": {unknown, "100", now.Add(doubt), 0},
		"a version that is no number says nothing":    {LastOf(at("x"), nil, now), "1", now, 0},
		"nor where there was no answer":               {LastOf(at("x"), &unwrittenError{errors.New("reset")}, now), "1", now, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.last.Behind(at(tc.cached), tc.at); got != tc.want {
				t.Errorf("looked at again after %s, want %s", got, tc.want)
			}
		})
	}
}

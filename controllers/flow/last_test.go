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
		want   bool
	}{
		"nothing is known":                            {Last{}, "1", now, false},
		"the cache is older":                          {written, "99", now, true},
		"the cache is older, by a digit":              {LastOf(at("1000"), nil, now), "999", now, true},
		"the cache shows it":                          {written, "100", now, false},
		"the cache is newer":                          {written, "101", now, false},
		"a run that failed and whose status is known": {failed, "100", now, false},
		"a write without an answer may come yet":      {unknown, "100", now, true},
		"a write without an answer came":              {unknown, "101", now, false},
		"a write without an answer has not been made": {unknown, "100", now.Add(doubt), false},
		"a version that is no number says nothing":    {LastOf(at("x"), nil, now), "1", now, false},
		"nor where there was no answer":               {LastOf(at("x"), &unwrittenError{errors.New("reset")}, now), "1", now, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.last.Behind(at(tc.cached), tc.at); got != tc.want {
				t.Errorf("behind is %t, want %t", got, tc.want)
			}
		})
	}
}

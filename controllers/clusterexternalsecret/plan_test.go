package clusterexternalsecret

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

func TestANamespaceIsSelectedByAnySelectorOrItsName(t *testing.T) {
	t.Parallel()
	by := func(key, value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
	tests := map[string]struct {
		spec esv1.ClusterExternalSecretSpec
		want bool
	}{
		"nothing selects nothing":     {esv1.ClusterExternalSecretSpec{}, false},
		"an empty selector selects":   {esv1.ClusterExternalSecretSpec{NamespaceSelector: &metav1.LabelSelector{}}, true},
		"no selector of the list":     {esv1.ClusterExternalSecretSpec{NamespaceSelectors: []*metav1.LabelSelector{nil, by("a", "x")}}, false},
		"one of the list":             {esv1.ClusterExternalSecretSpec{NamespaceSelectors: []*metav1.LabelSelector{by("a", "x"), by("a", "b")}}, true},
		"the old one beside the list": {esv1.ClusterExternalSecretSpec{NamespaceSelector: by("a", "b"), NamespaceSelectors: []*metav1.LabelSelector{by("a", "x")}}, true},
		"the name":                    {esv1.ClusterExternalSecretSpec{Namespaces: []string{"other", "team"}}, true},
		"another name":                {esv1.ClusterExternalSecretSpec{Namespaces: []string{"other"}}, false},
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team", Labels: map[string]string{"a": "b"}}}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chosen, err := newSelection(&tc.spec)
			if err != nil || chosen.has(ns) != tc.want {
				t.Errorf("selected %t (%v), want %t", chosen.has(ns), err, tc.want)
			}
		})
	}
}

func TestAnExternalSecretIsWrittenWhenItDiffers(t *testing.T) {
	t.Parallel()
	of := func(key string, labels, annotations map[string]string) *esv1.ExternalSecret {
		es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations}}
		es.Spec.Data = []esv1.Data{{SecretKey: key}}
		return es
	}
	a, b := map[string]string{"a": "1"}, map[string]string{"a": "1", "b": "2"}
	tests := map[string]struct {
		have, want *esv1.ExternalSecret
		changed    bool
		differs    bool
	}{
		"equal":                                 {of("k", a, a), of("k", a, a), false, false},
		"equal, of another version":             {of("k", a, a), of("k", a, a), true, false},
		"nil and empty are equal":               {of("k", nil, nil), of("k", map[string]string{}, nil), true, false},
		"another spec":                          {of("k", a, a), of("l", a, a), false, true},
		"a missing label":                       {of("k", nil, a), of("k", a, a), false, true},
		"another value of an annotation":        {of("k", a, map[string]string{"a": "2"}), of("k", a, a), false, true},
		"a label of somebody else":              {of("k", b, a), of("k", a, a), false, false},
		"a label that may be ours from before":  {of("k", b, a), of("k", a, a), true, true},
		"an annotation that may be from before": {of("k", a, b), of("k", a, a), true, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := differs(tc.have, tc.want, tc.changed); got != tc.differs {
				t.Errorf("differs: %t, want %t", got, tc.differs)
			}
		})
	}
}

func TestTheVersionFollowsTheSpecAndTheAnnotationThatIsMirrored(t *testing.T) {
	t.Parallel()
	of := func(generation int64, annotations map[string]string) string {
		return versionOf(&esv1.ClusterExternalSecret{ObjectMeta: metav1.ObjectMeta{Generation: generation, Annotations: annotations}})
	}
	sync := func(value string) map[string]string { return map[string]string{esv1.AnnotationForceSync: value} }
	seen := map[string]bool{}
	for _, v := range []string{of(1, nil), of(2, nil), of(2, sync("")), of(2, sync("1")), of(2, sync("2"))} {
		if seen[v] {
			t.Errorf("version %s twice", v)
		}
		seen[v] = true
	}
	if of(1, nil) != of(1, map[string]string{"other": "x"}) {
		t.Error("another annotation made another version")
	}
}

func TestWhatIsInTheWayIsWaitedForAndAnythingElseIsTriedAgain(t *testing.T) {
	t.Parallel()
	foreign, broken := fmt.Errorf("%w: whose", errForeign), errors.New("broken")
	for name, tt := range map[string]struct {
		failed      map[string]error
		provisioned []string
		state       flow.State
		message     string
	}{
		"nothing failed":        {nil, []string{"a"}, flow.Ready, ""},
		"somebody else's alone": {map[string]error{"b": foreign, "a": foreign}, nil, flow.Waiting, "2 of 2 namespaces failed, see status.failedNamespaces; a: " + foreign.Error()},
		"somebody else's first": {map[string]error{"b": broken, "a": foreign}, []string{"c"}, flow.Failed, "2 of 3 namespaces failed, see status.failedNamespaces; a: " + foreign.Error()},
		"another failure":       {map[string]error{"c": broken}, []string{"a", "b"}, flow.Failed, "1 of 3 namespaces failed, see status.failedNamespaces; c: broken"},
	} {
		var got flow.Outcome
		s := &scope{failed: tt.failed, provisioned: tt.provisioned}
		_, _ = flow.Run(t.Context(), flow.Engine{}, &esv1.ClusterExternalSecret{}, s,
			func(_ *scope, out flow.Outcome) flow.Verdict { got = out; return flow.Verdict{} }, flow.Step[scope]{Name: "judge", Do: judge})
		if got.State != tt.state || got.Message != tt.message || got.State != flow.Ready && got.Reason != esv1.ReasonNamespacesFailed ||
			got.State == flow.Waiting && got.After != foreignWait {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTheRefreshTimeIsAnHourUnlessItIsSaid(t *testing.T) {
	t.Parallel()
	spec := &esv1.ClusterExternalSecretSpec{}
	if got := intervalOf(spec); got != time.Hour {
		t.Errorf("%s when empty", got)
	}
	spec.RefreshInterval = &metav1.Duration{}
	if got := intervalOf(spec); got != 0 {
		t.Errorf("%s for 0", got)
	}
}

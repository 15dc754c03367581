package sealedsecret

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func object() *v1alpha1.SealedSecret {
	return &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "uid-1", Generation: 3}}
}

func metadata(change func(*metav1.PartialObjectMetadata)) *metav1.PartialObjectMetadata {
	m := secretMetadata()
	m.Namespace, m.Name, m.UID, m.ResourceVersion = "ns", "app", "secret-1", "7"
	if change != nil {
		change(m)
	}
	return m
}

func owner(uid types.UID, controller bool) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "bitnami.com/v1alpha1", Kind: "SealedSecret", Name: "app", UID: uid, Controller: &controller}
}

func TestWhoseSecretItIsDecidesHowItIsWritten(t *testing.T) {
	t.Parallel()
	annotated := func(keys ...string) func(*metav1.PartialObjectMetadata) {
		return func(m *metav1.PartialObjectMetadata) {
			m.Annotations = map[string]string{}
			for _, k := range keys {
				m.Annotations[k] = "true"
			}
		}
	}
	for name, test := range map[string]struct {
		live *metav1.PartialObjectMetadata
		want action
	}{
		"none is created":                  {nil, create},
		"one without any owner is refused": {metadata(nil), refuse},
		"ours by owner reference": {metadata(func(m *metav1.PartialObjectMetadata) {
			m.OwnerReferences = []metav1.OwnerReference{owner("uid-1", true)}
		}), replace},
		"an earlier object of the same name owns it": {metadata(func(m *metav1.PartialObjectMetadata) {
			m.OwnerReferences = []metav1.OwnerReference{owner("uid-0", true)}
		}), replace},
		"an object of another name owns it": {metadata(func(m *metav1.PartialObjectMetadata) {
			m.OwnerReferences = []metav1.OwnerReference{owner("uid-0", true)}
			m.OwnerReferences[0].Name = "other"
		}), refuse},
		"an object of another kind owns it": {metadata(func(m *metav1.PartialObjectMetadata) {
			m.OwnerReferences = []metav1.OwnerReference{owner("uid-0", true)}
			m.OwnerReferences[0].Kind = "ExternalSecret"
		}), refuse},
		"an object of another group owns it": {metadata(func(m *metav1.PartialObjectMetadata) {
			m.OwnerReferences = []metav1.OwnerReference{owner("uid-0", true)}
			m.OwnerReferences[0].APIVersion = "example.com/v1"
		}), refuse},
		"an owner that does not control it": {metadata(func(m *metav1.PartialObjectMetadata) {
			m.OwnerReferences = []metav1.OwnerReference{owner("uid-1", false)}
		}), refuse},
		"ours by label": {metadata(func(m *metav1.PartialObjectMetadata) { m.Labels = map[string]string{v1alpha1.LabelSealedBy: "uid-1"} }), replace},
		"added to": {metadata(func(m *metav1.PartialObjectMetadata) {
			m.Labels = map[string]string{v1alpha1.LabelSealedBy: "uid-1.shared"}
		}), refuse},
		"another's by label": {metadata(func(m *metav1.PartialObjectMetadata) { m.Labels = map[string]string{v1alpha1.LabelSealedBy: "uid-0"} }), refuse},
		"managed":            {metadata(annotated(v1alpha1.AnnotationManaged)), replace},
		"patch":              {metadata(annotated(v1alpha1.AnnotationPatch)), merge},
		"patch and managed":  {metadata(annotated(v1alpha1.AnnotationPatch, v1alpha1.AnnotationManaged)), merge},
		"only the literal true counts": {metadata(func(m *metav1.PartialObjectMetadata) {
			m.Annotations = map[string]string{v1alpha1.AnnotationManaged: "yes"}
		}), refuse},
		"skip-set-owner-references alone is not ours": {metadata(annotated(v1alpha1.AnnotationSkipSetOwnerReferences)), refuse},
	} {
		if got := decide(object(), test.live); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
		}
	}
}

func TestAnUpdateReplacesAllOfOursAndARepairKeepsWhatOthersAdded(t *testing.T) {
	t.Parallel()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{"a": "ours"}, Annotations: map[string]string{"b": "ours"}, Finalizers: []string{"x.example/ours"},
			OwnerReferences: []metav1.OwnerReference{owner("uid-1", true)},
		},
		Data: map[string][]byte{"k": []byte("v")},
	}
	live := metadata(func(m *metav1.PartialObjectMetadata) {
		m.Labels = map[string]string{"a": "theirs", "c": "theirs"}
		m.Annotations = map[string]string{"d": "theirs"}
		m.Finalizers = []string{"y.example/theirs"}
		m.OwnerReferences = []metav1.OwnerReference{owner("uid-0", true), owner("uid-2", false)}
	})
	for name, test := range map[string]struct {
		repair              bool
		labels, annotations map[string]string
		owners              []metav1.OwnerReference
	}{
		"an update": {false, map[string]string{"a": "ours"}, map[string]string{"b": "ours"}, []metav1.OwnerReference{owner("uid-1", true)}},
		"a repair": {
			true, map[string]string{"a": "ours", "c": "theirs"}, map[string]string{"b": "ours", "d": "theirs"},
			[]metav1.OwnerReference{owner("uid-1", true), owner("uid-2", false)},
		},
	} {
		got := replacement(secret, live, test.repair)
		want := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				UID: "secret-1", ResourceVersion: "7", Labels: test.labels, Annotations: test.annotations,
				Finalizers: []string{"x.example/ours", "y.example/theirs"}, OwnerReferences: test.owners,
			},
			Data: secret.Data,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestWhatWasWrittenIsKnownFromMemoryAndElseFromTheStatus(t *testing.T) {
	t.Parallel()
	good := func() *v1alpha1.SealedSecret {
		o := object()
		o.Status = v1alpha1.SealedSecretStatus{ObservedGeneration: 3, Scope: "strict", Secret: v1alpha1.SecretVersion{UID: "s", ResourceVersion: "5"}}
		setConditions(&o.Status, metav1.ConditionTrue, v1alpha1.ReasonUnsealed, "", time.Unix(1, 0), false)
		return o
	}
	change := func(f func(*v1alpha1.SealedSecret)) *v1alpha1.SealedSecret { o := good(); f(o); return o }
	wrote := record{written: v1alpha1.SecretVersion{UID: "s", ResourceVersion: "9"}, generation: 3, scope: seal.Strict}
	older := wrote
	older.generation = 2
	elsewhere := wrote
	elsewhere.scope = seal.NamespaceWide
	for name, test := range map[string]struct {
		obj    *v1alpha1.SealedSecret
		record record
		want   string
		ok     bool
	}{
		"the status":                     {good(), record{}, "5", true},
		"a status of another generation": {change(func(o *v1alpha1.SealedSecret) { o.Generation = 4 }), record{}, "5", false},
		"a status of another scope": {change(func(o *v1alpha1.SealedSecret) {
			o.Annotations = map[string]string{v1alpha1.AnnotationClusterWide: "true"}
		}), record{}, "5", false},
		"a status that failed": {change(func(o *v1alpha1.SealedSecret) {
			setConditions(&o.Status, metav1.ConditionFalse, "x", "x", time.Unix(1, 0), false)
		}), record{}, "5", false},
		"a status of Sealed Secrets":      {change(func(o *v1alpha1.SealedSecret) { o.Status.Secret = v1alpha1.SecretVersion{} }), record{}, "", false},
		"no status":                       {object(), record{}, "", false},
		"memory, before the status shows": {object(), wrote, "9", true},
		"memory of another generation":    {good(), older, "9", false},
		"memory of another scope":         {good(), elsewhere, "9", false},
	} {
		scope := seal.ScopeOf(test.obj.Annotations)
		got, ok := expected(test.obj, &test.record, scope)
		if got.ResourceVersion != test.want || ok != test.ok {
			t.Errorf("%s: got %q, %t", name, got.ResourceVersion, ok)
		}
	}
}

func TestConditionsChangeOnlyWhenSomethingDoes(t *testing.T) {
	t.Parallel()
	var st v1alpha1.SealedSecretStatus
	st.Conditions = []v1alpha1.Condition{{Type: "Theirs", Status: "True"}, {Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown}}
	at := func(s int64) metav1.Time { return metav1.NewTime(time.Unix(s, 0)) }
	if !setConditions(&st, metav1.ConditionFalse, "R", "m", at(1).Time, false) {
		t.Error("nothing changed at first")
	}
	if setConditions(&st, metav1.ConditionFalse, "R", "m", at(2).Time, false) {
		t.Error("the same again changed something")
	}
	if !setConditions(&st, metav1.ConditionFalse, "R", "n", at(3).Time, false) {
		t.Error("another message changed nothing")
	}
	want := []v1alpha1.Condition{
		{Type: "Synced", Status: "False", Reason: "R", Message: "n", LastTransitionTime: at(1), LastUpdateTime: at(3)},
		{Type: "Ready", Status: "False", Reason: "R", Message: "n", LastTransitionTime: at(1), LastUpdateTime: at(3)},
		{Type: "Theirs", Status: "True"},
	}
	if diff := cmp.Diff(want, st.Conditions); diff != "" {
		t.Error(diff)
	}
	if setConditions(&st, metav1.ConditionFalse, "R", "n", at(4).Time, true) || st.Conditions[0].LastUpdateTime != at(4) || st.Conditions[0].LastTransitionTime != at(1) {
		t.Errorf("the same of an object that has changed: %+v", st.Conditions[0])
	}
}

func TestEveryEndHasItsConditionAndEvent(t *testing.T) {
	t.Parallel()
	version := v1alpha1.SecretVersion{UID: "s", ResourceVersion: "1"}
	for name, test := range map[string]struct {
		scope           scope
		out             flow.Outcome
		reason, event   string
		untouched, same bool
	}{
		"success":                {scope{written: version}, flow.Outcome{State: flow.Ready}, "Unsealed", "Unsealed", false, false},
		"nothing to do":          {scope{current: true}, flow.Outcome{State: flow.Ready}, "", "", true, false},
		"to be continued":        {scope{unfinished: true}, flow.Outcome{State: flow.Waiting, Reason: reasonOpening}, "", "", true, false},
		"not opened":             {scope{}, flow.Outcome{State: flow.Stalled, Reason: "ErrUnsealFailed", Message: "m"}, "ErrUnsealFailed", "ErrUnsealFailed", false, false},
		"template":               {scope{}, flow.Outcome{State: flow.Stalled, Reason: "TemplateFailed", Message: "m"}, "TemplateFailed", "ErrUnsealFailed", false, false},
		"invalid":                {scope{}, flow.Outcome{State: flow.Stalled, Reason: "InvalidConfiguration", Message: "m"}, "InvalidConfiguration", "ErrUnsealFailed", false, false},
		"not managed":            {scope{}, flow.Outcome{State: flow.Stalled, Reason: "NotManaged", Message: "m"}, "NotManaged", "ErrUpdateFailed", false, false},
		"API server unavailable": {scope{}, flow.Outcome{State: flow.Failed, Reason: "Unavailable", Message: "m"}, "ErrUpdateFailed", "ErrUpdateFailed", false, false},
		"the same failure again": {scope{}, flow.Outcome{State: flow.Stalled, Reason: "NotManaged", Message: "m"}, "NotManaged", "", false, true},
	} {
		s := test.scope
		s.obj, s.sealScope, s.now = object(), seal.Strict, time.Unix(1, 0)
		if test.same {
			report(&s, test.out)
		}
		verdict := report(&s, test.out)
		if test.untouched != (len(s.obj.Status.Conditions) == 0) {
			t.Errorf("%s: status %+v", name, s.obj.Status)
			continue
		}
		if (verdict.Event == nil) != (test.event == "") || verdict.Event != nil && verdict.Event.Reason != test.event {
			t.Errorf("%s: event %+v", name, verdict.Event)
		}
		if !test.untouched && s.obj.Status.Conditions[0].Reason != test.reason {
			t.Errorf("%s: %+v", name, s.obj.Status.Conditions[0])
		}
	}
}

func TestAFailureThatStaysIsAnnouncedAnewWhenTheObjectHasChanged(t *testing.T) {
	t.Parallel()
	s := scope{obj: object(), sealScope: seal.Strict, now: time.Unix(1, 0)}
	out := flow.Outcome{State: flow.Stalled, Reason: "NotManaged", Message: failedUpdate + "m"}
	report(&s, out)
	s.obj.Generation++
	event := report(&s, out).Event
	if event == nil || event.Reason != v1alpha1.ReasonUpdateFailed || event.Message != "m" {
		t.Errorf("got %+v", event)
	}
}

func TestWhatTheAPIServerSaysOfASecretIsReduced(t *testing.T) {
	t.Parallel()
	const canary = "canary-9"
	kind := schema.GroupKind{Kind: "Secret"}
	resource := schema.GroupResource{Resource: "secrets"}
	invalid := func(causeType metav1.CauseType, field string) error {
		err := apierrors.NewInvalid(kind, "app", nil)
		err.ErrStatus.Message = canary
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: causeType, Field: field, Message: canary}}
		return err
	}
	policy := apierrors.NewInvalid(kind, "app", nil)
	policy.ErrStatus.Message = `secrets "app" is forbidden: ValidatingAdmissionPolicy 'no.example.com' with binding 'x' denied request: ` + canary
	terminating := apierrors.NewForbidden(resource, "app", errors.New(canary))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause, Message: canary, Field: "metadata.namespace"}}
	for name, test := range map[string]struct {
		err   error
		want  string
		state flow.State
	}{
		"immutable":          {invalid("FieldValueForbidden", "data"), "the target Secret is immutable: delete Secret ns/app", flow.Stalled},
		"type":               {invalid("FieldValueInvalid", "type"), "the type of a Secret cannot be changed: delete Secret ns/app", flow.Stalled},
		"a bad key":          {invalid("FieldValueInvalid", "data[x]"), "the API server answered Invalid for data[x]; correct spec.template, or seal the keys", flow.Stalled},
		"a policy":           {policy, "the API server answered Invalid: ValidatingAdmissionPolicy no.example.com refuses it: change the one or the other", flow.Failed},
		"quota":              {apierrors.NewForbidden(resource, "app", errors.New(canary)), "the API server answered Forbidden", flow.Failed},
		"overload":           {apierrors.NewTooManyRequests(canary, 1), "the API server answered TooManyRequests", flow.Failed},
		"server error":       {apierrors.NewInternalError(errors.New(canary)), "the API server answered InternalError", flow.Failed},
		"no answer":          {errors.New(canary), "the API server could not be reached", flow.Failed},
		"its namespace goes": {terminating, "the API server answered Forbidden for metadata.namespace: the namespace is being deleted", flow.Waiting},
		"our own words":      {flow.Stall("x", notManaged(object())), "already exists and is not managed by SealedSecret", flow.Stalled},
	} {
		err := writeFailure(object(), test.err)
		if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
		var out flow.Outcome
		_, _ = flow.Run(t.Context(), flow.Engine{}, object(), &scope{}, func(_ *scope, o flow.Outcome) flow.Verdict { out = o; return flow.Verdict{} },
			flow.Step[scope]{Name: "write", Do: func(context.Context, *scope) error { return err }})
		if out.State != test.state || out.State == flow.Waiting && out.After != blockedPoll {
			t.Errorf("%s: %s, again after %s; want %s", name, out.State, out.After, test.state)
		}
	}
}

func TestMemoryHoldsForTheSameBytesInTheSamePlaceOnly(t *testing.T) {
	t.Parallel()
	m := newMemory()
	name := types.NamespacedName{Namespace: "ns", Name: "app"}
	r := m.of(name, "1")
	digest := func(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }
	r.keep(map[string][sha256.Size]byte{"a": digest("x"), "b": digest("y")})
	ring := keyring.New()
	r.attempts["a"].exhaust(ring)
	r.attempts["b"].failed = map[string]bool{"k": true}
	r.keep(map[string][sha256.Size]byte{"a": digest("x"), "b": digest("z")})
	if !r.attempts["a"].hopeless(ring) || r.attempts["a"].hopeless(keyring.New()) || r.attempts["b"].tried("k") {
		t.Errorf("%+v %+v", r.attempts["a"], r.attempts["b"])
	}
	if m.of(name, "1") != r || m.of(name, "2") == r {
		t.Error("an object made anew has the memory of the old one")
	}
	other := types.NamespacedName{Namespace: "ns", Name: "other"}
	m.of(other, "3")
	var emptied []string
	for _, gone := range []types.NamespacedName{name, name, other} {
		if len(emptied) > 0 {
			t.Errorf("a namespace is over before its last object: %q", emptied)
		}
		m.forget(gone, func(namespace string) { emptied = append(emptied, namespace) })
	}
	if len(emptied) != 1 || emptied[0] != "ns" || len(m.objects)+len(m.namespaces) != 0 {
		t.Errorf("a namespace is over with its last object: %q, %v", emptied, m.namespaces)
	}

	obj := object()
	strict := digests(map[string]string{"a": "x"}, &scope{obj: obj, sealScope: seal.Strict})
	wide := digests(map[string]string{"a": "x"}, &scope{obj: obj, sealScope: seal.ClusterWide})
	if strict["a"] == wide["a"] {
		t.Error("a value in another scope counts as the same")
	}
}

func TestAValueIsGivenUpForAsLongAsNothingElseCanOpenIt(t *testing.T) {
	t.Parallel()
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	ring, next := keyring.New(pair), keyring.New(pair)
	broken, retired := errors.New("cut off"), errors.New("taken out of use")
	for name, test := range map[string]struct {
		attempt                       attempt
		now, later, tried, unfinished bool
		cause                         string
	}{
		"new":                             {cause: seal.ErrNoKey.Error()},
		"one key has failed":              {attempt: attempt{failed: map[string]bool{pair.Fingerprint(): true}}, tried: true, unfinished: true, cause: seal.ErrNoKey.Error()},
		"all have failed":                 {attempt: attempt{exhausted: ring}, now: true, tried: true, cause: seal.ErrNoKey.Error()},
		"its key is retired":              {attempt: attempt{retired: retired, retiredIn: ring}, now: true, cause: retired.Error()},
		"it is broken":                    {attempt: attempt{broken: broken}, now: true, later: true, cause: broken.Error()},
		"a key has failed, and it is cut": {attempt: attempt{broken: broken, failed: map[string]bool{"k": true}}, now: true, later: true, cause: broken.Error()},
	} {
		a := &test.attempt
		if got := a.hopeless(ring); got != test.now {
			t.Errorf("%s: given up: %t", name, got)
		}
		if got := a.hopeless(next); got != test.later {
			t.Errorf("%s: given up with other keys: %t", name, got)
		}
		if got := a.tried(pair.Fingerprint()); got != test.tried || a.tried("another") {
			t.Errorf("%s: the key was tried: %t", name, got)
		}
		if got := (&record{attempts: map[string]*attempt{"k": a}}).failing(); got != test.unfinished {
			t.Errorf("%s: keys have failed and others are left: %t", name, got)
		}
		if got := a.cause(ring); got != test.cause {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// In a merge patch a null takes away what is there.
func TestWhatIsAddedToASecretTakesNothingAway(t *testing.T) {
	t.Parallel()
	owners := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "theirs"}}
	ours := map[string]string{v1alpha1.LabelSealedBy: "uid-1"}
	patch := map[string]string{v1alpha1.AnnotationPatch: "true"}
	for name, test := range map[string]struct {
		data                map[string][]byte
		labels, annotations map[string]string
		want                string
	}{
		"nothing": {
			nil, nil, patch, `{"data":{},"metadata":{"annotations":{},"labels":{"sealbridge.dev/sealed-by":"uid-1.shared"},"uid":"secret-1"}}`,
		},
		"an empty value": {
			map[string][]byte{"a": nil, "b": {}, "c": []byte("1")}, nil, patch,
			`{"data":{"a":"","b":"","c":"MQ=="},"metadata":{"annotations":{},"labels":{"sealbridge.dev/sealed-by":"uid-1.shared"},"uid":"secret-1"}}`,
		},
		"what we made": {
			nil, ours, patch, `{"data":{},"metadata":{"annotations":{},"labels":{"sealbridge.dev/sealed-by":"uid-1"},"uid":"secret-1"}}`,
		},
		"an owner that is not set": {
			nil, nil, map[string]string{v1alpha1.AnnotationPatch: "true", v1alpha1.AnnotationManaged: "true"},
			`{"data":{},"metadata":{"annotations":{},"labels":{"sealbridge.dev/sealed-by":"uid-1"},"ownerReferences":null,"resourceVersion":"7","uid":"secret-1"}}`,
		},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Labels: ours}, Data: test.data}
		got, err := mergePatch(secret, metadata(func(m *metav1.PartialObjectMetadata) {
			m.Labels, m.Annotations, m.OwnerReferences = test.labels, test.annotations, owners
		}), false)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v\n%s\n%s", name, err, got, test.want)
		}
	}
}

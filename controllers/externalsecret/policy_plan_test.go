package externalsecret

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// policies returns a change of a scope to a pair of policies; whoever owns nothing has a target that nobody controls.
func policies(creation esv1.CreationPolicy, deletion esv1.DeletionPolicy) func(*scope) {
	return func(s *scope) {
		s.es.Spec.Target.CreationPolicy, s.es.Spec.Target.DeletionPolicy = creation, deletion
		if creation != esv1.CreationOwner {
			s.target.controller = ""
		}
	}
}

func TestDriftFollowsFromTheCreationPolicy(t *testing.T) {
	t.Parallel()
	once := func(s *scope) { s.es.Spec.RefreshInterval = &metav1.Duration{} }
	created := func(s *scope) { s.es.Spec.RefreshPolicy = esv1.RefreshCreatedOnce }
	gone := func(s *scope) { s.target = target{} }
	written := func(s *scope) { s.target.resourceVersion = "101" }
	owned := func(name string, isES bool) func(*scope) {
		return func(s *scope) {
			s.target.controller, s.target.controllerName, s.target.controllerIsES = "x", name, isES
		}
	}
	reported := func(reason, message string) func(*scope) {
		return func(s *scope) {
			s.es.Status.Target = esv1.TargetStatus{}
			s.es.Status.Conditions = conditions.Set(nil, esv1.Condition{Type: esv1.ConditionReady, Status: "True", Reason: reason, Message: message}, start)
			gone(s)
		}
	}
	drifted := plan{refresh: true, drifted: true}
	tests := map[string]struct {
		given []func(*scope)
		want  plan
	}{
		"Orphan: in sync":                                {given: []func(*scope){policies(esv1.CreationOrphan, "")}},
		"Orphan: written by somebody":                    {given: []func(*scope){policies(esv1.CreationOrphan, ""), written}, want: drifted},
		"Orphan: gone":                                   {given: []func(*scope){policies(esv1.CreationOrphan, ""), gone}, want: drifted},
		"Orphan, read once: written by somebody":         {given: []func(*scope){policies(esv1.CreationOrphan, ""), once, written}},
		"Orphan, read once: gone":                        {given: []func(*scope){policies(esv1.CreationOrphan, ""), created, gone}},
		"Orphan: another ExternalSecret owns it":         {given: []func(*scope){policies(esv1.CreationOrphan, ""), owned("ExternalSecret x", true)}, want: drifted},
		"Orphan: something else owns it":                 {given: []func(*scope){policies(esv1.CreationOrphan, ""), owned("Certificate x", false)}},
		"Merge: written by somebody":                     {given: []func(*scope){policies(esv1.CreationMerge, ""), written}, want: drifted},
		"Merge: gone":                                    {given: []func(*scope){policies(esv1.CreationMerge, ""), gone}, want: drifted},
		"Merge: never there":                             {given: []func(*scope){policies(esv1.CreationMerge, ""), reported(esv1.ReasonSecretMissing, messageMissing)}},
		"Merge: never there, and the policy has changed": {given: []func(*scope){policies(esv1.CreationOwner, ""), reported(esv1.ReasonSecretMissing, messageMissing)}, want: drifted},
		"CreateOrMerge: gone":                            {given: []func(*scope){policies(esv1.CreationCreateOrMerge, ""), gone}, want: drifted},
		"CreateOrMerge: something else owns it":          {given: []func(*scope){policies(esv1.CreationCreateOrMerge, ""), owned("Certificate x", false)}},
		"None: gone":                                     {given: []func(*scope){policies(esv1.CreationNone, ""), gone}},
		"None: another ExternalSecret owns it":           {given: []func(*scope){policies(esv1.CreationNone, ""), owned("ExternalSecret x", true)}},
		"Owner: deleted on purpose":                      {given: []func(*scope){policies(esv1.CreationOwner, esv1.DeletionDelete), reported(esv1.ReasonSecretDeleted, messageDeleted)}},
		"Owner: deleted, and the policy has changed":     {given: []func(*scope){policies(esv1.CreationOwner, esv1.DeletionRetain), reported(esv1.ReasonSecretDeleted, messageDeleted)}, want: drifted},
		"Owner: there was nothing to write":              {given: []func(*scope){policies(esv1.CreationOwner, ""), reported(esv1.ReasonSecretSynced, messageRetained)}},
		"Owner: nothing to write, and what was kept is gone": {given: []func(*scope){policies(esv1.CreationOwner, ""), func(s *scope) {
			kept := s.es.Status.Target
			reported(esv1.ReasonSecretSynced, messageRetained)(s)
			s.es.Status.Target = kept
		}}, want: drifted},
		"Owner: deleted on purpose, and failed since": {given: []func(*scope){policies(esv1.CreationOwner, esv1.DeletionDelete), reported(esv1.ReasonSecretDeleted, messageDeleted), func(s *scope) {
			s.es.Status.Conditions[0].Status = metav1.ConditionFalse
		}}, want: drifted},
		"Owner: gone, as another controller left it":     {given: []func(*scope){policies(esv1.CreationOwner, ""), reported(esv1.ReasonSecretSynced, messageSynced)}, want: drifted},
		"CreateOrMerge: as another controller left it":   {given: []func(*scope){policies(esv1.CreationCreateOrMerge, ""), func(s *scope) { s.es.Status.Target = esv1.TargetStatus{} }}, want: plan{verify: true}},
		"Owner: a target that does not belong to it yet": {given: []func(*scope){policies(esv1.CreationOwner, ""), func(s *scope) { s.target.controller = "" }}, want: drifted},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := synced()
			for _, given := range tt.given {
				given(s)
			}
			if got := decide(s); got != tt.want {
				t.Errorf("plan %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestATargetIsLeftToWhoeverControlsIt(t *testing.T) {
	t.Parallel()
	tests := map[esv1.CreationPolicy]map[string]bool{ // which controllers make the target taken
		"":                         {"nobody": false, "es-uid": false, "another": true, "its predecessor": false, "a certificate": true},
		esv1.CreationOwner:         {"nobody": false, "es-uid": false, "another": true, "its predecessor": false, "a certificate": true},
		esv1.CreationOrphan:        {"nobody": false, "es-uid": false, "another": true, "its predecessor": false, "a certificate": false},
		esv1.CreationMerge:         {"nobody": false, "es-uid": false, "another": true, "its predecessor": false, "a certificate": false},
		esv1.CreationCreateOrMerge: {"nobody": false, "es-uid": false, "another": true, "its predecessor": false, "a certificate": false},
		esv1.CreationNone:          {"nobody": false, "es-uid": false, "another": false, "its predecessor": false, "a certificate": false},
	}
	controllers := map[string]target{
		"nobody":          {exists: true},
		"es-uid":          {exists: true, controller: "es-uid", controllerIsES: true},
		"another":         {exists: true, controller: "other-uid", controllerIsES: true},
		"its predecessor": {exists: true, controller: "old-uid", controllerIsES: true, predecessor: true},
		"a certificate":   {exists: true, controller: "certificate-uid"},
	}
	for creation, want := range tests {
		for who, taken := range want {
			es := synced().es
			es.Spec.Target.CreationPolicy = creation
			if got := controllers[who].taken(es); got != taken {
				t.Errorf("creationPolicy %q, controlled by %s: taken %v, want %v", creation, who, got, taken)
			}
		}
	}
	mine := map[esv1.CreationPolicy][]string{ // which controllers leave the target to the ExternalSecret as it is
		"":                         {"es-uid"},
		esv1.CreationOwner:         {"es-uid"},
		esv1.CreationOrphan:        {"a certificate", "es-uid", "nobody"},
		esv1.CreationMerge:         {"a certificate", "es-uid", "nobody"},
		esv1.CreationCreateOrMerge: {"a certificate", "es-uid", "nobody"},
	}
	controllers["there is none"] = target{}
	for creation, want := range mine {
		es := synced().es
		es.Spec.Target.CreationPolicy = creation
		var got []string
		for _, who := range slices.Sorted(maps.Keys(controllers)) {
			if controllers[who].belongs(es) {
				got = append(got, who)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("creationPolicy %q: a target belongs to it that is controlled by %q, want %q", creation, got, want)
		}
	}
	named := synced().es
	for who, tt := range map[string]struct {
		ref  metav1.OwnerReference
		want bool
	}{
		"one of its name before it":    {metav1.OwnerReference{APIVersion: "external-secrets.io/v1beta1", Kind: "ExternalSecret", Name: named.Name, UID: "old-uid"}, true},
		"one of another name":          {metav1.OwnerReference{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "other", UID: "old-uid"}, false},
		"itself":                       {metav1.OwnerReference{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: named.Name, UID: named.UID}, false},
		"another kind of its name":     {metav1.OwnerReference{APIVersion: "external-secrets.io/v1", Kind: "PushSecret", Name: named.Name, UID: "old-uid"}, false},
		"the kind of another operator": {metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "ExternalSecret", Name: named.Name, UID: "old-uid"}, false},
	} {
		if got := isPredecessor(&tt.ref, named); got != tt.want {
			t.Errorf("%s is its predecessor: %v, want %v", who, got, tt.want)
		}
	}
	for version, want := range map[string]bool{"external-secrets.io/v1": true, "external-secrets.io/v1beta1": true, "example.com/v1": false} {
		if got := isExternalSecret(&metav1.OwnerReference{APIVersion: version, Kind: "ExternalSecret"}); got != want {
			t.Errorf("an owner of %s is an ExternalSecret: %v, want %v", version, got, want)
		}
	}
}

func TestOnlyADocumentThatTheStoreDoesNotHaveIsMissing(t *testing.T) {
	t.Parallel()
	spec := &esv1.ExternalSecretSpec{
		SecretStoreRef: esv1.StoreRef{Name: "s"},
		Data: []esv1.Data{
			{SecretKey: "a", RemoteRef: esv1.RemoteRef{Key: "1", Property: "a"}},
			{SecretKey: "b", RemoteRef: esv1.RemoteRef{Key: "2", Property: "b"}},
		},
		DataFrom: []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "3"}}},
	}
	documents := func(err error) map[origin]providers.Result {
		entries := entriesOf(spec)
		return map[origin]providers.Result{
			entries[0].origin: {Document: fields{"c": "3"}}, entries[1].origin: {Document: fields{"a": "1"}}, entries[2].origin: {Err: err},
		}
	}
	absent := providers.Errorf(providers.ErrNotFound, "no key")
	for _, deletion := range []esv1.DeletionPolicy{esv1.DeletionDelete, esv1.DeletionMerge} {
		spec.Target.DeletionPolicy = deletion
		got, missing, err := valuesOf(t, spec, documents(absent))
		check(t, map[string]string{"a": "1", "c": "3"}, got, err, "")
		if want := []string{"spec.data[1] (b): no key"}; !slices.Equal(missing, want) {
			t.Errorf("%s: missing %q, want %q", deletion, missing, want)
		}
		for _, class := range []error{providers.ErrPropertyNotFound, providers.ErrUnavailable, providers.ErrDenied, providers.ErrInvalid, &providers.ThrottledError{}, errors.New("garbage")} {
			if _, _, err := valuesOf(t, spec, documents(class)); !errors.Is(err, class) {
				t.Errorf("%s: error %v, want %v: nothing may be taken for missing but what the store says is", deletion, err, class)
			}
		}
	}
	search := spec.DeepCopy()
	search.Data, search.DataFrom = nil, []esv1.DataFrom{{Find: &esv1.Find{}}}
	failed := map[origin]providers.Result{entriesOf(search)[0].origin: {Err: absent}}
	if _, _, err := valuesOf(t, search, failed); !errors.Is(err, absent) {
		t.Errorf("a search that fails: error %v, want %v: it may have failed for the lack of a credential", err, absent)
	}
	for _, deletion := range []esv1.DeletionPolicy{"", esv1.DeletionRetain} {
		spec.Target.DeletionPolicy = deletion
		if _, _, err := valuesOf(t, spec, documents(absent)); !errors.Is(err, absent) {
			t.Errorf("%q: error %v, want the missing document", deletion, err)
		}
	}
}

func TestTheStatusSaysWhyThereIsNoTarget(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		given   func(*scope)
		reason  string
		message string
		event   string
	}{
		"deleted":            {func(s *scope) { s.emptied, s.deleted = true, true }, esv1.ReasonSecretDeleted, "secret deleted due to DeletionPolicy=Delete", "Deleted"},
		"nothing to delete":  {func(s *scope) { s.emptied = true }, esv1.ReasonSecretDeleted, "secret deleted due to DeletionPolicy=Delete", ""},
		"nothing to merge":   {func(s *scope) { s.absent = true }, esv1.ReasonSecretMissing, "secret will not be created due to CreationPolicy=Merge", ""},
		"nothing is written": {policies(esv1.CreationNone, ""), esv1.ReasonSecretSynced, "secret synced", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := synced()
			s.plan.refresh, s.plan.changed, s.target = true, true, target{}
			tt.given(s)
			verdict := report(time.Hour)(s, flow.Outcome{State: flow.Ready})
			c := conditions.Ready(s.es.Status.Conditions)
			if c.Status != "True" || c.Reason != tt.reason || c.Message != tt.message || s.es.Status.Target != (esv1.TargetStatus{}) {
				t.Errorf("condition %+v, target %+v", c, s.es.Status.Target)
			}
			if got := verdict.Event; (got == nil) != (tt.event == "") || got != nil && got.Reason != tt.event {
				t.Errorf("event %+v, want %q", got, tt.event)
			}
			s.plan, s.emptied, s.deleted, s.absent = plan{}, false, false, false
			report(time.Hour)(s, flow.Outcome{State: flow.Ready})
			if again := conditions.Ready(s.es.Status.Conditions); again != c {
				t.Errorf("a run that did nothing says %+v", again)
			}
			policies(esv1.CreationNone, "")(s)
			report(time.Hour)(s, flow.Outcome{State: flow.Ready})
			if none := conditions.Ready(s.es.Status.Conditions); none.Reason != esv1.ReasonSecretSynced || none.Message != "secret synced" {
				t.Errorf("where nothing is written any more, it says %+v", none)
			}
		})
	}
}

func TestARivalIsFoundInWhatTheAPIServerSays(t *testing.T) {
	t.Parallel()
	es := synced().es
	refused := func(why metav1.CauseType, managers ...string) error {
		err := apierrors.NewApplyConflict(nil, "conflict")
		for _, m := range managers {
			err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
				Type: why, Message: fmt.Sprintf("conflict with %q using v1", m), Field: ".data.password"})
		}
		return fmt.Errorf("write: %w", redact.API(err))
	}
	conflict := func(managers ...string) error { return refused(metav1.CauseTypeFieldManagerConflict, managers...) }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, ""}, {errors.New("x"), ""}, {refused(metav1.CauseTypeFieldValueInvalid, esv1.FieldOwnerPrefix+"other"), ""}, {conflict(), ""}, {conflict("helm", fieldOwner(es.Name)), ""},
		{conflict("helm", esv1.FieldOwnerPrefix+"other"), esv1.FieldOwnerPrefix + "other"},
	} {
		var want []contest
		if tt.want != "" {
			want = []contest{{tt.want, ".data.password"}}
		}
		if got := contests(tt.err, es); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", tt.err, got, want)
		}
	}
}

package apply

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/providers"
)

const canary = "canary-7f3e9a51"

// parse reads one YAML object.
func parse(t *testing.T, doc string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func prepared(t *testing.T, doc string) Object {
	t.Helper()
	o, err := Prepare(parse(t, doc), Owner{"team", "shop"}, false)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestAnInventoryEntryReadsBackAsTheObjectItNames(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Ref{
		"namespaced":                   {Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "api"},
		"core":                         {Kind: "Secret", Namespace: "shop", Name: "db"},
		"cluster-scoped":               {Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "a.b.c"},
		"a role name with underscores": {Group: rbac, Kind: "ClusterRole", Name: "system:a_b_c"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseID(r.ID())
			if err != nil || got != r {
				t.Errorf("ParseID(%q) = %+v, %v; want %+v", r.ID(), got, err, r)
			}
		})
	}
	for _, bad := range []string{"", "_", "__", "ns_name", "ns_name_group", "ns__g_K", "ns_n_g_"} {
		if r, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) = %+v, want an error", bad, r)
		}
	}
}

func TestObjectsAreAppliedInTheOrderInWhichTheyNeedEachOther(t *testing.T) {
	t.Parallel()
	kinds := []schema.GroupKind{
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"},
		{Kind: "Namespace"},
		{Group: rbac, Kind: "ClusterRole"},
		{Group: rbac, Kind: "RoleBinding"},
		{Kind: "ServiceAccount"},
		{Group: "storage.k8s.io", Kind: "StorageClass"},
		{Kind: "ConfigMap"},
		{Kind: "Secret"},
		{Group: externalSecrets, Kind: "SecretStore"},
		{Group: generators, Kind: "Password"},
		{Group: externalSecrets, Kind: "ExternalSecret"},
		{Group: sealedSecrets, Kind: "SealedSecret"},
		{Group: "apps", Kind: "Deployment"},
		{Group: externalSecrets, Kind: "PushSecret"},
		{Kind: "Service"},
		{Group: admission, Kind: "ValidatingWebhookConfiguration"},
	}
	want := []stage{
		definitions, definitions, foundations, foundations, foundations, foundations, sources, sources, sources, sources,
		secrets, secrets, rest, rest, rest, webhooks,
	}
	got := make([]stage, len(kinds))
	for i, k := range kinds {
		got[i] = stageOf(k)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheInventoryGrowsBeforeAndShrinksAfterAnApply(t *testing.T) {
	t.Parallel()
	a := Entry{Ref{Kind: "Secret", Namespace: "n", Name: "a"}, "v1"}
	b := Entry{Ref{Group: "apps", Kind: "Deployment", Namespace: "n", Name: "b"}, "v1"}
	bOld := Entry{b.Ref, "v1beta1"}
	if diff := cmp.Diff([]Entry{a, b}, Union([]Entry{bOld, a}, []Entry{b})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Entry{a}, Without([]Entry{a, bOld}, []Entry{b})); diff != "" {
		t.Error(diff)
	}
}

func TestASecretIsPreparedWithItsValuesInDataOnly(t *testing.T) {
	t.Parallel()
	o := prepared(t, `
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: shop, creationTimestamp: null, resourceVersion: "7"}
stringData: {password: hunter2}
data: {user: "YWRt\naW4="}
status: {}
`)
	want := map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"name": "db", "namespace": "shop", "labels": map[string]any{v1alpha1.LabelName: "shop", v1alpha1.LabelNamespace: "team"}},
		"data":     map[string]any{"password": "aHVudGVyMg==", "user": "YWRtaW4="},
	}
	if diff := cmp.Diff(want, o.desired.Object); diff != "" {
		t.Error(diff)
	}
	if !o.Sensitive {
		t.Error("a Secret is not sensitive")
	}
}

func TestABadSecretIsRefusedByItsKeyAndNeverByItsValue(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"not base64":                     `{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop}, data: {bad.key: "` + canary + `!"}}`,
		"a value that is a list":         `{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop}, stringData: {bad.key: [` + canary + `]}}`,
		"a value that is a number":       `{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop}, data: {bad.key: 7}}`,
		"data that is a string, bad.key": `{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop}, data: ` + canary + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Prepare(parse(t, doc), Owner{"team", "shop"}, false)
			if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "Secret shop/db") {
				t.Fatalf("error %v, want one of class invalid that names the Secret", err)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("error %q quotes the value", err)
			}
		})
	}
}

func TestAnObjectIsDriftedOnlyWhenSomebodyElseChangedWhatWeApplied(t *testing.T) {
	t.Parallel()
	deployment := record{uid: "u", resourceVersion: "100", generation: 3, labels: map[string]string{"a": "b"}}
	secret := record{uid: "u", resourceVersion: "100"}
	live := func(rv string, generation int64, labels map[string]string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: rv, Generation: generation, Labels: labels}}
	}
	deleted := live("101", 3, map[string]string{"a": "b"})
	deleted.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	other := live("100", 3, nil)
	other.UID = "v"
	for name, tc := range map[string]struct {
		rec  record
		live *metav1.PartialObjectMetadata
		want bool
	}{
		"our own write":                              {deployment, live("100", 3, map[string]string{"a": "b"}), false},
		"the watch lags behind our write":            {deployment, live("99", 2, nil), false},
		"only its status changed":                    {deployment, live("101", 3, map[string]string{"a": "b", "c": "d"}), false},
		"its spec changed":                           {deployment, live("101", 4, map[string]string{"a": "b"}), true},
		"a label of ours was removed":                {deployment, live("101", 3, map[string]string{"c": "d"}), true},
		"it is gone":                                 {deployment, nil, true},
		"it is being deleted":                        {deployment, deleted, true},
		"it was deleted and created by another hand": {deployment, other, true},
		"a Secret was written":                       {secret, live("101", 0, nil), true},
		"a Secret was not written":                   {secret, live("100", 0, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.rec.drifted(tc.live); got != tc.want {
				t.Errorf("drifted = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAnObjectThatSomebodyKeepsChangingIsRepairedMoreAndMoreSlowly(t *testing.T) {
	t.Parallel()
	m, r, now := NewMemory(), Ref{Kind: "Secret", Name: "a"}, time.Unix(1000, 0)
	var got []time.Duration
	for range 9 {
		got = append(got, m.RepairDelay(r, now))
		m.repaired(r, now)
	}
	want := []time.Duration{0, 1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d := m.RepairDelay(r, now.Add(repairQuiet+time.Second)); d != 0 {
		t.Errorf("after a quiet time the repair waits %s, want none", d)
	}
}

func TestASecretIsMaterialisedWhenItsControllerSaysSoForThisGeneration(t *testing.T) {
	t.Parallel()
	const external = "{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: db, namespace: shop, generation: 2}, "
	const sealed = "{apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, metadata: {name: db, namespace: shop, generation: 2}, "
	for name, tc := range map[string]struct {
		doc            string
		synced, served bool
	}{
		"new":                       {external + "}", false, false},
		"ready":                     {external + `status: {syncedResourceVersion: 2-abc, conditions: [{type: Ready, status: "True"}]}}`, true, true},
		"ready for the last change": {external + `status: {syncedResourceVersion: 1-abc, conditions: [{type: Ready, status: "True"}]}}`, false, false},
		"failing, never synced":     {external + `status: {conditions: [{type: Ready, status: "False", reason: SecretSyncedError}]}}`, false, false},
		"failing, unchanged since":  {external + `status: {syncedResourceVersion: 2-abc, conditions: [{type: Ready, status: "False"}]}}`, false, true},
		"sealed, opened":            {sealed + `status: {observedGeneration: 2, conditions: [{type: Synced, status: "True"}]}}`, true, false},
		"sealed, opened before":     {sealed + `status: {observedGeneration: 1, conditions: [{type: Synced, status: "True"}]}}`, false, false},
		"sealed, cannot be opened":  {sealed + `status: {observedGeneration: 2, conditions: [{type: Synced, status: "False"}]}}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := parse(t, tc.doc)
			u.SetGeneration(2) // YAML numbers are floats
			if err := normalise(u); err != nil {
				t.Fatal(err)
			}
			ok, why := synced(u)
			if ok != tc.synced || served(u) != tc.served || (why == "") != ok {
				t.Errorf("synced = %v (%q), served = %v; want %v, %v", ok, why, served(u), tc.synced, tc.served)
			}
		})
	}
}

// normalise gives numbers the type that the API machinery gives them.
func normalise(u *unstructured.Unstructured) error {
	raw, err := u.MarshalJSON()
	if err != nil {
		return err
	}
	return u.UnmarshalJSON(raw)
}

func TestAWorkloadWaitsForTheSecretsThatItMentions(t *testing.T) {
	t.Parallel()
	missing := []secretKey{{namespace: "shop", name: "db"}, {name: "everywhere"}}
	for name, tc := range map[string]struct{ doc, want string }{
		"an environment variable": {`{kind: Deployment, metadata: {name: api, namespace: shop}, spec: {template: {spec: {containers: [{env: [{valueFrom: {secretKeyRef: {name: db, key: x}}}]}]}}}}`, "db"},
		"a volume":                {`{kind: Deployment, metadata: {name: api, namespace: shop}, spec: {template: {spec: {volumes: [{secret: {secretName: db}}]}}}}`, "db"},
		"a custom resource":       {`{kind: Database, metadata: {name: api, namespace: shop}, spec: {auth: {existingSecret: db}}}`, "db"},
		"any namespace":           {`{kind: Deployment, metadata: {name: api, namespace: other}, spec: {x: everywhere}}`, "everywhere"},
		"another namespace":       {`{kind: Deployment, metadata: {name: api, namespace: other}, spec: {x: db}}`, ""},
		"its own name and labels": {`{kind: Service, metadata: {name: db, namespace: shop}, spec: {selector: {app: db}, template: {metadata: {labels: {app: db}}}}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := mentions(parse(t, tc.doc), missing)
			if got.name != tc.want {
				t.Errorf("mentions %q, want %q", got.name, tc.want)
			}
		})
	}
}

func TestAnObjectOfAnotherReconcilerIsRefused(t *testing.T) {
	t.Parallel()
	us := Owner{"team", "shop"}
	desired := prepared(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}`)
	adopting := prepared(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop, annotations: {gitsync.sealbridge.dev/adopt: enabled}}}`)
	holds := func(other Owner, _ Ref) bool { return other.Name == "holder" }
	for name, tc := range map[string]struct {
		o    Object
		live string
		want string
	}{
		"nobody's":                   {desired, `{metadata: {name: a}}`, ""},
		"ours":                       {desired, `{metadata: {labels: {gitsync.sealbridge.dev/name: shop, gitsync.sealbridge.dev/namespace: team}}}`, ""},
		"a GitSync's that holds it":  {desired, `{metadata: {labels: {gitsync.sealbridge.dev/name: holder, gitsync.sealbridge.dev/namespace: team}}}`, "GitSync team/holder"},
		"a GitSync's that let it go": {desired, `{metadata: {labels: {gitsync.sealbridge.dev/name: gone, gitsync.sealbridge.dev/namespace: team}}}`, ""},
		"Flux's":                     {desired, `{metadata: {labels: {kustomize.toolkit.fluxcd.io/name: apps}}}`, "Flux, in a Kustomization that its label kustomize.toolkit.fluxcd.io/name names"},
		"a Helm release of Flux":     {desired, `{metadata: {labels: {helm.toolkit.fluxcd.io/name: apps}}}`, "Flux, in a HelmRelease that its label helm.toolkit.fluxcd.io/name names"},
		"Argo CD's":                  {desired, `{metadata: {annotations: {argocd.argoproj.io/tracking-id: x}}}`, "Argo CD"},
		"Flux's, and to be adopted":  {adopting, `{metadata: {labels: {kustomize.toolkit.fluxcd.io/name: apps}}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := foreign(tc.o, parse(t, tc.live), us, holds)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want one that names %q", err, tc.want)
			}
		})
	}
}

func TestAnAnswerAboutASecretIsReducedToItsReasonAndCure(t *testing.T) {
	t.Parallel()
	secret := Ref{Kind: "Secret", Namespace: "n", Name: "a"}
	gk, gr := schema.GroupKind{Kind: "Secret"}, schema.GroupResource{Resource: "secrets"}
	typed := apierrors.NewInternalError(errors.New("failed to create typed patch object: .data: expected map, got " + canary))
	policy := apierrors.NewInvalid(gk, "a", nil)
	policy.ErrStatus.Message = `secrets "a" is forbidden: ValidatingAdmissionPolicy 'no.example.com' with binding 'x' denied request: ` + canary
	for name, tc := range map[string]struct {
		err    error
		reason string
	}{
		"invalid":            {apierrors.NewInvalid(gk, "a", field.ErrorList{field.Invalid(field.NewPath("data"), canary, canary)}), ReasonInvalid},
		"immutable":          {apierrors.NewInvalid(gk, "a", field.ErrorList{field.Invalid(field.NewPath("data"), canary, "field is immutable when `immutable` is set")}), ReasonImmutable},
		"wrong type":         {typed, ReasonInvalid},
		"denied":             {apierrors.NewForbidden(gr, "a", errors.New(canary)), ReasonForbidden},
		"denied by a policy": {policy, ReasonForbidden},
		"webhook down":       {apierrors.NewInternalError(errors.New(`failed calling webhook "check.example.com": Post "https://10.0.0.7:443/?q=` + canary + `"`)), ReasonUnavailable},
		"unknown kind":       {&meta.NoKindMatchError{GroupKind: gk}, ReasonNoKind},
		"not an answer":      {errors.New("dial tcp " + canary), ReasonUnavailable},
		"namespace gone":     {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "n"), ReasonNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := objectError(secret, about{sensitive: true}, tc.err)
			if e.Reason != tc.reason {
				t.Errorf("reason %s (%s), want %s", e.Reason, e, tc.reason)
			}
			if strings.Contains(e.Error(), canary) || len(e.Error()) > 600 || !strings.Contains(e.Error(), "Secret n/a") {
				t.Errorf("text %q", e)
			}
		})
	}
}

func TestTheServersOwnWordsAreKeptWhereTheyCanQuoteNothingButGit(t *testing.T) {
	t.Parallel()
	gk := schema.GroupKind{Group: "apps", Kind: "Deployment"}
	invalid := apierrors.NewInvalid(gk, "a", field.ErrorList{field.Invalid(field.NewPath("spec", "x"), "words", "no")})
	typed := &apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: "failed to create typed patch object (n/a; apps/v1, Kind=Deployment): words"}}
	merged := &apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: "failed to create typed live object: failed to create typed patch object: words"}}
	for name, tc := range map[string]struct {
		of   about
		err  error
		kept bool
	}{
		"a new object":                          {about{}, invalid, true},
		"a new object of a decrypted file":      {about{sensitive: true}, invalid, false},
		"what is there":                         {about{there: true}, invalid, false},
		"a field that is none":                  {about{}, typed, true},
		"one of what is there":                  {about{there: true}, typed, true},
		"one of a decrypted file":               {about{sensitive: true}, typed, false},
		"one of a decrypted file that is there": {about{sensitive: true, there: true}, typed, false},
		"what is there and of no kind":          {about{there: true}, merged, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if e := objectError(Ref{Kind: "Deployment", Name: "a"}, tc.of, tc.err); strings.Contains(e.Text, "words") != tc.kept {
				t.Errorf("text %q, the server's words kept: %v", e.Text, !tc.kept)
			}
		})
	}
}

func TestASummaryIsStableAndShowsTheFirstFiveOfMany(t *testing.T) {
	t.Parallel()
	var results []Result
	for _, n := range []string{"g", "c", "a", "b", "f", "e", "d"} {
		r := Ref{Kind: "ConfigMap", Namespace: "n", Name: n}
		results = append(results, Result{Ref: r, Action: Failed, Err: &ObjectError{Ref: r, Text: "no"}})
	}
	got := Summary(results)
	if !strings.HasPrefix(got, "ConfigMap n/a: no; ConfigMap n/b: no; ") || !strings.HasSuffix(got, "ConfigMap n/e: no; and 2 more objects failed") {
		t.Errorf("summary %q", got)
	}
}

func TestAnObjectThatIsDefinedTwiceIsNamed(t *testing.T) {
	t.Parallel()
	a := prepared(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}`)
	b := prepared(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: shop}}`)
	if err := Duplicates([]Object{a, b}); err != nil {
		t.Errorf("two objects: %v", err)
	}
	if err := Duplicates([]Object{a, b, a}); err == nil || !strings.Contains(err.Error(), "ConfigMap shop/a") {
		t.Errorf("error %v, want one that names the object", err)
	}
}

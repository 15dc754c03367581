package externalsecret

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// synced returns the scope of an object that was synced a moment ago and has not changed since.
func synced() *scope {
	es := &esv1.ExternalSecret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "es", UID: "es-uid", Generation: 2, Labels: map[string]string{"a": "b"}},
		Spec: esv1.ExternalSecretSpec{
			SecretStoreRef: esv1.StoreRef{Name: "store"},
			Data:           []esv1.Data{{SecretKey: "k", RemoteRef: esv1.RemoteRef{Key: "db"}}},
		},
	}
	es.Status = esv1.ExternalSecretStatus{
		RefreshTime: metav1.NewTime(start), SyncedResourceVersion: versionOf(es),
		Target: esv1.TargetStatus{UID: "secret-uid", ResourceVersion: "100"},
	}
	return &scope{
		es: es, now: start.Add(time.Second), version: versionOf(es), memo: memo{uid: es.UID},
		target: target{exists: true, uid: "secret-uid", resourceVersion: "100", dataHash: "h", controller: "es-uid"},
	}
}

// storeOf returns the stores of an object that uses one.
func storeOf(uid types.UID, generation int64) map[esv1.StoreRef]client.Object {
	return map[esv1.StoreRef]client.Object{{}: &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{UID: uid, Generation: generation}}}
}

func TestWhatIsDueFollowsFromWhatIsKnown(t *testing.T) {
	t.Parallel()
	set := func(policy esv1.RefreshPolicy, interval time.Duration) func(*scope) {
		return func(s *scope) {
			s.es.Spec.RefreshPolicy, s.es.Spec.RefreshInterval = policy, &metav1.Duration{Duration: interval}
		}
	}
	respec := func(s *scope) { s.es.Generation++; s.version = versionOf(s.es) }
	relabel := func(s *scope) { s.es.Labels = map[string]string{"a": "c"}; s.version = versionOf(s.es) }
	unsynced := func(s *scope) { s.es.Status = esv1.ExternalSecretStatus{}; s.target = target{} }
	later := func(d time.Duration) func(*scope) { return func(s *scope) { s.now = start.Add(d) } }
	orphan := func(s *scope) { s.es.Spec.Target.CreationPolicy = esv1.CreationOrphan }
	never := func(s *scope) { s.es.Status.Target, s.target = esv1.TargetStatus{}, target{} }
	failed := func(s *scope) {
		s.es.Status.Conditions = []esv1.Condition{{Type: esv1.ConditionReady, Status: metav1.ConditionFalse}}
	}
	tests := map[string]struct {
		given []func(*scope)
		want  plan
	}{
		"in sync":                                                      {want: plan{}},
		"never synced":                                                 {given: []func(*scope){unsynced}, want: plan{refresh: true, changed: true, drifted: true}},
		"an interval has passed":                                       {given: []func(*scope){later(time.Hour)}, want: plan{refresh: true}},
		"the spec changed":                                             {given: []func(*scope){respec}, want: plan{refresh: true, changed: true}},
		"a label changed":                                              {given: []func(*scope){relabel}, want: plan{refresh: true, changed: true, forced: true}},
		"spec and label changed":                                       {given: []func(*scope){respec, relabel}, want: plan{refresh: true, changed: true}},
		"the refresh time is in the future":                            {given: []func(*scope){later(-time.Hour)}, want: plan{refresh: true}},
		"interval 0: time passes":                                      {given: []func(*scope){set("", 0), later(1000 * time.Hour)}, want: plan{}},
		"interval 0: the spec changed":                                 {given: []func(*scope){set("", 0), respec}, want: plan{changed: true}},
		"interval 0: a label changed":                                  {given: []func(*scope){set("", 0), relabel}, want: plan{changed: true, forced: true}},
		"CreatedOnce: a label changed":                                 {given: []func(*scope){set(esv1.RefreshCreatedOnce, time.Second), relabel, later(time.Hour)}, want: plan{changed: true, forced: true}},
		"OnChange: a label changed":                                    {given: []func(*scope){set(esv1.RefreshOnChange, time.Second), relabel}, want: plan{refresh: true, changed: true, forced: true}},
		"interval 0: never synced":                                     {given: []func(*scope){set("", 0), unsynced}, want: plan{refresh: true, changed: true, drifted: true}},
		"CreatedOnce: time passes, spec changes":                       {given: []func(*scope){set(esv1.RefreshCreatedOnce, time.Second), respec, later(time.Hour)}, want: plan{changed: true}},
		"CreatedOnce: the target is gone":                              {given: []func(*scope){set(esv1.RefreshCreatedOnce, 0), func(s *scope) { s.target = target{} }}, want: plan{refresh: true, drifted: true}},
		"CreatedOnce, Orphan: the target is gone":                      {given: []func(*scope){set(esv1.RefreshCreatedOnce, 0), orphan, func(s *scope) { s.target = target{} }}, want: plan{}},
		"CreatedOnce, Orphan: another operator's is gone":              {given: []func(*scope){set(esv1.RefreshCreatedOnce, 0), orphan, never}, want: plan{}},
		"CreatedOnce, Orphan: there was none, and the last failed":     {given: []func(*scope){set(esv1.RefreshCreatedOnce, 0), orphan, never, failed}, want: plan{refresh: true, drifted: true}},
		"CreatedOnce, Orphan: there was one, and the last failed":      {given: []func(*scope){set(esv1.RefreshCreatedOnce, 0), orphan, failed, func(s *scope) { s.target = target{} }}, want: plan{}},
		"CreatedOnce, Orphan: there is one of others, after a failure": {given: []func(*scope){set(esv1.RefreshCreatedOnce, 0), orphan, never, failed, func(s *scope) { s.target.exists = true }}, want: plan{}},
		"OnChange: time passes":                                        {given: []func(*scope){set(esv1.RefreshOnChange, time.Second), later(time.Hour)}, want: plan{}},
		"OnChange: the spec changed":                                   {given: []func(*scope){set(esv1.RefreshOnChange, time.Second), respec}, want: plan{refresh: true, changed: true}},
		"the target is gone":                                           {given: []func(*scope){func(s *scope) { s.target = target{} }}, want: plan{refresh: true, drifted: true}},
		"the target is another object":                                 {given: []func(*scope){func(s *scope) { s.target.uid = "other" }}, want: plan{refresh: true, drifted: true}},
		"the target belongs to another":                                {given: []func(*scope){func(s *scope) { s.target.controller = "other" }}, want: plan{refresh: true, drifted: true}},
		"the target was written by somebody":                           {given: []func(*scope){func(s *scope) { s.target.resourceVersion = "101" }}, want: plan{refresh: true, drifted: true}},
		"the cache is behind our write":                                {given: []func(*scope){func(s *scope) { s.target.resourceVersion = "99" }}, want: plan{}},
		"versions that are no numbers":                                 {given: []func(*scope){func(s *scope) { s.target.resourceVersion = "x" }}, want: plan{refresh: true, drifted: true}},
		"another controller left it":                                   {given: []func(*scope){func(s *scope) { s.es.Status.Target = esv1.TargetStatus{} }}, want: plan{verify: true}},
		"another controller left it without hash":                      {given: []func(*scope){func(s *scope) { s.es.Status.Target = esv1.TargetStatus{}; s.target.dataHash = "" }}, want: plan{refresh: true, drifted: true}},
		"another controller left it and it is due": {
			given: []func(*scope){func(s *scope) { s.es.Status.Target = esv1.TargetStatus{} }, later(time.Hour)}, want: plan{refresh: true}},
		"read again without a word in the status": {
			given: []func(*scope){later(90 * time.Minute), func(s *scope) { s.memo.refreshed = start.Add(89*time.Minute + 59*time.Second) }}, want: plan{}},
		"the store changed since": {
			given: []func(*scope){func(s *scope) {
				s.memo.stores = fingerprint(storeOf("uid", 1))
				s.stores = storeOf("uid", 2)
			}}, want: plan{refresh: true}},
		"what it reads was seen to have changed": {given: []func(*scope){func(s *scope) { s.news = start.Add(time.Second) }}, want: plan{refresh: true}},
		"it has been read since it was seen to have changed": {
			given: []func(*scope){later(time.Minute), func(s *scope) { s.news, s.memo.refreshed = start.Add(time.Second), start.Add(2*time.Second) }}, want: plan{}},
		"CreatedOnce: what it reads was seen to have changed": {
			given: []func(*scope){set(esv1.RefreshCreatedOnce, time.Hour), func(s *scope) { s.news = start.Add(time.Second) }}, want: plan{}},
		"the store was not known before a restart": {given: []func(*scope){func(s *scope) { s.stores = storeOf("uid", 2) }}, want: plan{}},
		"what it reads was seen to have changed in a window that denies": {
			given: []func(*scope){func(s *scope) {
				s.news = start.Add(time.Second)
				s.windows, _ = parseWindows(syncWindows(esv1.SyncWindowDeny, "0 4 * * *", "6h"))
			}}, want: plan{blocked: true}},
		"interval 0: a status of no version": {
			given: []func(*scope){set("", 0), func(s *scope) { s.es.Status.SyncedResourceVersion = "" }}, want: plan{refresh: true, changed: true}},
		"interval 0: a status of no time": {
			given: []func(*scope){set("", 0), func(s *scope) { s.es.Status.RefreshTime = metav1.Time{} }}, want: plan{refresh: true}},
		"the version that was written is no number":              {given: []func(*scope){func(s *scope) { s.es.Status.Target.ResourceVersion = "x" }}, want: plan{refresh: true, drifted: true}},
		"what it reads in this cluster has changed":              {given: []func(*scope){func(s *scope) { s.changed = true }}, want: plan{refresh: true}},
		"CreatedOnce: what it reads in this cluster has changed": {given: []func(*scope){set(esv1.RefreshCreatedOnce, time.Hour), func(s *scope) { s.changed = true }}, want: plan{}},
		"the store did not change": {
			given: []func(*scope){func(s *scope) {
				s.memo.stores = fingerprint(storeOf("uid", 2))
				s.stores = storeOf("uid", 2)
			}}, want: plan{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := synced()
			for _, given := range tt.given {
				given(s)
			}
			got := decide(s)
			if got != tt.want {
				t.Errorf("plan %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestTheStoresOfAnObjectHaveOneFingerprint(t *testing.T) {
	t.Parallel()
	stores := func() map[esv1.StoreRef]client.Object {
		out := map[esv1.StoreRef]client.Object{}
		for i := range 8 {
			out[esv1.StoreRef{Name: strconv.Itoa(i)}] = &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{UID: types.UID(strconv.Itoa(i)), Generation: 1}}
		}
		return out
	}
	for range 20 { // the order of maps must not matter: another fingerprint is another read of the stores
		if one, other := fingerprint(stores()), fingerprint(stores()); one != other {
			t.Fatalf("%s and %s for the same stores", one, other)
		}
	}
}

func TestDueTimesAreSpreadAndObjectsOfAKeyFallDueTogether(t *testing.T) {
	t.Parallel()
	object := func(uid, key string) *esv1.ExternalSecret {
		return &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}, Spec: esv1.ExternalSecretSpec{
			SecretStoreRef: esv1.StoreRef{Name: "s", Kind: esv1.KindClusterSecretStore},
			Data:           []esv1.Data{{RemoteRef: esv1.RemoteRef{Key: key}}},
		}}
	}
	const interval = time.Hour
	var none phases
	nextDue := func(es *esv1.ExternalSecret, last time.Time, interval time.Duration) time.Time {
		return nextDue(es.UID, aim{point: none.point(periodic(es, documentsOf(es)))}, last, interval)
	}
	buckets := map[int]int{}
	for i := range 600 {
		es := object(fmt.Sprintf("uid-%d", i), fmt.Sprintf("key-%d", i))
		due := nextDue(es, start, interval)
		if wait := due.Sub(start); wait <= 0 || wait > interval {
			t.Fatalf("due after %s, want within the interval", wait)
		}
		if again := nextDue(es, due, interval); again.Sub(due) != interval {
			t.Fatalf("due again after %s, want the interval", again.Sub(due))
		}
		if mid := nextDue(es, due.Add(-time.Second), interval); !mid.Equal(due) {
			t.Fatalf("due at %s though it was refreshed a second before its point %s", mid, due)
		}
		buckets[int(due.Sub(start)/(5*time.Minute))]++
	}
	for b := range 12 {
		if n := buckets[b]; n < 20 || n > 90 {
			t.Errorf("%d of 600 objects fall due in five minutes of the hour, want about 50", n)
		}
	}
	var first, last time.Time
	for i := range 200 {
		due := nextDue(object(fmt.Sprintf("uid-%d", i), "shared"), start, interval)
		if first.IsZero() || due.Before(first) {
			first = due
		}
		if due.After(last) {
			last = due
		}
	}
	if spread := last.Sub(first); spread > 30*time.Second || spread < 10*time.Second {
		t.Errorf("objects that share a key fall due within %s, want within the half minute for which one request serves all", spread)
	}
}

// TestAStoreIsToldWhenItIsAskedNext: what it is told when the values are read is when they are read again.
func TestAStoreIsToldWhenItIsAskedNext(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		given func(*scope)
		asks  bool
	}{
		"each hour":  {func(*scope) {}, true},
		"once":       {func(s *scope) { s.es.Spec.RefreshPolicy = esv1.RefreshCreatedOnce }, false},
		"in windows": {func(s *scope) { s.windows, _ = parseWindows(syncWindows(esv1.SyncWindowDeny, "0 4 * * *", "6h")) }, true},
	} {
		s := synced()
		s.memo.aim = aim{point: 1 << 30} // not when the interval is over
		tc.given(s)
		told := s.after()
		s.memo.refreshed = s.now
		if told.IsZero() == tc.asks || tc.asks && (!told.After(s.now) || !told.Equal(s.turn())) {
			t.Errorf("%s: at %s it is told that it is asked at %s, and is at %s", name, s.now, told, s.turn())
		}
	}
}

func TestEveryFieldThatIsNotHonoredIsNamed(t *testing.T) {
	t.Parallel()
	literal := "a: b"
	base := func() *esv1.ExternalSecretSpec { return synced().es.Spec.DeepCopy() }
	tests := map[string]struct {
		change func(*esv1.ExternalSecretSpec)
		want   string
	}{
		"spec.target.manifest":                  {func(s *esv1.ExternalSecretSpec) { s.Target.Manifest = &esv1.ManifestRef{} }, ""},
		"spec.target.template.engineVersion v1": {func(s *esv1.ExternalSecretSpec) { s.Target.Template = &esv1.Template{EngineVersion: "v1"} }, ""},
		"spec.target.template.templateFrom[0].target": {func(s *esv1.ExternalSecretSpec) {
			s.Target.Template = &esv1.Template{TemplateFrom: []esv1.TemplateFrom{{Literal: &literal, Target: "spec.a"}}}
		}, ""},
		"spec.data[0].sourceRef.generatorRef": {func(s *esv1.ExternalSecretSpec) {
			s.Data[0].SourceRef = &esv1.DataSourceRef{GeneratorRef: &esv1.GeneratorRef{}}
		}, ""},
		"a name to find that is no expression": {func(s *esv1.ExternalSecretSpec) {
			s.DataFrom = []esv1.DataFrom{{Find: &esv1.Find{Name: &esv1.FindName{RegExp: "("}}}}
		}, "spec.dataFrom[0].find: name.regexp is not a regular expression"},
		"a name to find that is longer than it may be": {func(s *esv1.ExternalSecretSpec) {
			s.DataFrom = []esv1.DataFrom{{Find: &esv1.Find{Name: &esv1.FindName{RegExp: strings.Repeat("a", 1025)}}}}
		}, "spec.dataFrom[0].find: name.regexp is not a regular expression (RE2) of 1024 bytes at most"},
		"a name to find that costs too much to look for": {func(s *esv1.ExternalSecretSpec) {
			s.DataFrom = []esv1.DataFrom{{Find: &esv1.Find{Name: &esv1.FindName{RegExp: "(?:.?){999}(?:.?){2}"}}}}
		}, "spec.dataFrom[0].find: name.regexp is too complex: its repetitions make 3004 instructions, 2000 are allowed"},
		"spec.dataFrom[0].sourceRef.generatorRef": {func(s *esv1.ExternalSecretSpec) {
			s.DataFrom = []esv1.DataFrom{{SourceRef: &esv1.DataFromSourceRef{GeneratorRef: &esv1.GeneratorRef{}}}}
		}, ""},
		"an expression that is none": {func(s *esv1.ExternalSecretSpec) {
			s.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "k"}, Rewrite: []esv1.Rewrite{{Regexp: &esv1.RewriteRegexp{Source: "("}}}}}
		}, "spec.dataFrom[0].extract: rewrite[0]: regexp: source is not a regular expression"},
		"a rule without a meaning": {func(s *esv1.ExternalSecretSpec) {
			s.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "k"}, Rewrite: []esv1.Rewrite{{}}}}
		}, "spec.dataFrom[0].extract: rewrite[0]: is empty"},
		"no store": {func(s *esv1.ExternalSecretSpec) { s.SecretStoreRef = esv1.StoreRef{} }, "names no store"},
		"no key":   {func(s *esv1.ExternalSecretSpec) { s.Data[0].RemoteRef.Key = "" }, "names no key"},
		"no data":  {func(s *esv1.ExternalSecretSpec) { s.Data = nil }, "nothing to fetch"},
		"a bootstrap token": {func(s *esv1.ExternalSecretSpec) {
			s.Target.Template = &esv1.Template{Type: "bootstrap.kubernetes.io/token"}
		}, "is refused"},
		"a token of an account": {func(s *esv1.ExternalSecretSpec) {
			s.Target.Template = &esv1.Template{Type: "kubernetes.io/service-account-token"}
		}, "is refused"},
	}
	for field, tt := range tests {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			spec := base()
			tt.change(spec)
			want := tt.want
			if want == "" {
				want = "so nothing was changed: " + field
			}
			if err := refuse(spec); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("refuse: %v, want %q", err, want)
			}
		})
	}
	all := base()
	all.RefreshPolicy = esv1.RefreshOnChange
	all.DataFrom = []esv1.DataFrom{{Find: &esv1.Find{Name: &esv1.FindName{RegExp: strings.Repeat("a", 1024)}, Tags: map[string]string{"a": "b"}}}, {Extract: &esv1.RemoteRef{Key: "k"}, Rewrite: []esv1.Rewrite{
		{Regexp: &esv1.RewriteRegexp{Source: "a", Target: "b"}}, {Transform: &esv1.RewriteTransform{Template: "{{ .value }}"}}, {Merge: &esv1.RewriteMerge{}},
	}}}
	all.Target = esv1.Target{Name: "x", CreationPolicy: esv1.CreationOwner, DeletionPolicy: esv1.DeletionRetain, Template: &esv1.Template{
		EngineVersion: esv1.TemplateEngineV2, MergePolicy: esv1.TemplateMerge, Type: "Opaque", Data: map[string]string{"a": "b"},
		TemplateFrom: []esv1.TemplateFrom{{Literal: &literal, Target: "annotations"}},
	}}
	if err := refuse(all); err != nil {
		t.Errorf("what is supported was refused: %v", err)
	}
}

func TestEntriesOfOneKeyAreOneDocument(t *testing.T) {
	t.Parallel()
	other, theirs := esv1.StoreRef{Name: "other", Kind: esv1.KindClusterSecretStore}, esv1.StoreRef{Name: "theirs", Kind: esv1.KindSecretStore}
	spec := &esv1.ExternalSecretSpec{
		SecretStoreRef: esv1.StoreRef{Name: "main"},
		Data: []esv1.Data{
			{SecretKey: "a", RemoteRef: esv1.RemoteRef{Key: "db", Property: "a"}},
			{SecretKey: "b", RemoteRef: esv1.RemoteRef{Key: "db", Property: "b"}},
			{SecretKey: "c", RemoteRef: esv1.RemoteRef{Key: "db"}, SourceRef: &esv1.DataSourceRef{StoreRef: esv1.StoreRef{Name: "theirs"}}},
			{SecretKey: "d", RemoteRef: esv1.RemoteRef{Key: "db", MetadataPolicy: esv1.MetadataFetch}},
			{SecretKey: "e", RemoteRef: esv1.RemoteRef{Key: "db", Version: "3"}},
		},
		DataFrom: []esv1.DataFrom{
			{Extract: &esv1.RemoteRef{Key: "db"}},
			{Extract: &esv1.RemoteRef{Key: "db"}, SourceRef: &esv1.DataFromSourceRef{StoreRef: &other}},
			{SourceRef: &esv1.DataFromSourceRef{GeneratorRef: &esv1.GeneratorRef{}}},
			{Extract: &esv1.RemoteRef{Key: "db"}, SourceRef: &esv1.DataFromSourceRef{StoreRef: &esv1.StoreRef{Name: "main"}}},
		},
	}
	documents := map[origin]bool{}
	var asked []esv1.StoreRef
	for _, e := range entriesOf(spec) {
		asked = append(asked, e.origin.store)
		document := e.origin
		document.ref.Property = "" // the pool drops it where the backend is not asked for parts
		documents[document] = true
	}
	if len(documents) != 5 {
		t.Errorf("%d documents, want 5: main, its metadata, its version 3, other, and theirs: %v", len(documents), documents)
	}
	main := esv1.StoreRef{Name: "main", Kind: esv1.KindSecretStore}
	if want := []esv1.StoreRef{main, other, main, main, main, theirs, main, main}; !slices.Equal(asked, want) {
		t.Errorf("the entries ask %q, want %q", asked, want)
	}
	if got, want := storesOf(spec), []esv1.StoreRef{main, theirs, other}; !slices.Equal(got, want) {
		t.Errorf("stores %v, want %v", got, want)
	}
	spec.SecretStoreRef, spec.Data = esv1.StoreRef{}, nil
	if got := storesOf(spec); len(got) != 2 || got[0] != other {
		t.Errorf("stores of entries that all name their own: %v", got)
	}
}

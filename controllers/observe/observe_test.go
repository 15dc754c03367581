package observe

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
)

func observed(t *testing.T, omit bool) (*Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	earlier, err := New(registry, omit)
	if err != nil {
		t.Fatal(err)
	}
	earlier.Ran(es("gone-meanwhile", metav1.ConditionFalse), flow.Observation{})
	m, err := New(registry, omit) // of the next controllers of the process, which are told of no object that went between them
	if err != nil {
		t.Fatal(err)
	}
	return m, registry
}

func es(name string, ready metav1.ConditionStatus) *esv1.ExternalSecret {
	return &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name},
		Status: esv1.ExternalSecretStatus{Conditions: []esv1.Condition{{Type: esv1.ConditionReady, Status: ready}}}}
}

func TestTheMetricsOfAnObjectAreTheOperatorsAndGoWithIt(t *testing.T) {
	t.Parallel()
	m, registry := observed(t, false)
	m.Ran(es("a", metav1.ConditionFalse), flow.Observation{Outcome: flow.Outcome{State: flow.Failed}, Took: time.Second})
	m.Ran(es("a", metav1.ConditionTrue), flow.Observation{Outcome: flow.Outcome{State: flow.Ready}, Took: 5 * time.Millisecond})
	store := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: "vault"}}
	m.Ran(store, flow.Observation{Took: time.Millisecond})
	const want = `
# HELP clustersecretstore_reconcile_duration Nanoseconds that the last reconciliation of the object took.
# TYPE clustersecretstore_reconcile_duration gauge
clustersecretstore_reconcile_duration{name="vault",namespace=""} 1e+06
# HELP externalsecret_reconcile_duration Nanoseconds that the last reconciliation of the object took.
# TYPE externalsecret_reconcile_duration gauge
externalsecret_reconcile_duration{name="a",namespace="team"} 5e+06
# HELP externalsecret_status_condition 1 for the status that a condition of the object has, 0 for the other.
# TYPE externalsecret_status_condition gauge
externalsecret_status_condition{condition="Ready",name="a",namespace="team",status="False"} 0
externalsecret_status_condition{condition="Ready",name="a",namespace="team",status="True"} 1
# HELP externalsecret_sync_calls_error Reconciliations of an ExternalSecret that failed.
# TYPE externalsecret_sync_calls_error counter
externalsecret_sync_calls_error{name="a",namespace="team"} 1
# HELP externalsecret_sync_calls_total Reconciliations of an ExternalSecret.
# TYPE externalsecret_sync_calls_total counter
externalsecret_sync_calls_total{name="a",namespace="team"} 2
`
	names := []string{"externalsecret_sync_calls_total", "externalsecret_sync_calls_error", "externalsecret_status_condition",
		"externalsecret_reconcile_duration", "clustersecretstore_reconcile_duration"}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	m.Gone(&esv1.ExternalSecret{}, types.NamespacedName{Namespace: "team", Name: "a"})
	m.Gone(&esv1.ClusterSecretStore{}, types.NamespacedName{Name: "vault"})
	if n, err := testutil.GatherAndCount(registry, append(names, "clustersecretstore_status_condition", "sealbridge_objects")...); n != 0 || err != nil {
		t.Errorf("%d series of objects that are gone, %v", n, err)
	}
}

func TestNoSeriesIsForOneObjectWhenThatIsAsked(t *testing.T) {
	t.Parallel()
	m, registry := observed(t, true)
	for _, name := range []string{"a", "b", "c"} {
		m.Ran(es(name, metav1.ConditionTrue), flow.Observation{Due: time.Now().Add(-time.Second)})
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "name" || label.GetName() == "namespace" {
					t.Errorf("%s has the label %s=%s", f.GetName(), label.GetName(), label.GetValue())
				}
			}
		}
	}
	if n := testutil.CollectAndCount(m.latency); n != 1 {
		t.Errorf("%d histograms of latency", n)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP sealbridge_objects Objects by kind and status of their condition Ready.
# TYPE sealbridge_objects gauge
sealbridge_objects{kind="externalsecret",ready="True"} 3
`), "sealbridge_objects"); err != nil {
		t.Error(err)
	}
}

// Not parallel: it looks at what the whole process keeps.
func TestAnObjectCostsLittleMemoryUntilItsSeriesAreAskedFor(t *testing.T) {
	const objects, most = 5000, 400
	m, registry := observed(t, false)
	before := kept()
	for i := range objects {
		m.Ran(es(strconv.Itoa(i), metav1.ConditionTrue), flow.Observation{Took: time.Millisecond, Synced: time.Now()})
	}
	if each := (kept() - before) / objects; each > most {
		t.Errorf("%d bytes an object, more than %d", each, most)
	}
	if n, err := testutil.GatherAndCount(registry, "externalsecret_sync_calls_total"); n != objects || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
}

// kept returns how many bytes are alive on the heap.
func kept() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// The age of values grows while a store is down and nothing is refreshed, which is when it matters.
func TestStalenessIsTheAgeOfTheValuesWhenItIsAskedFor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	o := newObjects(func() time.Time { return now })
	of := func(name string) object { return object{externalSecret, types.NamespacedName{Name: name}} }
	o.ran(of("fresh"), state{synced: now.Add(-10 * time.Second)}, false)
	o.ran(of("old"), state{synced: now.Add(-time.Hour)}, false)
	o.ran(of("before the clock was set back"), state{synced: now.Add(2 * time.Hour)}, false)
	o.ran(of("read once"), state{}, false)
	o.ran(object{secretStore, types.NamespacedName{Name: "store"}}, state{synced: now}, false)
	now = now.Add(time.Hour)
	if err := testutil.CollectAndCompare(o, strings.NewReader(`
# HELP sealbridge_externalsecret_staleness_seconds How long ago the values of each periodically refreshed ExternalSecret were read last, at the time of the scrape: a histogram over all objects.
# TYPE sealbridge_externalsecret_staleness_seconds histogram
sealbridge_externalsecret_staleness_seconds_bucket{le="30"} 1
sealbridge_externalsecret_staleness_seconds_bucket{le="60"} 1
sealbridge_externalsecret_staleness_seconds_bucket{le="120"} 1
sealbridge_externalsecret_staleness_seconds_bucket{le="300"} 1
sealbridge_externalsecret_staleness_seconds_bucket{le="600"} 1
sealbridge_externalsecret_staleness_seconds_bucket{le="900"} 1
sealbridge_externalsecret_staleness_seconds_bucket{le="1800"} 1
sealbridge_externalsecret_staleness_seconds_bucket{le="3600"} 1
sealbridge_externalsecret_staleness_seconds_bucket{le="7200"} 3
sealbridge_externalsecret_staleness_seconds_bucket{le="21600"} 3
sealbridge_externalsecret_staleness_seconds_bucket{le="86400"} 3
sealbridge_externalsecret_staleness_seconds_bucket{le="604800"} 3
sealbridge_externalsecret_staleness_seconds_bucket{le="+Inf"} 3
sealbridge_externalsecret_staleness_seconds_sum 10810
sealbridge_externalsecret_staleness_seconds_count 3
`), "sealbridge_externalsecret_staleness_seconds"); err != nil {
		t.Error(err)
	}
}

func TestObjectsOfEachKindAreCountedByWhatTheirConditionSays(t *testing.T) {
	t.Parallel()
	m, registry := observed(t, false)
	status := func(ready metav1.ConditionStatus) esv1.SecretStoreStatus {
		return esv1.SecretStoreStatus{Conditions: []esv1.Condition{{Type: esv1.ConditionReady, Status: ready}}}
	}
	failed := flow.Observation{Outcome: flow.Outcome{State: flow.Failed}}
	m.Ran(es("new", ""), flow.Observation{})
	m.Ran(es("asked", metav1.ConditionUnknown), failed) // which is no failure
	m.Ran(es("read", metav1.ConditionTrue), flow.Observation{Outcome: flow.Outcome{State: flow.Ready}, Synced: time.Now().Add(-time.Minute)})
	m.Ran(es("kept", metav1.ConditionTrue), failed)
	m.Ran(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "s"}, Status: status(metav1.ConditionTrue)}, flow.Observation{})
	m.Ran(&esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Status: status(metav1.ConditionFalse)}, failed)
	m.Ran(&esv1.ClusterExternalSecret{
		ObjectMeta: metav1.ObjectMeta{Name: "c"},
		Status:     esv1.ClusterExternalSecretStatus{Conditions: status(metav1.ConditionFalse).Conditions},
	}, failed)
	m.Ran(&corev1.Secret{}, failed)
	m.Gone(&corev1.Secret{}, types.NamespacedName{Namespace: "team", Name: "read"})
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP clusterexternalsecret_status_condition 1 for the status that a condition of the object has, 0 for the other.
# TYPE clusterexternalsecret_status_condition gauge
clusterexternalsecret_status_condition{condition="Ready",name="c",namespace="",status="False"} 1
clusterexternalsecret_status_condition{condition="Ready",name="c",namespace="",status="True"} 0
# HELP clustersecretstore_status_condition 1 for the status that a condition of the object has, 0 for the other.
# TYPE clustersecretstore_status_condition gauge
clustersecretstore_status_condition{condition="Ready",name="s",namespace="",status="False"} 1
clustersecretstore_status_condition{condition="Ready",name="s",namespace="",status="True"} 0
# HELP externalsecret_sync_calls_error Reconciliations of an ExternalSecret that failed.
# TYPE externalsecret_sync_calls_error counter
externalsecret_sync_calls_error{name="asked",namespace="team"} 0
externalsecret_sync_calls_error{name="kept",namespace="team"} 0
externalsecret_sync_calls_error{name="new",namespace="team"} 0
externalsecret_sync_calls_error{name="read",namespace="team"} 0
# HELP sealbridge_objects Objects by kind and status of their condition Ready.
# TYPE sealbridge_objects gauge
sealbridge_objects{kind="clusterexternalsecret",ready="False"} 1
sealbridge_objects{kind="clustersecretstore",ready="False"} 1
sealbridge_objects{kind="externalsecret",ready="True"} 2
sealbridge_objects{kind="externalsecret",ready="Unknown"} 2
sealbridge_objects{kind="secretstore",ready="True"} 1
# HELP secretstore_status_condition 1 for the status that a condition of the object has, 0 for the other.
# TYPE secretstore_status_condition gauge
secretstore_status_condition{condition="Ready",name="s",namespace="team",status="False"} 0
secretstore_status_condition{condition="Ready",name="s",namespace="team",status="True"} 1
`), "sealbridge_objects", "externalsecret_sync_calls_error", "secretstore_status_condition", "clustersecretstore_status_condition",
		"clusterexternalsecret_status_condition"); err != nil {
		t.Error(err)
	}
	if ages := histogram(t, registry, "sealbridge_externalsecret_staleness_seconds"); ages.GetSampleCount() != 1 || ages.GetSampleSum() < 60 {
		t.Errorf("%d ages of together %g seconds, want that of the one that was read", ages.GetSampleCount(), ages.GetSampleSum())
	}
}

// A refresh that has no time at which it fell due is not one that was late.
func TestLatencyIsMeasuredFromWhenARefreshFellDue(t *testing.T) {
	t.Parallel()
	m, registry := observed(t, false)
	m.Ran(es("a", metav1.ConditionTrue), flow.Observation{Due: time.Now().Add(-time.Hour)})
	m.Ran(es("a", metav1.ConditionTrue), flow.Observation{Due: time.Now().Add(time.Hour)}) // the clock was set back
	m.Ran(es("a", metav1.ConditionTrue), flow.Observation{})
	late := histogram(t, registry, "sealbridge_externalsecret_refresh_latency_seconds")
	if late.GetSampleCount() != 2 || late.GetSampleSum() < 3600 || late.GetSampleSum() > 3700 {
		t.Errorf("%d refreshes, late by %g seconds", late.GetSampleCount(), late.GetSampleSum())
	}
}

// histogram returns the one histogram of a name.
func histogram(t *testing.T, registry *prometheus.Registry, name string) *dto.Histogram {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetHistogram()
		}
	}
	t.Fatalf("there is no one histogram %s", name)
	return nil
}

func TestAMetricWhoseNameIsTakenIsAnError(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"externalsecret_provider_api_calls_count", "sealbridge_documents_total", "sealbridge_batched_documents_total",
		"sealbridge_provider_call_duration_seconds", "sealbridge_externalsecret_refresh_latency_seconds", "sealbridge_objects",
	} {
		registry := prometheus.NewRegistry()
		registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "Somebody else's."}))
		if m, err := New(registry, false); err == nil || m != nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestADocumentThatDoesNotExistIsAnErrorWhereTheOperatorCountsOne(t *testing.T) {
	t.Parallel()
	m, registry := observed(t, false)
	for _, provider := range []string{"vault", "webhook", "kubernetes"} {
		m.Called(sessions.Call{Provider: provider, Op: sessions.OpFetch, Succeeded: 1, Missing: 1})
	}
	m.Called(sessions.Call{Provider: "vault", Op: sessions.OpFind, Missing: 1})
	m.Called(sessions.Call{Provider: "webhook", Op: sessions.OpFetch, Failed: 1}) // also where the operator counts that somebody answered
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP externalsecret_provider_api_calls_count Calls of the API of a provider.
# TYPE externalsecret_provider_api_calls_count counter
externalsecret_provider_api_calls_count{call="GetSecret",provider="Kubernetes",status="error"} 1
externalsecret_provider_api_calls_count{call="GetSecret",provider="Kubernetes",status="success"} 1
externalsecret_provider_api_calls_count{call="HTTPRequest",provider="Webhook",status="error"} 1
externalsecret_provider_api_calls_count{call="HTTPRequest",provider="Webhook",status="success"} 2
externalsecret_provider_api_calls_count{call="ListSecrets",provider="HashiCorp/Vault",status="success"} 1
externalsecret_provider_api_calls_count{call="ReadSecretData",provider="HashiCorp/Vault",status="success"} 2
`), "externalsecret_provider_api_calls_count"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(m.calls); n != 5 {
		t.Errorf("%d histograms of calls, want one of a success for each that missed something, and one of an error", n)
	}
}

// TestWhatIsAskedOfEachProviderHasTheNameOfItsUsualRequest: a store is asked to read, whatever requests that takes.
func TestWhatIsAskedOfEachProviderHasTheNameOfItsUsualRequest(t *testing.T) {
	t.Parallel()
	type calls map[sessions.Op]string
	for of, want := range map[[2]string]struct {
		name  string
		calls calls
	}{
		{"aws", "SecretsManager"}:     {"AWS/SecretsManager", calls{sessions.OpFetch: "GetSecretValue", sessions.OpFind: "ListSecrets"}},
		{"aws", "ParameterStore"}:     {"AWS/ParameterStore", calls{sessions.OpFetch: "GetParameter", sessions.OpFind: "GetParametersByPath"}},
		{"aws", "CertificateManager"}: {"AWS/CertificateManager", calls{sessions.OpFetch: "ExportCertificate"}},
		{"azurekv"}:                   {"Azure/KeyVault", calls{sessions.OpFetch: "GetSecret", sessions.OpFind: "GetSecrets"}},
		{"gcpsm"}:                     {"GCP/SecretManager", calls{sessions.OpFetch: "AccessSecretVersion", sessions.OpFind: "ListSecrets"}},
		{"vault"}:                     {"HashiCorp/Vault", calls{sessions.OpOpen: "Login", sessions.OpFetch: "ReadSecretData", sessions.OpFind: "ListSecrets", sessions.OpCheck: "LookupSelf"}},
		{"kubernetes"}:                {"Kubernetes", calls{sessions.OpFetch: "GetSecret", sessions.OpFind: "ListSecrets", sessions.OpCheck: "CreateSelfSubjectRulesReview"}},
		{"webhook"}:                   {"Webhook", calls{sessions.OpFetch: "HTTPRequest"}},
		{"fake"}:                      {"", calls{}},
	} {
		m, registry := observed(t, false)
		for _, op := range []sessions.Op{sessions.OpOpen, sessions.OpFetch, sessions.OpFind, sessions.OpCheck} {
			m.Called(sessions.Call{Provider: of[0], Service: of[1], Op: op, Succeeded: 1})
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, f := range families {
			for _, metric := range f.GetMetric() {
				if f.GetName() != "externalsecret_provider_api_calls_count" {
					continue
				}
				labels := map[string]string{}
				for _, label := range metric.GetLabel() {
					labels[label.GetName()] = label.GetValue()
				}
				got[labels["provider"]+" "+labels["call"]] = true
			}
		}
		all := map[string]bool{}
		for _, call := range want.calls {
			all[want.name+" "+call] = true
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", of, diff)
		}
		if n := testutil.CollectAndCount(m.calls); n != 4 {
			t.Errorf("%s: %d histograms of calls, want one of each, the login among them", of, n)
		}
	}
}

func TestCallsOfProvidersHaveTheOperatorsNames(t *testing.T) {
	t.Parallel()
	m, registry := observed(t, false)
	m.Called(sessions.Call{Provider: "vault", Op: sessions.OpOpen, Succeeded: 1})
	m.Called(sessions.Call{Provider: "vault", Op: sessions.OpFetch, Succeeded: 2, Failed: 1})
	m.Called(sessions.Call{Provider: "kubernetes", Op: sessions.OpCheck, Failed: 1})
	m.Called(sessions.Call{Provider: "aws", Service: "SecretsManager", Op: sessions.OpFetch, Succeeded: 1, Missing: 1})
	m.Called(sessions.Call{Provider: "aws", Service: "ParameterStore", Op: sessions.OpFind, Succeeded: 1})
	m.Called(sessions.Call{Provider: "gcpsm", Op: sessions.OpFetch, Succeeded: 1, Missing: 1})
	m.Called(sessions.Call{Provider: "azurekv", Op: sessions.OpFetch, Succeeded: 1, Missing: 1})
	m.Called(sessions.Call{Provider: "azurekv", Op: sessions.OpFind, Succeeded: 1})
	m.Called(sessions.Call{Provider: "fake", Op: sessions.OpFetch, Succeeded: 1})
	m.Called(sessions.Call{Provider: "fake", Op: sessions.OpFetch, Succeeded: 20, Batched: 20, Ahead: 15})
	m.Answered(sessions.Answer{Provider: "vault", Fetched: 3, Joined: 2, Reused: 1})
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP externalsecret_provider_api_calls_count Calls of the API of a provider.
# TYPE externalsecret_provider_api_calls_count counter
externalsecret_provider_api_calls_count{call="AccessSecretVersion",provider="GCP/SecretManager",status="error"} 1
externalsecret_provider_api_calls_count{call="AccessSecretVersion",provider="GCP/SecretManager",status="success"} 1
externalsecret_provider_api_calls_count{call="GetParametersByPath",provider="AWS/ParameterStore",status="success"} 1
externalsecret_provider_api_calls_count{call="GetSecretValue",provider="AWS/SecretsManager",status="error"} 1
externalsecret_provider_api_calls_count{call="GetSecretValue",provider="AWS/SecretsManager",status="success"} 1
externalsecret_provider_api_calls_count{call="CreateSelfSubjectRulesReview",provider="Kubernetes",status="error"} 1
externalsecret_provider_api_calls_count{call="GetSecret",provider="Azure/KeyVault",status="error"} 1
externalsecret_provider_api_calls_count{call="GetSecret",provider="Azure/KeyVault",status="success"} 1
externalsecret_provider_api_calls_count{call="GetSecrets",provider="Azure/KeyVault",status="success"} 1
externalsecret_provider_api_calls_count{call="Login",provider="HashiCorp/Vault",status="success"} 1
externalsecret_provider_api_calls_count{call="ReadSecretData",provider="HashiCorp/Vault",status="error"} 1
externalsecret_provider_api_calls_count{call="ReadSecretData",provider="HashiCorp/Vault",status="success"} 2
# HELP sealbridge_documents_total Documents that ExternalSecrets asked for: fetched from the backend, joined to a call that was under way, or reused from a short while before; and those that were fetched ahead.
# TYPE sealbridge_documents_total counter
sealbridge_documents_total{provider="fake",source="ahead"} 15
sealbridge_documents_total{provider="vault",source="fetched"} 3
sealbridge_documents_total{provider="vault",source="joined"} 2
sealbridge_documents_total{provider="vault",source="reused"} 1
# HELP sealbridge_batched_documents_total Documents that were asked for together with others, of backends that answer several in one request.
# TYPE sealbridge_batched_documents_total counter
sealbridge_batched_documents_total{provider="fake"} 20
`), "externalsecret_provider_api_calls_count", "sealbridge_documents_total", "sealbridge_batched_documents_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(m.calls); n != 9 {
		t.Errorf("%d histograms of calls", n)
	}
}

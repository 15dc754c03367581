package chart_test

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// everything is a file of values in which each has another than its default.
const everything = `
replicaCount: 3
image: {repository: registry.example.com/sealbridge-controller, tag: v1.2.3, pullPolicy: Always}
imagePullSecrets: [{name: registry}]
nameOverride: secrets
fullnameOverride: platform
commonLabels: {team: platform}
crds: {v1beta1: false, annotations: {argocd.argoproj.io/sync-options: ServerSideApply=true}}
controllers: {gitsync: false}
controllerClass: sealbridge
concurrent: 20
storeRequeueInterval: 1h30m
log: {level: debug, format: text}
secretStoreAmbientCredentials: false
clusterSecretStoreAmbientCredentials: false
requireServiceAccount: false
serviceAccount: {name: secrets, annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::111122223333:role/secrets"}, extraLabels: {cloud: aws}}
rbac: {aggregateToView: false, aggregateToEdit: false, serviceProxier: {subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: developers}]}}
metrics: {service: {enabled: true, port: 9090, annotations: {prometheus.io/scrape: "true"}}}
podDisruptionBudget: {enabled: true, maxUnavailable: 50%}
networkPolicy: {enabled: true, egress: {enabled: true, kubeapiCidr: 10.0.0.1/32, kubeapiPort: 6443, rules: [{to: [{ipBlock: {cidr: 10.20.0.0/16}}], ports: [{port: 8200}]}]}}
extraArgs: {key-renew-period: 1440h, skip-recreate: true, accept-deprecated-v1-data: false, max-unseal-retries: 1000000, additional-namespaces: [a, b], all-namespaces: false, template-left-delimiter: ""}
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]
extraVolumes: [{name: vault-token, projected: {sources: [{serviceAccountToken: {path: token, audience: vault}}]}}]
extraVolumeMounts: [{name: vault-token, mountPath: /var/run/secrets/sealbridge.dev/vault, readOnly: true}]
podAnnotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: "true"}
podLabels: {azure.workload.identity/use: "true"}
podSecurityContext: {fsGroup: 65532, runAsUser: null}
resources: {limits: {memory: 1Gi}}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: CriticalAddonsOnly, operator: Exists}]
affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app.kubernetes.io/instance: sealbridge}}}}]}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway}]
priorityClassName: system-cluster-critical
`

// files are files of values that people have, by what they are for.
func files() map[string]string {
	return map[string]string{
		"the defaults":      "",
		"everything":        everything,
		"some namespaces":   "watchNamespaces: [team-a, team-b]",
		"its own namespace": "scopedRBAC: true",
		"external secrets":  "controllers: {sealedsecret: false, gitsync: false}",
		"sealed secrets":    "{controllers: {externalsecret: false, clusterexternalsecret: false, secretstore: false, gitsync: false}, installCRDs: false}",
		"one replica":       "{replicaCount: 1, leaderElect: false}",
		"rights elsewhere":  "{rbac: {create: false}, serviceAccount: {create: false, name: mine}}",
		"taking over":       "rbac: {takeover: true}",
		"a monitor":         "serviceMonitor: {enabled: true, namespace: monitoring, additionalLabels: {release: prometheus}, relabelings: [{action: labeldrop, regex: pod}]}",
		"an Azure identity": "{podLabels: {azure.workload.identity/use: 'true'}, serviceAccount: {annotations: {azure.workload.identity/client-id: app}}}",
		"a policy":          "{networkPolicy: {enabled: true}, controllers: {sealedsecret: false}}",
		"part of another":   "global: {imageRegistry: registry.example.com}",
	}
}

// deployment is the one of the objects.
func deployment(t *testing.T, objs map[string]*unstructured.Unstructured) *appsv1.Deployment {
	t.Helper()
	found := names(objs, "Deployment")
	if len(found) != 1 {
		t.Fatalf("Deployments: %v", found)
	}
	var d appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objs["Deployment "+found[0]].Object, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestTheChartPassesHelmsLintWithTheValuesThatPeopleHave(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	for name, values := range files() {
		if out, err := h.try([]string{values}, "lint", "--strict", h.chart); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestTheControllerTakesTheArgumentsOfTheChart(t *testing.T) {
	t.Parallel()
	h, controller := newHelm(t, ""), process.Require(t, "sealbridge-controller")
	for name, values := range files() {
		args := deployment(t, objects(t, h.template(values))).Spec.Template.Spec.Containers[0].Args
		out, err := exec.CommandContext(t.Context(), controller, append(slices.Clone(args), "--help")...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %q: %v\n%s", name, args, err, out)
		}
	}
}

func TestEachValueReachesWhatItIsFor(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	objs := objects(t, h.template(everything))
	d := deployment(t, objs)
	want := []string{
		"--leader-elect", "--leader-election-id=platform-controller",
		"--secret-store-ambient-credentials=false", "--cluster-secret-store-ambient-credentials=false",
		"--controllers=clusterexternalsecret,externalsecret,sealedsecret,secretstore", "--controller-class=sealbridge", "--concurrent=20",
		"--store-requeue-interval=1h30m", "--log-level=debug", "--log-format=text",
		"--accept-deprecated-v1-data=false", "--additional-namespaces=a,b", "--all-namespaces=false", "--key-renew-period=1440h",
		"--max-unseal-retries=1000000", "--skip-recreate=true", "--template-left-delimiter=",
	}
	if diff := cmp.Diff(want, d.Spec.Template.Spec.Containers[0].Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	spec, selector := d.Spec.Template.Spec, map[string]string{"app.kubernetes.io/name": "secrets-controller", "app.kubernetes.io/instance": release}
	got := fmt.Sprint(
		d.Name, *d.Spec.Replicas, d.Labels["team"], spec.ServiceAccountName, spec.ImagePullSecrets, spec.Containers[0].Image, spec.Containers[0].ImagePullPolicy,
		spec.Containers[0].Env[1].Name, spec.Containers[0].Env[1].ValueFrom.ResourceFieldRef.Resource, spec.Containers[0].Env[2:], *spec.SecurityContext.FSGroup, spec.SecurityContext.RunAsUser, *spec.SecurityContext.RunAsNonRoot, spec.Volumes[0].Name,
		spec.Containers[0].VolumeMounts[0].MountPath, spec.NodeSelector, spec.Tolerations[0].Key, spec.Affinity != nil,
		cmp.Equal(spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels, selector), cmp.Equal(d.Spec.Selector.MatchLabels, selector), spec.PriorityClassName,
		d.Spec.Template.Annotations, d.Spec.Template.Labels["azure.workload.identity/use"], spec.Containers[0].Resources.Limits.Memory(), spec.Containers[0].Resources.Requests.Memory(),
	)
	const said = "platform-controller3platformsecrets[{registry}]registry.example.com/sealbridge-controller:v1.2.3Always" +
		"GOMEMLIMITlimits.memory[{HTTPS_PROXY http://proxy:3128 nil}]65532<nil>truevault-token/var/run/secrets/sealbridge.dev/vault" +
		"map[kubernetes.io/os:linux]CriticalAddonsOnlytruetruetruesystem-cluster-criticalmap[cluster-autoscaler.kubernetes.io/safe-to-evict:true]true1Gi64Mi"
	if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(said, " ", "") {
		t.Errorf("the Deployment says:\n%s\nwant:\n%s", got, said)
	}
	for path, want := range map[string]string{
		"ServiceAccount " + system + "/secrets metadata annotations eks.amazonaws.com/role-arn":                "arn:aws:iam::111122223333:role/secrets",
		"ServiceAccount " + system + "/secrets metadata labels cloud":                                          "aws",
		"ClusterRoleBinding /platform-externalsecret subjects":                                                 "[map[kind:ServiceAccount name:secrets namespace:sealbridge-system]]",
		"RoleBinding " + system + "/platform-leader-election subjects":                                         "[map[kind:ServiceAccount name:secrets namespace:sealbridge-system]]",
		"RoleBinding " + system + "/platform-service-proxier subjects":                                         "[map[apiGroup:rbac.authorization.k8s.io kind:Group name:developers]]",
		"ClusterRole /platform-edit metadata labels rbac.authorization.k8s.io/aggregate-to-edit":               "<nil>",
		"ClusterRole /platform-edit metadata labels rbac.authorization.k8s.io/aggregate-to-admin":              "true",
		"ClusterRole /platform-admin metadata labels rbac.authorization.k8s.io/aggregate-to-admin":             "true",
		"Service " + system + "/platform-metrics spec ports":                                                   "[map[name:metrics port:9090 targetPort:metrics]]",
		"Service " + system + "/platform-metrics metadata annotations prometheus.io/scrape":                    "true",
		"Service " + system + "/platform-controller spec selector app.kubernetes.io/name":                      "secrets-controller",
		"PodDisruptionBudget " + system + "/platform-controller spec maxUnavailable":                           "50%",
		"PodDisruptionBudget " + system + "/platform-controller spec minAvailable":                             "<nil>",
		"NetworkPolicy " + system + "/platform-controller spec podSelector matchLabels app.kubernetes.io/name": "secrets-controller",
		"NetworkPolicy " + system + "/platform-controller spec policyTypes":                                    "[Ingress Egress]",
		"NetworkPolicy " + system + "/platform-controller spec ingress":                                        "[map[ports:[map[port:http protocol:TCP] map[port:metrics protocol:TCP]]]]",
		"NetworkPolicy " + system + "/platform-controller spec egress": "[map[ports:[map[port:6443 protocol:TCP]] to:[map[ipBlock:map[cidr:10.0.0.1/32]]]]" +
			" map[ports:[map[port:53 protocol:UDP] map[port:53 protocol:TCP]] to:[map[namespaceSelector:map[] podSelector:map[matchLabels:map[k8s-app:kube-dns]]]]]" +
			" map[ports:[map[port:8200]] to:[map[ipBlock:map[cidr:10.20.0.0/16]]]]]",
		"CustomResourceDefinition /externalsecrets.external-secrets.io metadata annotations argocd.argoproj.io/sync-options": "ServerSideApply=true",
		"CustomResourceDefinition /externalsecrets.external-secrets.io metadata annotations helm.sh/resource-policy":         "keep",
	} {
		if got := at(t, objs, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if objs["ClusterRole /platform-view"] != nil {
		t.Error("a role that is aggregated to nobody is there")
	}
	versions := at(t, objs, "CustomResourceDefinition /externalsecrets.external-secrets.io spec versions")
	if !strings.Contains(versions, "name:v1 ") || strings.Contains(versions, "name:v1beta1 ") {
		t.Error("crds.v1beta1=false: v1beta1 is there, or v1 is not")
	}
	monitored := objects(t, h.template(files()["a monitor"]))
	for path, want := range map[string]string{
		"ServiceMonitor monitoring/sealbridge-metrics metadata labels release":                               "prometheus",
		"ServiceMonitor monitoring/sealbridge-metrics spec namespaceSelector matchNames":                     "[" + system + "]",
		"ServiceMonitor monitoring/sealbridge-metrics spec selector matchLabels app.kubernetes.io/component": "metrics",
		"Service " + system + "/sealbridge-metrics metadata labels app.kubernetes.io/component":              "metrics",
		"Service " + system + "/sealbridge-metrics metadata labels app.kubernetes.io/instance":               release,
		"ServiceMonitor monitoring/sealbridge-metrics spec selector matchLabels app.kubernetes.io/instance":  release,
	} {
		if got := at(t, monitored, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	open := objects(t, h.template(files()["a policy"]))
	for path, want := range map[string]string{
		"NetworkPolicy " + system + "/sealbridge-controller spec policyTypes": "[Ingress]",
		"NetworkPolicy " + system + "/sealbridge-controller spec ingress":     "[map[ports:[map[port:metrics protocol:TCP]]]]",
		"NetworkPolicy " + system + "/sealbridge-controller spec egress":      "<nil>",
	} {
		if got := at(t, open, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	none := objects(t, h.template("{installCRDs: false, serviceAccount: {create: false}, controllers: {sealedsecret: false}}"))
	for _, kind := range []string{"CustomResourceDefinition", "ServiceAccount", "Service", "NetworkPolicy"} {
		if found := names(none, kind); len(found) > 0 {
			t.Errorf("switched off and there: %s %v", kind, found)
		}
	}
}

// at is what a field of an object is: "Kind namespace/name field field ...".
func at(t *testing.T, objs map[string]*unstructured.Unstructured, path string) string {
	t.Helper()
	fields := strings.Fields(path)
	obj := objs[fields[0]+" "+fields[1]]
	if obj == nil {
		t.Errorf("there is no %s %s", fields[0], fields[1])
		return ""
	}
	value, _, err := unstructured.NestedFieldNoCopy(obj.Object, fields[2:]...)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(value)
}

func TestWhatCannotBeMeantIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	for values, want := range map[string]string{
		"webhook: {create: false}":                                "additional properties 'webhook' not allowed",
		"rbac: {serviceAccountTokenCreate: true}":                 "at '/rbac': additional properties 'serviceAccountTokenCreate' not allowed",
		"controllers: {pushsecret: true}":                         "at '/controllers': additional properties 'pushsecret' not allowed",
		"replicaCount: two":                                       "at '/replicaCount': got string, want integer",
		"leaderElect: 'yes'":                                      "at '/leaderElect': got string, want boolean",
		"watchNamespaces: team-a":                                 "at '/watchNamespaces': got string, want array",
		"watchNamespaces: [Team_A]":                               "at '/watchNamespaces/0': 'Team_A' does not match pattern",
		"log: {level: loud}":                                      "at '/log/level': value must be one of 'debug', 'info', 'warn', 'error'",
		"concurrent: 0":                                           "at '/concurrent': minimum: got 0, want 1",
		"storeRequeueInterval: hourly":                            "at '/storeRequeueInterval': 'hourly' does not match pattern",
		"podLabels: {azure.workload.identity/use: true}":          "got boolean, want string",
		"extraArgs: {--key-ttl: 1h}":                              "'--key-ttl' does not match pattern",
		"extraArgs: [--key-ttl=1h]":                               "at '/extraArgs': got array, want object",
		"networkPolicy: {egress: {kubeapiCidr: 10.0.0.1}}":        "at '/networkPolicy/egress/kubeapiCidr': '10.0.0.1' does not match pattern",
		"networkPolicy: {enabled: true, egress: {enabled: true}}": "networkPolicy.egress.kubeapiCidr: say where the API server is",
		"leaderElect: false":                                      "2 replicas would all write: set leaderElect to true, or replicaCount to 1",
		"controllers: {externalsecret: false, clusterexternalsecret: false, secretstore: false, sealedsecret: false, gitsync: false}": "controllers: all are switched off; leave one of them true",
		"{watchNamespaces: [a], controllers: {externalsecret: false, secretstore: false, sealedsecret: false, gitsync: false}}":       "controllers: all are switched off; leave one of them true",
	} {
		_, err := h.try([]string{values}, "template", release, h.chart)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: it should say %q: %v", values, want, err)
		}
	}
}

func TestTwoReleasesShareNoName(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	taken := objects(t, h.template())
	other := objects(t, h.run(nil, "template", "second", h.chart, "--namespace", system))
	for _, key := range keys(other) {
		if taken[key] != nil && !strings.HasPrefix(key, "CustomResourceDefinition ") {
			t.Errorf("both releases have %s", key)
		}
	}
	if args := deployment(t, other).Spec.Template.Spec.Containers[0].Args; !slices.Contains(args, "--leader-election-id=second-sealbridge-controller") {
		t.Errorf("both would hold one lease: %q", args)
	}
	long := h.run(nil, "template", strings.Repeat("x", 53), h.chart, "--namespace", system)
	for key, obj := range objects(t, long) {
		if len(obj.GetName()) > 63 && !strings.Contains(key, "Role") {
			t.Errorf("the name of %s is too long", key)
		}
	}
}

// TestEachValueIsDescribed: what the schema takes stands in values.yaml, which says what it is for, and on the chart's page.
func TestEachValueIsDescribed(t *testing.T) {
	t.Parallel()
	chart := filepath.Join(root(t), "charts", "sealbridge")
	var schema struct {
		Properties map[string]struct{ Properties map[string]any }
	}
	var values map[string]any
	if err := errors.Join(yaml.Unmarshal([]byte(read(t, filepath.Join(chart, "values.schema.json"))), &schema), yaml.Unmarshal([]byte(read(t, filepath.Join(chart, "values.yaml"))), &values)); err != nil {
		t.Fatal(err)
	}
	page := read(t, filepath.Join(chart, "README.md"))
	for key, property := range schema.Properties {
		if key == "global" { // Helm's own
			continue
		}
		value, ok := values[key]
		if !ok {
			t.Errorf("values.yaml has no %s", key)
		}
		if !strings.Contains(page, "`"+key) {
			t.Errorf("README.md has no %s", key)
		}
		for sub := range property.Properties {
			if _, ok := value.(map[string]any)[sub]; !ok {
				t.Errorf("values.yaml has no %s.%s", key, sub)
			}
		}
	}
}

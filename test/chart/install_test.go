package chart_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// definitions are the names of those of ours that are there.
func (c *cluster) definitions() []string {
	c.t.Helper()
	var ours []string
	for name := range strings.Lines(c.kubectl("get", "crds", "--output=name") + "\n") {
		ours = append(ours, strings.TrimPrefix(strings.TrimSpace(name), "customresourcedefinition.apiextensions.k8s.io/"))
	}
	return ours
}

// has checks whether objects are there, "kind/name" and whose namespace.
func (c *cluster) has(want bool, namespace string, objs ...string) {
	c.t.Helper()
	for _, obj := range objs {
		if got := c.kubectl("get", obj, "--namespace", namespace, "--ignore-not-found", "--output=name") != ""; got != want {
			c.t.Errorf("%s of %s is there: %t", obj, namespace, got)
		}
	}
}

// TestAPackagedChartServesBothKindsAndLeavesThemWhenItGoes goes the way of a release, with the controller's own program and nothing but
// the rights that the chart gave it: install of a package, certificate by the Service, Secrets, upgrade, uninstall, install again.
func TestAPackagedChartServesBothKindsAndLeavesThemWhenItGoes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	packages := t.TempDir()
	c.run(nil, "package", c.chart, "--destination", packages, "--version", "1.2.3", "--app-version", "v1.2.3")
	chart := filepath.Join(packages, "sealbridge-1.2.3.tgz")
	notes := c.install(chart, system, "")
	for _, want := range []string{
		"sealbridge seal --controller-namespace sealbridge-system --controller-name sealbridge-controller", "kubectl get clustersecretstores,secretstores -A",
		"WARNING: no registry has the image sealbridge-controller.", "secretStoreAmbientCredentials=false",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
	const limit = 1 << 20 // of what etcd takes and Kubernetes allows in a Secret
	var record corev1.Secret
	if err := c.c.Get(t.Context(), client.ObjectKey{Namespace: system, Name: "sh.helm.release.v1.sealbridge.v1"}, &record); err != nil {
		t.Fatal(err)
	}
	size := len(record.Data["release"])
	t.Logf("Helm's record of the release has %d bytes", size)
	if size > limit/2 {
		t.Errorf("Helm's record of the release has %d bytes, of %d that a Secret may have", size, limit)
	}

	r, ns := c.start(system), "apps"
	c.kubectl("create", "namespace", ns)
	c.apply(external(ns))
	c.holds(ns, "external")
	var sealed string
	c.eventually("kubeseal reaches the certificate", func() (err error) {
		sealed, err = c.kubeseal(system, plain(ns), "--format", "yaml")
		return err
	})
	c.apply(sealed)
	c.holds(ns, "sealed")
	if image := c.kubectl("get", "deployment", controllerName, "--namespace", system, "--output=jsonpath={..image}"); image != "sealbridge-controller:v1.2.3" {
		t.Errorf("the image is %s", image)
	}

	before := c.definitions()
	versions := func() string {
		return c.kubectl("get", "crd", "externalsecrets.external-secrets.io", "--output=jsonpath={.spec.versions[*].name}")
	}
	if got := versions(); got != "v1 v1beta1" {
		t.Errorf("versions of ExternalSecret: %s", got)
	}
	c.run([]string{"{replicaCount: 3, controllers: {gitsync: false}, crds: {v1beta1: false}}"}, "upgrade", release, c.chart, "--namespace", system)
	if got := versions(); got != "v1" {
		t.Errorf("an upgrade does not upgrade the definitions: ExternalSecret has %s", got)
	}
	c.has(false, system, "clusterrole/sealbridge-gitsync", "clusterrolebinding/sealbridge-gitsync", "clusterrolebinding/sealbridge-gitsync-drift")
	if got := c.kubectl("get", "deployment", controllerName, "--namespace", system, "--output=jsonpath={.spec.replicas} {..args}"); !strings.HasPrefix(got, "3 ") ||
		!strings.Contains(got, "--controllers=clusterexternalsecret,externalsecret,sealedsecret,secretstore") {
		t.Errorf("the Deployment says %s", got)
	}
	r.noRefusal(t)
	r.Kill()

	c.run(nil, "uninstall", release, "--namespace", system)
	if after := c.definitions(); len(after) != 6 || !slices.Equal(after, before) {
		t.Errorf("definitions before: %v, after: %v", before, after)
	}
	c.has(true, ns, "externalsecret/external", "sealedsecret/sealed", "secretstore/store", "secret/external", "secret/sealed")
	c.has(true, system, "secret/sealbridge-template-key")
	if keys := c.kubectl("get", "secrets", "--namespace", system, "--selector=sealedsecrets.bitnami.com/sealed-secrets-key", "--output=name"); keys == "" {
		t.Error("the sealing keys are gone")
	}
	if left := c.kubectl("get", "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings", "--all-namespaces",
		"--selector=app.kubernetes.io/instance="+release, "--output=name"); left != "" {
		t.Errorf("objects of the release are left: %s", left)
	}
	c.kubectl("delete", "secret", "sealed", "--namespace", ns)
	c.kubectl("delete", "pod/controller", "node/node", "--namespace", system, "--force")
	c.install(chart, system, "")
	c.start(system).noRefusal(t)
	c.holds(ns, "sealed") // the keys are those from before
}

// may checks what the controller may do: "verb group/resource namespace" by what is expected.
func (c *cluster) may(namespace string, want map[string]bool) {
	c.t.Helper()
	for what, allowed := range want {
		fields := strings.Fields(what)
		group, resource, _ := strings.Cut(fields[1], "/")
		resource, sub, _ := strings.Cut(resource, "/")
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + namespace + ":" + controllerName,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: fields[0], Group: group, Resource: resource, Subresource: sub, Namespace: strings.Join(fields[2:], ""),
			},
		}}
		if err := c.c.Create(c.t.Context(), review); err != nil {
			c.t.Fatal(err)
		}
		if review.Status.Allowed != allowed {
			c.t.Errorf("%s: allowed is %t", what, review.Status.Allowed)
		}
	}
}

func TestAChartForSomeNamespacesServesThemAndHasNoRightInAnother(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const tools = "tools"
	for _, ns := range []string{"team-a", "team-b", "other"} {
		c.kubectl("create", "namespace", ns)
	}
	notes := c.install(c.chart, tools, "watchNamespaces: [team-a, team-b]")
	if !strings.Contains(notes, "serves team-a, team-b.") || strings.Contains(notes, "clustersecretstores") {
		t.Errorf("the notes say:\n%s", notes)
	}
	r := c.start(tools)
	c.may(tools, map[string]bool{
		"list /secrets team-a": true, "patch /secrets team-b": true, "impersonate /serviceaccounts team-a": true, "list /secrets tools": true,
		"list /secrets": false, "get /secrets other": false, "list /secrets kube-system": false, "create /secrets other": false, "delete /secrets tools": false,
		"list /namespaces": false, "list external-secrets.io/clustersecretstores": false, "list external-secrets.io/externalsecrets other": false,
		"impersonate /serviceaccounts other": false, "create /serviceaccounts/token team-a": false, "create /pods team-a": false,
	})
	for _, ns := range []string{"team-a", "team-b", "other"} {
		c.apply(external(ns))
	}
	c.holds("team-a", "external")
	c.holds("team-b", "external")
	c.eventually("a value is sealed for a namespace that is served", func() error {
		sealed, err := c.kubeseal(tools, plain("team-b"), "--format", "yaml")
		if err != nil {
			return err
		}
		return c.cp.Apply(t.Context(), sealed)
	})
	c.holds("team-b", "sealed")
	if status := c.kubectl("get", "externalsecret", "external", "--namespace", "other", "--output=jsonpath={.status}"); status != "" {
		t.Errorf("an object of another namespace was served: %s", status)
	}
	r.noRefusal(t)
}

// TestWhoHasOneNamespaceInstallsTheChartInIt: nothing of it is an object of the cluster then.
func TestWhoHasOneNamespaceInstallsTheChartInIt(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const ns = "team-a"
	c.kubectl("create", "namespace", ns)
	c.kubectl("apply", "--server-side", "--filename", filepath.Join(root(t), "config", "crd"))
	if err := c.cp.Allow(t.Context(), controlplane.User("owner"), ns, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}); err != nil {
		t.Fatal(err)
	}
	owner := newHelm(t, c.as("owner"))
	install := []string{"install", release, c.chart, "--namespace", ns, "--set", "scopedRBAC=true,installCRDs=false"}
	if _, err := owner.try(nil, install...); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("roles of the cluster were made without a right: %v", err)
	}
	owner.run(nil, append(install, "--set", "rbac.aggregateToView=false,rbac.aggregateToEdit=false,rbac.aggregateToAdmin=false", "--replace")...)
	r := c.start(ns)
	c.apply(external(ns))
	c.holds(ns, "external")
	r.noRefusal(t)
}

func TestTheAPIServerTakesTheObjectsOfEachFileOfValues(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, ns := range []string{system, "team-a", "team-b"} {
		c.kubectl("create", "namespace", ns)
	}
	for name, values := range files() {
		if name == "a monitor" { // the cluster has no Prometheus Operator
			continue
		}
		if _, err := c.cp.Kubectl(t.Context(), c.template(values), "apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// operator is a chart with two of the definitions, as External Secrets Operator's has them: templates, which go with the release.
func (c *cluster) operator() string {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), "operator")
	write(c.t, filepath.Join(dir, "Chart.yaml"), "apiVersion: v2\nname: operator\nversion: 2.9.0\n")
	write(c.t, filepath.Join(dir, "values.yaml"), "crds: {annotations: {}}\n")
	for _, kind := range []string{"externalsecrets", "secretstores"} {
		text := read(c.t, filepath.Join(c.chart, "files", "crd", "external-secrets.io_"+kind+".yaml"))
		// Another version of it, which says something else.
		write(c.t, filepath.Join(dir, "files", kind+".yaml"), strings.ReplaceAll(text, "shortNames:", "shortNames:\n    - "+kind[:3]+"old"))
	}
	write(c.t, filepath.Join(dir, "templates", "crds.yaml"), `{{- range $path, $_ := .Files.Glob "files/*.yaml" }}
{{- $crd := $.Files.Get $path | fromYaml }}
{{- $_ := set $crd.metadata "annotations" (merge (deepCopy $.Values.crds.annotations) $crd.metadata.annotations) }}
---
{{ toYaml $crd }}
{{- end }}
`)
	return dir
}

// TestDefinitionsThatAnotherReleaseOwnsAreTakenOver: Helm refuses them until it is told to, and then they stay when the other release
// goes, in the order that docs/migration.md says.
func TestDefinitionsThatAnotherReleaseOwnsAreTakenOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const name = "external-secrets"
	chart := c.operator()
	c.run(nil, "install", name, chart, "--namespace", name, "--create-namespace", "--server-side=false") // as Helm 3 does
	c.kubectl("create", "namespace", "apps")
	c.apply(external("apps"))
	install := []string{"install", release, c.chart, "--namespace", system, "--create-namespace"}
	_, err := c.try(nil, install...)
	if err == nil || !strings.Contains(err.Error(), `key "meta.helm.sh/release-name" must equal "sealbridge": current value is "external-secrets"`) {
		t.Errorf("Helm says of definitions that another release owns: %v", err)
	}
	c.run(nil, "upgrade", name, chart, "--namespace", name, "--reuse-values", "--set-string", `crds.annotations.helm\.sh/resource-policy=keep`)
	if said := c.run(nil, "uninstall", name, "--namespace", name); !strings.Contains(said, "externalsecrets.external-secrets.io") {
		t.Errorf("Helm does not say that it keeps the definitions: %s", said)
	}
	c.has(true, "apps", "externalsecret/external")
	c.run(nil, append(install, "--take-ownership", "--force-conflicts")...)
	c.isOurs()
	c.has(true, "apps", "externalsecret/external", "secretstore/store")
}

// isOurs checks that the release has the definition of ExternalSecret, as it says it.
func (c *cluster) isOurs() {
	c.t.Helper()
	got := c.kubectl("get", "crd", "externalsecrets.external-secrets.io",
		`--output=jsonpath={.metadata.annotations.meta\.helm\.sh/release-name} {.metadata.annotations.helm\.sh/resource-policy} {.spec.names.shortNames}`)
	if want := `sealbridge keep ["es"]`; got != want {
		c.t.Errorf("the definition says %s, want %s", got, want)
	}
}

// TestAnInstallByKubectlBecomesARelease: what kubectl apply -f config/crd and -k config/default have made goes over with what it serves.
func TestAnInstallByKubectlBecomesARelease(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	config := filepath.Join(root(t), "config")
	c.kubectl("apply", "--server-side", "--filename", filepath.Join(config, "crd"))
	c.kubectl("apply", "--kustomize", filepath.Join(config, "default"))
	c.kubectl("apply", "--kustomize", filepath.Join(config, "manager"))
	c.apply(external("default"))
	install := []string{"install", release, c.chart, "--namespace", system}
	if _, err := c.try(nil, install...); err == nil || !strings.Contains(err.Error(), "exists and cannot be imported into the current release") {
		t.Errorf("Helm says of what kubectl made: %v", err)
	}
	c.kubectl("delete", "deployment", controllerName, "--namespace", system)
	c.run(nil, append(install, "--take-ownership", "--force-conflicts")...)
	c.isOurs()
	r := c.start(system)
	c.holds("default", "external")
	r.noRefusal(t)
	if got := c.kubectl("get", "service", controllerName, "--namespace", system, "--output=jsonpath={.spec.selector}"); !strings.Contains(got, fmt.Sprintf(`"app.kubernetes.io/instance":%q`, release)) {
		t.Errorf("the Service selects %s", got)
	}
}

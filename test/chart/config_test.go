package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// config renders folders of config as kubectl apply -k does, and config/crd.
func config(t *testing.T, folders ...string) map[string]*unstructured.Unstructured {
	t.Helper()
	var manifests strings.Builder
	for _, folder := range folders {
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root(t), "config", folder))
		if err != nil {
			t.Fatal(err)
		}
		text, err := built.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		manifests.WriteString("---\n" + string(text))
	}
	crds, err := filepath.Glob(filepath.Join(root(t), "config", "crd", "*.yaml"))
	if err != nil || len(crds) == 0 {
		t.Fatal(err, crds)
	}
	for _, file := range crds {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		manifests.WriteString("---\n" + string(text))
	}
	objs := objects(t, manifests.String())
	delete(objs, "Namespace /"+system) // helm install --create-namespace
	return objs
}

// helmless takes away what Helm's charts put beside what an object is: their labels, and what keeps definitions.
func helmless(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			if strings.HasPrefix(key, "app.kubernetes.io/") || strings.HasPrefix(key, "helm.sh/") {
				delete(v, key)
				continue
			}
			if v[key] = helmless(item); key == "labels" || key == "annotations" {
				if m, ok := v[key].(map[string]any); ok && len(m) == 0 {
					delete(v, key)
				}
			}
		}
	case []any:
		for i := range v {
			v[i] = helmless(v[i])
		}
	}
	return value
}

func TestTheChartInstallsWhatConfigDoes(t *testing.T) {
	t.Parallel()
	want, got := config(t, "default", "manager"), objects(t, newHelm(t, "").template())
	if diff := cmp.Diff(keys(want), keys(got)); diff != "" {
		t.Fatalf("objects (-config +chart):\n%s", diff)
	}
	for key := range want {
		if diff := cmp.Diff(helmless(want[key].Object), helmless(got[key].Object)); diff != "" {
			t.Errorf("%s (-config +chart):\n%.2000s", key, diff)
		}
	}
	const floor = 30
	if len(want) < floor {
		t.Errorf("%d objects were compared: the check would say nothing", len(want))
	}
}

// grants are the rights of the controller: "namespace: group/resource verb of names" for each, without a namespace in the whole cluster.
func grants(t *testing.T, objs map[string]*unstructured.Unstructured) []string {
	t.Helper()
	var out []string
	for _, obj := range objs {
		if !strings.HasSuffix(obj.GetKind(), "RoleBinding") {
			continue
		}
		var binding rbacv1.RoleBinding
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &binding); err != nil {
			t.Fatal(err)
		}
		if subject := binding.Subjects[0]; subject.Kind != "ServiceAccount" || subject.Name != "sealbridge-controller" || subject.Namespace != system {
			continue
		}
		name := "ClusterRole /" + binding.RoleRef.Name
		if binding.RoleRef.Kind == "Role" {
			name = "Role " + binding.Namespace + "/" + binding.RoleRef.Name
		}
		if objs[name] == nil {
			t.Fatalf("%s %s binds %s, which is not there", obj.GetKind(), obj.GetName(), name)
		}
		var role rbacv1.Role
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objs[name].Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						out = append(out, binding.Namespace+": "+group+"/"+resource+" "+verb+" of "+strings.Join(rule.ResourceNames, " "))
					}
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestTheChartForSomeNamespacesGivesTheRightsOfConfig(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	want := grants(t, config(t, "namespaced"))
	for _, values := range []string{"watchNamespaces: [team-a]", "scopedNamespace: team-a", "{scopedNamespace: team-a, scopedRBAC: true}"} {
		got := objects(t, h.template(values))
		if diff := cmp.Diff(want, grants(t, got)); diff != "" {
			t.Errorf("%s: rights (-config +chart):\n%s", values, diff)
		}
		if bound := names(got, "ClusterRoleBinding"); len(bound) > 0 {
			t.Errorf("%s: bound in the whole cluster: %v", values, bound)
		}
	}
	// The release's own namespace can be one of them.
	both := objects(t, h.template("scopedRBAC: true"))
	for _, right := range grants(t, both) {
		if !strings.HasPrefix(right, system+": ") {
			t.Errorf("scopedRBAC: a right elsewhere: %s", right)
		}
	}
	for _, right := range want {
		if own := strings.Replace(right, "team-a: ", system+": ", 1); !slices.Contains(grants(t, both), own) {
			t.Errorf("scopedRBAC: there is no right %s", own)
		}
	}
}

func TestAControllerThatIsSwitchedOffHasNoRights(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	all := grants(t, objects(t, h.template()))
	without := func(values string) (gone []string) {
		t.Helper()
		left := grants(t, objects(t, h.template(values)))
		for _, right := range left {
			if !slices.Contains(all, right) {
				t.Errorf("%s: another right: %s", values, right)
			}
		}
		for _, right := range all {
			if !slices.Contains(left, right) {
				gone = append(gone, right)
			}
		}
		return gone
	}
	for values, want := range map[string]string{
		"controllers: {gitsync: false}":               ": /serviceaccounts impersonate of ",
		"rbac: {gitsyncDrift: false}":                 ": */* watch of ",
		"controllers: {clusterexternalsecret: false}": ": external-secrets.io/externalsecrets create of ",
		"controllers: {secretstore: false}":           ": external-secrets.io/secretstores/status patch of ",
		"controllers: {externalsecret: false}":        ": /secrets delete of ",
		"controllers: {sealedsecret: false}":          system + ": /secrets list of ",
		"{replicaCount: 1, leaderElect: false}":       system + ": coordination.k8s.io/leases update of ",
	} {
		if gone := without(values); !slices.Contains(gone, want) {
			t.Errorf("%s: the right %q is still there; gone are %q", values, want, gone)
		}
	}
	if none := grants(t, objects(t, h.template("rbac: {create: false}"))); len(none) > 0 {
		t.Errorf("rbac.create=false: %v", none)
	}
	takeover := grants(t, objects(t, h.template("rbac: {takeover: true}")))
	if want := append([]string{": /namespaces patch of "}, all...); !slices.Equal(takeover, slices.Sorted(slices.Values(want))) {
		t.Errorf("rbac.takeover: %s", cmp.Diff(all, takeover))
	}
}

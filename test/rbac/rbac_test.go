// Package rbac_test holds the rights that config/rbac gives to the controller, line by line, and what must never be among
// them.
//
// It reads the manifests as they are installed. A right that is added changes the list below, where it is seen; one that
// is dangerous for the whole cluster is refused whatever the list says.
package rbac_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// role is a Role or ClusterRole as far as it matters here.
type role struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	Rules    []rbacv1.PolicyRule `json:"rules"`
	Ref      rbacv1.RoleRef      `json:"roleRef"`
	Subjects []rbacv1.Subject    `json:"subjects"`
}

// manifests reads the roles and bindings of config.
func manifests(t *testing.T) []role {
	t.Helper()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, folder := range []string{"rbac", "cluster-wide", "takeover"} {
		found, err := filepath.Glob(filepath.Join(root, "config", folder, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	var out []role
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4096)
		for {
			var r role
			err := decoder.Decode(&r)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out = append(out, r)
		}
		_ = file.Close()
	}
	return out
}

// lines returns each right of a role as "group/resource: verbs".
func lines(r role) []string {
	var out []string
	for _, rule := range r.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				line := group + "/" + resource + ": " + strings.Join(slices.Sorted(slices.Values(rule.Verbs)), " ")
				if len(rule.ResourceNames) > 0 {
					line += " of " + strings.Join(rule.ResourceNames, " ")
				}
				out = append(out, line)
			}
		}
		for _, path := range rule.NonResourceURLs {
			out = append(out, path+": "+strings.Join(rule.Verbs, " "))
		}
	}
	slices.Sort(out)
	return out
}

func TestTheControllerHasTheRightsOfThisListAndNoOther(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"ClusterRole sealbridge-externalsecret": {
			"/configmaps: get list watch",
			"/namespaces: get list watch",
			"/secrets: create delete get list patch watch",
			"events.k8s.io/events: create",
			"external-secrets.io/clustersecretstores: get list watch",
			"external-secrets.io/externalsecrets/finalizers: update",
			"external-secrets.io/externalsecrets/status: patch update",
			"external-secrets.io/externalsecrets: get list patch watch",
			"external-secrets.io/secretstores: get list watch",
		},
		"ClusterRole sealbridge-clusterexternalsecret": {
			"/namespaces: get list watch",
			"events.k8s.io/events: create",
			"external-secrets.io/clusterexternalsecrets/finalizers: update",
			"external-secrets.io/clusterexternalsecrets/status: patch update",
			"external-secrets.io/clusterexternalsecrets: get list patch watch",
			"external-secrets.io/externalsecrets: create delete get list patch watch",
		},
		"ClusterRole sealbridge-secretstore": {
			"/configmaps: get",
			"/secrets: get",
			"/serviceaccounts: get list watch",
			"events.k8s.io/events: create",
			"external-secrets.io/clustersecretstores/status: patch update",
			"external-secrets.io/clustersecretstores: get list watch",
			"external-secrets.io/secretstores/status: patch update",
			"external-secrets.io/secretstores: get list watch",
		},
		"ClusterRole sealbridge-sealedsecret": {
			"/secrets: create get list patch update watch",
			"bitnami.com/sealedsecrets/status: patch update",
			"bitnami.com/sealedsecrets: get list watch",
			"events.k8s.io/events: create",
		},
		"ClusterRole sealbridge-gitsync": {
			"/namespaces: get",
			"/secrets: get",
			"/serviceaccounts: get impersonate",
			"events.k8s.io/events: create patch",
			"sealbridge.dev/gitsyncs/status: patch update",
			"sealbridge.dev/gitsyncs: get list patch watch",
		},
		"ClusterRole sealbridge-gitsync-drift": {"*/*: list watch"},
		"ClusterRole sealbridge-takeover":      {"/namespaces: patch"},
		"Role sealbridge-externalsecret": {
			"/secrets: create",
			"/secrets: get of sealbridge-template-key",
		},
		"Role sealbridge-sealingkey": {
			"/secrets: create get list watch",
			"events.k8s.io/events: create patch",
		},
		"Role sealbridge-leader-election": {
			"/events: create patch",
			"coordination.k8s.io/leases: create get patch update",
		},
	}
	got, bound := map[string][]string{}, map[string]bool{}
	for _, r := range manifests(t) {
		switch r.Kind {
		case "Role", "ClusterRole":
			if !aggregated(r) {
				got[r.Kind+" "+r.Metadata.Name] = lines(r)
			}
		case "RoleBinding", "ClusterRoleBinding":
			bound[r.Ref.Kind+" "+r.Ref.Name] = true
			if strings.TrimSuffix(r.Kind, "Binding") != r.Ref.Kind {
				t.Errorf("%s %s binds a %s", r.Kind, r.Metadata.Name, r.Ref.Kind)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
	for name := range bound {
		if want[name] == nil {
			t.Errorf("%s is bound and not listed", name)
		}
	}
}

// rendered is what kustomize makes of a folder of config, as kubectl apply -k installs it.
func rendered(t *testing.T, folder string) []role {
	t.Helper()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "config", folder))
	if err != nil {
		t.Fatal(err)
	}
	var out []role
	for _, resource := range built.Resources() {
		raw, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		var r role
		if err := yaml.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// Whoever installs config/rbac alone has given away nothing outside of the controller's namespace.
func TestNoRightReachesOutOfTheNamespacesThatAreNamed(t *testing.T) {
	t.Parallel()
	for folder, namespaces := range map[string][]string{"rbac": {"sealbridge-system"}, "namespaced": {"sealbridge-system", "team-a"}} {
		bindings := 0
		for _, r := range rendered(t, folder) {
			switch r.Kind {
			case "ClusterRoleBinding":
				t.Errorf("config/%s binds %s in the whole cluster", folder, r.Ref.Name)
			case "RoleBinding":
				bindings++
				if !slices.Contains(namespaces, r.Metadata.Namespace) {
					t.Errorf("config/%s binds %s in namespace %q", folder, r.Ref.Name, r.Metadata.Namespace)
				}
				if s := r.Subjects; len(s) != 1 || s[0].Name != "sealbridge-controller" || s[0].Namespace != "sealbridge-system" {
					t.Errorf("config/%s binds %s to %+v", folder, r.Ref.Name, s)
				}
			}
		}
		if bindings < 2 {
			t.Errorf("config/%s has %d bindings: the check would say nothing", folder, bindings)
		}
	}
}

// Each capability that reads Secrets of the whole cluster is a binding of its own in config/cluster-wide, which says so.
func TestWhatReadsSecretsOfTheWholeClusterIsSwitchedOnByName(t *testing.T) {
	t.Parallel()
	rules := map[string][]rbacv1.PolicyRule{}
	reads := map[string]bool{}
	all := rendered(t, "default")
	for _, r := range all {
		rules[r.Kind+" "+r.Metadata.Name] = r.Rules
	}
	for _, r := range all {
		if r.Kind != "ClusterRoleBinding" {
			continue
		}
		for _, rule := range rules["ClusterRole "+r.Ref.Name] {
			secrets := slices.Contains(rule.Resources, "secrets") || slices.Contains(rule.Resources, "*")
			reading := slices.ContainsFunc(rule.Verbs, func(v string) bool { return slices.Contains([]string{"get", "list", "watch", "*"}, v) })
			reads[r.Ref.Name] = reads[r.Ref.Name] || secrets && reading
		}
	}
	want := map[string]bool{
		"sealbridge-externalsecret": true, "sealbridge-secretstore": true, "sealbridge-sealedsecret": true,
		"sealbridge-gitsync": true, "sealbridge-gitsync-drift": true, "sealbridge-clusterexternalsecret": false,
	}
	if diff := cmp.Diff(want, reads); diff != "" {
		t.Errorf("what is bound in the whole cluster, and whether it reads Secrets (-want +got):\n%s", diff)
	}
}

// aggregated says whether the role is for people, through the cluster's own admin, edit and view.
func aggregated(r role) bool {
	for label := range r.Metadata.Labels {
		if strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-") {
			return true
		}
	}
	return false
}

// dangers returns what a rule allows that would make its owner the master of the cluster, or of its admission.
func dangers(rule rbacv1.PolicyRule) []string {
	reads := []string{"get", "list", "watch"}
	writes := slices.ContainsFunc(rule.Verbs, func(v string) bool { return !slices.Contains(reads, v) })
	var found []string
	say := func(is bool, text string) {
		if is {
			found = append(found, text)
		}
	}
	say(slices.Contains(rule.Verbs, "*"), "every verb")
	say(writes && (slices.Contains(rule.APIGroups, "*") || slices.Contains(rule.Resources, "*")), "writing every kind")
	for _, verb := range []string{"escalate", "bind", "approve", "sign"} {
		say(slices.Contains(rule.Verbs, verb), verb)
	}
	for _, group := range []string{"rbac.authorization.k8s.io", "admissionregistration.k8s.io", "apiregistration.k8s.io", "apiextensions.k8s.io", "certificates.k8s.io"} {
		say(writes && slices.Contains(rule.APIGroups, group), "writing "+group)
	}
	for _, resource := range rule.Resources {
		impersonated := resource == "users" || resource == "groups" || resource == "*"
		say(impersonated && slices.Contains(rule.Verbs, "impersonate"), "impersonating "+resource)
		// A subresource of a pod or node runs programs or speaks for others, also with get.
		dangerous := []string{"serviceaccounts/token", "serviceaccounts/*", "*/token", "pods/exec", "pods/attach", "pods/portforward", "pods/*", "nodes/proxy", "nodes/*", "services/proxy"}
		say(slices.Contains(dangerous, resource), resource)
		say(writes && slices.Contains([]string{"pods", "nodes", "deployments", "daemonsets", "jobs"}, resource), "writing "+resource)
	}
	return found
}

func TestNoRoleMakesItsOwnerTheMasterOfTheCluster(t *testing.T) {
	t.Parallel()
	roles := 0
	for _, r := range manifests(t) {
		for _, rule := range r.Rules {
			roles++
			for _, danger := range dangers(rule) {
				t.Errorf("%s %s allows %s", r.Kind, r.Metadata.Name, danger)
			}
		}
	}
	const floor = 20
	if roles < floor {
		t.Errorf("looked at %d rules: the check would say nothing", roles)
	}
}

func TestDangerousRightsAreFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		group, resource, verb string
		want                  []string
	}{
		"all":                   {"*", "*", "*", []string{"every verb", "writing every kind"}},
		"reading all":           {"*", "*", "list", nil},
		"minting tokens":        {"", "serviceaccounts/token", "create", []string{"serviceaccounts/token"}},
		"patching webhooks":     {"admissionregistration.k8s.io", "validatingwebhookconfigurations", "patch", []string{"writing admissionregistration.k8s.io"}},
		"reading webhooks":      {"admissionregistration.k8s.io", "validatingwebhookconfigurations", "get", nil},
		"binding a role":        {"rbac.authorization.k8s.io", "clusterroles", "bind", []string{"bind", "writing rbac.authorization.k8s.io"}},
		"being anybody":         {"", "users", "impersonate", []string{"impersonating users"}},
		"being an account":      {"", "serviceaccounts", "impersonate", nil},
		"running programs":      {"", "pods/exec", "get", []string{"pods/exec"}},
		"creating pods":         {"", "pods", "create", []string{"writing pods"}},
		"the kubelet's door":    {"", "nodes/proxy", "get", []string{"nodes/proxy"}},
		"what a controller has": {"", "secrets", "patch", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := dangers(rbacv1.PolicyRule{APIGroups: []string{test.group}, Resources: []string{test.resource}, Verbs: []string{test.verb}})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a namespace's admins, editors and viewers get holds no kind by which one could act outside of the namespace, and
// GitSync, which acts as ServiceAccounts, is for admins alone.
func TestWhatPeopleGetStaysInTheirNamespace(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, r := range manifests(t) {
		if !aggregated(r) {
			continue
		}
		for _, line := range lines(r) {
			seen++
			resource, verbs, _ := strings.Cut(line, ": ")
			if strings.HasPrefix(resource, "external-secrets.io/cluster") || strings.HasSuffix(resource, "/status") || strings.HasPrefix(resource, "/") {
				t.Errorf("%s grants %s", r.Metadata.Name, line)
			}
			_, edit := r.Metadata.Labels["rbac.authorization.k8s.io/aggregate-to-edit"]
			if resource == "sealbridge.dev/gitsyncs" && edit || strings.HasSuffix(r.Metadata.Name, "-view") && verbs != "get list watch" {
				t.Errorf("%s grants %s", r.Metadata.Name, line)
			}
		}
	}
	if seen == 0 {
		t.Error("no role is for people: the check would say nothing")
	}
}

// Who may create GitSyncs in a namespace must not act with the controller's rights in all others.
func TestTheInstalledControllerAppliesNothingAsItself(t *testing.T) {
	t.Parallel()
	if containers := controlplane.Deployment(t).Spec.Template.Spec.Containers; len(containers) != 1 || !slices.Contains(containers[0].Args, "--require-service-account") {
		t.Errorf("config/manager starts the controller without --require-service-account: %+v", containers)
	}
}

package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// InstallCRDs applies the CustomResourceDefinitions in the files and folders (their *.yaml, not deeper) and returns when
// the API server serves every version of them.
func (c *ControlPlane) InstallCRDs(ctx context.Context, paths ...string) error {
	files, err := manifestFiles(paths)
	if err != nil || len(files) == 0 {
		return err
	}
	var all []*unstructured.Unstructured
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read CRDs: %w", err)
		}
		objects, err := decode(raw)
		if err != nil {
			return fmt.Errorf("read CRDs of %s: %w", file, err)
		}
		for _, object := range objects {
			// A kustomization.yaml may lie beside them.
			if object.GetKind() == "CustomResourceDefinition" {
				all = append(all, object)
			}
		}
	}
	if err := c.apply(ctx, all); err != nil {
		return err
	}
	return c.waitServed(ctx, all)
}

// Apply applies the YAML documents by server-side apply as field manager "test", with force. Documents without a
// namespace go to "default" where their kind has one. Definitions of kinds must be in an earlier call than their objects.
func (c *ControlPlane) Apply(ctx context.Context, yaml string) error {
	objects, err := decode([]byte(yaml))
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return c.apply(ctx, objects)
}

func (c *ControlPlane) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	disco, err := discovery.NewDiscoveryClientForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	groups, err := restmapper.GetAPIGroupResources(disco)
	if err != nil {
		return fmt.Errorf("discover kinds: %w", err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	clients, err := dynamic.NewForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	for _, object := range objects {
		gvk := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", gvk.Kind, object.GetName(), err)
		}
		var resource dynamic.ResourceInterface = clients.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			if object.GetNamespace() == "" {
				object.SetNamespace(metav1.NamespaceDefault)
			}
			resource = clients.Resource(mapping.Resource).Namespace(object.GetNamespace())
		}
		if _, err := resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
			return fmt.Errorf("apply %s %s: %w", gvk.Kind, object.GetName(), err)
		}
	}
	return nil
}

// waitServed waits until discovery lists each served version of the definitions: the Established condition comes a
// moment before their handlers do.
func (c *ControlPlane) waitServed(ctx context.Context, crds []*unstructured.Unstructured) error {
	disco, err := discovery.NewDiscoveryClientForConfig(c.admin)
	if err != nil {
		return fmt.Errorf("build client: %w", err)
	}
	for _, crd := range crds {
		group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
		plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		for _, version := range versions {
			v, _ := version.(map[string]any)
			if served, _ := v["served"].(bool); !served {
				continue
			}
			name, _ := v["name"].(string)
			gv := schema.GroupVersion{Group: group, Version: name}.String()
			if err := waitListed(ctx, disco, gv, plural); err != nil {
				return err
			}
		}
	}
	return nil
}

func waitListed(ctx context.Context, disco discovery.DiscoveryInterface, groupVersion, plural string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := disco.ServerResourcesForGroupVersion(groupVersion)
		if err == nil && slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == plural }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s of %s are served: %w", plural, groupVersion, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func manifestFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read CRDs: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		found, err := filepath.Glob(filepath.Join(path, "*.yaml"))
		if err != nil {
			return nil, fmt.Errorf("read CRDs: %w", err)
		}
		files = append(files, found...)
	}
	return files, nil
}

func decode(raw []byte) ([]*unstructured.Unstructured, error) {
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parse manifest: %w", err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// Kubectl runs bin/kubectl as the administrator with the arguments and standard input, and returns what it printed.
// Its error holds what it printed to standard error.
func (c *ControlPlane) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.kubectl, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "KUBECACHEDIR="+c.path("kubectl-cache"), "KUBERC=off")
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

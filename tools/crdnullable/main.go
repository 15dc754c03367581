// Command crdnullable lets the values of a map in a CustomResourceDefinition be null, for which controller-gen has no
// marker.
//
// It takes a file and the path of the map below the schema's root, and rewrites the file in place, in the order and
// style that controller-gen writes:
//
//	crdnullable config/crd/bitnami.com_sealedsecrets.yaml spec.template.data
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crdnullable:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: crdnullable <file> <path of the map>")
	}
	file, path := args[0], args[1]
	before, err := os.ReadFile(file) //nolint:gosec // G703: the file that an argument names is what it is for
	if err != nil {
		return fmt.Errorf("read the definition: %w", err)
	}
	after, err := allowNull(before, strings.Split(path, "."))
	if err != nil {
		return fmt.Errorf("%s in %s: %w", path, file, err)
	}
	if err := os.WriteFile(file, after, 0o600); err != nil { //nolint:gosec // G703: as above; the file exists and keeps its mode
		return fmt.Errorf("write the definition: %w", err)
	}
	return nil
}

// allowNull sets nullable on the values of the map at path, in every version of the definition.
func allowNull(definition []byte, path []string) ([]byte, error) {
	var crd map[string]any
	if err := yaml.Unmarshal(definition, &crd); err != nil {
		return nil, fmt.Errorf("parse the definition: %w", err)
	}
	spec, _ := crd["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	if len(versions) == 0 {
		return nil, errors.New("the definition has no versions")
	}
	steps := []string{"schema", "openAPIV3Schema"}
	for _, field := range path {
		steps = append(steps, "properties", field)
	}
	steps = append(steps, "additionalProperties")
	for _, version := range versions {
		node, _ := version.(map[string]any)
		for _, step := range steps {
			if node, _ = node[step].(map[string]any); node == nil {
				return nil, fmt.Errorf("no such map: the schema has no %q there", step)
			}
		}
		node["nullable"] = true
	}
	out, err := yaml.Marshal(crd)
	if err != nil {
		return nil, fmt.Errorf("write the definition: %w", err)
	}
	return append([]byte("---\n"), out...), nil
}

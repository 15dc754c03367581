package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const definition = `---
spec:
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        properties:
          spec:
            properties:
              data:
                additionalProperties:
                  type: string
                type: object
              name:
                type: string
            type: object
        type: object
`

func TestTheValuesOfTheNamedMapBecomeNullableAndNothingElseChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "crd.yaml")
	if err := os.WriteFile(file, []byte(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second run finds it done
		if err := run([]string{file, "spec.data"}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const values = "                additionalProperties:\n"
	if want := strings.Replace(definition, values, values+"                  nullable: true\n", 1); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestADefinitionWithoutTheNamedMapIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"spec.gone", "spec.name"} {
		file := filepath.Join(t.TempDir(), "crd.yaml")
		if err := os.WriteFile(file, []byte(definition), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run([]string{file, path}); err == nil {
			t.Errorf("%s: no error", path)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != definition {
			t.Errorf("%s: the file was changed to\n%s (%v)", path, got, err)
		}
	}
}

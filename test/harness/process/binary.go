package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// ErrMissing is the class of the error for a program that has not been built yet.
var ErrMissing = errors.New("program is not built")

// Binary returns the absolute path of the program under the module's bin/ folder, or of the folder that the
// environment variable SEALBRIDGE_BIN names. Its error wraps ErrMissing and says which make target builds the program.
func Binary(name string) (string, error) {
	dir := os.Getenv("SEALBRIDGE_BIN")
	if dir == "" {
		root, err := ModuleRoot()
		if err != nil {
			return "", fmt.Errorf("find program %s: %w", name, err)
		}
		dir = filepath.Join(root, "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: %s; run `make bin/%s` in the repository", ErrMissing, name, name)
	}
	return path, nil
}

// ModuleRoot returns the folder of the repository: the nearest folder at or above the working directory that holds the
// product's go.mod. The nested modules under test/ are passed over, because only the root holds a Makefile too.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find module root: %w", err)
	}
	for {
		if isFile(filepath.Join(dir, "go.mod")) && isFile(filepath.Join(dir, "Makefile")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find module root: no folder with go.mod and Makefile at or above the working directory")
		}
		dir = parent
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Require returns the path of a program under bin/. When it is missing the test is skipped with the make target that
// builds it, and fails when the environment variable CI is "true": a skip there would hide what was not tested.
func Require(t testing.TB, name string) string {
	t.Helper()
	path, err := Binary(name)
	if err != nil {
		Missing(t, err)
	}
	return path
}

// Missing ends the test because a real part could not be had: it skips when err is of class ErrMissing and CI is not
// "true", and fails otherwise. It does not return.
func Missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
	t.Fatal(err)
}

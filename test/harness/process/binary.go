package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	if _, err := os.Stat(path); err != nil { //nolint:gosec // G703: the developer names the folder of the programs
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

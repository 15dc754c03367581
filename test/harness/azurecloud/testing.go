package azurecloud

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// shared is the cloud of this test binary.
//
//nolint:gochecknoglobals // the environment that leads to it is one for the whole process, too
var shared *Cloud

// Run runs the tests of a package in a cloud, then ends it and what other harness packages started, and returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(azurecloud.Run(m)) }
func Run(m *testing.M) int {
	var err error
	if shared, err = Start(context.Background()); err != nil { //nolint:forbidigo // a test binary has no context before its tests
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	process.AtEnd(shared.Stop)
	for _, variable := range shared.Env() {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return process.RunTests(m)
}

// New returns the cloud that Run started.
func New(t testing.TB) *Cloud {
	t.Helper()
	if shared == nil {
		t.Fatal("the tests do not run in a cloud: let TestMain call azurecloud.Run")
	}
	return shared
}

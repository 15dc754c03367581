package gcp

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// shared is the cloud of this test binary.
//
//nolint:gochecknoglobals // one cloud per test binary is the point: a process reads its environment once
var shared *Cloud

// Run runs the tests of a package in an environment that leads to a cloud (New), ends it, and returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(gcp.Run(m)) }
func Run(m *testing.M) int {
	cloud, err := Start(context.Background()) //nolint:forbidigo // a test binary has no context before its tests
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = cloud
	for _, variable := range cloud.Env() {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	process.AtEnd(cloud.Stop)
	return process.RunTests(m)
}

// New returns the cloud of this test binary. Tests share it and isolate by project.
func New(t testing.TB) *Cloud {
	t.Helper()
	if shared == nil {
		t.Fatal("TestMain does not call Run")
	}
	return shared
}

// Project returns the name of a project of the test's own.
func Project() string { return "p-" + strings.ToLower(rand.Text()[:12]) }

// Reader makes a service account that may read the secrets of a project, and returns its email address and key.
func (c *Cloud) Reader(t testing.TB, project string) (email string, key []byte) {
	t.Helper()
	email = "reader-" + strings.ToLower(rand.Text()[:8]) + "@" + project + ".iam.gserviceaccount.com"
	key, err := c.Key(email)
	if err != nil {
		t.Fatal(err)
	}
	c.Grant("serviceAccount:"+email, "projects/"+project, Reading()...)
	return email, key
}

// Reading are the permissions to read and find secrets.
func Reading() []string {
	return []string{"secretmanager.versions.access", "secretmanager.versions.list", "secretmanager.secrets.get", "secretmanager.secrets.list"}
}

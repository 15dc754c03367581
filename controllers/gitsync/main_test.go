package gitsync_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// canary is planted in every secret value of these tests and must never be seen outside of a Secret's data.
const canary = "canary-7f3e9a51"

func TestMain(m *testing.M) {
	logs := &capture.Log{}
	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(logs), textlogger.Verbosity(4)))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	code := controlplane.Run(m)
	if strings.Contains(logs.String(), canary) {
		fmt.Fprintln(os.Stderr, "a secret value is in the log")
		code = 1
	}
	if path := os.Getenv("GITSYNC_TEST_LOG"); path != "" {
		_ = os.WriteFile(path, []byte(logs.String()), 0o600)
	}
	os.Exit(code)
}

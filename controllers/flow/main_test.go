package flow

import (
	"os"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

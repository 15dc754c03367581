// Package faults_test lets many faults come in a random order over the real controller: two replicas that elect a leader, a
// real API server, the stores of two tenants, and SealedSecrets of both formats beside.
//
// An act (acts_test.go) does one thing to that world: it ends the leader or the API server, breaks a store, changes a document,
// an object, a credential or a Secret. The model (model_test.go) knows what the world should come to. While acts go on, the
// witness (witness_test.go) watches all Secrets and says what no moment may show; after the last one everything must come to what
// the model says (converge_test.go), and stay so.
//
// The order of acts follows from the seed alone, so that a failure can be repeated as far as processes can:
//
//	go test ./test/faults -v -seed 7 -steps 400 -timeout 1h
package faults_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

var (
	seedFlag    = flag.Uint64("seed", 1, "what the order of acts follows from; 0 draws one")
	stepsFlag   = flag.Int("steps", 52, "how many acts there are; 52 are one round, in which each comes at least once")
	objectsFlag = flag.Int("objects", 10, "how many ExternalSecrets each tenant has beside those of which each is different")
	binaryFlag  = flag.String("controller", "", "path of the controller; bin/sealbridge-controller when empty")
	// A slow machine takes what it takes: how long the test waits for a state is no promise of the product.
	patienceFlag = flag.Duration("patience", 5*time.Minute, "how long the test waits for a state")
	logsFlag     = flag.String("logs", "", "existing folder that keeps the controllers' logs; they go with the test when empty")
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard()) // the controllers are processes of their own
	os.Exit(process.RunTests(m))
}

// Command sealbridge-controller runs SealBridge's controllers, in a cluster or outside of it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // templates name time zones, and the image has no files of them; read when one is named

	azurelog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"

	"github.com/sealbridge/sealbridge/internal/program"
)

// garbage is how much garbage may pile up before it is collected, in percent of what is alive; Go's own default is 100. The
// controller keeps little and idles much, so memory is worth more to its users than the time of a collection. GOGC overrides it.
const garbage = 50

// unused is how long a part of the program may stay in memory after it was needed.
const unused = 15 * time.Second

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	stderr := os.Stderr
	os.Stderr = nil           // kustomize writes there, past the log, which fields it deprecates: at each build, and nobody knows of which repository
	azurelog.SetListener(nil) // AZURE_SDK_GO_LOGGING would have Azure's library print what it is answered
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go releaseUnused(ctx)
	err := run(ctx, os.Args[1:], os.Stdout, stderr)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "sealbridge-controller:", err)
		os.Exit(1)
	}
}

// releaseUnused lets go of the program's pages at once, because its start has touched nearly all of them, and from time to
// time, because a first sync needs other parts than what comes after it.
func releaseUnused(ctx context.Context) {
	for {
		program.Release()
		select {
		case <-ctx.Done():
			return
		case <-time.After(unused):
		}
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cmd := newCommand(stdout, stderr)
	cmd.SetArgs(args)
	return cmd.ExecuteContext(ctx)
}

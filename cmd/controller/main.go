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
)

// garbage is how much garbage may pile up before it is collected, in percent of what is alive; Go's own default is 100. The
// controller keeps little and idles much, so memory is worth more to its users than the time of a collection. GOGC overrides it.
const garbage = 50

func main() {
	releaseProgram()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "sealbridge-controller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	cmd := newCommand(stderr)
	cmd.SetArgs(args)
	return cmd.ExecuteContext(ctx)
}

// Command demo shows the whole way once, on real parts: a Git repository becomes running Secrets.
//
// "demo up" starts a control plane, a Vault, a Git server and the controller on loopback, walks through the life of a
// few secrets and checks each state that it claims; it leaves everything running, with .demo/kubeconfig to look around.
// "demo down" ends it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: demo up | down")

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	switch args[0] {
	case "up":
		return up(ctx)
	case "serve":
		return serve(ctx)
	case "down":
		return down(ctx)
	default:
		return errUsage
	}
}

package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// starterEnv makes this test binary start a child that watches nothing, print its process id, and wait to be killed.
const starterEnv = "SEALBRIDGE_TEST_STARTER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(starterEnv); dir != "" {
		p, err := process.Start(context.Background(), process.Spec{Name: "sleep", Path: "/bin/sleep", Args: []string{"1000"}, Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.PID())
		select {}
	}
	if os.Getenv("PROCESS_TEST_PORT") != "" {
		port, err := process.FreePorts(context.Background(), 1)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(port)
		select {}
	}
	os.Exit(process.RunTests(m))
}

func TestChildThatWatchesNothingEndsWithItsStarter(t *testing.T) {
	t.Parallel()
	pid, kill := process.Starter(t, starterEnv+"="+t.TempDir())
	kill()
	for deadline := time.Now().Add(time.Minute); process.Runs(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %s still runs", pid)
		}
	}
}

func TestReadySaysWhyAChildEnded(t *testing.T) {
	t.Parallel()
	p, err := process.Start(t.Context(), process.Spec{Name: "sh", Path: "/bin/sh", Args: []string{"-c", "echo port is taken; exit 1"}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Ready(t.Context(), func(context.Context) error { return errors.New("not yet") })
	if !errors.Is(err, process.ErrEnded) || !strings.Contains(err.Error(), "port is taken") {
		t.Errorf("Ready: %v", err)
	}
	// Whoever took the port may answer.
	if err := p.Ready(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, process.ErrEnded) {
		t.Errorf("Ready when another answers: %v", err)
	}
}

func TestStopKillsAChildThatDoesNotListen(t *testing.T) {
	t.Parallel()
	p, err := process.Start(t.Context(), process.Spec{Name: "sh", Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; echo on; while :; do sleep 0.05; done"}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Ready(t.Context(), func(context.Context) error {
		raw, err := os.ReadFile(p.Log())
		if err == nil && !strings.Contains(string(raw), "on") {
			err = errors.New("it has not set its trap")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Stop(100 * time.Millisecond)
	if process.Runs(strconv.Itoa(p.PID())) {
		t.Error("it still runs")
	}
}

func TestFreePortsAreFree(t *testing.T) {
	t.Parallel()
	port, err := process.FreePorts(t.Context(), 3)
	if err != nil || port < 1024 || port > 32768 {
		t.Errorf("FreePorts: %d, %v", port, err)
	}
}

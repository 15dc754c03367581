package process

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestAPortIsTheStartersUntilItEnds(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PROCESS_TEST_PORT=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if free, err := reserve(port); free || err != nil {
		t.Errorf("while another process has it: free %t, %v", free, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if free, err := reserve(port); !free || err != nil {
		t.Errorf("after the end of that process: free %t, %v", free, err)
	}
	if free, err := reserve(port); free || err != nil {
		t.Errorf("a second time in one process: free %t, %v", free, err)
	}
}

package process

import (
	"strconv"
	"testing"
)

func TestAPortIsTheStartersUntilItEnds(t *testing.T) {
	t.Parallel()
	line, kill := Starter(t, "PROCESS_TEST_PORT=1")
	port, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if free, err := reserve(port); free || err != nil {
		t.Errorf("while another process has it: free %t, %v", free, err)
	}
	kill()
	if free, err := reserve(port); !free || err != nil {
		t.Errorf("after the end of that process: free %t, %v", free, err)
	}
	if free, err := reserve(port); free || err != nil {
		t.Errorf("a second time in one process: free %t, %v", free, err)
	}
}

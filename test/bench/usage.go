package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// usage is what the operating system says of a process.
type usage struct {
	cpu     time.Duration // user and system
	peakRSS int64         // bytes
}

// readUsage reads /proc (proc(5)): utime and stime are the fields 14 and 15 of stat, in ticks of 1/100 s; VmHWM of
// status is the peak resident set.
func readUsage(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("read CPU time: %w", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name may hold spaces; field 3 is next
	const first, utime, stime = 3, 14, 15
	if len(fields) <= stime-first {
		return u, fmt.Errorf("read CPU time: /proc/%d/stat has %d fields", pid, len(fields))
	}
	for _, f := range []int{utime, stime} {
		ticks, err := strconv.ParseInt(fields[f-first], 10, 64)
		if err != nil {
			return u, fmt.Errorf("read CPU time: %w", err)
		}
		u.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kib)[0], 10, 64)
			if err != nil {
				return u, fmt.Errorf("read memory: %w", err)
			}
			u.peakRSS = n << 10
		}
	}
	return u, nil
}

func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "model name") {
				_, model, _ = strings.Cut(line, ":")
				break
			}
		}
	}
	return fmt.Sprintf("%d processors (%s), %s", runtime.NumCPU(), strings.TrimSpace(model), runtime.Version())
}

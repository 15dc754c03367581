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
	read    int64         // bytes of all reads, those from connections included
}

// readUsage reads /proc (proc(5)): utime and stime are the fields 14 and 15 of stat, in ticks of 1/100 s; VmHWM of
// status is the peak resident set; rchar of io is what was read.
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
	kib, err := procField(pid, "status", "VmHWM:")
	if err != nil {
		return u, err
	}
	u.peakRSS = kib << 10
	u.read, err = procField(pid, "io", "rchar:")
	return u, err
}

// procField returns the number that follows a name in a file of /proc/<pid>.
func procField(pid int, file, name string) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, fmt.Errorf("read usage: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read usage: %w", err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("read usage: /proc/%d/%s has no %s", pid, file, name)
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
	load := "unknown"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(b), " ")
	}
	return fmt.Sprintf("%d processors (%s), load %s at the end, %s", runtime.NumCPU(), strings.TrimSpace(model), load, runtime.Version())
}

package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

func TestOnlyPagesThatAreAsInTheFileAreLetGo(t *testing.T) {
	t.Parallel()
	const same, relocated = "Rss:                 2552 kB\nAnonymous:             0 kB\nSwap:                  0 kB\nVmFlags: rd ex mr mw me\n",
		"Anonymous:            16 kB\nSwap:                  0 kB\n"
	const text = "00400000-02739000 r-xp 00000000 fe:00 1234                  /bin/program\n" + same +
		"02739000-05038000 r--p 02339000 fe:00 1234                  /bin/program\n" + same +
		"05038000-05048000 r--p 04c38000 fe:00 1234                  /bin/program\n" + relocated +
		"05048000-05149000 rw-p 04c48000 fe:00 1234                  /bin/program\n" + same +
		"05149000-071a0000 rw-p 00000000 00:00 0 \n" + same +
		"7f00a0000000-7f00a0001000 r--p 00000000 fe:00 99            /bin/programs\n" + same +
		"7f00a0001000-7f00a0002000 r-xp 00000000 00:00 0             [vdso]\n" + same +
		"zz-01 r--p 00000000 fe:00 1234 /bin/program\n" + same +
		"05-04 r--p 00000000 fe:00 1234 /bin/program\n" + same +
		"09-0a r--p 00000000 fe:00 1234 /bin/program\nAnonymous: 0 kB\nSwap: 4 kB\n" +
		"0b-0c r--p 00000000 fe:00 1234 /bin/program\nRss: 4 kB\n" +
		"0c-0d rw-p 00000000 00:00 0\n" + same
	want := []mapping{{0x400000, 0x2739000, true}, {0x2739000, 0x5038000, true}}
	if got := unchanged(text, "/bin/program"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Not parallel: it looks at the pages of the whole process.
func TestWhatTheStartTouchedOfTheProgramIsLetGo(t *testing.T) {
	touch(t)
	before := resident(t)
	releaseProgram()
	if after := resident(t); after > before*2/3 {
		t.Errorf("%d KiB of files are resident, and were %d before", after, before)
	}
}

// touch reads all of the program that the start of a process touches, whatever was let go of it before.
func touch(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var sum byte
	for _, m := range unchanged(string(text), program) {
		pages := unsafe.Slice((*byte)(unsafe.Add(nil, m.from)), m.to-m.from)
		for i := 0; i < len(pages); i += os.Getpagesize() {
			sum += pages[i]
		}
	}
	t.Logf("the sum of a byte of each page is %d", sum)
}

// resident returns how many KiB of files the process holds in memory.
func resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

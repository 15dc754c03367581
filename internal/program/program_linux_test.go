package program

import (
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyMappingsOfTheProgramThatNobodyCanWriteToAreFound(t *testing.T) {
	t.Parallel()
	const text = "00400000-02739000 r-xp 00000000 fe:00 1234                  /bin/program\n" +
		"02739000-05038000 r--p 02339000 fe:00 1234                  /bin/program\n" +
		"05048000-05149000 rw-p 04c48000 fe:00 1234                  /bin/program\n" +
		"05149000-071a0000 rw-p 00000000 00:00 0 \n" +
		"7f00a0000000-7f00a0001000 r--p 00000000 fe:00 99            /bin/programs\n" +
		"7f00a0001000-7f00a0002000 r-xp 00000000 00:00 0             [vdso]\n" +
		"zz-01 r--p 00000000 fe:00 1234 /bin/program\n" +
		"05-04 r--p 00000000 fe:00 1234 /bin/program\n" +
		"0c-0d rw-p 00000000 00:00 0\n"
	want := []mapping{{0x400000, 0x2739000}, {0x2739000, 0x5038000}}
	if got := mappings(text, "/bin/program"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPagesThatAreNotAsInTheFileAreKnown(t *testing.T) {
	t.Parallel()
	const absent, there, own, swapped = 0, 1<<63 | 1<<61 | 1<<56, 1<<63 | 1<<55, 1 << 62
	for name, test := range map[string]struct {
		entries []uint64
		want    bool
	}{
		"nothing is in memory":                  {[]uint64{absent, absent}, true},
		"some of the file is":                   {[]uint64{absent, there, there}, true},
		"a debugger has written to one":         {[]uint64{there, own, there}, false},
		"what it has written to is swapped out": {[]uint64{there, there, swapped}, false},
	} {
		var raw []byte
		for _, e := range test.entries {
			raw = binary.NativeEndian.AppendUint64(raw, e)
		}
		if got := allOfFile(raw); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// Not parallel: it looks at the pages of the whole process.
func TestWhatWasTouchedOfTheProgramIsLetGo(t *testing.T) {
	touch(t)
	before := resident(t)
	Release()
	if after := resident(t); after > before*2/3 {
		t.Errorf("%d KiB of files are resident, and were %d before", after, before)
	}
}

// However the page cache holds the file, a fault brings in no more than a grain: the kernel maps nothing beyond what maps shows. A kernel
// without huge pages knows no such flag and has no large folios, and where pages are larger than grains they are grains themselves.
func TestTheProgramIsDividedIntoGrains(t *testing.T) {
	t.Parallel()
	if len(file) == 0 {
		t.Fatal("no mapping of the program was found")
	}
	_, noHuge := os.Stat("/sys/kernel/mm/transparent_hugepage")
	switch err := syscall.Madvise(file[0].pages()[:os.Getpagesize()], syscall.MADV_NOHUGEPAGE); {
	case os.Getpagesize() > grain, noHuge != nil && err != nil:
		t.Logf("NOT DIVIDED, nor needed: pages of %d bytes, the flag: %v", os.Getpagesize(), err)
		return
	case err != nil:
		t.Fatalf("the kernel has huge pages and does not take the flag: %v", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mappings(string(maps), program) {
		if m.to-m.from > grain {
			t.Errorf("%x-%x has %d KiB", m.from, m.to, (m.to-m.from)>>10)
		}
	}
}

// touch reads all of the program, whatever was let go of it before.
func touch(t *testing.T) {
	t.Helper()
	var sum byte
	for _, m := range file {
		pages := m.pages()
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

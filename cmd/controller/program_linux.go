package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// releaseProgram lets go of the pages of the program's own file. Its SDKs touch nearly all of them while their packages are
// initialized, and little of that is needed again; what is comes back from the page cache when it is used. What cannot be
// let go stays.
func releaseProgram() {
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	program, err := os.Executable()
	if err != nil {
		return
	}
	for _, m := range unchanged(string(text), program) {
		pages := unsafe.Slice((*byte)(unsafe.Add(nil, m.from)), m.to-m.from) //nolint:gosec // mapped until the process ends, and never read here
		_ = syscall.Madvise(pages, syscall.MADV_DONTNEED)
	}
}

// mapping is where a file is in memory, and whether all pages of it that are there are the file's.
type mapping struct {
	from, to uintptr
	same     bool
}

// unchanged returns the mappings of a file that nobody can write to and that are as the file is, given the text of
// proc_pid_smaps(5). Pages that are read-only and not as the file is are those that the loader has relocated, and those in
// which a debugger has set breakpoints: they would not come back.
func unchanged(smaps, file string) []mapping {
	const place, rights, path = 0, 1, 5 // 00400000-02739000 r-xp 00000000 fe:00 1234   /usr/bin/program
	var out []mapping
	var here mapping
	for line := range strings.Lines(smaps) {
		switch fields := strings.Fields(line); {
		case len(fields) >= path: // another mapping, or the flags of this one
			here = mapping{}
			if len(fields) > path && fields[path] == file && !strings.Contains(fields[rights], "w") {
				here = parse(fields[place])
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0":
			here.same = true
		case len(fields) == 3 && fields[0] == "Swap:":
			if here.same && fields[1] == "0" && here.from < here.to {
				out = append(out, here)
			}
			here = mapping{}
		}
	}
	return out
}

// parse reads from-to; what it cannot read is empty.
func parse(place string) mapping {
	first, last, _ := strings.Cut(place, "-")
	from, err := strconv.ParseUint(first, 16, strconv.IntSize)
	if err != nil {
		return mapping{}
	}
	to, err := strconv.ParseUint(last, 16, strconv.IntSize)
	if err != nil {
		return mapping{}
	}
	return mapping{from: uintptr(from), to: uintptr(to)}
}

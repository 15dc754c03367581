package program

import (
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// grain is how much of the file comes into memory at once when a part of it is used; the kernel's own choice is 64 KiB, or a
// whole large folio of the page cache, up to 2 MiB.
const grain = 16 << 10

// file is where the program's own file is mapped. It is found and divided while packages are initialized, because their
// initialization would bring most of the file into memory; those of the standard library that this one needs go before it,
// and nearly all others after it (by their import paths, as the language defines).
var file = divided() //nolint:gochecknoglobals // read only, and too late when main begins

// Release lets go of the pages of the program's own file. Its SDKs touch many of them while their packages are initialized,
// and little of that is needed again; what is comes back from the page cache when it is used. What cannot be let go stays.
func Release() {
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return
	}
	defer pagemap.Close()
	for _, m := range file {
		if m.unchanged(pagemap) {
			_ = syscall.Madvise(m.pages(), syscall.MADV_DONTNEED)
		}
	}
}

// divided returns the mappings of the program's file, after it has given every other grain of them a flag that changes
// nothing else: no fault brings in what lies beyond a flag. Where there are no huge pages, there are no large folios either.
func divided() []mapping {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	found := mappings(string(maps), program)
	for _, m := range found {
		pages := m.pages()
		for at := 0; at < len(pages); at += 2 * grain {
			if syscall.Madvise(pages[at:min(at+grain, len(pages))], syscall.MADV_NOHUGEPAGE) != nil {
				return found
			}
		}
	}
	return found
}

// mapping is where a part of a file is in memory.
type mapping struct{ from, to uintptr }

func (m mapping) pages() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(nil, m.from)), m.to-m.from) //nolint:gosec // mapped until the process ends, and never read here
}

// unchanged says whether what is in memory of a mapping are the file's pages. Those that are not are those that the loader
// has relocated, and those in which a debugger has set breakpoints: they would not come back.
func (m mapping) unchanged(pagemap *os.File) bool {
	const entry = 8
	page := uintptr(os.Getpagesize())
	entries := make([]byte, (m.to-m.from)/page*entry)
	if _, err := pagemap.ReadAt(entries, int64(m.from/page*entry)); err != nil { //nolint:gosec // an address by 512 is less than the largest int64
		return false
	}
	return allOfFile(entries)
}

// allOfFile reads entries of proc_pid_pagemap(5).
func allOfFile(entries []byte) bool {
	const present, swapped, file = 1 << 63, 1 << 62, 1 << 61
	for e := range slices.Chunk(entries, 8) {
		if bits := binary.NativeEndian.Uint64(e); bits&(present|swapped) != 0 && bits&file == 0 {
			return false
		}
	}
	return true
}

// mappings returns those of a file that nobody can write to, given the text of proc_pid_maps(5).
func mappings(maps, file string) []mapping {
	const place, rights, path = 0, 1, 5 // 00400000-02739000 r-xp 00000000 fe:00 1234   /usr/bin/program
	var out []mapping
	for line := range strings.Lines(maps) {
		fields := strings.Fields(line)
		if len(fields) <= path || fields[path] != file || strings.Contains(fields[rights], "w") {
			continue
		}
		if m := parse(fields[place]); m.from < m.to {
			out = append(out, m)
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

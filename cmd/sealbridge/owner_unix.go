//go:build unix

package main

import (
	"io/fs"
	"os"
	"syscall"
)

// giveTo gives a file to the owner and the group of another, as far as the user may: in a container the user often is root, and the
// repository somebody else's, who could not write the file any more.
func giveTo(file *os.File, other fs.FileInfo) {
	owner, ok := other.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	if err := file.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
		_ = file.Chown(-1, int(owner.Gid)) // a group of one's own may be given, a file not
	}
}

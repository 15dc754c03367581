package main

import (
	"io/fs"
	"testing"
)

func TestAFileThatMayNotBeReadHasAnotherCureThanOneThatIsNotThere(t *testing.T) {
	t.Parallel()
	for cause, want := range map[error]string{fs.ErrPermission: "check its permissions", fs.ErrNotExist: "check the path"} {
		if got := openHint(&fs.PathError{Op: "open", Path: "x", Err: cause}); got != want {
			t.Errorf("%v: %s, want %s", cause, got, want)
		}
	}
}

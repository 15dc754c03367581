package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sealbridge/sealbridge/internal/manifest"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// maxFile bounds what is read of certificates, keys and SealedSecrets.
const maxFile = 16 << 20

var errTooLarge = errors.New("larger than is read")

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, &sealing.Error{Problem: err.Error(), Hint: openHint(err), Cause: err}
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, &sealing.Error{Problem: path + " is a directory", Hint: "name a file"}
	}
	return readBounded(file, path)
}

// openNamed opens the file that a flag names.
func openNamed(flag, path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, &sealing.Error{Problem: "read " + flag + ": " + err.Error(), Hint: openHint(err), Cause: err}
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close()
		return nil, &sealing.Error{Problem: "read " + flag + ": " + path + " is a directory", Hint: "name a file"}
	}
	return file, nil
}

// withoutMarks returns a text as UTF-8 without a byte order mark: PowerShell's > writes a certificate or a key as UTF-16, or with
// a mark, and what is neither stays as it is.
func withoutMarks(text []byte) []byte {
	text, _ = manifest.FromUTF16(text)
	return bytes.TrimPrefix(text, []byte("\ufeff"))
}

// openHint says what to do about a file that cannot be opened.
func openHint(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "check its permissions"
	}
	return "check the path"
}

func readBounded(r io.Reader, what string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, &sealing.Error{Problem: fmt.Sprintf("read %s: %s", what, cause(err)), Hint: "run the command again", Cause: err}
	}
	if len(data) > maxFile {
		return nil, &sealing.Error{Problem: fmt.Sprintf("%s has over %d bytes", what, maxFile), Hint: "split it", Cause: errTooLarge}
	}
	return data, nil
}

// replaceFile gives a file new content at once: whoever reads it sees the old content or the new. A symbolic link stays
// one, a file keeps its mode and, where the user may give files away, its owner, and what is no file (a pipe, a terminal) is
// written to. The content is not secret.
func replaceFile(path string, content []byte) error {
	return replace(path, content, 0o644, func(string) error { return nil })
}

// replacePrivateFile is replaceFile for content that is better not shown around: a new file can only be read by the user.
func replacePrivateFile(path string, content []byte) error {
	return replace(path, content, 0o600, func(string) error { return nil })
}

// addPrivateFile is replacePrivateFile where no file may be lost.
func addPrivateFile(path string, content []byte) error {
	return replace(path, content, 0o600, unused)
}

// unused returns an error when there is a file at the path. What is no file loses nothing when it is written to.
func unused(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular():
		return &sealing.Error{Problem: path + " exists", Hint: "name another file, or give --force to replace this one"}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &sealing.Error{Problem: fmt.Sprintf("write %s: %s", path, cause(err)), Hint: "check the folder and its permissions", Cause: err}
	default:
		return nil
	}
}

// updateFile is replaceFile for content that was made of what the file held before: a file that somebody else has changed since
// stays as it is. That takes a moment where a controller or a web server is asked, and minutes where many values are sealed.
func updateFile(path string, before, content []byte) error {
	return replace(path, content, 0o644, func(path string) error {
		now, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(now, before) {
			return &sealing.Error{Problem: "write " + path + ": it has been changed since it was read", Hint: "it is as it was left; run the command again"}
		}
		return err
	})
}

// replace asks whether it may when all is ready. The mode is that of a new file.
func replace(path string, content []byte, mode fs.FileMode, may func(path string) error) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	_, err := os.Stat(path) // which also follows links to pipes and terminals
	if link, linkErr := os.Lstat(path); err != nil && linkErr == nil && link.Mode()&fs.ModeSymlink != 0 {
		return &sealing.Error{Problem: fmt.Sprintf("write %s: it is a link that leads nowhere: %s", path, cause(err)), Hint: "make what it points to, or remove it", Cause: err}
	}
	before, err := os.Stat(path)
	switch {
	case err == nil && before.IsDir():
		return &sealing.Error{Problem: path + " is a directory", Hint: "name a file"}
	case err == nil && !before.Mode().IsRegular():
		if err := os.WriteFile(path, content, mode); err != nil { //nolint:gosec // G703: writing the file that the user names is what commands do
			return &sealing.Error{Problem: fmt.Sprintf("write %s: %s", path, cause(err)), Hint: "it may have taken a part; run the command again where its output has room", Cause: err}
		}
		return nil
	}
	defer uninterrupted()()
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8])
	if before != nil {
		mode = before.Mode().Perm()
	}
	err = writeNew(temporary, content, mode, before)
	if err == nil {
		err = may(path)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
		if _, said := asProblem(err); said {
			return err
		}
		return &sealing.Error{Problem: fmt.Sprintf("write %s: %s", path, cause(err)), Hint: "the file is as it was; check the folder, its permissions and the room on the disk", Cause: err}
	}
	syncFolder(filepath.Dir(path))
	return nil
}

// syncFolder has the name of a new file outlive a loss of power, too. Not every system and file system can.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		_ = folder.Sync()
		_ = folder.Close()
	}
}

// createPrivateFile writes plaintext that the user asked to have in a file: a new one, that only the user can read, and
// without a temporary one beside it.
func createPrivateFile(path string, content []byte) error {
	err := writeNew(path, content, 0o600, nil)
	if errors.Is(err, fs.ErrExist) {
		return &sealing.Error{Problem: path + " exists; a plain Secret is only written to a new file", Hint: "remove it, or leave --sealed-secret-file out and use the output", Cause: err}
	}
	if err != nil {
		return &sealing.Error{Problem: fmt.Sprintf("write %s: %s", path, cause(err)), Hint: "no file was left; check the folder, its permissions and the room on the disk", Cause: err}
	}
	return nil
}

// writeNew leaves no file that it could not write whole. The file gets the owner and the mode of the one that it will replace, nil for
// none, by its descriptor: in a folder of others its name may be somebody's link a moment later.
func writeNew(path string, content []byte, mode fs.FileMode, replaces fs.FileInfo) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			_ = os.Remove(path)
		}
	}()
	if replaces != nil {
		giveTo(file, replaces)
		if err := file.Chmod(replaces.Mode().Perm()); err != nil { // beyond what the umask leaves to a new file
			return err
		}
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Sync()
}

// cause is what the operating system says of a path, without the path (a temporary one means nothing to the user).
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

package layers

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// MaxLines is how long a Go file may be that people write.
const MaxLines = 500

// LongFiles returns a message for each Go file of the tree that is longer than MaxLines, and how many files it looked
// at. Generated files, folders that start with a dot, testdata and the folder bin do not count.
func LongFiles(tree fs.FS) (messages []string, looked int, err error) {
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		raw, err := fs.ReadFile(tree, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		looked++
		if lines := bytes.Count(raw, []byte("\n")); lines > MaxLines && !generated(raw) {
			messages = append(messages, fmt.Sprintf("%s has %d lines, %d are allowed; split it by what its parts do", name, lines, MaxLines))
		}
		return nil
	})
	return messages, looked, err
}

// generated tells whether the file says so as https://go.dev/s/generatedcode asks, before its package clause.
func generated(raw []byte) bool {
	for line := range bytes.Lines(raw) {
		if bytes.HasPrefix(line, []byte("package ")) {
			return false
		}
		if bytes.HasPrefix(line, []byte("// Code generated ")) && bytes.HasSuffix(bytes.TrimSpace(line), []byte(" DO NOT EDIT.")) {
			return true
		}
	}
	return false
}

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sealbridge/sealbridge/internal/memo"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// memory is the memo of this user on this machine: its key in the folder of settings, its tags in that of caches. Both
// can be deleted at any time; then what is sealed again once changes.
type memory struct {
	*memo.Memo

	tags string // path; "" for none
}

// openMemory reads the memo, and makes its key when there is none.
func openMemory(h host) (*memory, error) {
	settings, err := userFolder(h, "XDG_CONFIG_HOME", ".config")
	if err != nil {
		return nil, err
	}
	caches, err := userFolder(h, "XDG_CACHE_HOME", ".cache")
	if err != nil {
		return nil, err
	}
	key, err := memoKey(filepath.Join(settings, "memo.key"))
	if err != nil {
		return nil, err
	}
	m := &memory{tags: filepath.Join(caches, "sealed")}
	stored, err := os.ReadFile(m.tags)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, memoryError(err)
	}
	if limit := memo.MaxTags * memo.TagSize; len(stored) > limit {
		stored = stored[len(stored)-len(stored)%memo.TagSize-limit/2:]
		if err := replaceFile(m.tags, stored); err != nil {
			return nil, err
		}
	}
	if m.Memo, err = memo.New(key, stored); err != nil {
		return nil, &sealing.Error{Problem: filepath.Join(settings, "memo.key") + ": " + err.Error(), Hint: "remove the file; a new one is made", Cause: err}
	}
	return m, nil
}

// forgetful returns a memory of this run alone.
func forgetful() (*memory, error) {
	key := make([]byte, memo.KeySize)
	_, _ = rand.Read(key) // it never fails
	m, err := memo.New(key, nil)
	return &memory{Memo: m}, err
}

// save stores what is new behind what was there, so that several runs at once lose nothing.
func (m *memory) save() error {
	added := m.Added()
	if len(added) == 0 || m.tags == "" {
		return nil
	}
	file, err := os.OpenFile(m.tags, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return memoryError(err)
	}
	_, err = file.Write(added)
	if err = errors.Join(err, file.Close()); err != nil {
		return memoryError(err)
	}
	return nil
}

func memoryError(err error) error {
	return &sealing.Error{Problem: "cannot use the memo of what was sealed: " + err.Error(), Hint: "check the folder, or set XDG_CONFIG_HOME and XDG_CACHE_HOME to others", Cause: err}
}

// userFolder returns our folder among the user's, and makes it.
func userFolder(h host, variable, below string) (string, error) {
	folder, ok := h.env(variable)
	if !ok || !filepath.IsAbs(folder) {
		home, ok := h.env("HOME")
		if !ok || !filepath.IsAbs(home) {
			return "", &sealing.Error{Problem: fmt.Sprintf("neither %s nor HOME is set", variable), Hint: "set one of them to a folder; the memo of what was sealed is kept there"}
		}
		folder = filepath.Join(home, below)
	}
	folder = filepath.Join(folder, "sealbridge")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", memoryError(err)
	}
	return folder, nil
}

// memoKey reads the key, or makes it; of two runs that make it at once, both take that of the first.
func memoKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return nil, memoryError(err)
		}
		return key, nil
	}
	fresh := make([]byte, memo.KeySize)
	_, _ = rand.Read(fresh) // it never fails
	temporary := path + "." + rand.Text()[:8]
	if err := writeNew(temporary, fresh, 0o600, nil); err != nil {
		return nil, memoryError(err)
	}
	defer func() { _ = os.Remove(temporary) }()
	if err := os.Link(temporary, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, memoryError(err)
	}
	if key, err = os.ReadFile(path); err != nil {
		return nil, memoryError(err)
	}
	return key, nil
}

package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// update seals Secrets into a file that may exist, and keeps the ciphertexts of values that have not changed.
func (r *sealRun) update(ctx context.Context, format sealing.Format) error {
	if sameFile(r.flags.input, r.flags.output) {
		return usage("name another file with --sealed-secret-file, or leave --update out to replace the Secret",
			"--update would leave the values in plain text in %s, which --secret-file names too", r.flags.output)
	}
	secrets, err := r.secrets()
	if err != nil {
		return err
	}
	keys, err := readPrivateKeys(r.flags.privateKeys)
	if err != nil {
		return err
	}
	options, err := r.options(ctx)
	if err != nil {
		return err
	}
	memory, err := openMemory(r.host)
	if err != nil && len(keys) > 0 {
		memory, err = forgetful() // the keys tell what has not changed, also where there is no home
	}
	if err != nil {
		return err
	}
	options.Memory = &remembered{memory: memory, to: options.To, opens: func(scope seal.Scope, namespace, name, text string) ([]byte, string) {
		if len(keys) == 0 {
			return nil, ""
		}
		opener := seal.NewOpener(keys, "", 0)
		value, err := opener.Open(ctx, scope, namespace, name, text)
		if err != nil {
			return nil, ""
		}
		return value, sealedTo(text, opener.Opened())
	}}
	var existing []byte
	if _, err := os.Stat(r.flags.output); !errors.Is(err, fs.ErrNotExist) {
		if existing, err = readFile(r.flags.output); err != nil {
			return err
		}
	}
	file, err := sealing.ReadFile(existing)
	if err != nil {
		return inFile(r.flags.output, err)
	}
	for _, secret := range secrets {
		if err := file.Update(secret, options, format); err != nil {
			return err
		}
	}
	if file.Changed() {
		text, err := file.Text()
		if err != nil {
			return inFile(r.flags.output, err)
		}
		write := replaceFile
		if existing != nil {
			write = func(path string, content []byte) error { return updateFile(path, existing, content) }
		}
		if err := write(r.flags.output, text); err != nil {
			return err
		}
	}
	return memory.save()
}

// sealedTo returns the fingerprint of those to whom a value is sealed, as seal.Recipient has it. A compat value does not say it;
// it is sealed to the one key that opened it.
func sealedTo(text, opened string) string {
	info, err := seal.Inspect(text)
	if err != nil || len(info.Keys) == 0 {
		return opened
	}
	slices.Sort(info.Keys)
	return strings.Join(info.Keys, " ")
}

// remembered knows values by the memo, and by opening them where there are keys for it.
type remembered struct {
	memory *memory
	// to returns whom the values of a namespace are sealed to.
	to func(namespace string) (seal.Recipient, error)
	// opens returns a value and to whom it is sealed, or nothing.
	opens func(scope seal.Scope, namespace, name, text string) (value []byte, to string)
}

// Holds implements sealing.Memory.
func (m *remembered) Holds(scope seal.Scope, namespace, name, text string, value []byte) bool {
	recipient := m.recipient(namespace)
	if m.memory.Holds(recipient, string(seal.Label(scope, namespace, name)), text, value) {
		return true
	}
	old, to := m.opens(scope, namespace, name, text)
	return to == recipient && subtle.ConstantTimeCompare(old, value) == 1
}

// Sealed implements sealing.Memory.
func (m *remembered) Sealed(scope seal.Scope, namespace, name, text string, value []byte) {
	m.memory.Remember(m.recipient(namespace), string(seal.Label(scope, namespace, name)), text, value)
}

// recipient returns the fingerprint of those to whom the values of a namespace are sealed, which is known by then.
func (m *remembered) recipient(namespace string) string {
	to, err := m.to(namespace)
	if err != nil {
		return ""
	}
	return to.Fingerprint()
}

// sameFile says whether two paths lead to one file that exists.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

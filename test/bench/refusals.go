package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

const (
	refusalRounds = 60
	refusalKeys   = 2
)

// refusal is one way in which a value does not open.
type refusal struct {
	name string
	text string
	took []float64 // ms
}

// refusals opens values that do not open, one of each kind in turn, and compares what that costs: whoever sends values and
// takes the time must not learn why they do not open.
func refusals(ctx context.Context, _ *world) (*Report, error) {
	var pairs []*keyring.Pair
	var identities []*keyring.Identity
	for i := range refusalKeys + 1 { // the last is a stranger's
		pair, err := keyring.Generate(keyring.Options{NotBefore: made(i)})
		if err != nil {
			return nil, fmt.Errorf("make a sealing key: %w", err)
		}
		identity, err := keyring.GenerateIdentity(made(i))
		if err != nil {
			return nil, fmt.Errorf("make a sealing key: %w", err)
		}
		pairs, identities = append(pairs, pair), append(identities, identity)
	}
	ring := keyring.New(pairs[:refusalKeys]...)
	var all, others []seal.Recipient
	for i := range pairs {
		all = append(all, seal.Compat(pairs[i].Public()))
		others = append(others, seal.Native(identities[i].Recipient()))
	}
	for _, i := range identities[:refusalKeys] {
		ring = ring.With(i)
	}
	r := &Report{}
	r.Add("sealing keys of each format", refusalKeys, "keys")
	for _, format := range []struct {
		name string
		to   []seal.Recipient
		// most is by how much the medians of two kinds may differ, in private-key operations.
		most float64
	}{{"compat", all, 0.1}, {"native", others, 1}} {
		if err := measureRefusals(ctx, r, ring, format.name, format.to, format.most); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// measureRefusals adds the medians of one format. The last recipient is a stranger.
func measureRefusals(ctx context.Context, r *Report, ring *keyring.Ring, format string, to []seal.Recipient, most float64) error {
	kinds, err := refusalsOf(to)
	if err != nil {
		return err
	}
	opens, err := seal.Seal(rand.Reader, to[0], seal.Strict, "ns", "n", refusalValue())
	if err != nil {
		return fmt.Errorf("seal a value: %w", err)
	}
	good := &refusal{name: "a value of the newest key, which opens", text: opens}
	for range refusalRounds {
		for _, k := range append([]*refusal{good}, kinds...) {
			took, err := threadTime(func() error {
				_, err := seal.NewOpener(ring, "", 0).Open(ctx, seal.Strict, "ns", "n", k.text)
				if (k == good) != (err == nil) || err != nil && !errors.Is(err, seal.ErrNoKey) {
					return fmt.Errorf("open %s: %w", k.name, err)
				}
				return nil
			})
			if err != nil {
				return err
			}
			k.took = append(k.took, float64(took.Nanoseconds())/1e6)
		}
	}
	one := medianOf(good.took)
	r.Add(format+": "+good.name, one, "ms")
	var medians []float64
	for _, k := range kinds {
		m := medianOf(k.took)
		r.Add(format+": "+k.name, m, "ms")
		medians = append(medians, m)
	}
	r.Bound(format+": the dearest and the cheapest that does not open differ by", (slices.Max(medians)-slices.Min(medians))/one, most, "operations")
	return nil
}

func refusalValue() []byte { return []byte("thirty-two bytes of secret value") }

// refusalsOf returns a value for each reason not to open as ns/n, strict.
func refusalsOf(to []seal.Recipient) ([]*refusal, error) {
	newest, oldest, stranger := to[0], to[refusalKeys-1], to[refusalKeys]
	var out []*refusal
	for _, c := range []struct {
		name            string
		to              seal.Recipient
		scope           seal.Scope
		namespace, item string
		damage          float64 // where a byte is another, as a share of the length; 0 for nowhere
	}{
		{"another cluster's key", stranger, seal.Strict, "ns", "n", 0},
		{"another name", newest, seal.Strict, "ns", "m", 0},
		{"another namespace, of the oldest key", oldest, seal.Strict, "other", "n", 0},
		{"another scope", newest, seal.NamespaceWide, "ns", "", 0},
		{"a damaged lock", newest, seal.Strict, "ns", "n", 0.5},
		{"a damaged value", newest, seal.Strict, "ns", "n", 0.97},
		{"a damaged value of the oldest key", oldest, seal.Strict, "ns", "n", 0.97},
		{"a damaged end", newest, seal.Strict, "ns", "n", 1},
	} {
		value, err := sealedBelow(c.to, c.scope, c.namespace, c.item)
		if err != nil {
			return nil, err
		}
		if c.damage > 0 {
			at := int(c.damage * float64(len(value)-1))
			value[at] = another(value[at])
		}
		text := base64.StdEncoding.EncodeToString(value)
		out = append(out, &refusal{name: c.name, text: text})
	}
	return out, nil
}

// another returns a byte that is not b, and is one of base64, in which locks of the native format are written: a lock that is no
// base64 is no lock, which anybody can see.
func another(b byte) byte {
	if b == 'B' {
		return 'C'
	}
	return 'B'
}

// sealedBelow seals a value until its RSA ciphertext, which follows two bytes of length, begins with a 0 bit and so is a smaller
// number than each key's modulus: one that is not is refused without an operation, which tells nobody more than the public keys
// do. That of a native value is whatever it is.
func sealedBelow(to seal.Recipient, scope seal.Scope, namespace, item string) ([]byte, error) {
	const tries = 64
	for try := 1; ; try++ {
		text, err := seal.Seal(rand.Reader, to, scope, namespace, item, refusalValue())
		if err != nil {
			return nil, fmt.Errorf("seal a value: %w", err)
		}
		value, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("read what was sealed: %w", err)
		}
		if value[2] < 0x80 || try == tries {
			return value, nil
		}
	}
}

// threadTime returns the processor's time that a call takes, which others that want the processor do not lengthen.
func threadTime(call func() error) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadUsage()
	if err != nil {
		return 0, err
	}
	if err := call(); err != nil {
		return 0, err
	}
	after, err := threadUsage()
	return after - before, err
}

func threadUsage() (time.Duration, error) {
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used); err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return time.Duration(used.Nano()), nil
}

func medianOf(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

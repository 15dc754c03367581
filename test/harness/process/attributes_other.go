//go:build !linux

package process

import "syscall"

// attributes are those of a child: elsewhere it ends with its lifeline alone.
func attributes(Spec) *syscall.SysProcAttr { return nil }

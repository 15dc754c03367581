//go:build !linux

package program

// Release does nothing where it is not known how.
func Release() {}

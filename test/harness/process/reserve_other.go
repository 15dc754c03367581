//go:build !linux

package process

// reserve knows of no name that ends with its process elsewhere: there OnFreePorts alone helps who was slower.
func reserve(int) (bool, error) { return true, nil }

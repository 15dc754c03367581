package process

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// reserve takes a port among all processes that ask here, until this one ends, and tells whether it was free. What is taken is a name
// in Linux's abstract socket namespace (unix(7)): like ports these names belong to a network namespace, the kernel gives each to one
// socket only, and none outlives its process. The descriptor is kept open on purpose, and no child inherits it.
func reserve(port int) (bool, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("reserve port %d: %w", port, err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@sealbridge-port-" + strconv.Itoa(port)})
	if err == nil {
		return true, nil
	}
	_ = unix.Close(fd)
	if errors.Is(err, unix.EADDRINUSE) {
		return false, nil
	}
	return false, fmt.Errorf("reserve port %d: %w", port, err)
}

package process

import "syscall"

// attributes are those of a child.
func attributes(spec Spec) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		// A process group of its own: an interrupt from the terminal reaches the starter, which then stops us in order.
		Setpgid: true,
		// For programs that do not watch the lifeline, such as the product's own.
		Pdeathsig: syscall.SIGTERM,
	}
	if spec.Root != "" {
		a.Chroot, a.Credential = spec.Root, &syscall.Credential{Uid: spec.User, Gid: spec.User}
	}
	return a
}

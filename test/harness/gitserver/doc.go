// Package gitserver serves Git repositories on loopback over https and ssh: the real git of this machine behind a TLS
// listener with an authority of its own, and behind an SSH server in this process with a host key and one client key.
//
// It takes what the commits hold (Repo.Commit) and returns URLs, certificates, known_hosts and keys. Faults make it be
// down, late, wrong, endless, or answer with a status, and Requests tells what it was asked. Start is for commands, New
// for tests. Nothing outlives the process: the servers are goroutines, git runs for one request at a time.
package gitserver

// Package source brings one commit of a Git repository into memory.
//
// It takes a URL, a reference and the credentials of a Secret, and returns the commit that the reference stands for
// (Resolve, one round trip) and the tree of that commit as a read-only file system (Fetch, a shallow transfer). Nothing is
// written to a disk, no program is started, nothing of the repository (hooks, filters, configuration) is run or obeyed.
//
// The wire protocol's messages and the object format are go-git's; the connections are our own, so that the bytes of a
// transfer are bounded while they arrive, credentials never follow a redirect, and errors are reduced to what an operator
// can act upon.
package source

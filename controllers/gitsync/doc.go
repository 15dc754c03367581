// Package gitsync reconciles GitSyncs: what a path of a Git repository holds becomes, and stays, what the cluster holds.
//
// It takes a GitSync, its credentials and decryption keys from Secrets of its own namespace, and a Git that resolves,
// reads and builds (packages source and build); it gives objects to the cluster through package apply, an inventory,
// conditions and events. It never stores a decrypted value: what is built lives as long as one run.
//
//	resolve -> compare with what was applied -> build -> write-ahead inventory -> apply -> prune -> health -> status
//
// A run costs one question to the remote when its interval is over and nothing when an event turns out to be our own
// doing: the metadata of owned objects is watched, and what was applied is remembered by hash and resourceVersion.
package gitsync

// Package lint finds what is wrong with the secrets of a repository, without a key and without a cluster.
//
// It takes one file's name and bytes at a time, and returns findings: where, what, and what to do. A finding names files,
// lines and keys, and never shows a value.
package lint

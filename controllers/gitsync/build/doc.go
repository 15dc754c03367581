// Package build turns a folder of a repository into the objects that are to be applied.
//
// It takes a read-only tree, a path in it and the decryptors for encrypted files, and returns the objects with the file
// that each comes from, the Secrets whose values lie in Git in plain text, and what was read, so that another commit with
// the same files needs no second build. Files are decrypted when they are read, before anything is built from them, and
// what is plain stays in memory.
//
// Everything in the tree is chosen by whoever can write to the repository. A build therefore starts no program, reaches
// no network and nothing outside the tree, changes nothing that another build can see, and is bounded in what it reads
// and makes. Errors name files and fields and never quote what stands there.
package build

// Package sopsfile opens documents that were encrypted with SOPS (https://getsops.io, file format of getsops/sops v3).
//
// It takes a document, its format and the age identities that the caller holds, and returns the plain document after its
// MAC was verified, together with the knowledge of which values had been encrypted. Nothing else is consulted: no
// environment variable, home folder, agent, program or network, and nothing is written anywhere.
//
// The file stores, the tree walk and the value cipher are those of getsops/sops; the keys come through a key service of
// our own, because the library's takes them from the environment (and runs programs to get them).
package sopsfile

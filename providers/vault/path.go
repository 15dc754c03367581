package vault

import "strings"

// engine is the KV secrets engine of a store.
type engine struct {
	// mount is where it is mounted; empty when each key begins with the mount.
	mount string
	v1    bool
}

// The parts of KV version 2's API that a path leads to.
const (
	partData     = "data"
	partMetadata = "metadata"
)

// dataPath returns the API path of the content under key. The mount is put before the key unless it is there, and for
// version 2 "data" between the two, unless it is there:
//
//	mount        key              v2                      v1
//	secret/path  foo              secret/path/data/foo    secret/path/foo
//	secret/path  secret/path/foo  secret/path/data/foo    secret/path/foo
//	secret/path  secret/path/data/foo  secret/path/data/foo    secret/path/data/foo
//	             secret/foo/bar   secret/data/foo/bar     secret/foo/bar
//	             kv/a/data/foo    kv/a/data/foo           kv/a/data/foo
//
// These are the rules of External Secrets Operator 2.9 (providers/v1/vault/client_get.go, buildPath). Superfluous slashes
// are dropped.
func (e engine) dataPath(key string) string { return e.path(partData, key) }

// metadataPath returns the API path of the metadata of key; version 2 only.
func (e engine) metadataPath(key string) string { return e.path(partMetadata, key) }

// listPath returns the API path under which the names of a folder are listed.
func (e engine) listPath(folder string) string {
	if e.v1 {
		return strings.TrimRight(e.path(partData, folder), "/")
	}
	return strings.TrimRight(e.path(partMetadata, folder), "/")
}

func (e engine) path(part, key string) string {
	mount, key := clean(e.mount), clean(key)
	switch {
	case mount != "":
		rest, inherited := strings.CutPrefix(key, mount+"/")
		if inherited && !e.v1 {
			rest = strings.TrimPrefix(rest, partData+"/")
		}
		if e.v1 {
			return mount + "/" + rest
		}
		return mount + "/" + part + "/" + rest
	case e.v1:
		return key
	default:
		mount, rest, found := strings.Cut(key, "/"+partData+"/")
		if !found {
			mount, rest, _ = strings.Cut(key, "/")
		}
		return mount + "/" + part + "/" + rest
	}
}

// clean drops empty parts of a path.
func clean(path string) string {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	return strings.Join(parts, "/")
}

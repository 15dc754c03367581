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
//	secret       /secret/foo      secret/data/secret/foo  secret/secret/foo
//	             secret/foo/bar   secret/data/foo/bar     secret/foo/bar
//	             kv/a/data/foo    kv/a/data/foo           kv/a/data/foo
//
// These are the rules of External Secrets Operator 2.9 (providers/v1/vault/client_get.go, buildPath). The mount is compared
// with the key as both are written, slashes included: one before the key makes it a name below the mount, whatever it
// begins with. Superfluous slashes are dropped afterwards.
func (e engine) dataPath(key string) string { return e.path(partData, key) }

// metadataPath returns the API path of the metadata of key; version 2 only.
func (e engine) metadataPath(key string) string { return e.path(partMetadata, key) }

// listPath returns the API path under which the names of a folder are listed. It lies below the mount: a folder of the
// mount's name is one like any other.
func (e engine) listPath(folder string) string {
	return strings.TrimRight(e.below(partMetadata, folder), "/")
}

func (e engine) path(part, key string) string {
	rest, repeated := strings.CutPrefix(key, e.mount+"/")
	if clean(e.mount) == "" || !repeated {
		return e.below(part, key)
	}
	if !e.v1 {
		rest = strings.TrimPrefix(rest, partData+"/")
	}
	return e.below(part, rest)
}

// below returns the path of a name that lies below the mount and does not repeat it.
func (e engine) below(part, name string) string {
	mount := clean(e.mount)
	switch {
	case mount == "":
		return e.pathWithMount(part, name)
	case e.v1:
		return mount + "/" + clean(name)
	default:
		return mount + "/" + part + "/" + clean(name)
	}
}

// pathWithMount returns the path of a key that begins with the mount: with what is before the first "data", else with its
// first part.
func (e engine) pathWithMount(part, key string) string {
	if e.v1 {
		return clean(key)
	}
	// A folder ends with a slash, also when it is the whole engine ("kv/data/").
	mount, rest, found := strings.Cut(clean(key)+"/", "/"+partData+"/")
	if !found || rest == "" && !strings.HasSuffix(key, "/") {
		mount, rest, _ = strings.Cut(clean(key), "/")
	}
	return mount + "/" + part + "/" + clean(rest)
}

// clean drops empty parts of a path.
func clean(path string) string {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	return strings.Join(parts, "/")
}

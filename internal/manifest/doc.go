// Package manifest reads streams of Kubernetes manifests: multi-document YAML, concatenated JSON, or both mixed.
//
// It takes bytes from anywhere (a user's file, a repository that nobody trusts) and returns the documents as Kubernetes
// would understand them, or an error that names the document and line and never quotes what stands there, because the
// stream may hold Secrets. It is strict where kubectl is lenient and mistakes hide: a key that is set twice, a document
// that is no object and bytes that are not UTF-8 are errors, and every size is bounded.
package manifest

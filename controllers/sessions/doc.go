// Package sessions is the pool of open provider sessions, and the only place that caches, coalesces, bounds and retries
// what is asked of a store.
//
// It takes a store (translated from the API by Translate), the namespace of the object that asks and the documents that
// it wants, and gives back those documents from one shared, authenticated session per identity. An identity is the
// store's kind, UID and generation, and, for a ClusterSecretStore whose credentials are resolved where it is used, the
// namespace that uses it: nothing that was read under one identity is ever given to another.
//
//	Fetch ─► acquire ─► entry (open once, shared, renewed, closed when idle) ─► kept document │ joined call │ new call
//	             └──► env: credentials and tokens, confined to the namespaces of that identity      ▲            │
//	                                                                                  and what is   │            ▼
//	                                                                     expected soon: forecast ─► full ◄─ gather: a call with room waits
//
// The last line is for backends that answer several documents in one request: what is asked at once goes into one call, and
// what is expected to be asked soon fills it (docs/design/0025-batching.md).
//
// What a session has answered and is being asked is in kept.go; what becomes of it when its backend is down, in breaker.go and
// outages.go. What is read for one call is bounded in bytes and time (portions.go), and so is what all sessions keep (shelf.go).
package sessions

// Package externalsecret materializes the values that ExternalSecrets name into Secrets, and keeps them true.
//
// It takes an ExternalSecret, the stores that it names and the metadata of its target, decides without I/O whether
// anything is due, fetches documents through the pool of sessions, renders the content and writes it with one server-side
// apply. It gives back the target, the condition Ready with the reason why, status.target (what was written last) and events.
//
//	cache: ExternalSecret, stores, metadata of managed Secrets
//	   │
//	   ▼
//	resolve stores ─► release ─► refuse ─► observe ─► depend ─► skip fresh   almost every run ends here
//	                (policy.go) (refuse.go)         (depend.go)  (plan.go)
//	   ┌──────────────────────────────────────────────────────────────┘
//	   ▼
//	admit ─► find room ─► read key, templates ─► fetch ─► render ─► hold ─► write ─► prune
//	        (lanes.go)  (inputkey.go, templatefrom.go)  (values.go, render.go)  (target.go)
//
// What creationPolicy and deletionPolicy mean stands in policy.go, and whose a field or a Secret is in ownership.go. When an
// object is due is in plan.go, phases.go (objects that read documents in common fall due together) and windows.go.
//
// Nothing is read from the API server on the way except caches; a Secret is read live only when the API server refuses a
// write, once for a Secret that another controller left behind, and to merge into one that it has not written to yet. Before a Secret
// is taken from an ExternalSecret of the same name, the API server is asked which of the two there is (successor.go).
package externalsecret

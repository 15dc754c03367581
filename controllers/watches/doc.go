// Package watches tells who depends on a Secret, ConfigMap or ServiceAccount when it changes, and holds no more of it than its version.
//
// It takes the objects that somebody follows, each with the version that he has read, watches the metadata of exactly
// these objects while anybody follows them, and calls back when one is not as it was read. A controller hands the
// callback to a flow.Queue, which merges bursts.
//
//	Followers[ExternalSecret] ─┐                    ┌─ list and watch, metadata.name=a ─► version of a
//	Followers[session]        ─┴─► Watcher ─────────┴─ list and watch, metadata.name=b ─► version of b
//
// What a search finds is followed as one object: see Search.
//
// docs/design/0007-dependencies.md says why objects are watched one by one.
package watches

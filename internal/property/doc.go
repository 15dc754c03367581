// Package property selects parts of JSON documents the way existing ExternalSecret manifests expect.
//
// It takes a document's bytes and a property, and returns the bytes that go into a Secret: strings without quotes,
// numbers with every digit they were written with, objects and arrays as JSON. Everything here is pure; which of these
// functions apply, and in which order, is each provider's own dialect.
package property

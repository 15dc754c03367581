// Package fake is the provider whose documents are written in the store itself.
//
// It takes the list of documents in *stores.Fake and serves them from memory, without a backend. It is for tests and
// demonstrations: its values are readable by everyone who may read the store.
package fake

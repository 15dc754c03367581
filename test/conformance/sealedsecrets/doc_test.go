// Package sealedsecrets_test runs the controller of Sealed Secrets 0.40, unmodified, and ours beside it, does the same to
// the same objects under both, and compares what users see of it.
//
// Each has a control plane of its own, on which the definition is its own too. A file of testdata is a suite: a namespace
// and a controller on both sides, with the same flags and sealing keys, and cases, each a SealedSecret and the Secret of
// its name. A step creates, changes or deletes one of them; all cases of a suite take their first step, then their second.
// After each step both sides come to rest, and each case has a view, a list of lines. Where ours lacks a line ("-") or has
// another ("+"), the step says so under the row of docs/compatibility.md that explains it; what is not said, and what is said and
// is not so, fails.
package sealedsecrets_test

// Package process starts the real servers that tests, the demo and the benchmarks run against, and ends them.
//
// It takes the path of a program under bin/ and returns a running child whose output lies in a log file. Every child
// holds a pipe from the process that started it and exits when that pipe closes, so none outlives its starter, however
// the starter ended: the programs of test/controlplane and test/vault watch the pipe themselves (lifeline.go there).
package process

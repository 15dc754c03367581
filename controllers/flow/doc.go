// Package flow is the reconciler engine that every controller runs on.
//
// It takes a list of named steps over a scope and a pure function that reports status from what the steps found, and
// turns them into one reconciliation: steps in order until one ends the run, the outcome from one table, one status
// written when something changed, one event, one requeue. Reconcilers therefore never write status, never build a
// reconcile.Result and never decide how an error class is retried.
package flow

// Package moto runs a server of AWS's APIs on loopback: moto, from bin/moto, for Secrets Manager, Parameter Store, STS,
// KMS, Certificate Manager and IAM. Its data is in memory.
//
// Tests call New, which starts one server for the test binary the first time it is asked, and isolate by account
// (Account); they pass their TestMain through Run. Commands call Start and Stop. Nothing outlives the process that
// started it (package process).
//
// Moto believes everybody: it looks neither at signatures nor at who may assume which role. So the address that the
// package hands out is a front of its own before moto, which lists the requests without their content, and answers as
// AWS does when a role is not declared (Account.Role), a web identity is not one that the role trusts, or the role is
// denied an action.
package moto

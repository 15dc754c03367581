// Package externalsecrets_test holds the controller to what External Secrets Operator makes of the same manifests.
//
// Each file of testdata is one case: manifests that are applied to a namespace of the file's name, changes that follow, and
// what the operator itself made of them, which
//
//	go test ./test/conformance/externalsecrets -record -operator bin/external-secrets
//
// writes down (docs/performance.md says how to build that program; `-run 'TestOurAnswersAreThoseOfTheOperator/NAME$'` records one
// case). The test applies the manifests to a real API server with our own program beside it, and compares. A case may have an
// account of AWS, which moto emulates for both. Where we differ on purpose, the case says what we make instead and names the
// row of docs/compatibility.md that says why.
package externalsecrets_test

// Package rewrite changes the names of what dataFrom found, as the rules of dataFrom[].rewrite say.
//
// It takes the rules and a set of values by name, and gives back the set that is left when each rule was applied to the
// result of the one before, or an error that names the rule and the names at fault, and never a value. Everything here is
// pure, the result does not depend on the order of a map, and rules that grow or run without end are stopped.
//
// The rules are those of External Secrets Operator 2.9 (docs/guides/datafrom-rewrite.md, runtime/esutils), except that
// two names which become one are an error: which of the two values stays would be chance.
package rewrite

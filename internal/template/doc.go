// Package template renders the templates that users put beside their secrets.
//
// It takes a template's text and a flat map of secret values, and gives back the rendered bytes or an *Error that names
// the template, the place and the kind of fault, and never a value. The text is the attacker's: functions are an
// allow-list without network, environment and API, and a rendering that runs too long or grows too large is stopped in
// the caller's own goroutine, so that nothing goes on burning after Render has returned.
//
// The language is Go's text/template with the functions of sprig v3 and those of External Secrets
// Operator; docs/design/0004-template.md says how the bounds hold.
package template

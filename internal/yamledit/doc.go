// Package yamledit changes fields of one YAML or JSON document and leaves every other byte of it as it is: comments,
// order, indentation, quotes and line ends.
//
// It takes the text of a document and a list of edits, and returns the new text, which it has read back: what it returns
// says exactly what the old text said, with the edits made. Where that cannot be done by replacing bytes it writes the
// document anew from its syntax tree, which still keeps comments and order. It quotes nothing of the text in errors.
package yamledit

package template

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind is the kind of fault in a template.
type Kind string

const (
	// KindSyntax means that the text is not a template.
	KindSyntax Kind = "Syntax"
	// KindUnknownFunction means that Error.Name is no function that templates may use.
	KindUnknownFunction Kind = "UnknownFunction"
	// KindMissingKey means that the data has no key Error.Name.
	KindMissingKey Kind = "MissingKey"
	// KindFunction means that the function Error.Name did not accept its arguments.
	KindFunction Kind = "Function"
	// KindFail means that the template called fail.
	KindFail Kind = "Fail"
	// KindLimit means that the template is too large, runs too long or grows without end; Error.Detail says which.
	KindLimit Kind = "Limit"
	// KindTimeout means that the rendering took longer than it may. Alone among the kinds it depends on the load of the machine.
	KindTimeout Kind = "Timeout"
	// KindEvaluation means that an expression has no meaning for the values that it met.
	KindEvaluation Kind = "Evaluation"
)

// Error is a fault of a template. Its text holds names and numbers of the template's source, never data, arguments or
// messages of functions, and may stand in a condition, event or log.
type Error struct {
	// Template is the name that was given to Render.
	Template string
	Kind     Kind
	// Name is the function or key at fault, where there is one.
	Name string
	// Detail says more of KindLimit, KindSyntax and KindEvaluation, where more is known: in phrases of this package, which may name a
	// function.
	Detail string
	// Line and Column are where in the source, from 1; zero when unknown.
	Line, Column int
}

func (e *Error) Error() string {
	var place string
	switch {
	case e.Line > 0 && e.Column > 0:
		place = fmt.Sprintf(" at line %d, column %d", e.Line, e.Column)
	case e.Line > 0:
		place = fmt.Sprintf(" at line %d", e.Line)
	}
	return fmt.Sprintf("template %q%s: %s", e.Template, place, e.what())
}

func (e *Error) what() string {
	switch e.Kind {
	case KindSyntax:
		return explained("the syntax is wrong", e.Detail)
	case KindUnknownFunction:
		return fmt.Sprintf("function %q does not exist or is not allowed", e.Name)
	case KindMissingKey:
		return fmt.Sprintf("there is no key %q", e.Name)
	case KindFunction:
		return fmt.Sprintf("function %q does not accept these arguments", e.Name)
	case KindFail:
		return "the template called fail (its message is withheld, it may hold a value)"
	case KindLimit:
		return e.Detail
	case KindTimeout:
		return "it takes too long; loop over less, or make fewer keys and certificates in one object"
	default:
		return explained("an expression cannot be evaluated", e.Detail)
	}
}

func explained(what, detail string) string {
	if detail == "" {
		return what
	}
	return what + ": " + detail
}

var (
	errFail  = errors.New("fail was called")
	errPanic = errors.New("the evaluator gave up")
)

// The only parts of text/template's messages that are looked at: where it is, and all of what follows the position and the
// expression. A part of that can be a value, in which a template may have put such words around another. How long a name
// may be is no part of the expression, which would be compiled to as many copies at each start of the command line.
var (
	positionOf      = regexp.MustCompile(`^template: ` + rootName + `:(\d+)(?::(\d+))?:`)
	unknownFunction = regexp.MustCompile(`^function "([A-Za-z0-9_]+)" not defined$`)
	missingKey      = regexp.MustCompile(`^map has no entry for key "([-._A-Za-z0-9]+)"$`)
	builtinFailed   = regexp.MustCompile(`^error calling ([a-z]+): `)
	argumentsOf     = regexp.MustCompile(`^wrong number of args for ([A-Za-z0-9_]+): want (at least )?(\d+) got (\d+)$`)
)

// phrase is what is told where a message of text/template begins so. The rest of it can quote the source or values.
type phrase struct{ begins, told string }

// syntaxPhrases are of what the parser says behind the position.
func syntaxPhrases() []phrase {
	return []phrase{
		{"unclosed action", "an action is not closed"},
		{"unclosed left paren", "a parenthesis is not closed"},
		{"unexpected right paren", "a parenthesis is closed that was not opened"},
		{"unclosed comment", "a comment is not closed"},
		{"comment ends before closing delimiter", "a comment is not closed"},
		{"unterminated ", "a quoted text is not closed"},
		{"unexpected EOF", `an "if", "range", "with", "block" or "define" has no "end"`},
		{"unexpected {{end}}", `an "end" ends nothing`},
		{"unexpected {{else}}", `an "else" belongs to nothing`},
		{"expected end; found {{else}}", `an "else" belongs to nothing`},
		{"missing value for ", "an action or a parenthesis has no value"},
		{"undefined variable ", "a variable is used that was not defined before"},
		{"non executable command in pipeline ", `a "|" is followed by something else than a function`},
		{"bad character ", `a name is followed by a character that it cannot have; read a key such as a-b by index . "a-b"`},
		{"bad number syntax", `a number or name cannot be written so; read a key such as 1a by index . "1a"`},
		{"unrecognized character in action", "an action has a character that means nothing there"},
		{"{{break}} outside {{range}}", `a "break" stands outside of "range"`},
		{"{{continue}} outside {{range}}", `a "continue" stands outside of "range"`},
		{"unexpected ", "an action has something that means nothing there"}, // after those above that begin so
	}
}

// evaluationPhrases are of what the evaluator says behind the expression.
func evaluationPhrases() []phrase {
	return []phrase{
		{"can't evaluate field ", "a field is read of a value that has none"},
		{"nil pointer evaluating ", "a field is read of a value that is not there"},
		{"range can't iterate over ", `"range" is given a value that is no list, map or number`},
		{"template ", `"template" calls one that is not defined`},
		{"wrong type for value; ", "a function is given a value of another type than it takes"},
		{"expected integer; ", "a function is given a value of another type than it takes"},
		{"expected string; ", "a function is given a value of another type than it takes"},
		{"expected bool; ", "a function is given a value of another type than it takes"},
		{"can't give argument to non-function ", "a value is used as if it were a function"},
		{"nil is not a command", "nil alone cannot be printed"},
	}
}

// tell returns what is told of a message, or nothing.
func tell(phrases []phrase, message string) string {
	for _, p := range phrases {
		if strings.HasPrefix(message, p.begins) {
			return p.told
		}
	}
	return ""
}

// How long names may be that are told of.
const (
	maxFunctionName = 64
	maxKeyName      = 253
)

// builtins are the functions of text/template that are used as they are.
func builtins() []string {
	return []string{"index", "len", "call", "eq", "ne", "lt", "le", "gt", "ge", "not", "and", "or"}
}

// syntaxError reduces what the parser said, which quotes the source.
func syntaxError(err error) *Error {
	text := err.Error()
	e := &Error{Kind: KindSyntax}
	e.Line, e.Column = place(text)
	said := strings.TrimPrefix(positionOf.ReplaceAllLiteralString(text, ""), " ")
	if m := unknownFunction.FindStringSubmatch(said); m != nil && len(m[1]) <= maxFunctionName {
		e.Kind, e.Name = KindUnknownFunction, m[1]
	} else {
		e.Detail = tell(syntaxPhrases(), said)
	}
	return e
}

// executionError reduces what the evaluator said, which quotes arguments and messages of functions.
func executionError(m *meter, err error) *Error {
	text := err.Error()
	e := &Error{Kind: KindEvaluation}
	e.Line, e.Column = place(text)
	switch {
	case m.late:
		e.Kind = KindTimeout
	case m.exceeded != "":
		e.Kind, e.Detail = KindLimit, m.exceeded
	case errors.Is(err, errFail):
		e.Kind = KindFail
	case m.calling != "":
		e.Kind, e.Name = KindFunction, m.calling
	default:
		_, said, _ := strings.Cut(text, ">: ") // of the expression 20 characters are in it, too few for what is looked for
		if found := builtinFailed.FindStringSubmatch(said); found != nil {
			if slices.Contains(builtins(), found[1]) {
				e.Kind, e.Name = KindFunction, found[1]
			}
		} else if found := missingKey.FindStringSubmatch(said); found != nil && len(found[1]) <= maxKeyName {
			e.Kind, e.Name = KindMissingKey, found[1]
		} else {
			e.Detail = evaluation(said)
		}
	}
	return e
}

// evaluation says more of what the evaluator said behind the expression.
func evaluation(said string) string {
	if m := argumentsOf.FindStringSubmatch(said); m != nil && len(m[1]) <= maxFunctionName {
		return fmt.Sprintf("arguments of function %q: %s%s wanted, %s given", m[1], m[2], m[3], m[4])
	}
	if strings.HasSuffix(said, " is not a method but has arguments") {
		return "a value is used as if it were a function"
	}
	return tell(evaluationPhrases(), said)
}

func place(text string) (line, column int) {
	// The first line is enough, and values could follow on others.
	text, _, _ = strings.Cut(text, "\n")
	m := positionOf.FindStringSubmatch(text)
	if m == nil {
		return 0, 0
	}
	line, _ = strconv.Atoi(m[1])
	column, _ = strconv.Atoi(m[2])
	return line, column
}

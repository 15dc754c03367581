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
	// Detail is a fixed phrase, for KindLimit only.
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
		return "the syntax is wrong"
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
		return "it takes too long"
	default:
		return "an expression cannot be evaluated"
	}
}

var (
	errFail  = errors.New("fail was called")
	errPanic = errors.New("the evaluator gave up")
)

// The only parts of text/template's messages that are looked at. What follows a position can quote values. How long a name
// may be is no part of the expression, which would be compiled to as many copies at each start of the command line.
var (
	positionOf      = regexp.MustCompile(`^template: ` + rootName + `:(\d+)(?::(\d+))?:`)
	inDefinition    = regexp.MustCompile(`^template: [^\n]*?:(\d+):(\d+): executing `)
	unknownFunction = regexp.MustCompile(`: function "([A-Za-z0-9_]+)" not defined$`)
	missingKey      = regexp.MustCompile(`: map has no entry for key "([-._A-Za-z0-9]+)"$`)
	builtinFailed   = regexp.MustCompile(`>: error calling ([a-z]+): `)
)

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
	e.Line, e.Column = place(positionOf, text)
	if m := unknownFunction.FindStringSubmatch(text); m != nil && len(m[1]) <= maxFunctionName {
		e.Kind, e.Name = KindUnknownFunction, m[1]
	}
	return e
}

// executionError reduces what the evaluator said, which quotes arguments and messages of functions.
func executionError(m *meter, err error) *Error {
	text := err.Error()
	e := &Error{Kind: KindEvaluation}
	if e.Line, e.Column = place(positionOf, text); e.Line == 0 {
		e.Line, e.Column = place(inDefinition, text)
	}
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
		if found := builtinFailed.FindStringSubmatch(text); found != nil {
			if slices.Contains(builtins(), found[1]) {
				e.Kind, e.Name = KindFunction, found[1]
			}
		} else if found := missingKey.FindStringSubmatch(text); found != nil && len(found[1]) <= maxKeyName {
			e.Kind, e.Name = KindMissingKey, found[1]
		}
	}
	return e
}

func place(re *regexp.Regexp, text string) (line, column int) {
	// The first line is enough, and values could follow on others.
	text, _, _ = strings.Cut(text, "\n")
	m := re.FindStringSubmatch(text)
	if m == nil {
		return 0, 0
	}
	line, _ = strconv.Atoi(m[1])
	column, _ = strconv.Atoi(m[2])
	return line, column
}

// Package expression tells what a regular expression costs (RE2 syntax, as of package regexp) that somebody else has written: a match that
// has begun cannot be stopped. It takes the text of an expression and returns a number of instructions, which is how many steps a byte
// that is matched takes at most.
package expression

import "regexp/syntax"

// Weigh returns about how many instructions an expression is compiled to, without compiling it; the parser bounds nested repetitions to
// 1000. The error is the parser's, for a text that is no expression.
func Weigh(text string) (int, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, err
	}
	return weigh(parsed), nil
}

func weigh(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n += len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += weigh(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}

// maxCompiled bounds what is compiled in order to be counted: some megabytes. A kilobyte of repetitions would take hundreds.
const maxCompiled = 50_000

// Size returns how many instructions an expression is compiled to, or more than 50 000 for one that is compiled to more, which it is
// not; zero for a text that is no expression.
func Size(text string) int {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0
	}
	if weight := weigh(parsed); weight > maxCompiled {
		return weight
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

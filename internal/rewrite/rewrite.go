package rewrite

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/expression"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
)

const (
	// maxRules bounds the rules of one entry.
	maxRules = 100
	// maxExpression bounds a regular expression and its replacement, in bytes; with maxName it bounds what one
	// replacement can make.
	maxExpression = 1024
	// maxName bounds a name on the way, in bytes. A key of a Secret has 253 characters, but a later rule may shorten it.
	maxName = 4096
	// maxInstructions bounds what an expression is compiled to, and with it what that costs: a few milliseconds.
	maxInstructions = 10_000
	// maxWork bounds the instructions of the expressions times the bytes that each is matched against (RE2 needs no more
	// steps than that), of all rules together: about two seconds.
	maxWork = 1 << 28
	// maxSize bounds names and values together after each rule, in bytes. A Secret holds 1 MiB.
	maxSize = 16 << 20
)

// Rules are rules that can be applied. The zero value changes nothing.
type Rules struct{ steps []step }

// step applies one rule to values by name, which it does not change.
type step func(ctx context.Context, r *run, in map[string][]byte) (map[string][]byte, error)

// run is one application of rules: what they use up together.
type run struct {
	renderer *template.Renderer
	work     int
}

// Compile checks the rules as far as that needs no names. Its errors are ErrInvalid and begin with the rule:
// "rewrite[0]: regexp: ...". Templates are checked when they are rendered.
func Compile(rules []esv1.Rewrite) (Rules, error) {
	if len(rules) > maxRules {
		return Rules{}, invalid("rewrite has %d rules, %d are allowed", len(rules), maxRules)
	}
	compiled := Rules{steps: make([]step, 0, len(rules))}
	for i, rule := range rules {
		s, err := compile(rule)
		if err != nil {
			return Rules{}, fmt.Errorf("rewrite[%d]: %w", i, err)
		}
		compiled.steps = append(compiled.steps, s)
	}
	return compiled, nil
}

func compile(rule esv1.Rewrite) (step, error) {
	switch {
	case rule.Merge != nil:
		return compileMerge(*rule.Merge)
	case rule.Regexp != nil:
		return compileRegexp(*rule.Regexp)
	case rule.Transform != nil:
		return transform(rule.Transform.Template), nil
	default:
		return nil, invalid("is empty: set merge, regexp or transform")
	}
}

// Apply applies the rules in order and returns the values by their new names; in is not changed, and shares the values.
// A name that is empty in the end is left out. Templates are rendered by r, whose limits are for all of them together.
// Errors begin with the rule and are ErrInvalid, those of r, or the context's own.
func (rs Rules) Apply(ctx context.Context, r *template.Renderer, in map[string][]byte) (map[string][]byte, error) {
	use := &run{renderer: r}
	for i, s := range rs.steps {
		out, err := s(ctx, use, in)
		if err != nil {
			return nil, fmt.Errorf("rewrite[%d]: %w", i, err)
		}
		if size(out) > maxSize {
			return nil, invalid("rewrite[%d]: the result is larger than %d bytes", i, maxSize)
		}
		in = out
	}
	if _, ok := in[""]; ok {
		in = maps.Clone(in)
		delete(in, "")
	}
	return in, nil
}

func size(values map[string][]byte) int {
	n := 0
	for name, value := range values {
		n += len(name) + len(value)
	}
	return n
}

// Rename gives each value the name that to makes of its name, in the order of the names. Two that become the same are an error
// (ErrInvalid), except that two or more that become empty are left out: there is no telling which of them a later rule means.
func Rename(in map[string][]byte, to func(name string) (string, error)) (map[string][]byte, error) {
	out := make(map[string][]byte, len(in))
	from := make(map[string]string, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		key, err := to(name)
		if err != nil {
			return nil, err
		}
		if other, taken := from[key]; taken && key == "" {
			delete(out, key)
			continue
		} else if taken {
			return nil, invalid("fields %s and %s both become key %s", shown(other), shown(name), shown(key))
		}
		out[key], from[key] = in[name], name
	}
	return out, nil
}

func compileRegexp(rule esv1.RewriteRegexp) (step, error) {
	if len(rule.Source) > maxExpression || len(rule.Target) > maxExpression {
		return nil, invalid("regexp: source and target may have %d bytes each", maxExpression)
	}
	instructions, err := expression.Weigh(rule.Source)
	if err != nil {
		return nil, invalid("regexp: source is not a regular expression (RE2 syntax): %w", err)
	}
	if instructions > maxInstructions {
		return nil, invalid("regexp: source is too complex: its repetitions make %d instructions, %d are allowed", instructions, maxInstructions)
	}
	re, err := regexp.Compile(rule.Source)
	if err != nil {
		return nil, invalid("regexp: source is not a regular expression (RE2 syntax): %w", err)
	}
	return func(ctx context.Context, use *run, in map[string][]byte) (map[string][]byte, error) {
		length := len(in)
		for name := range in {
			length += len(name)
		}
		if use.work += instructions * length; use.work > maxWork {
			return nil, invalid("regexp: source is too complex for %d bytes of names", length)
		}
		out, err := Rename(in, func(name string) (string, error) {
			if err := fits(ctx, name); err != nil {
				return "", err
			}
			key := re.ReplaceAllString(name, rule.Target)
			return key, fits(ctx, key)
		})
		if err != nil {
			return nil, fmt.Errorf("regexp: %w", err)
		}
		return out, nil
	}, nil
}

// transform renders the template for each name.
func transform(text string) step {
	return func(ctx context.Context, use *run, in map[string][]byte) (map[string][]byte, error) {
		out, err := Rename(in, func(name string) (string, error) {
			if err := fits(ctx, name); err != nil {
				return "", err
			}
			key, err := use.renderer.Render(ctx, "transform.template", text, map[string]string{"value": name})
			if err != nil {
				return "", fmt.Errorf("field %s: %w", shown(name), err)
			}
			return string(key), fits(ctx, string(key))
		})
		if err != nil {
			return nil, fmt.Errorf("transform: %w", err)
		}
		return out, nil
	}
}

// fits says why a name cannot be dealt with: it is too long, or nobody waits any more.
func fits(ctx context.Context, name string) error {
	if len(name) > maxName {
		return invalid("name %s has %d bytes, %d are allowed", shown(name), len(name), maxName)
	}
	return context.Cause(ctx)
}

// shown quotes a name for a message.
func shown(name string) string {
	const longest = 80
	if len(name) > longest {
		return fmt.Sprintf("%q...", name[:longest])
	}
	return fmt.Sprintf("%q", name)
}

func invalid(format string, args ...any) error {
	return providers.Errorf(providers.ErrInvalid, format, args...)
}

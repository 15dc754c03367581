package rewrite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/property"
)

func compileMerge(rule esv1.RewriteMerge) (step, error) {
	finish := extracted
	switch rule.Strategy {
	case "", esv1.MergeExtract:
	case esv1.MergeJSON:
		if rule.Into == "" {
			return nil, invalid("merge: strategy JSON needs into, the key that holds the result")
		}
		finish = func(merged map[string]any, in map[string][]byte) (map[string][]byte, error) {
			return combined(rule.Into, merged, in)
		}
	default:
		return nil, invalid("merge: there is no strategy %q", rule.Strategy)
	}
	return func(ctx context.Context, _ *run, in map[string][]byte) (map[string][]byte, error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		merged, err := merge(rule, in)
		if err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		return finish(merged, in)
	}, nil
}

// merge returns the fields of all values, which are JSON objects. Values of the names in priority come last, in its order,
// and the others before in the order of their names; of two fields of one name, the later stays where that is allowed.
func merge(rule esv1.RewriteMerge, in map[string][]byte) (map[string]any, error) {
	merged, conflicts := map[string]any{}, map[string]struct{}{}
	for _, name := range inOrder(rule.Priority, in) {
		value, found := in[name]
		if !found {
			if rule.PriorityPolicy == esv1.MergePriorityIgnoreNotFound {
				continue
			}
			return nil, invalid("there is no field %s, which priority names: remove it there, or set priorityPolicy IgnoreNotFound", shown(name))
		}
		object, ok := property.Object(value)
		if !ok && !isNull(value) { // null has no fields
			return nil, invalid("the value of field %s is not a JSON object", shown(name))
		}
		for field, v := range object {
			if _, taken := merged[field]; taken {
				conflicts[field] = struct{}{}
			}
			merged[field] = property.Floats(v)
		}
	}
	if len(conflicts) > 0 && rule.ConflictPolicy != esv1.MergeConflictIgnore {
		return nil, invalid("more than one value has %s: set conflictPolicy Ignore and a priority to choose one", listed(conflicts))
	}
	return merged, nil
}

func isNull(value []byte) bool { return string(bytes.Trim(value, " \t\r\n")) == "null" }

func inOrder(priority []string, in map[string][]byte) []string {
	rank := make(map[string]struct{}, len(priority))
	for _, name := range priority {
		rank[name] = struct{}{}
	}
	names := make([]string, 0, len(in)+len(priority))
	for name := range in {
		if _, later := rank[name]; !later {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return append(names, priority...)
}

// listed names a few fields.
func listed(fields map[string]struct{}) string {
	const most = 5
	names := slices.Sorted(maps.Keys(fields))
	more := max(0, len(names)-most)
	for i, name := range names {
		names[i] = shown(name)
	}
	text := strings.Join(names[:len(names)-more], ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more fields", more)
	}
	return text
}

// extracted makes each field a value of its own, and drops what the fields came from.
func extracted(merged map[string]any, _ map[string][]byte) (map[string][]byte, error) {
	out := make(map[string][]byte, len(merged))
	for field, v := range merged {
		text, err := property.Text(v)
		if err != nil {
			return nil, invalid("merge: field %s has no text", shown(field)) // the encoder's own error could quote it
		}
		out[field] = text
	}
	return out, nil
}

// combined adds all fields as one JSON object with sorted names, beside what they came from.
func combined(into string, merged map[string]any, in map[string][]byte) (map[string][]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(merged); err != nil {
		return nil, invalid("merge: the fields cannot be JSON together") // the encoder's own error could quote one
	}
	out := make(map[string][]byte, len(in)+1)
	maps.Copy(out, in)
	out[into] = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return out, nil
}

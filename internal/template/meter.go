package template

import (
	"context"
	"errors"
	"reflect"
	"text/template"
)

// meter counts what templates consume and stops them. Its errors reach text/template as errors of probes, or as panics
// inside functions, which text/template turns into errors.
type meter struct {
	ctx       context.Context //nolint:containedctx // lives for one Render; text/template passes none to functions
	steps     int
	allocated int
	// roomy is what the lists and dictionaries in the value that was weighed last take beyond their weight.
	roomy int
	depth int
	// calling is the function that runs now, or the one that failed.
	calling string
	// exceeded says which limit was hit.
	exceeded string
	// late is set when the time ran out.
	late bool
}

func (m *meter) begin(ctx context.Context) {
	m.ctx, m.depth, m.calling, m.exceeded, m.late = ctx, 0, "", "", false
}

var errLimit = errors.New("limit exceeded")

// tooMuch names what mostly is at fault, because each of these copies all that the loop has made so far.
const tooMuch = "it needs too much memory; in a loop, print what is made, or fill a dictionary with set, instead of growing something by append, merge or print"

func (m *meter) exceed(what string) error {
	m.exceeded = what
	return errLimit
}

// step counts one iteration or call.
func (m *meter) step() error {
	m.steps++
	if m.steps > maxSteps {
		return m.exceed("it takes too many steps; loop over less, or call fewer functions in a loop")
	}
	return m.inTime()
}

// inTime stops a template whose time has run out.
func (m *meter) inTime() error {
	if m.ctx.Err() != nil {
		return m.expire()
	}
	return nil
}

func (m *meter) expire() error {
	m.late = true
	return errLimit
}

// The probes that instrument puts into templates.
const (
	probeStep  = "_step"
	probeEnter = "_enter"
	probeLeave = "_leave"
	probePrint = "_print"
	probeSmall = "_small"
)

// maxArgument bounds an argument of a method, in weight.
const (
	maxArgument   = 1024
	largeArgument = "an argument of a method is too large; give it 1 KiB at most"
)

func (m *meter) probes() template.FuncMap {
	return template.FuncMap{
		probeStep: func() (string, error) { return "", m.step() },
		probeEnter: func() (string, error) {
			m.depth++
			if m.depth > maxTemplateDepth {
				return "", m.exceed("templates call each other too deeply; use a loop, or end what calls itself sooner")
			}
			return "", m.step()
		},
		probeLeave: func() string { m.depth--; return "" },
		probePrint: func(v any) (any, error) {
			_, err := m.look(v)
			return v, err
		},
		probeSmall: func(v any) (any, error) {
			weight, err := m.look(v)
			if err == nil && weight > maxArgument {
				err = m.exceed(largeArgument)
			}
			return v, err
		},
	}
}

// look weighs a value that is about to be printed, compared or given to a method. It is no step, as a text may have very many
// of them, but each can take long.
func (m *meter) look(v any) (int, error) {
	if err := m.inTime(); err != nil {
		return 0, err
	}
	return m.weigh(reflect.ValueOf(v))
}

// wrap returns fn with the same signature, counted and bounded.
func (m *meter) wrap(name string, fn any, guard guard) any {
	f := reflect.ValueOf(fn)
	call := f.Call
	if f.Type().IsVariadic() {
		call = f.CallSlice
	}
	if constant(name) {
		return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
			m.calling = name
			stopOn(m.step())
			results := call(args)
			m.calling = ""
			return results
		}).Interface()
	}
	return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		m.calling = name
		stopOn(m.step())
		for _, a := range args {
			_, err := m.weigh(a)
			stopOn(err)
		}
		if guard != nil {
			stopOn(guard(m, args))
		}
		results := call(args)
		if failed(results) {
			return results
		}
		weight, err := m.weigh(results[0])
		stopOn(err)
		if made := results[0]; makesAll(name) {
			weight += m.roomy
		} else if made.Kind() == reflect.Map { // a new one, of what was there
			weight += room(made.Len())
		}
		stopOn(m.allocate(weight))
		m.calling = ""
		return results
	}).Interface()
}

// allocate counts what a function made, against what all of them may make.
func (m *meter) allocate(weight int) error {
	if m.allocated += weight; m.allocated > maxAllocated {
		return m.exceed(tooMuch)
	}
	return nil
}

// makesAll reports whether all lists and dictionaries in what a function returns are new, and can be very many. Others hand on what
// was there, in a new list or dictionary at most, and are often called in a loop.
func makesAll(name string) bool {
	switch name {
	case "deepCopy", "mustDeepCopy", "fromJson", "mustFromJson", "fromYaml", "split", "splitn":
		return true
	default:
		return false
	}
}

// constant reports whether a function looks at one entry of a dictionary, and gives back nothing that was not there before.
// Weighing the whole dictionary at each call would let the effort of a loop that fills it grow with the square of its
// entries. What has grown, or holds itself, is weighed by whoever walks it.
func constant(name string) bool {
	switch name {
	case "set", "unset", "get", "hasKey":
		return true
	default:
		return false
	}
}

// stopOn ends the template from inside a function that may have no error to return: text/template recovers.
func stopOn(err error) {
	if err != nil {
		panic(err)
	}
}

func failed(results []reflect.Value) bool {
	return len(results) == 2 && !results[1].IsNil()
}

// The weight of a value is about its size in memory: its strings and something for each element. A value reachable
// twice counts twice, as whoever prints or copies it walks it twice.
const (
	elementWeight = 16
	// maxDepth bounds how deeply values nest; a map that was put into itself has no bottom.
	maxDepth = 64
	// A dictionary or list takes this even when nothing is in it.
	emptyDictionary, emptyList = 32, 16
	// The first entry of a dictionary takes the room of eight, and a full one has about twice the room that is used.
	eightEntries, oneEntry = 288, 40
)

// room returns what a dictionary takes beyond its weight.
func room(entries int) int {
	if entries == 0 {
		return emptyDictionary
	}
	return eightEntries + oneEntry*max(0, entries-8)
}

func (m *meter) weigh(v reflect.Value) (int, error) {
	total := 0
	m.roomy = 0
	if err := m.addWeight(v, 0, &total); err != nil {
		return 0, err
	}
	return total, nil
}

func (m *meter) addWeight(v reflect.Value, depth int, total *int) error {
	if depth > maxDepth {
		return m.exceed("a value nests too deeply; put it into a flatter list or dictionary, and none into itself")
	}
	*total += elementWeight
	switch v.Kind() {
	case reflect.String:
		*total += v.Len()
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			return m.addWeight(v.Elem(), depth+1, total)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			*total += v.Len()
			break
		}
		m.roomy += emptyList
		for i := 0; i < v.Len() && *total <= maxValue; i++ {
			if err := m.addWeight(v.Index(i), depth+1, total); err != nil {
				return err
			}
		}
	case reflect.Map:
		m.roomy += room(v.Len())
		for it := v.MapRange(); *total <= maxValue && it.Next(); {
			if err := m.addWeight(it.Key(), depth+1, total); err != nil {
				return err
			}
			if err := m.addWeight(it.Value(), depth+1, total); err != nil {
				return err
			}
		}
	case reflect.Struct:
		// Times, versions and certificates: their strings are what can be large.
		for _, field := range v.Fields() {
			if field.Kind() == reflect.String {
				*total += field.Len()
			}
		}
	}
	if *total > maxValue {
		return m.exceed("a value is too large; make several smaller ones of it, or print it in parts")
	}
	return nil
}

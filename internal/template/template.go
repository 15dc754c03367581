package template

import (
	"bytes"
	"cmp"
	"context"
	"strings"
	"text/template"
	"time"
)

// MissingKey says what a template prints for a key that is not in its data.
type MissingKey int

const (
	// MissingKeyError makes it an error, as External Secrets Operator does.
	MissingKeyError MissingKey = iota
	// MissingKeyNoValue prints "<no value>", as Sealed Secrets does.
	MissingKeyNoValue
)

// The limits that hold when Options leave them at zero. They follow from the most that one Secret may hold, 1 MiB.
const (
	DefaultMaxSource = 1 << 20
	DefaultMaxOutput = 1 << 20
	DefaultMaxTime   = 10 * time.Second
)

const (
	// maxActions bounds the parser's recursion: Go's parser descends once per unclosed action. As many arguments may be
	// looked at before they are used.
	maxActions = 10_000
	// maxNesting bounds how deeply control structures and parentheses nest, and with it the evaluator's stack.
	maxNesting = 200
	// maxTemplateDepth bounds how deeply templates call templates.
	maxTemplateDepth = 50
	// maxSteps bounds loop iterations, template calls and function calls together.
	maxSteps = 200_000
	// maxValue bounds every argument and result of a function, in bytes with the weight of its containers.
	maxValue = 4 << 20
	// maxAllocated bounds what all functions return together.
	maxAllocated = 64 << 20
)

// Delims are what the actions of a template stand between. What is empty is {{ and }}, as NewDelims has it.
type Delims struct{ Left, Right string }

// NewDelims returns the delimiters that two texts stand for.
func NewDelims(left, right string) Delims {
	d := Delims{left, right}
	if d.Left == "{{" {
		d.Left = ""
	}
	if d.Right == "}}" {
		d.Right = ""
	}
	return d
}

// Has reports whether text may have actions.
func (d Delims) Has(text string) bool { return strings.Contains(text, d.left()) }

func (d Delims) left() string { return cmp.Or(d.Left, "{{") }

// dialect is how a text is read.
type dialect struct {
	missing MissingKey
	delims  Delims
}

// Options are the dialect and the limits of a Renderer; the zero value is External Secrets Operator's dialect with the
// default limits.
type Options struct {
	MissingKey MissingKey
	Delims     Delims
	// MaxSource is the largest template in bytes, MaxOutput the most bytes that all templates of a Renderer print.
	MaxSource, MaxOutput int
	// MaxTime is how long all templates of a Renderer may take together.
	MaxTime time.Duration
	// Cache keeps what was parsed for other Renderers; without one, a Renderer has its own.
	Cache *Cache
}

// Renderer renders the templates of one object in one run: its limits are for all of them together. It is not safe for
// concurrent use.
type Renderer struct {
	opts  Options
	meter meter
	left  time.Duration
	room  int
}

// New returns a Renderer for one object.
func New(opts Options) *Renderer {
	if opts.MaxSource <= 0 {
		opts.MaxSource = DefaultMaxSource
	}
	if opts.MaxOutput <= 0 {
		opts.MaxOutput = DefaultMaxOutput
	}
	if opts.MaxTime <= 0 {
		opts.MaxTime = DefaultMaxTime
	}
	return &Renderer{opts: opts, left: opts.MaxTime, room: opts.MaxOutput}
}

// Render renders text over data, which it does not change; name stands for the template in errors. Every error is an
// *Error, except the context's own when that ends first.
func (r *Renderer) Render(ctx context.Context, name, text string, data map[string]string) ([]byte, error) {
	return r.render(ctx, name, text, data, (*Cache).get)
}

// RenderSecret is Render for a text that is secret itself: nothing of it is kept.
func (r *Renderer) RenderSecret(ctx context.Context, name, text string, data map[string]string) ([]byte, error) {
	return r.render(ctx, name, text, data, (*Cache).parse)
}

// RenderGroups is Render over data in named groups, which a template reads as .group.key.
func (r *Renderer) RenderGroups(ctx context.Context, name, text string, data map[string]map[string]string) ([]byte, error) {
	return r.render(ctx, name, text, data, (*Cache).get)
}

// parser returns the parsed template of a text.
type parser func(c *Cache, text string, d dialect) (*parsed, *Error)

func (r *Renderer) render(ctx context.Context, name, text string, data any, parse parser) ([]byte, error) {
	started := time.Now()
	defer func() { r.left -= time.Since(started) }()
	limited, cancel := context.WithTimeout(ctx, r.left)
	defer cancel()
	r.meter.begin(limited)

	if limited.Err() != nil { // to parse takes time, too
		return nil, r.late(ctx, name)
	}
	tmpl, fault := r.parse(text, parse)
	if fault != nil {
		fault.Template = name
		return nil, fault
	}
	use, err := tmpl.take()
	if err != nil {
		return nil, &Error{Template: name, Kind: KindEvaluation}
	}
	defer tmpl.give(use)
	use.meter = r.meter
	out := &output{room: r.room, meter: &use.meter}
	err = execute(use.tmpl, out, data)
	r.meter = use.meter
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		fault := executionError(&r.meter, err)
		fault.Template = name
		return nil, fault
	}
	r.room = out.room
	return out.Bytes(), nil
}

// late is the error of a rendering for which there is no time left.
func (r *Renderer) late(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &Error{Template: name, Kind: KindTimeout}
}

func (r *Renderer) parse(text string, parse parser) (*parsed, *Error) {
	if len(text) > r.opts.MaxSource {
		return nil, &Error{Kind: KindLimit, Detail: "the template is too large; make several smaller ones of it"}
	}
	if r.opts.Cache == nil {
		r.opts.Cache = NewCache()
	}
	return parse(r.opts.Cache, text, dialect{r.opts.MissingKey, r.opts.Delims})
}

func compile(text string, d dialect, functions template.FuncMap, guards map[string]guard) (*parsed, *Error) {
	if strings.Count(text, d.delims.left()) > maxActions {
		return nil, &Error{Kind: KindLimit, Detail: "the template has too many actions; make several smaller ones of it"}
	}
	option := "missingkey=error"
	if d.missing == MissingKeyNoValue {
		option = "missingkey=default"
	}
	// What it may call is known to the parser by name only. The probes join for its instances, so that a template cannot
	// call them.
	calls, names := map[string]wrapped{}, template.FuncMap{}
	for _, name := range words.FindAllString(text, -1) {
		if fn, ok := functions[name]; ok {
			calls[name], names[name] = wrapped{fn, guards[name]}, fn
		}
	}
	tmpl, err := template.New(rootName).Delims(d.delims.Left, d.delims.Right).Option(option).Funcs(names).Parse(text)
	if err != nil {
		return nil, syntaxError(err)
	}
	p, looks := &parsed{tmpl: tmpl, calls: calls}, maxActions
	for _, t := range tmpl.Templates() {
		if t.Tree == nil {
			continue
		}
		if err := instrument(t.Tree, &looks); err != nil {
			return nil, err
		}
		// The dot of a definition is what it was called with, which counted where it was called.
		p.refs.walk(t.Tree.Root, t.Name() == rootName)
	}
	return p, nil
}

// rootName stands for the template inside text/template, whose messages are never shown. It is no name that somebody gives to a
// definition, which would take the place of the template.
const rootName = "\x00"

// execute turns a panic of text/template into an error: input must not end the process.
func execute(tmpl *template.Template, out *output, data any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
		}
	}()
	return tmpl.Execute(out, data)
}

// output collects what is printed, up to the room that is left.
type output struct {
	bytes.Buffer
	room  int
	meter *meter
}

func (o *output) Write(p []byte) (int, error) {
	if len(p) > o.room {
		return 0, o.meter.exceed("it prints too much; leave out what is not needed, or make several objects of it")
	}
	o.room -= len(p)
	return o.Buffer.Write(p)
}

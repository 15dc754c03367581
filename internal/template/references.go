package template

import (
	"slices"
	"text/template/parse"
)

// References says which of its data a template may read.
type References struct {
	chains [][]string
	// all is set for a template that hands its whole data to something, so that nobody can tell.
	all bool
	// volatile is set when it calls a function that may return something else the next time.
	volatile bool
}

// Reads reports whether the template may read what is found in its data under these names, one below the other.
func (r References) Reads(names ...string) bool {
	return r.all || slices.ContainsFunc(r.chains, func(chain []string) bool {
		n := min(len(chain), len(names))
		return slices.Equal(chain[:n], names[:n])
	})
}

// References parses text and returns what it may read, rather too much than too little. Every error is an *Error.
func (r *Renderer) References(name, text string) (References, error) {
	p, err := r.parse(text, (*Cache).get)
	if err != nil {
		err.Template = name
		return References{}, err
	}
	return p.refs, nil
}

// walk collects what a node reads. With root, the dot is the template's whole data.
func (r *References) walk(node parse.Node, root bool) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, inner := range n.Nodes {
			r.walk(inner, root)
		}
	case *parse.ActionNode:
		r.walk(n.Pipe, root)
	case *parse.TemplateNode:
		r.walk(n.Pipe, root)
	case *parse.IfNode:
		r.branch(&n.BranchNode, root, root)
	case *parse.WithNode:
		r.branch(&n.BranchNode, root, false)
	case *parse.RangeNode:
		r.branch(&n.BranchNode, root, false)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, cmd := range n.Cmds {
			for _, arg := range cmd.Args {
				r.walk(arg, root)
			}
		}
	case *parse.ChainNode:
		r.walk(n.Node, root)
	case *parse.IdentifierNode:
		r.volatile = r.volatile || volatileFunction(n.Ident)
	case *parse.DotNode:
		r.all = r.all || root
	case *parse.FieldNode:
		if root {
			r.chains = append(r.chains, n.Ident)
		}
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			r.chains = append(r.chains, n.Ident[1:])
		}
	}
}

// branch collects what a control structure reads; body says whether the dot is the whole data within it.
func (r *References) branch(n *parse.BranchNode, root, body bool) {
	r.walk(n.Pipe, root)
	r.walk(n.List, body)
	r.walk(n.ElseList, root)
}

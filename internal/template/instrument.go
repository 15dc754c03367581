package template

import "text/template/parse"

// instrument puts probes into a parsed template, because text/template runs loops, calls templates and prints values
// without asking anybody: a step at the top of each loop's body, enter and leave around each template's body, and a
// look at each value before it is printed, compared or given to a method. It refuses a template that nests too deeply, or
// with more looks than are left to it.
func instrument(tree *parse.Tree, looks *int) *Error {
	i := instrumenter{looks}
	if err := i.list(tree.Root, 0); err != nil {
		return err
	}
	pos := tree.Root.Pos
	nodes := append([]parse.Node{probe(probeEnter, pos)}, tree.Root.Nodes...)
	tree.Root.Nodes = append(nodes, probe(probeLeave, pos))
	return nil
}

// instrumenter puts probes into the trees of one text.
type instrumenter struct {
	// looks is how many arguments may still be looked at: each takes a hundred times the memory of its text.
	looks *int
}

func (i instrumenter) list(list *parse.ListNode, depth int) *Error {
	if list == nil {
		return nil
	}
	if depth > maxNesting {
		return tooDeep()
	}
	for _, node := range list.Nodes {
		if err := i.node(node, depth); err != nil {
			return err
		}
	}
	return nil
}

func (i instrumenter) node(node parse.Node, depth int) *Error {
	switch n := node.(type) {
	case *parse.ActionNode:
		if err := i.pipe(n.Pipe, depth+1); err != nil {
			return err
		}
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, command(probePrint, n.Pos))
		}
	case *parse.IfNode:
		return i.branch(&n.BranchNode, depth)
	case *parse.WithNode:
		return i.branch(&n.BranchNode, depth)
	case *parse.RangeNode:
		if err := i.branch(&n.BranchNode, depth); err != nil {
			return err
		}
		n.List.Nodes = append([]parse.Node{probe(probeStep, n.Pos)}, n.List.Nodes...)
	case *parse.TemplateNode:
		return i.pipe(n.Pipe, depth+1)
	}
	return nil
}

func (i instrumenter) branch(n *parse.BranchNode, depth int) *Error {
	if err := i.pipe(n.Pipe, depth+1); err != nil {
		return err
	}
	if err := i.list(n.List, depth+1); err != nil {
		return err
	}
	return i.list(n.ElseList, depth+1)
}

// pipe refuses parentheses that nest too deeply, and puts a look before some arguments.
func (i instrumenter) pipe(pipe *parse.PipeNode, depth int) *Error {
	if pipe == nil {
		return nil
	}
	if depth > maxNesting {
		return tooDeep()
	}
	for _, cmd := range pipe.Cmds {
		for _, arg := range cmd.Args {
			if chain, ok := arg.(*parse.ChainNode); ok {
				arg = chain.Node
			}
			if inner, ok := arg.(*parse.PipeNode); ok {
				if err := i.pipe(inner, depth+1); err != nil {
					return err
				}
			}
		}
	}
	return i.arguments(pipe)
}

// arguments puts a look before each value that is compared, or given to a method of a time or a version. What cannot be
// compared text/template prints into an error, however large it is and whether or not it holds itself: that would end in a stack that
// is used up, which ends the process. To compare what can be takes time. And what a method makes nobody counts: it is given little,
// so that it makes little.
func (i instrumenter) arguments(pipe *parse.PipeNode) *Error {
	var cmds []*parse.CommandNode
	for at, cmd := range pipe.Cmds {
		look := probeSmall
		if name, ok := cmd.Args[0].(*parse.IdentifierNode); ok {
			if look = probePrint; !compares(name.Ident) {
				cmds = append(cmds, cmd)
				continue
			}
		}
		for j, arg := range cmd.Args[1:] {
			switch n := arg.(type) {
			case *parse.StringNode:
				if look == probeSmall && len(n.Text) > maxArgument {
					return &Error{Kind: KindLimit, Detail: largeArgument}
				}
			case *parse.NumberNode, *parse.BoolNode, *parse.NilNode: // as they are they become what a method takes
			default:
				if *i.looks--; *i.looks < 0 {
					return &Error{Kind: KindLimit, Detail: "the template gives too many values to comparisons and methods; make several smaller ones of it"}
				}
				looked := command(look, arg.Position())
				looked.Args = append(looked.Args, arg)
				cmd.Args[j+1] = &parse.PipeNode{NodeType: parse.NodePipe, Pos: arg.Position(), Cmds: []*parse.CommandNode{looked}}
			}
		}
		if at > 0 { // it is given what the one before it makes, too
			cmds = append(cmds, command(look, cmd.Pos))
		}
		cmds = append(cmds, cmd)
	}
	pipe.Cmds = cmds
	return nil
}

// compares reports whether a function is one of text/template that compares, which are used as they are.
func compares(name string) bool {
	switch name {
	case "eq", "ne", "lt", "le", "gt", "ge":
		return true
	default:
		return false
	}
}

func tooDeep() *Error {
	return &Error{Kind: KindLimit, Detail: "the template nests too deeply; write inner parts as templates of their own, with define"}
}

// probe is an action that calls a probe and prints nothing.
func probe(name string, pos parse.Pos) *parse.ActionNode {
	return &parse.ActionNode{
		NodeType: parse.NodeAction, Pos: pos,
		Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Pos: pos, Cmds: []*parse.CommandNode{command(name, pos)}},
	}
}

func command(name string, pos parse.Pos) *parse.CommandNode {
	return &parse.CommandNode{
		NodeType: parse.NodeCommand, Pos: pos,
		Args: []parse.Node{parse.NewIdentifier(name).SetPos(pos)},
	}
}

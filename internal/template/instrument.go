package template

import "text/template/parse"

// instrument puts probes into a parsed template, because text/template runs loops, calls templates and prints values
// without asking anybody: a step at the top of each loop's body, enter and leave around each template's body, and a
// look at each value before it is printed, compared or given to a method. It refuses a template that nests too deeply.
func instrument(tree *parse.Tree) *Error {
	if err := instrumentList(tree.Root, 0); err != nil {
		return err
	}
	pos := tree.Root.Pos
	nodes := append([]parse.Node{probe(probeEnter, pos)}, tree.Root.Nodes...)
	tree.Root.Nodes = append(nodes, probe(probeLeave, pos))
	return nil
}

func instrumentList(list *parse.ListNode, depth int) *Error {
	if list == nil {
		return nil
	}
	if depth > maxNesting {
		return tooDeep()
	}
	for _, node := range list.Nodes {
		if err := instrumentNode(node, depth); err != nil {
			return err
		}
	}
	return nil
}

func instrumentNode(node parse.Node, depth int) *Error {
	switch n := node.(type) {
	case *parse.ActionNode:
		if err := checkPipe(n.Pipe, depth+1); err != nil {
			return err
		}
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, command(probePrint, n.Pos))
		}
	case *parse.IfNode:
		return instrumentBranch(&n.BranchNode, depth)
	case *parse.WithNode:
		return instrumentBranch(&n.BranchNode, depth)
	case *parse.RangeNode:
		if err := instrumentBranch(&n.BranchNode, depth); err != nil {
			return err
		}
		n.List.Nodes = append([]parse.Node{probe(probeStep, n.Pos)}, n.List.Nodes...)
	case *parse.TemplateNode:
		return checkPipe(n.Pipe, depth+1)
	}
	return nil
}

func instrumentBranch(n *parse.BranchNode, depth int) *Error {
	if err := checkPipe(n.Pipe, depth+1); err != nil {
		return err
	}
	if err := instrumentList(n.List, depth+1); err != nil {
		return err
	}
	return instrumentList(n.ElseList, depth+1)
}

// checkPipe refuses parentheses that nest too deeply, and puts a look before some arguments.
func checkPipe(pipe *parse.PipeNode, depth int) *Error {
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
				if err := checkPipe(inner, depth+1); err != nil {
					return err
				}
			}
		}
	}
	return lookAtArguments(pipe)
}

// lookAtArguments puts a look before each value that is given to eq and ne, or to a method of a time or a version. What cannot be
// compared text/template prints into an error, however large it is and whether or not it holds itself: that would end in a stack that
// is used up, which ends the process. And what a method makes nobody counts: it is given little, so that it makes little.
func lookAtArguments(pipe *parse.PipeNode) *Error {
	var cmds []*parse.CommandNode
	for i, cmd := range pipe.Cmds {
		look := probeSmall
		if name, ok := cmd.Args[0].(*parse.IdentifierNode); ok {
			if look = probePrint; name.Ident != "eq" && name.Ident != "ne" {
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
				looked := command(look, arg.Position())
				looked.Args = append(looked.Args, arg)
				cmd.Args[j+1] = &parse.PipeNode{NodeType: parse.NodePipe, Pos: arg.Position(), Cmds: []*parse.CommandNode{looked}}
			}
		}
		if i > 0 { // it is given what the one before it makes, too
			cmds = append(cmds, command(look, cmd.Pos))
		}
		cmds = append(cmds, cmd)
	}
	pipe.Cmds = cmds
	return nil
}

func tooDeep() *Error { return &Error{Kind: KindLimit, Detail: "the template nests too deeply"} }

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

package template

import (
	"slices"
	"strconv"
	"text/template/parse"
)

// predicates are the functions whose result tells something about their arguments without being made of them.
var predicates = []string{
	"all", "any", "contains", "deepEqual", "empty", "eq", "ge", "gt", "has", "hasKey", "hasPrefix", "hasSuffix", "kindIs", "kindOf", "le", "len", "lt",
	"mustHas", "mustRegexMatch", "ne", "not", "regexMatch", "semverCompare", "typeIs", "typeIsLike", "typeOf",
}

// pipe follows a pipeline and binds its variables.
func (a *analysis) pipe(dot origin, n *parse.PipeNode) origin {
	o := a.commands(dot, n)
	if len(n.Decl) > 0 {
		o = a.use(o)
	}
	for _, v := range n.Decl {
		a.bind(v.Ident[0], o, n.IsAssign)
	}
	return o
}

func (a *analysis) commands(dot origin, n *parse.PipeNode) origin {
	var last *origin
	for _, cmd := range n.Cmds {
		o := a.command(dot, cmd, last)
		last = &o
	}
	if last == nil {
		return origin{}
	}
	return *last
}

func (a *analysis) command(dot origin, cmd *parse.CommandNode, last *origin) origin {
	id, isFunction := cmd.Args[0].(*parse.IdentifierNode)
	if !isFunction {
		o := a.operand(dot, cmd.Args[0])
		if len(cmd.Args) == 1 && last == nil {
			return o
		}
		args := []origin{a.use(o)} // a method
		for _, n := range cmd.Args[1:] {
			args = append(args, a.whole(a.operand(dot, n)))
		}
		if last != nil {
			args = append(args, a.whole(*last))
		}
		return origin{refs: merge(args...).refs}
	}
	if id.Ident == "index" {
		return a.index(dot, cmd.Args[1:], last)
	}
	var args []origin
	for _, n := range cmd.Args[1:] {
		args = append(args, a.operand(dot, n))
	}
	if last != nil {
		args = append(args, *last)
	}
	test := slices.Contains(predicates, id.Ident)
	choose := slices.Contains([]string{"and", "or", "default", "coalesce", "ternary"}, id.Ident)
	for i := range args {
		if test || choose {
			args[i] = a.use(args[i])
		} else {
			args[i] = a.whole(args[i])
		}
	}
	switch {
	case test:
		return origin{}
	case choose && len(args) > 0:
		return merge(args...)
	}
	return origin{refs: merge(args...).refs}
}

// operand follows one operand. What it returns is not used yet.
func (a *analysis) operand(dot origin, n parse.Node) origin {
	if a.spent() {
		return origin{}
	}
	switch n := n.(type) {
	case *parse.DotNode:
		return at(dot, n)
	case *parse.FieldNode:
		return extend(dot, n, n.Ident...)
	case *parse.VariableNode:
		return extend(a.lookup(n.Ident[0]), n, n.Ident[1:]...)
	case *parse.ChainNode:
		o := a.operand(dot, n.Node)
		if o.node != nil {
			return extend(o, o.node, n.Field...)
		}
		return extend(o, n, n.Field...)
	case *parse.PipeNode:
		return a.pipe(dot, n)
	case *parse.IdentifierNode:
		return a.command(dot, &parse.CommandNode{Args: []parse.Node{n}}, nil)
	}
	return origin{}
}

// at is the origin read as a whole at a node.
func at(o origin, n parse.Node) origin {
	if o.known && o.node == nil {
		o.node = n
	}
	return o
}

// extend is the origin of fields of a value. Those of a value without a known path are part of what is read already.
func extend(o origin, n parse.Node, names ...string) origin {
	if !o.known {
		return o
	}
	if len(names) == 0 {
		return at(o, n)
	}
	path := append(slices.Clip(o.path), names...)
	out := origin{known: true, path: path, node: n, cut: o.cut}
	if len(path) > maxPath {
		out.path, out.cut = path[:maxPath], true
	}
	return out
}

// index follows constant keys. The first that is not constant ends the path.
func (a *analysis) index(dot origin, nodes []parse.Node, last *origin) origin {
	var o origin
	if len(nodes) == 0 {
		if last == nil {
			return o
		}
		return *last
	}
	o = a.operand(dot, nodes[0])
	start := o.node
	for _, n := range nodes[1:] {
		if key, ok := constantKey(n); ok && o.known {
			lenient := lenientMap(o.path)
			o = extend(o, start, key)
			o.lenient = lenient
			continue
		}
		key := a.use(a.operand(dot, n))
		o = a.open(o)
		o.refs = merge(o, key).refs
	}
	if last != nil {
		key := a.use(*last)
		o = a.open(o)
		o.refs = merge(o, key).refs
	}
	return o
}

// lenientMap tells whether index of an absent key of the map at this path is empty.
func lenientMap(path []string) bool {
	return len(path) > 0 && (path[0] == "Object" || path[0] == "PodOverride" || path[0] == "Options" && len(path) == 1)
}

func constantKey(n parse.Node) (string, bool) {
	switch n := n.(type) {
	case *parse.StringNode:
		return n.Text, true
	case *parse.NumberNode:
		if n.IsInt {
			return strconv.FormatInt(n.Int64, 10), true
		}
	case *parse.PipeNode:
		if len(n.Cmds) == 1 && len(n.Cmds[0].Args) == 1 && len(n.Decl) == 0 {
			return constantKey(n.Cmds[0].Args[0])
		}
	}
	return "", false
}

// tests lists the paths that are known to be there in the branch taken when the condition holds, and in the other.
func (a *analysis) tests(dot origin, n *parse.PipeNode) (then, otherwise [][]string) {
	if n == nil || len(n.Cmds) != 1 || len(n.Cmds[0].Args) == 0 {
		return nil, nil
	}
	return a.testsOf(dot, n.Cmds[0].Args)
}

func (a *analysis) testsOf(dot origin, args []parse.Node) (then, otherwise [][]string) {
	if a.spent() {
		return nil, nil
	}
	id, isFunction := args[0].(*parse.IdentifierNode)
	if !isFunction {
		if p, ok := args[0].(*parse.PipeNode); ok {
			return a.tests(dot, p)
		}
		return a.pathOf(dot, args[0]), nil
	}
	switch id.Ident {
	case "index":
		// Not recorded again: only constant keys count here.
		keys := make([]string, 0, len(args))
		for _, n := range args[min(2, len(args)):] {
			key, ok := constantKey(n)
			if !ok {
				return nil, nil
			}
			keys = append(keys, key)
		}
		if len(args) > 1 {
			for _, path := range a.pathOf(dot, args[1]) {
				then = append(then, append(slices.Clip(path), keys...))
			}
		}
	case "hasKey":
		if len(args) == 3 {
			if key, ok := constantKey(args[2]); ok {
				for _, path := range a.pathOf(dot, args[1]) {
					then = append(then, append(slices.Clip(path), key))
				}
			}
		}
	case "and":
		for _, n := range args[1:] {
			t, _ := a.testsOf(dot, []parse.Node{n})
			then = append(then, t...)
		}
	case "or":
		for _, n := range args[1:] {
			_, o := a.testsOf(dot, []parse.Node{n})
			otherwise = append(otherwise, o...)
		}
	case "not", "empty":
		if len(args) == 2 {
			t, o := a.testsOf(dot, args[1:])
			return o, t
		}
	case "eq", "ne":
		for _, n := range args[1:] {
			then = append(then, a.pathOf(dot, n)...)
			otherwise = append(otherwise, a.pathOf(dot, n)...)
		}
	}
	return then, otherwise
}

// pathOf is the path a field or variable reads, without recording it.
func (a *analysis) pathOf(dot origin, n parse.Node) [][]string {
	var o origin
	switch n := n.(type) {
	case *parse.DotNode:
		o = dot
	case *parse.FieldNode:
		o = extend(dot, n, n.Ident...)
	case *parse.VariableNode:
		o = extend(a.lookup(n.Ident[0]), n, n.Ident[1:]...)
	case *parse.PipeNode:
		if len(n.Cmds) == 1 && len(n.Cmds[0].Args) > 0 {
			then, _ := a.testsOf(dot, n.Cmds[0].Args)
			return then
		}
	}
	if !o.known || len(o.path) == 0 {
		return nil
	}
	return [][]string{o.path}
}

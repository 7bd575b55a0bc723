package template

import (
	"cmp"
	"maps"
	"slices"
	"text/template/parse"
)

// Reference is one path that a template reads from the root value: .Phases.dump.Output.path.
type Reference struct {
	// Path without the leading dot: Phases, dump, Output, path. Constant keys of index are part of it, positions in lists in
	// decimal; it ends where the rest is not known statically. Empty for the root as a whole.
	Path []string
	// Exact is false when the path goes on in a way not known statically (index with a variable, range, toJson of the whole).
	Exact bool
	// Printed is true when the value, whole or after functions, becomes part of the output; false where it is only tested or ranged over.
	Printed bool
	// Optional is true when the template tests the same path first, or reads it through index of a lenient map.
	Optional bool
	// Line and Column in the template's text, from 1.
	Line, Column int
}

// References lists every field path of the root that the template can read, in order of appearance. It follows variables, the dot of
// with and range, and calls of templates, without regard to which branch is taken. A text too entangled to follow to its
// end has a last reference to the whole root that is not exact.
func (t *Template) References() []Reference {
	if t == nil || t.root == nil {
		return nil
	}
	a := &analysis{t: t, found: map[int][]*Reference{}, places: newLocator(t.text), budget: maxAnalysis}
	root := origin{known: true}
	a.scopes = []binding{{"$", root}}
	a.list(root, t.root.Root)
	refs := make([]Reference, 0, len(a.found))
	for _, list := range a.found {
		for _, ref := range list {
			refs = append(refs, *ref)
		}
	}
	slices.SortFunc(refs, func(x, y Reference) int {
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column), slices.Compare(x.Path, y.Path))
	})
	if a.budget <= 0 {
		line, column := t.position(t.root.Root)
		refs = append(refs, Reference{Line: line, Column: column})
	}
	return refs
}

const (
	// maxAnalysis bounds the nodes looked at for References, loopPasses how often a loop's body is, so that what one turn assigns is
	// seen by the next.
	maxAnalysis = 200_000
	loopPasses  = 3
	// maxAnalysisDepth bounds calls of templates, maxPath the names of one path.
	maxAnalysisDepth = 20
	maxPath          = 64
)

// origin is where a value comes from: a path of the root when known, and the references its printing prints.
type origin struct {
	known bool
	path  []string
	// lenient is true when the last key was read through index of a map that lacks keys silently; cut when the path is longer than maxPath.
	lenient, cut bool
	// node is where the path was read; nil before any field is.
	node parse.Node
	refs []*Reference
}

type binding struct {
	name string
	from origin
}

type analysis struct {
	t *Template
	// found holds the references by their offset.
	found  map[int][]*Reference
	places *locator
	scopes []binding
	guards [][]string
	budget int
	loops  int
	depth  int
}

// use records that the path of an origin is read, and returns the origin with its reference.
func (a *analysis) use(o origin) origin {
	if !o.known || o.node == nil {
		return o
	}
	ref := a.reference(offset(a.t.text, o.node), o.path)
	ref.Exact = ref.Exact && !o.cut
	ref.Optional = ref.Optional && (o.lenient || a.guarded(o.path))
	if !slices.Contains(o.refs, ref) {
		o.refs = append(slices.Clip(o.refs), ref)
	}
	return o
}

// reference is the one of a path at an offset.
func (a *analysis) reference(pos int, path []string) *Reference {
	for _, ref := range a.found[pos] {
		if slices.Equal(ref.Path, path) {
			return ref
		}
		a.budget--
	}
	line, column := a.places.at(pos)
	ref := &Reference{Path: slices.Clone(path), Exact: true, Optional: true, Line: line, Column: column}
	a.found[pos] = append(a.found[pos], ref)
	return ref
}

// open is use for a path that goes on in an unknown way. What comes of it has no path.
func (a *analysis) open(o origin) origin {
	o = a.use(o)
	for _, ref := range o.refs {
		if slices.Equal(ref.Path, o.path) {
			ref.Exact = false
		}
	}
	return origin{refs: o.refs}
}

// whole is use for a value that is taken as it is, with all that is in it.
func (a *analysis) whole(o origin) origin {
	if o.known && (len(o.path) == 0 || composite(o.path)) {
		if o.node == nil {
			return o
		}
		return a.open(o)
	}
	return a.use(o)
}

func (a *analysis) print(o origin) {
	for _, ref := range a.whole(o).refs {
		ref.Printed = true
	}
}

// guarded tells whether a test around tells that the path, or what it is in, is there.
func (a *analysis) guarded(path []string) bool {
	return slices.ContainsFunc(a.guards, func(guard []string) bool {
		return len(guard) > 0 && len(guard) <= len(path) && slices.Equal(guard, path[:len(guard)])
	})
}

func (a *analysis) spent() bool {
	a.budget--
	return a.budget <= 0
}

func (a *analysis) list(dot origin, list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		if a.spent() {
			return
		}
		switch n := n.(type) {
		case *parse.ActionNode:
			o := a.pipe(dot, n.Pipe)
			if len(n.Pipe.Decl) == 0 {
				a.print(o)
			}
		case *parse.IfNode:
			a.branch(dot, &n.BranchNode, false)
		case *parse.WithNode:
			a.branch(dot, &n.BranchNode, true)
		case *parse.RangeNode:
			a.loop(dot, n)
		case *parse.TemplateNode:
			a.call(dot, n)
		}
	}
}

func (a *analysis) branch(dot origin, n *parse.BranchNode, rebind bool) {
	scope := len(a.scopes)
	o := a.use(a.pipe(dot, n.Pipe))
	then, otherwise := a.tests(dot, n.Pipe)
	inner := dot
	if rebind {
		inner = o
	}
	guards := a.guards
	a.guards = append(slices.Clip(guards), then...)
	a.list(inner, n.List)
	a.guards = append(slices.Clip(guards), otherwise...)
	a.list(dot, n.ElseList)
	a.guards, a.scopes = guards, a.scopes[:scope]
}

func (a *analysis) loop(dot origin, n *parse.RangeNode) {
	scope := len(a.scopes)
	decl := n.Pipe.Decl
	elem := a.open(a.commands(dot, n.Pipe))
	for i, v := range decl {
		from := elem
		if i == 0 && len(decl) > 1 {
			from = origin{refs: elem.refs} // keys tell of the data too
		}
		a.bind(v.Ident[0], from, n.Pipe.IsAssign)
	}
	passes := 1
	if a.loops == 0 {
		passes = loopPasses
	}
	a.loops++
	for range passes {
		inner := len(a.scopes)
		a.list(elem, n.List)
		a.scopes = a.scopes[:inner]
	}
	a.loops--
	a.list(dot, n.ElseList)
	a.scopes = a.scopes[:scope]
}

func (a *analysis) call(dot origin, n *parse.TemplateNode) {
	arg := origin{}
	if n.Pipe != nil {
		arg = a.use(a.pipe(dot, n.Pipe))
	}
	tree := a.t.trees[n.Name]
	if tree == nil || tree.Root == nil {
		return
	}
	if a.depth == maxAnalysisDepth {
		a.budget = 0
		return
	}
	scopes := a.scopes
	a.scopes, a.depth = []binding{{"$", arg}}, a.depth+1
	a.list(arg, tree.Root)
	a.scopes, a.depth = scopes, a.depth-1
}

// bind declares a variable or, for an assignment, adds to where its value may come from.
func (a *analysis) bind(name string, from origin, assign bool) {
	if !assign {
		a.scopes = append(a.scopes, binding{name, from})
		return
	}
	for i := len(a.scopes) - 1; i >= 0; i-- {
		if b := &a.scopes[i]; b.name == name {
			b.from = merge(b.from, from)
			return
		}
	}
	a.budget -= len(a.scopes) / maxPath
}

// merge is the origin of a value that comes from one of several places. Of their paths, none is known any more unless all are the same.
func merge(origins ...origin) origin {
	var out origin
	seen := map[*Reference]bool{}
	for i, o := range origins {
		for _, ref := range o.refs {
			if !seen[ref] {
				seen[ref] = true
				out.refs = append(out.refs, ref)
			}
		}
		if i == 0 {
			out.known, out.path, out.node, out.lenient, out.cut = o.known, o.path, o.node, o.lenient, o.cut
		} else if out.known && (!o.known || !slices.Equal(out.path, o.path)) {
			out.known, out.path, out.node = false, nil, nil
		}
	}
	return out
}

func (a *analysis) lookup(name string) origin {
	a.budget -= len(a.scopes) / maxPath
	for i := len(a.scopes) - 1; i >= 0; i-- {
		if a.scopes[i].name == name {
			return a.scopes[i].from
		}
	}
	return origin{}
}

// calls lists the functions that trees call, by name.
func calls(trees map[string]*parse.Tree) map[string]bool {
	names := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		if tree := trees[name]; tree != nil {
			collect(tree.Root, names)
		}
	}
	return names
}

func collect(n parse.Node, names map[string]bool) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, item := range n.Nodes {
				collect(item, names)
			}
		}
	case *parse.ActionNode:
		collect(n.Pipe, names)
	case *parse.IfNode:
		collectBranch(&n.BranchNode, names)
	case *parse.WithNode:
		collectBranch(&n.BranchNode, names)
	case *parse.RangeNode:
		collectBranch(&n.BranchNode, names)
	case *parse.TemplateNode:
		collect(n.Pipe, names)
	case *parse.PipeNode:
		if n != nil {
			for _, cmd := range n.Cmds {
				for _, arg := range cmd.Args {
					collect(arg, names)
				}
			}
		}
	case *parse.ChainNode:
		collect(n.Node, names)
	case *parse.IdentifierNode:
		names[n.Ident] = true
	}
}

func collectBranch(n *parse.BranchNode, names map[string]bool) {
	collect(n.Pipe, names)
	collect(n.List, names)
	collect(n.ElseList, names)
}

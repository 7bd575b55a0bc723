package template

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// maxValueDepth bounds the nesting of a tree given to CompileValue: no document needs more, and one that refers to
// itself must not end the process.
const maxValueDepth = 200

// Value is a compiled tree of maps, lists and scalars whose strings are templates. It is safe for concurrent use.
type Value struct{ root *node }

// node is one place of the tree: a map (keys), a list, a template or a value left as it is.
type node struct {
	path string
	keys []mapEntry
	list []*node
	text *Template
	// raw is what is neither map, list nor template.
	raw  any
	kind nodeKind
}

type nodeKind int

const (
	rawNode nodeKind = iota
	textNode
	listNode
	mapNode
)

// mapEntry is one entry of a map. A nil key means that the name is taken as it is.
type mapEntry struct {
	name string
	key  *Template
	node *node
}

// CompileValue compiles every string of v, map keys included, the keys of the outermost map not. Raw tells which paths
// ("conditions.anyOf[0].condition", list positions as [n]) are left as they are; nil for none. All faults are reported, joined.
//
// Maps must have string keys. Byte slices, structs and pointers are left as they are.
func (e *Env) CompileValue(name string, v any, raw func(path string) bool) (*Value, error) {
	c := &compiler{env: e, name: name, raw: raw}
	root := c.compile(place{top: true}, v)
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return &Value{root}, nil
}

// Render returns a new tree of map[string]any, []any and scalars: strings rendered, all else unchanged, nulls included.
// Every template that fails is reported, joined, in the order of Walk. All renderings of
// the tree together may spend 16 times what one may.
func (v *Value) Render(data any) (any, error) {
	if v == nil || v.root == nil {
		return nil, nil
	}
	r := &valueRenderer{data: data}
	out := r.render(v.root)
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// Walk calls f for every template in the tree with the path where it stands, the name given to CompileValue in front: lists in
// order, maps by key. A key comes before its value; its path ends in "[key]".
func (v *Value) Walk(f func(path string, t *Template)) {
	if v != nil && v.root != nil {
		v.root.walk(f)
	}
}

func (n *node) walk(f func(path string, t *Template)) {
	switch n.kind {
	case textNode:
		f(n.path, n.text)
	case listNode:
		for _, item := range n.list {
			item.walk(f)
		}
	case mapNode:
		for _, entry := range n.keys {
			if entry.key != nil {
				f(entry.node.path+"[key]", entry.key)
			}
			entry.node.walk(f)
		}
	}
}

type compiler struct {
	env  *Env
	name string
	raw  func(path string) bool
	errs []error
}

// place is where compile stands: the path from the root, how deep that is, and what holds there.
type place struct {
	path  string
	depth int
	// top is the outermost map; asIs holds below a raw path.
	top, asIs bool
}

func (p place) key(name string) place {
	path := name
	if p.path != "" {
		path = p.path + "." + name
	}
	return place{path: path, depth: p.depth + 1, asIs: p.asIs}
}

func (p place) item(i int) place {
	return place{path: p.path + "[" + strconv.Itoa(i) + "]", depth: p.depth + 1, asIs: p.asIs}
}

// full is the path with the name in front.
func (c *compiler) full(path string) string {
	switch {
	case c.name == "":
		return path
	case path == "":
		return c.name
	case path[0] == '[':
		return c.name + path
	default:
		return c.name + "." + path
	}
}

func (c *compiler) fail(path string, err error) {
	c.errs = append(c.errs, &Error{Name: c.full(path), Err: err})
}

func (c *compiler) compile(p place, v any) *node {
	n := &node{path: c.full(p.path), raw: v}
	if p.depth > maxValueDepth {
		c.fail(p.path, fmt.Errorf("%w: nested more than %d deep", ErrLimit, maxValueDepth))
		return n
	}
	if !p.asIs && c.raw != nil && p.path != "" && c.raw(p.path) {
		p.asIs = true
	}
	rv := reflect.ValueOf(v)
	switch {
	case !rv.IsValid():
	case rv.Kind() == reflect.String:
		if p.asIs {
			n.raw = rv.String()
			return n
		}
		n.kind, n.text = textNode, c.text(p.path, rv.String())
	case rv.Kind() == reflect.Map:
		n.kind = mapNode
		c.compileMap(p, rv, n)
	case (rv.Kind() == reflect.Slice || rv.Kind() == reflect.Array) && rv.Type().Elem().Kind() != reflect.Uint8:
		n.kind = listNode
		for i := range rv.Len() {
			n.list = append(n.list, c.compile(p.item(i), rv.Index(i).Interface()))
		}
	}
	return n
}

func (c *compiler) compileMap(p place, rv reflect.Value, n *node) {
	children := make(map[string]any, rv.Len())
	for it := rv.MapRange(); it.Next(); {
		key := it.Key()
		if key.Kind() == reflect.Interface {
			key = key.Elem()
		}
		if key.Kind() != reflect.String {
			c.fail(p.path, fmt.Errorf("%w: a map has a key that is no text; put quotes around it", ErrSyntax))
			continue
		}
		children[key.String()] = it.Value().Interface()
	}
	for _, name := range slices.Sorted(maps.Keys(children)) {
		child := p.key(name)
		entry := mapEntry{name: name, node: c.compile(child, children[name])}
		if !p.top && !p.asIs {
			entry.key = c.text(child.path+"[key]", name)
		}
		n.keys = append(n.keys, entry)
	}
}

func (c *compiler) text(path, text string) *Template {
	t, err := c.env.Compile(c.full(path), text)
	if err != nil {
		c.errs = append(c.errs, err)
	}
	return t
}

// maxTree is how many times what the Env allows for one rendering all renderings of a tree may spend.
const maxTree = 16

type valueRenderer struct {
	data any
	errs []error
	// spent of the budgets; full is true after that was too much.
	steps, work, built, out int
	full                    bool
}

func (r *valueRenderer) render(n *node) any {
	switch n.kind {
	case textNode:
		return r.text(n.text)
	case listNode:
		out := make([]any, 0, len(n.list))
		for _, item := range n.list {
			out = append(out, r.render(item))
		}
		return out
	case mapNode:
		out := make(map[string]any, len(n.keys))
		for _, entry := range n.keys {
			key := entry.name
			if entry.key != nil {
				key = r.text(entry.key)
			}
			value := r.render(entry.node)
			if _, twice := out[key]; twice && len(r.errs) == 0 {
				r.errs = append(r.errs, &Error{Name: entry.node.path + "[key]", Err: errors.New("renders to the same key as another entry of the map")})
			}
			out[key] = value
		}
		return out
	default:
		return n.raw
	}
}

func (r *valueRenderer) text(t *Template) string {
	if r.full || t == nil {
		return ""
	}
	if t.root == nil {
		return t.text
	}
	run, err := t.render(r.data)
	if err != nil {
		r.errs = append(r.errs, err)
	}
	r.steps, r.work, r.built, r.out = r.steps+run.steps, r.work+run.work, r.built+run.built, r.out+len(run.out)
	r.full = r.steps > maxTree*t.maxSteps || r.out > maxTree*t.maxOutput || r.work > maxTree*maxWork*t.maxOutput || r.built > maxTree*maxBuilt*t.maxOutput
	if r.full {
		r.errs = append(r.errs, &Error{Name: t.name, Err: fmt.Errorf("%w: the tree up to here takes more than %d renderings may", ErrLimit, maxTree)})
	}
	return string(run.out)
}

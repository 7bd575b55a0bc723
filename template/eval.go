package template

import (
	"errors"
	"fmt"
	"reflect"
	"text/template/parse"
)

// operand is the value a pipeline hands to its next command; has is false before the first.
type operand struct {
	value reflect.Value
	has   bool
}

// pipe evaluates a pipeline and declares or assigns its variables. The invalid Value is no value.
func (r *renderer) pipe(dot reflect.Value, n *parse.PipeNode) (reflect.Value, error) {
	var last operand
	for _, cmd := range n.Cmds {
		v, err := r.command(dot, cmd, last)
		if err != nil {
			return v, err
		}
		if v.Kind() == reflect.Interface && v.NumMethod() == 0 {
			v = v.Elem()
		}
		last = operand{v, true}
	}
	for _, decl := range n.Decl {
		if n.IsAssign {
			r.assign(decl.Ident[0], last.value)
		} else if err := r.declare(n, decl.Ident[0], last.value); err != nil {
			return last.value, err
		}
	}
	return last.value, nil
}

// maxVariables bounds those in scope: they are looked up one by one.
const maxVariables = 1000

func (r *renderer) declare(n parse.Node, name string, v reflect.Value) error {
	if len(r.vars) >= maxVariables {
		return r.fail(n, fmt.Errorf("%w: more than %d variables", ErrLimit, maxVariables))
	}
	r.vars = append(r.vars, variable{name, v})
	return nil
}

func (r *renderer) assign(name string, v reflect.Value) {
	for i := len(r.vars) - 1; i >= 0; i-- {
		if r.vars[i].name == name {
			r.vars[i].value = v
			return
		}
	}
}

func (r *renderer) variable(n parse.Node, name string) (reflect.Value, error) {
	for i := len(r.vars) - 1; i >= 0; i-- {
		if r.vars[i].name == name {
			return r.vars[i].value, nil
		}
	}
	return reflect.Value{}, r.fail(n, fmt.Errorf("%w: variable %s is not declared", ErrSyntax, name))
}

// command evaluates one command: a function or method with its arguments, or a value alone.
func (r *renderer) command(dot reflect.Value, cmd *parse.CommandNode, last operand) (reflect.Value, error) {
	args := arguments{dot: dot, nodes: cmd.Args[1:], last: last}
	switch n := cmd.Args[0].(type) {
	case *parse.IdentifierNode:
		return r.function(n, args)
	case *parse.FieldNode:
		return r.fields(fieldChain{n, n.Ident, ""}, dot, args)
	case *parse.ChainNode:
		from, err := r.value(dot, n.Node)
		if err != nil {
			return from, err
		}
		return r.fields(fieldChain{n, n.Field, n.Node.String()}, from, args)
	case *parse.VariableNode:
		from, err := r.variable(n, n.Ident[0])
		if err != nil || len(n.Ident) == 1 && args.none() {
			return from, err
		}
		if len(n.Ident) > 1 {
			return r.fields(fieldChain{n, n.Ident[1:], n.Ident[0]}, from, args)
		}
	case *parse.PipeNode:
		if args.none() {
			return r.pipe(dot, n)
		}
	}
	if !args.none() {
		return reflect.Value{}, r.fail(cmd, fmt.Errorf("%w: %s is no function and takes no argument", ErrSyntax, cmd.Args[0]))
	}
	if cmd.Args[0].Type() == parse.NodeNil {
		return reflect.Value{}, r.fail(cmd, fmt.Errorf("%w: nil is not a command", ErrSyntax))
	}
	return r.value(dot, cmd.Args[0])
}

// value evaluates one operand whose type nothing asks for.
func (r *renderer) value(dot reflect.Value, n parse.Node) (reflect.Value, error) {
	if err := r.step(n); err != nil {
		return reflect.Value{}, err
	}
	switch n := n.(type) {
	case *parse.DotNode:
		return dot, nil
	case *parse.NilNode:
		return reflect.Value{}, nil
	case *parse.BoolNode:
		return reflect.ValueOf(n.True), nil
	case *parse.StringNode:
		return reflect.ValueOf(n.Text), nil
	case *parse.NumberNode:
		return r.number(n)
	case *parse.FieldNode:
		return r.fields(fieldChain{n, n.Ident, ""}, dot, arguments{})
	case *parse.VariableNode, *parse.ChainNode, *parse.IdentifierNode:
		return r.command(dot, &parse.CommandNode{Args: []parse.Node{n}, Pos: n.Position()}, operand{})
	case *parse.PipeNode:
		return r.pipe(dot, n)
	}
	return reflect.Value{}, r.fail(n, fmt.Errorf("%w: cannot evaluate %s", ErrSyntax, n))
}

// fieldChain is .a.b.c after what from says; from is empty for the dot.
type fieldChain struct {
	node  parse.Node
	names []string
	from  string
}

// before is the text of the chain up to the i-th name.
func (c fieldChain) before(i int) string {
	text := c.from
	for _, name := range c.names[:i] {
		text += "." + name
	}
	if text == "" {
		return "."
	}
	return text
}

// fields follows names from a value. The last may be a method and takes the arguments.
func (r *renderer) fields(c fieldChain, v reflect.Value, args arguments) (reflect.Value, error) {
	for i, name := range c.names {
		method, isMethod := valueMethod(v, name)
		if isMethod {
			var own arguments
			if i == len(c.names)-1 {
				own = args
			}
			out, err := r.invoke(c.node, &function{name: name, call: method, typ: method.Type()}, own)
			if err != nil {
				return out, err
			}
			v = out
			continue
		}
		next, err := field(v, name)
		if err != nil {
			var gone *missing
			if errors.As(err, &gone) {
				gone.in = c.before(i)
				err = gone
			}
			return next, r.failPath(c.node, c.before(len(c.names)), err)
		}
		v = next
		if i == len(c.names)-1 && !args.none() {
			return v, r.fail(c.node, fmt.Errorf("%w: %s is no function and takes no argument", ErrSyntax, c.before(len(c.names))))
		}
	}
	return v, nil
}

// valueMethod returns a method that the value has without taking its address, so that none can change what it belongs to.
func valueMethod(v reflect.Value, name string) (reflect.Value, bool) {
	v, isNil := indirect(v)
	if !v.IsValid() || isNil || v.NumMethod() == 0 || !v.CanInterface() {
		return reflect.Value{}, false
	}
	m := v.MethodByName(name)
	if !m.IsValid() {
		return m, false
	}
	return m, checkSignature(m.Type()) == nil
}

// field reads a field of a struct or an entry of a map. What is not there is a *missing.
func field(v reflect.Value, name string) (reflect.Value, error) {
	if !v.IsValid() {
		return v, &missing{key: name}
	}
	typ := v.Type()
	v, isNil := indirect(v)
	if isNil {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() == reflect.Struct {
			if _, err := typeField(typ, name); err != nil {
				return reflect.Value{}, err
			}
		}
		return reflect.Value{}, &missing{key: name, nothing: true}
	}
	switch {
	case v.Kind() == reflect.Struct:
		f, err := typeField(v.Type(), name)
		if err != nil {
			return reflect.Value{}, err
		}
		out, err := v.FieldByIndexErr(f.Index)
		if err != nil {
			return out, &missing{key: name, nothing: true}
		}
		return out, nil
	case v.Kind() == reflect.Map && stringType.AssignableTo(v.Type().Key()):
		if out := v.MapIndex(reflect.ValueOf(name)); out.IsValid() {
			return out, nil
		}
		return reflect.Value{}, &missing{key: name, container: v}
	}
	return reflect.Value{}, fmt.Errorf("%w: %s has no field %q", ErrMissing, typeName(v.Type()), name)
}

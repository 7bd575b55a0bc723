package template

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"text/template/parse"

	"github.com/Masterminds/sprig/v3"
)

// function is one function templates can call.
type function struct {
	name string
	call reflect.Value
	typ  reflect.Type
	// special functions evaluate their arguments themselves.
	special func(r *renderer, n parse.Node, args arguments) (reflect.Value, error)
	// light functions look at their arguments without reading through them, and make nothing new.
	light bool
	// mutates is true for functions that change a map, prints for those that write their arguments as text/template does.
	mutates, prints bool
}

func newFunction(f any) (*function, error) {
	v := reflect.ValueOf(f)
	if !v.IsValid() || v.Kind() != reflect.Func || v.IsNil() {
		return nil, errors.New("is no function")
	}
	if err := checkSignature(v.Type()); err != nil {
		return nil, err
	}
	return &function{call: v, typ: v.Type()}, nil
}

// builtins is the table of the functions in allowed.
var builtins = sync.OnceValue(func() map[string]*function {
	own, fromSprig := ownFunctions(), sprig.GenericFuncMap()
	out := make(map[string]*function, len(allowed))
	for _, name := range allowed {
		impl, ok := own[name]
		if !ok {
			impl = fromSprig[name]
		}
		if must, ok := fromSprig[mustVariant[name]]; ok {
			impl = must
		}
		f, err := newFunction(impl)
		if err != nil {
			continue // TestAllowList sees that none is left out
		}
		f.name, f.light = name, slices.Contains(light, name)
		f.mutates, f.prints = slices.Contains(mutating, name), slices.Contains(printing, name)
		out[name] = f
	}
	out["and"] = &function{name: "and", special: shortCircuit(false)}
	out["or"] = &function{name: "or", special: shortCircuit(true)}
	out["index"] = &function{name: "index", special: (*renderer).index}
	return out
})

// builtinNames is what the parser wants: any value for each name.
var builtinNames = sync.OnceValue(func() map[string]any {
	out := map[string]any{}
	for name := range maps.Keys(builtins()) {
		out[name] = true
	}
	return out
})

// arguments are those of a call, not yet evaluated, and the value of the pipeline before it.
type arguments struct {
	dot   reflect.Value
	nodes []parse.Node
	last  operand
}

func (a arguments) none() bool { return len(a.nodes) == 0 && !a.last.has }

// evalAll evaluates arguments whose types nothing asks for.
func (r *renderer) evalAll(a arguments) ([]reflect.Value, error) {
	out := make([]reflect.Value, 0, len(a.nodes)+1)
	for _, n := range a.nodes {
		v, err := r.value(a.dot, n)
		if err != nil {
			return nil, err
		}
		out = append(out, indirectInterface(v))
	}
	if a.last.has {
		out = append(out, a.last.value)
	}
	return out, nil
}

func (r *renderer) function(n *parse.IdentifierNode, args arguments) (reflect.Value, error) {
	f := r.t.funcs[n.Ident]
	if f == nil {
		return reflect.Value{}, r.fail(n, fmt.Errorf("%w: there is no function %q", ErrSyntax, n.Ident))
	}
	if f.special != nil {
		if err := r.step(n); err != nil {
			return reflect.Value{}, err
		}
		return f.special(r, n, args)
	}
	if f.name == "" {
		f = &function{name: n.Ident, call: f.call, typ: f.typ}
	}
	return r.invoke(n, f, args)
}

// invoke calls a function with converted arguments and bounds what goes in and comes out.
func (r *renderer) invoke(n parse.Node, f *function, args arguments) (reflect.Value, error) {
	if err := r.step(n); err != nil {
		return reflect.Value{}, err
	}
	in, err := r.convert(n, f, args)
	if err != nil {
		return reflect.Value{}, err
	}
	wrap := func(err error) error { return r.fail(n, fmt.Errorf("%s: %w", f.name, err)) }
	if err := r.admit(f, in); err != nil {
		return reflect.Value{}, wrap(err)
	}
	out, err := safeCall(f.call, in)
	if err != nil {
		return reflect.Value{}, wrap(err)
	}
	if out.Type() == valueType {
		out = out.Interface().(reflect.Value)
	}
	if f.light {
		return out, nil
	}
	size, err := r.measure(out, r.t.maxOutput)
	if err == nil {
		err = r.spend(0, size.bytes)
	}
	if err != nil {
		return reflect.Value{}, wrap(err)
	}
	return out, nil
}

// convert evaluates the arguments for the function's parameters.
func (r *renderer) convert(n parse.Node, f *function, args arguments) ([]reflect.Value, error) {
	var in []reflect.Value
	if f.typ.NumIn() > 0 && f.typ.In(0) == rendererType {
		in = append(in, reflect.ValueOf(r))
	}
	own := len(in)
	given := len(args.nodes)
	if args.last.has {
		given++
	}
	want := f.typ.NumIn() - own
	if f.typ.IsVariadic() && given < want-1 || !f.typ.IsVariadic() && given != want {
		return nil, r.fail(n, fmt.Errorf("%w: %s takes %d arguments, not %d", ErrSyntax, f.name, want, given))
	}
	param := func() reflect.Type {
		if f.typ.IsVariadic() && len(in) >= f.typ.NumIn()-1 {
			return f.typ.In(f.typ.NumIn() - 1).Elem()
		}
		return f.typ.In(len(in))
	}
	for _, node := range args.nodes {
		v, err := r.argument(args.dot, node, param())
		if err != nil {
			return nil, err
		}
		in = append(in, v)
	}
	if args.last.has {
		v, err := assignable(args.last.value, param())
		if err != nil {
			return nil, r.fail(n, fmt.Errorf("%s: the value before it: %w", f.name, err))
		}
		in = append(in, v)
	}
	return in, nil
}

// admit measures arguments before a function reads them.
func (r *renderer) admit(f *function, in []reflect.Value) error {
	read := 0
	for _, v := range in {
		if v.Type() == rendererType {
			continue
		}
		if v.Type() == valueType {
			v = v.Interface().(reflect.Value)
		}
		if f.light {
			if v = indirectInterface(v); v.Kind() == reflect.String {
				read += v.Len()
			}
			continue
		}
		size, err := r.measure(v, maxArgs*r.t.maxOutput)
		if err != nil {
			return err
		}
		if size.addressed && f.prints {
			return errAddress
		}
		read += size.bytes
	}
	return r.spend(read, 0)
}

func safeCall(f reflect.Value, in []reflect.Value) (out reflect.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot use these arguments (%s)", panicText(p))
		}
	}()
	results := f.Call(in)
	if len(results) == 2 && !results[1].IsNil() {
		return reflect.Value{}, results[1].Interface().(error)
	}
	return results[0], nil
}

// shortCircuit is or (until true) and and (until false): the first value that decides, or else the last.
func shortCircuit(until bool) func(*renderer, parse.Node, arguments) (reflect.Value, error) {
	return func(r *renderer, n parse.Node, args arguments) (reflect.Value, error) {
		var v reflect.Value
		if args.none() {
			return v, r.fail(n, fmt.Errorf("%w: and and or need an argument", ErrSyntax))
		}
		for _, node := range args.nodes {
			var err error
			if v, err = r.value(args.dot, node); err != nil {
				return v, err
			}
			if v = indirectInterface(v); truth(v) == until {
				return v, nil
			}
		}
		if args.last.has {
			v = args.last.value
		}
		return v, nil
	}
}

package template

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template/parse"
)

var (
	stringType   = reflect.TypeFor[string]()
	errorType    = reflect.TypeFor[error]()
	stringerType = reflect.TypeFor[fmt.Stringer]()
	valueType    = reflect.TypeFor[reflect.Value]()
	optionsType  = reflect.TypeFor[Options]()
	anyMapType   = reflect.TypeFor[map[string]any]()
	rendererType = reflect.TypeFor[*renderer]()
)

func isInt(k reflect.Kind) bool  { return k >= reflect.Int && k <= reflect.Int64 }
func isUint(k reflect.Kind) bool { return k >= reflect.Uint && k <= reflect.Uintptr }

func isStringer(t reflect.Type) bool { return t.Implements(stringerType) || t.Implements(errorType) }

// indirect follows pointers and interfaces. When it ends at a nil one, it returns that and true.
func indirect(v reflect.Value) (reflect.Value, bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return v, true
		}
		v = v.Elem()
	}
	return v, false
}

// indirectInterface returns what an interface holds, which may be nothing.
func indirectInterface(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface {
		return v.Elem()
	}
	return v
}

// truth is what if and with test: false for nothing, nil, zero and empty.
func truth(v reflect.Value) bool {
	v = indirectInterface(v)
	switch v.Kind() {
	case reflect.Invalid:
		return false
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() > 0
	case reflect.Struct:
		return true
	default:
		return !v.IsZero()
	}
}

// number gives a constant the type its spelling asks for: int, or else float64 or complex128.
func (r *renderer) number(n *parse.NumberNode) (reflect.Value, error) {
	isRune := strings.HasPrefix(n.Text, "'")
	isHex := len(n.Text) > 2 && n.Text[0] == '0' && (n.Text[1] == 'x' || n.Text[1] == 'X') && !strings.ContainsAny(n.Text, "pP")
	switch {
	case n.IsComplex:
		return reflect.ValueOf(n.Complex128), nil
	case n.IsFloat && !isRune && !isHex && strings.ContainsAny(n.Text, ".eEpP"):
		return reflect.ValueOf(n.Float64), nil
	case n.IsInt && int64(int(n.Int64)) == n.Int64:
		return reflect.ValueOf(int(n.Int64)), nil
	}
	return reflect.Value{}, r.fail(n, fmt.Errorf("%w: %s is too large", ErrSyntax, n.Text))
}

// argument evaluates a node for a parameter of type want.
func (r *renderer) argument(dot reflect.Value, n parse.Node, want reflect.Type) (reflect.Value, error) {
	if err := r.step(n); err != nil {
		return reflect.Value{}, err
	}
	if want.Kind() != reflect.Interface && want != valueType {
		if v, isConstant, err := constant(n, want); isConstant {
			if err != nil {
				err = r.fail(n, err)
			}
			return v, err
		}
	}
	v, err := r.value(dot, n)
	if err != nil {
		return v, err
	}
	v, err = assignable(v, want)
	if err != nil {
		return v, r.fail(n, fmt.Errorf("%s: %w", n, err))
	}
	return v, nil
}

// constant converts a literal; the second result is false for other nodes.
func constant(n parse.Node, want reflect.Type) (reflect.Value, bool, error) {
	out := reflect.New(want).Elem()
	k := want.Kind()
	switch n := n.(type) {
	case *parse.StringNode:
		if k == reflect.String {
			out.SetString(n.Text)
			return out, true, nil
		}
	case *parse.BoolNode:
		if k == reflect.Bool {
			out.SetBool(n.True)
			return out, true, nil
		}
	case *parse.NumberNode:
		switch {
		case isInt(k) && n.IsInt && !out.OverflowInt(n.Int64):
			out.SetInt(n.Int64)
			return out, true, nil
		case isUint(k) && n.IsUint && !out.OverflowUint(n.Uint64):
			out.SetUint(n.Uint64)
			return out, true, nil
		case out.CanFloat() && n.IsFloat:
			out.SetFloat(n.Float64)
			return out, true, nil
		case out.CanComplex() && n.IsComplex:
			out.SetComplex(n.Complex128)
			return out, true, nil
		}
	default:
		return out, false, nil
	}
	return out, true, fmt.Errorf("%w: %s is not %s", ErrSyntax, n, typeName(want))
}

// assignable makes a value fit a parameter: as it is, out of its interface, or through one pointer.
func assignable(v reflect.Value, want reflect.Type) (reflect.Value, error) {
	if want == valueType {
		return reflect.ValueOf(v), nil
	}
	if !v.IsValid() {
		switch want.Kind() {
		case reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice, reflect.Func, reflect.Chan:
			return reflect.Zero(want), nil
		}
		return v, fmt.Errorf("%w: it has no value, %s is needed", ErrMissing, typeName(want))
	}
	if v.Type().AssignableTo(want) {
		return v, nil
	}
	if v.Kind() == reflect.Interface {
		return assignable(v.Elem(), want)
	}
	if v.Kind() == reflect.Pointer && v.Type().Elem().AssignableTo(want) {
		if v.IsNil() {
			return v, fmt.Errorf("%w: it has no value, %s is needed", ErrMissing, typeName(want))
		}
		return v.Elem(), nil
	}
	given, needed := typeName(v.Type()), typeName(want)
	if given == needed {
		given, needed = v.Type().String(), want.String()
	}
	return v, fmt.Errorf("it is %s, %s is needed", given, needed)
}

// checkSignature says whether a function can be called by templates.
func checkSignature(t reflect.Type) error {
	switch {
	case t.Kind() != reflect.Func:
		return errors.New("is no function")
	case t.NumOut() == 1, t.NumOut() == 2 && t.Out(1) == errorType:
		return nil
	}
	return errors.New("must return one value, or one and an error")
}

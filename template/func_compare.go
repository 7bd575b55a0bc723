package template

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
)

func compareFunctions() map[string]any {
	ordered := func(holds func(int) bool) any {
		return func(a, b reflect.Value) (bool, error) {
			c, err := order(a, b)
			return err == nil && holds(c), err
		}
	}
	return map[string]any{
		"not": func(v reflect.Value) bool { return !truth(v) },
		"len": length,
		"and": truth, "or": truth, "index": truth, // special, see builtins
		"eq": equalAny,
		"ne": func(a, b reflect.Value) (bool, error) { same, err := equalAny(a, b); return !same, err },
		"lt": ordered(func(c int) bool { return c < 0 }),
		"le": ordered(func(c int) bool { return c <= 0 }),
		"gt": ordered(func(c int) bool { return c > 0 }),
		"ge": ordered(func(c int) bool { return c >= 0 }),
	}
}

func length(v reflect.Value) (int, error) {
	v, isNil := indirect(v)
	if !v.IsValid() || isNil {
		return 0, fmt.Errorf("%w: nothing has no length", ErrMissing)
	}
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len(), nil
	}
	return 0, fmt.Errorf("%s has no length", typeName(v.Type()))
}

// equalAny tells whether a is equal to one of the others.
func equalAny(a reflect.Value, others ...reflect.Value) (bool, error) {
	if len(others) == 0 {
		return false, fmt.Errorf("%w: nothing to compare with", ErrSyntax)
	}
	for _, b := range others {
		if same, err := equal(a, b); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func equal(a, b reflect.Value) (bool, error) {
	a, b = indirectInterface(a), indirectInterface(b)
	if !a.IsValid() || !b.IsValid() {
		return isNothing(a) && isNothing(b), nil
	}
	ka, kb := basicKind(a), basicKind(b)
	switch {
	case ka == reflect.Int && kb == reflect.Uint:
		return a.Int() >= 0 && uint64(a.Int()) == b.Uint(), nil
	case ka == reflect.Uint && kb == reflect.Int:
		return equal(b, a)
	case ka != kb:
		return false, fmt.Errorf("cannot compare %s with %s", typeName(a.Type()), typeName(b.Type()))
	case ka == reflect.String:
		return a.String() == b.String(), nil
	case ka != reflect.Invalid:
		return a.Equal(b.Convert(a.Type())), nil
	case isNothing(a) || isNothing(b):
		return isNothing(a) && isNothing(b), nil
	case a.Type() == b.Type() && a.Comparable() && b.Comparable():
		return a.Equal(b), nil
	}
	return false, fmt.Errorf("cannot compare %s with %s", typeName(a.Type()), typeName(b.Type()))
}

func isNothing(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return v.IsNil()
	}
	return false
}

// basicKind groups the kinds that compare with each other; Invalid is everything else.
func basicKind(v reflect.Value) reflect.Kind {
	switch {
	case isInt(v.Kind()):
		return reflect.Int
	case isUint(v.Kind()):
		return reflect.Uint
	case v.CanFloat():
		return reflect.Float64
	case v.CanComplex():
		return reflect.Complex128
	case v.Kind() == reflect.String, v.Kind() == reflect.Bool:
		return v.Kind()
	}
	return reflect.Invalid
}

func order(a, b reflect.Value) (int, error) {
	a, b = indirectInterface(a), indirectInterface(b)
	if !a.IsValid() || !b.IsValid() {
		return 0, fmt.Errorf("%w: nothing is neither less nor greater", ErrMissing)
	}
	ka, kb := basicKind(a), basicKind(b)
	switch {
	case ka == reflect.Int && kb == reflect.Uint:
		if a.Int() < 0 {
			return -1, nil
		}
		return cmp.Compare(uint64(a.Int()), b.Uint()), nil
	case ka == reflect.Uint && kb == reflect.Int:
		c, err := order(b, a)
		return -c, err
	case ka != kb:
		return 0, fmt.Errorf("cannot compare %s with %s", typeName(a.Type()), typeName(b.Type()))
	case ka == reflect.Int:
		return cmp.Compare(a.Int(), b.Int()), nil
	case ka == reflect.Uint:
		return cmp.Compare(a.Uint(), b.Uint()), nil
	case ka == reflect.Float64:
		return cmp.Compare(a.Float(), b.Float()), nil
	case ka == reflect.String:
		return cmp.Compare(a.String(), b.String()), nil
	}
	return 0, errors.New("only numbers and texts have an order, not " + typeName(a.Type()))
}

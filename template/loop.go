package template

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"text/template/parse"
)

// loop executes a range over a list, a map in the order of its keys, or the numbers below one.
func (r *renderer) loop(dot reflect.Value, n *parse.RangeNode) (control, error) {
	mark := len(r.vars)
	defer func() { r.vars = r.vars[:mark] }()
	v, err := r.pipe(dot, n.Pipe)
	if err != nil {
		return goOn, err
	}
	v, _ = indirect(v)
	turn := func(key, elem reflect.Value) (bool, error) { return r.turn(n, key, elem) }
	var turns int
	switch {
	case !v.IsValid():
	case v.Kind() == reflect.Map:
		turns, err = eachEntry(v, turn)
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		for ; turns < v.Len(); turns++ {
			if stop, fault := turn(reflect.ValueOf(turns), v.Index(turns)); stop || fault != nil {
				return goOn, fault
			}
		}
	case isInt(v.Kind()) || isUint(v.Kind()):
		if len(n.Pipe.Decl) > 1 {
			return goOn, r.fail(n, errors.New("range over a number has one variable only"))
		}
		turns, err = eachNumber(v, turn)
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		return goOn, r.failPath(n.Pipe, n.Pipe.String(), fmt.Errorf("%w: it has no value to range over", ErrMissing))
	default:
		return goOn, r.failPath(n.Pipe, n.Pipe.String(), fmt.Errorf("range needs a list, a map or a number, not %s", typeName(v.Type())))
	}
	if err != nil || turns > 0 {
		return goOn, err
	}
	return r.list(dot, n.ElseList)
}

// turn executes the body once. It stops the loop after break.
func (r *renderer) turn(n *parse.RangeNode, key, elem reflect.Value) (stop bool, err error) {
	if err := r.step(n); err != nil {
		return true, err
	}
	decl := n.Pipe.Decl
	mark := len(r.vars)
	switch {
	case len(decl) == 0:
	case n.Pipe.IsAssign:
		if len(decl) > 1 {
			r.assign(decl[0].Ident[0], key)
			r.assign(decl[1].Ident[0], elem)
		} else {
			r.assign(decl[0].Ident[0], elem)
		}
	case len(decl) > 1:
		r.vars = append(r.vars, variable{decl[0].Ident[0], key}, variable{decl[1].Ident[0], elem})
	default:
		r.vars = append(r.vars, variable{decl[0].Ident[0], elem})
	}
	c, err := r.list(elem, n.List)
	r.vars = r.vars[:mark]
	return c == leaveLoop || err != nil, err
}

func eachNumber(v reflect.Value, turn func(key, elem reflect.Value) (bool, error)) (turns int, err error) {
	for elem := range v.Seq() {
		turns++
		if stop, err := turn(reflect.Value{}, elem); stop || err != nil {
			return turns, err
		}
	}
	return turns, nil
}

func eachEntry(v reflect.Value, turn func(key, elem reflect.Value) (bool, error)) (turns int, err error) {
	for _, key := range sortedKeys(v) {
		elem := v.MapIndex(key)
		if !elem.IsValid() { // taken out by unset in an earlier turn
			continue
		}
		turns++
		if stop, err := turn(key, elem); stop || err != nil {
			return turns, err
		}
	}
	return turns, nil
}

// sortedKeys returns the keys of a map in the order of their kind; keys of mixed kinds by kind first.
func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortStableFunc(keys, func(a, b reflect.Value) int {
		a, b = indirectInterface(a), indirectInterface(b)
		if !a.IsValid() || !b.IsValid() || a.Kind() != b.Kind() {
			return cmp.Compare(a.Kind(), b.Kind())
		}
		switch {
		case a.Kind() == reflect.String:
			return cmp.Compare(a.String(), b.String())
		case isInt(a.Kind()):
			return cmp.Compare(a.Int(), b.Int())
		case isUint(a.Kind()):
			return cmp.Compare(a.Uint(), b.Uint())
		case a.CanFloat():
			return cmp.Compare(a.Float(), b.Float())
		default:
			return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
		}
	})
	return keys
}

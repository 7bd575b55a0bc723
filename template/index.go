package template

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"text/template/parse"
)

// index reads entries of lists and maps, one key after the other; without keys it is the value itself. An absent key is an error, but
// for Options and maps of any, where the result is empty.
func (r *renderer) index(n parse.Node, args arguments) (reflect.Value, error) {
	values, err := r.evalAll(args)
	if err != nil {
		return reflect.Value{}, err
	}
	if len(values) == 0 {
		return reflect.Value{}, r.fail(n, fmt.Errorf("%w: index needs a list or a map", ErrSyntax))
	}
	v, path := values[0], ""
	if len(args.nodes) > 0 {
		path = args.nodes[0].String()
	}
	for _, key := range values[1:] {
		key = indirectInterface(key)
		next, err := indexOne(v, key, path)
		if err != nil {
			return next, r.failPath(n, indexPath(path, key), err)
		}
		v, path = next, indexPath(path, key)
	}
	return v, nil
}

// indexPath extends a path by a key.
func indexPath(path string, key reflect.Value) string {
	switch {
	case !key.IsValid():
		return path
	case key.Kind() == reflect.String && isIdentifier(key.String()):
		return path + "." + key.String()
	case key.Kind() == reflect.String:
		return path + "[" + quoteKey(key.String()) + "]"
	case isInt(key.Kind()):
		return path + "[" + strconv.FormatInt(key.Int(), 10) + "]"
	}
	return path
}

func isIdentifier(s string) bool {
	if s == "" || len(s) > maxNamedLength {
		return false
	}
	for i, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func indexOne(v, key reflect.Value, path string) (reflect.Value, error) {
	v, isNil := indirect(v)
	if !v.IsValid() || isNil {
		if why, ok := absent(path); ok {
			return reflect.Value{}, fmt.Errorf("%w: %s", ErrMissing, why)
		}
		return reflect.Value{}, fmt.Errorf("%w: %s has no value to look into", ErrMissing, orValue(path))
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array, reflect.String:
		i, err := listIndex(key)
		if err != nil {
			return reflect.Value{}, err
		}
		if i < 0 || i >= int64(v.Len()) {
			return reflect.Value{}, fmt.Errorf("%w: no position %d in %s, which has %d", ErrMissing, i, orValue(path), v.Len())
		}
		return v.Index(int(i)), nil
	case reflect.Map:
		return indexMap(v, key, path)
	}
	return reflect.Value{}, fmt.Errorf("cannot look into %s", typeName(v.Type()))
}

func indexMap(v, key reflect.Value, path string) (reflect.Value, error) {
	want := v.Type().Key()
	if !key.IsValid() || !key.Type().AssignableTo(want) {
		if key.IsValid() && isInt(key.Kind()) && isInt(want.Kind()) {
			key = key.Convert(want)
		} else {
			given := "nothing"
			if key.IsValid() {
				given = typeName(key.Type())
			}
			return reflect.Value{}, fmt.Errorf("the keys of %s are %s, not %s", orValue(path), keyName(want), given)
		}
	}
	if !key.Comparable() {
		return reflect.Value{}, errors.New("a list or a map cannot be a key")
	}
	if out := v.MapIndex(key); out.IsValid() {
		return out, nil
	}
	if v.Type() == optionsType || v.Type() == anyMapType {
		return reflect.Zero(v.Type().Elem()), nil
	}
	name := fmt.Sprint(key)
	return reflect.Value{}, &missing{key: name, in: orValue(path), container: v}
}

func keyName(t reflect.Type) string {
	if t.Kind() == reflect.String {
		return "texts"
	}
	return "of another type"
}

func orValue(path string) string {
	if path == "" {
		return "the value"
	}
	return path
}

func listIndex(key reflect.Value) (int64, error) {
	switch {
	case !key.IsValid():
		return 0, errors.New("the position in a list is a number, not nothing")
	case isInt(key.Kind()):
		return key.Int(), nil
	case isUint(key.Kind()):
		return int64(min(key.Uint(), 1<<62)), nil
	}
	return 0, fmt.Errorf("the position in a list is a number, not %s", typeName(key.Type()))
}

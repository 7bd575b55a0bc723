package function

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// outputs converts what a function returned. Nil outputs are an empty set.
func (f *plan) outputs(result reflect.Value) (Outputs, error) {
	var out map[string]any
	if f.Type.Kind == Map {
		out = result.Interface().(Outputs)
	} else {
		out = structMap(f.fields, result)
	}
	plain := make(Outputs, len(out))
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(out)) {
		v, err := plainValue(out[name], maxDepth)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("output %s: %w", quote(name), err))
		case v == nil:
			faults = append(faults, fmt.Errorf("output %s: is null", quote(name)))
		default:
			plain[name] = v
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, Permanent(err)
	}
	return plain, nil
}

// structMap returns the fields of a struct by their names. Optional ones that are zero are left out.
func structMap(fields []*plan, v reflect.Value) map[string]any {
	out := map[string]any{}
	for _, f := range fields {
		field := v.FieldByIndex(f.index)
		if !f.Required && field.IsZero() {
			continue
		}
		out[f.Name] = f.plain(field)
	}
	return out
}

// plain turns structs into maps and durations into texts, at any depth.
func (f *plan) plain(v reflect.Value) any {
	if f.pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch f.Type.Kind {
	case Object:
		return structMap(f.fields, v)
	case Duration:
		return v.Interface().(fmt.Stringer).String()
	case List:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = f.elem.plain(v.Index(i))
		}
		return list
	case Map:
		m := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			m[it.Key().String()] = f.elem.plain(it.Value())
		}
		return m
	default:
		return v.Interface()
	}
}

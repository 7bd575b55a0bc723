package template

import (
	"fmt"
	"reflect"
)

func dictFunctions() map[string]any {
	return map[string]any{"keys": keys, "values": values}
}

// keys lists the keys of maps, each map's sorted, so that a rendering is always the same.
func keys(maps ...any) ([]string, error) {
	out := []string{}
	for _, v := range maps {
		m, err := asMap(v)
		if err != nil {
			return nil, err
		}
		if !m.IsValid() {
			continue
		}
		for _, key := range sortedKeys(m) {
			out = append(out, key.String())
		}
	}
	return out, nil
}

// values lists the values of a map in the order of its keys.
func values(v any) ([]any, error) {
	out := []any{}
	m, err := asMap(v)
	if err != nil || !m.IsValid() {
		return out, err
	}
	for _, key := range sortedKeys(m) {
		out = append(out, m.MapIndex(key).Interface())
	}
	return out, nil
}

// asMap is the value as a map with texts as keys; invalid for nothing.
func asMap(v any) (reflect.Value, error) {
	m, isNil := indirect(reflect.ValueOf(v))
	if !m.IsValid() || isNil {
		return reflect.Value{}, nil
	}
	if m.Kind() != reflect.Map || m.Type().Key().Kind() != reflect.String {
		return m, fmt.Errorf("a map is needed, not %s", typeName(m.Type()))
	}
	return m, nil
}

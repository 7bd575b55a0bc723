package template

import "reflect"

// maxCopyDepth is beyond what a JSON decoder nests.
const maxCopyDepth = 25_000

// deepCopy copies all that can be reached through maps, lists, pointers and exported fields, so that functions that change a map never change
// the caller's. What is nested deeper than maxCopyDepth is shared.
// It also tells how many values that are.
func deepCopy(data any) (any, int) {
	if data == nil {
		return nil, 0
	}
	c := &copier{}
	return c.copy(reflect.ValueOf(data), 0).Interface(), c.copied
}

type copier struct{ copied int }

func (c *copier) copy(v reflect.Value, depth int) reflect.Value {
	c.copied++
	if !v.IsValid() || depth > maxCopyDepth {
		return v
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || v.Type() == reflect.PointerTo(timeType) {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(c.copy(v.Elem(), depth+1))
		return out
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		return c.copy(v.Elem(), depth+1)
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			elem := c.copy(it.Value(), depth+1)
			if !elem.IsValid() {
				elem = reflect.Zero(v.Type().Elem())
			}
			out.SetMapIndex(it.Key(), elem)
		}
		return out
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		if v.Type().Elem().Kind() == reflect.Uint8 {
			reflect.Copy(out, v)
			return out
		}
		for i := range v.Len() {
			out.Index(i).Set(c.copy(v.Index(i), depth+1))
		}
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(c.copy(v.Field(i), depth+1))
			}
		}
		return out
	}
	return v
}

package function

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds the nesting of arguments and outputs.
const maxDepth = 200

// decoding is one pass over arguments.
type decoding struct {
	// static is true for arguments that have not been rendered: texts with template actions may become anything.
	static   bool
	problems []Problem
	depth    int
}

func (d *decoding) problem(fault Fault, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{Path: path, Fault: fault, Message: fmt.Sprintf(format, args...)})
}

// sorted returns the problems by path.
func (d *decoding) sorted() []Problem {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return d.problems
}

// object decodes a map into a struct. What names its entries in messages: "argument" or "field".
func (d *decoding) object(fields []*plan, what, path string, in map[string]any, out reflect.Value) {
	// A key that is a template may become the name of any field.
	open := d.static && slices.ContainsFunc(slices.Collect(maps.Keys(in)), isTemplate)
	for name := range in {
		if slices.ContainsFunc(fields, func(f *plan) bool { return f.Name == name }) || d.static && isTemplate(name) {
			continue
		}
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.Name
		}
		d.problem(FaultUnknown, join(path, name), "%s is not known%s", what, didYouMean(name, names))
	}
	for _, f := range fields {
		v, present := in[f.Name]
		at := join(path, f.Name)
		switch {
		case present && v != nil:
			d.value(f, at, v, out.FieldByIndex(f.index))
		case f.Required && present:
			d.problem(FaultMissing, at, "%s is required but null", what)
		case f.Required && !open:
			d.problem(FaultMissing, at, "%s is required but missing", what)
		case f.Default != "":
			d.value(f, at, f.Default, out.FieldByIndex(f.index))
		}
	}
}

// element decodes one value of a list or map, which must not be null.
func (d *decoding) element(f *plan, path string, v any, out reflect.Value) {
	if v == nil && f.Type.Kind != Any {
		d.problem(FaultMissing, path, "must not be null")
		return
	}
	d.value(f, path, v, out)
}

// value decodes v, which is not null, into out. This switch is the closed list of conversions; the kinds document it.
func (d *decoding) value(f *plan, path string, v any, out reflect.Value) {
	if d.depth++; d.depth > maxDepth {
		d.problem(FaultValue, path, "is nested more than %d deep", maxDepth)
		d.depth--
		return
	}
	defer func() { d.depth-- }()
	if f.pointer {
		out.Set(reflect.New(f.typ))
		out = out.Elem()
	}
	if text, ok := v.(string); ok && d.static && !f.Raw && isTemplate(text) && f.mayRender() {
		return
	}
	switch f.Type.Kind {
	case String:
		if text, ok := toText(v); ok {
			out.SetString(d.enum(f, path, text))
			d.nonEmpty(f, path, len(text))
		} else {
			d.mistyped(path, "a text", v)
		}
	case SecretText:
		if text, ok := toText(v); ok {
			out.Set(reflect.ValueOf(NewSecret(text)))
			d.nonEmpty(f, path, len(text))
		} else {
			d.mistyped(path, "a text", v)
		}
	case Int:
		d.integer(path, v, out)
	case Float:
		if n, ok := toFloat(v); ok && !out.OverflowFloat(n) {
			out.SetFloat(n)
		} else {
			d.mistyped(path, "a number", v)
		}
	case Bool:
		if b, ok := toBool(v); ok {
			out.SetBool(b)
		} else {
			d.mistyped(path, "true or false", v)
		}
	case Duration:
		if n, ok := toDuration(v); ok {
			out.SetInt(int64(n))
		} else {
			d.mistyped(path, "a duration with a unit, such as 1h30m", v)
		}
	case Words:
		if text, ok := toText(v); ok {
			d.list(f, path, toAnys(strings.Fields(text)), out)
		} else if list, ok := toList(v); ok {
			d.list(f, path, list, out)
		} else {
			d.mistyped(path, "a text of names separated by white space", v)
		}
	case List:
		if list, ok := toList(v); ok {
			d.list(f, path, list, out)
		} else if list, ok := yamlList(v); ok && f.YAML {
			d.list(f, path, list, out)
		} else if isScalar(v) {
			d.list(f, path, []any{v}, out)
		} else {
			d.mistyped(path, "a list", v)
		}
	case Map:
		if m, ok := d.toMap(f, path, v, "a map with texts as keys"); ok {
			d.mapping(f, path, m, out)
		}
	case Object:
		if m, ok := d.toMap(f, path, v, "a map"); ok {
			d.nonEmpty(f, path, len(m))
			d.object(f.fields, "field", path, m, out)
		}
	case Any:
		if plain, err := plainValue(v, maxDepth); err != nil {
			d.problem(FaultType, path, "%s", err)
		} else if plain != nil {
			out.Set(reflect.ValueOf(plain))
		}
	}
}

func (d *decoding) integer(path string, v any, out reflect.Value) {
	n, ok := toInt(v)
	switch {
	case !ok:
		d.mistyped(path, "a whole number", v)
	case out.CanInt() && n.IsInt64() && !out.OverflowInt(n.Int64()):
		out.SetInt(n.Int64())
	case out.CanUint() && n.IsUint64() && !out.OverflowUint(n.Uint64()):
		out.SetUint(n.Uint64())
	case out.CanUint() && n.Sign() < 0:
		d.problem(FaultValue, path, "must not be negative, is %s", quote(v))
	default:
		d.problem(FaultValue, path, "must fit into %d bits, is %s", out.Type().Bits(), quote(v))
	}
}

func (d *decoding) list(f *plan, path string, list []any, out reflect.Value) {
	d.nonEmpty(f, path, len(list))
	out.Set(reflect.MakeSlice(f.typ, len(list), len(list)))
	for i, v := range list {
		d.element(f.elem, path+"["+strconv.Itoa(i)+"]", v, out.Index(i))
	}
}

func (d *decoding) mapping(f *plan, path string, m map[string]any, out reflect.Value) {
	d.nonEmpty(f, path, len(m))
	out.Set(reflect.MakeMapWithSize(f.typ, len(m)))
	for key, v := range m {
		elem := reflect.New(f.typ.Elem()).Elem()
		d.element(f.elem, join(path, key), v, elem)
		out.SetMapIndex(reflect.ValueOf(key).Convert(f.typ.Key()), elem)
	}
}

func (d *decoding) toMap(f *plan, path string, v any, want string) (map[string]any, bool) {
	m, ok := toMap(v)
	if !ok && f.YAML {
		m, ok = yamlMap(v)
	}
	if !ok {
		d.mistyped(path, want, v)
	}
	return m, ok
}

// enum returns the text in the spelling of the enum.
func (d *decoding) enum(f *plan, path, text string) string {
	if f.Enum == nil {
		return text
	}
	for _, allowed := range f.Enum {
		if strings.EqualFold(allowed, text) {
			return allowed
		}
	}
	d.problem(FaultValue, path, "must be one of %s, is %s%s", strings.Join(f.Enum, ", "), quote(text), didYouMean(text, f.Enum))
	return text
}

func (d *decoding) nonEmpty(f *plan, path string, length int) {
	if f.NonEmpty && length == 0 {
		d.problem(FaultValue, path, "must not be empty")
	}
}

func (d *decoding) mistyped(path, want string, v any) {
	d.problem(FaultType, path, "must be %s, is %s", want, quote(v))
}

// mayRender tells whether a text that is rendered later can become a value of the field.
func (f *plan) mayRender() bool {
	switch f.Type.Kind {
	case Map, Object:
		return f.YAML
	case List:
		return f.YAML || f.elem.mayRender()
	default:
		return true
	}
}

func isTemplate(text string) bool { return strings.Contains(text, "{{") }

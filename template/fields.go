package template

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// CheckPath says whether a template can read a path (see Reference) from Params, by the types alone: keys of maps are free, and so is
// everything below Object, PodOverride and outputs. The error is ErrMissing; it names the path and the fields there are.
func CheckPath(path []string) error {
	t := reflect.TypeFor[Params]()
	for i, name := range path {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case t == timeType || t.Kind() == reflect.Interface:
			return nil
		case t.Kind() == reflect.Struct:
			f, ok := structField(t, name)
			if !ok {
				return &unreadable{path: path[:i+1], in: t}
			}
			t = f.Type
		case t.Kind() == reflect.Map:
			t = t.Elem()
		case t.Kind() == reflect.Slice:
			if _, err := strconv.ParseUint(name, 10, 32); err != nil {
				return &unreadable{path: path[:i+1], in: t}
			}
			t = t.Elem()
		default:
			return &unreadable{path: path[:i+1], in: t}
		}
	}
	return nil
}

// unreadable is a path no run has, whatever it reads: in, the type of all but the last name, has no such field.
type unreadable struct {
	path []string
	in   reflect.Type
}

func (u *unreadable) Is(target error) bool { return target == ErrMissing }

func (u *unreadable) Error() string {
	last := len(u.path) - 1
	at, name := u.path[:last], u.path[last]
	if u.in.Kind() != reflect.Struct {
		return fmt.Sprintf("there is no %s: %s is %s and has no fields", dotted(u.path), dotted(at), typeName(u.in))
	}
	if last == 0 && name == "RepositoryServer" {
		return "there is no .RepositoryServer; Kanister has it up to 0.119, Davit does not"
	}
	names := fieldNames(u.in)
	hint := "there are " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		hint = "did you mean " + dotted(append(slices.Clone(at), near)) + "?"
	}
	return fmt.Sprintf("there is no %s (%s)", dotted(u.path), hint)
}

// dotted writes a path as a template has it. Names a template cannot write after a dot are quoted.
func dotted(path []string) string {
	var b strings.Builder
	for _, name := range path {
		b.WriteByte('.')
		if len(name) > maxNamedLength || strings.ContainsFunc(name, notInNames) {
			name = quoteKey(name)
		}
		b.WriteString(name)
	}
	return b.String()
}

func notInNames(r rune) bool {
	return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// structField finds an exported field of a struct.
func structField(t reflect.Type, name string) (reflect.StructField, bool) {
	f, ok := t.FieldByName(name)
	return f, ok && f.IsExported()
}

// typeField is structField with an error that suggests a field or lists them.
func typeField(t reflect.Type, name string) (reflect.StructField, error) {
	if f, ok := structField(t, name); ok {
		return f, nil
	}
	names := fieldNames(t)
	hint := "there are " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return reflect.StructField{}, fmt.Errorf("%w: no field %s (%s)", ErrMissing, quoteKey(name), hint)
}

// fieldNames lists the exported fields, those of embedded structs included.
func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() && !f.Anonymous {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// nearest is the name that differs by case only, or by at most two letters.
func nearest(name string, names []string) string {
	best, least := "", 3
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return n
		}
		if d := distance(n, name, least); d < least && d < len(n)-1 {
			best, least = n, d
		}
	}
	return best
}

// distance is how many letters to add, drop or change; at least limit when the lengths differ by that much.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// composite tells whether a path leads to a map, list or struct of Params, as far as the types say.
func composite(path []string) bool {
	t := reflect.TypeFor[Params]()
	for _, name := range path {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Struct:
			f, ok := t.FieldByName(name)
			if !ok {
				return false
			}
			t = f.Type
		case reflect.Map, reflect.Slice:
			t = t.Elem()
		default:
			return false
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		return t != timeType
	case reflect.Map:
		return true
	case reflect.Slice:
		return t.Elem().Kind() != reflect.Uint8
	}
	return false
}

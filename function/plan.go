package function

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// plan is a field with what decoding and encoding need to find it in the Go struct.
type plan struct {
	Field
	index   []int
	typ     reflect.Type // never a pointer
	pointer bool
	elem    *plan
	fields  []*plan
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
	fieldName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
)

// planner turns struct types into plans and collects what is wrong with them.
type planner struct {
	// tag is "arg" or "out".
	tag    string
	faults []error
	// open holds the struct types that are being planned, to find recursive ones.
	open []reflect.Type
}

func (p *planner) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(format, args...))
}

func (p *planner) err() error { return errors.Join(p.faults...) }

// object plans a struct. At is the path that leads to it, empty for the outermost one.
func (p *planner) object(t reflect.Type, at string) []*plan {
	if slices.Contains(p.open, t) {
		p.fault("%s: type %s contains itself", at, t)
		return nil
	}
	p.open = append(p.open, t)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	var plans []*plan
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup(p.tag)
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct {
			for _, inner := range p.object(f.Type, at) {
				inner.index = slices.Concat([]int{i}, inner.index)
				plans = append(plans, inner)
			}
			continue
		}
		switch {
		case !f.IsExported():
			p.fault("%s: field is not exported", join(at, f.Name))
		case !tagged:
			p.fault("%s: field has no tag %s", join(at, f.Name), p.tag)
		default:
			if field := p.field(f, tag, at); field != nil {
				field.index = []int{i}
				plans = append(plans, field)
			}
		}
	}
	for i, a := range plans {
		if slices.ContainsFunc(plans[:i], func(b *plan) bool { return a.Name == b.Name }) {
			p.fault("%s: name is used twice", join(at, a.Name))
		}
	}
	return plans
}

// field plans one field from its tags. It is nil when the name is bad.
func (p *planner) field(f reflect.StructField, tag, at string) *plan {
	name, rest, _ := strings.Cut(tag, ",")
	path := join(at, name)
	if !fieldName.MatchString(name) {
		p.fault("%s: name %q is not a letter followed by letters, digits, _ and -", join(at, f.Name), name)
		return nil
	}
	field := Field{Name: name, Doc: f.Tag.Get("doc"), Required: true, Default: f.Tag.Get("default")}
	if strings.TrimSpace(field.Doc) == "" {
		p.fault("%s: no doc", path)
	}
	words := false
	for option := range strings.SplitSeq(rest, ",") {
		switch {
		case option == "":
		case option == "optional":
			field.Required = false
		case option == "raw" && p.tag == "arg":
			field.Raw = true
		case option == "command" && p.tag == "arg":
			field.Command = true
		case option == "words" && p.tag == "arg":
			words = true
		case option == "nonempty" && p.tag == "arg":
			field.NonEmpty = true
		case option == "yaml" && p.tag == "arg":
			field.YAML = true
		default:
			p.fault("%s: unknown option %q in tag %s", path, option, p.tag)
		}
	}
	if enum, ok := f.Tag.Lookup("enum"); ok {
		field.Enum = strings.Split(enum, ",")
	}
	plan := p.typed(f.Type, field, path)
	if plan == nil {
		return nil
	}
	if plan.pointer || field.Default != "" {
		plan.Required = false
	}
	if words {
		if plan.Type.Kind != List || plan.elem.Type.Kind != String {
			p.fault("%s: option words needs a []string", path)
		} else {
			plan.Type.Kind = Words
		}
	}
	p.rules(plan, path)
	return plan
}

// rules checks that options, enum and default fit the type.
func (p *planner) rules(f *plan, path string) {
	text, structured := false, false
	switch f.Type.Kind {
	case String, SecretText:
		text = true
	case List, Words:
		structured = f.Type.Kind == List
		text = f.elem.Type.Kind == String
	case Map, Object:
		structured = true
	}
	if f.Enum != nil && !text {
		p.fault("%s: enum needs a string or a list of strings", path)
	}
	if f.YAML && !structured {
		p.fault("%s: option yaml needs a list, map or struct", path)
	}
	if f.Default == "" || p.tag != "arg" {
		return
	}
	d := decoding{}
	d.value(f, path, f.Default, reflect.New(f.fieldType()).Elem())
	for _, problem := range d.problems {
		p.fault("%s: default: %s", problem.Path, problem.Message)
	}
}

// typed plans a type. The field's name, documentation and options are those of the outermost type.
func (p *planner) typed(t reflect.Type, field Field, path string) *plan {
	out := &plan{Field: field, typ: t}
	if t.Kind() == reflect.Pointer {
		out.pointer, out.typ = true, t.Elem()
		t = out.typ
	}
	inner := Field{Name: field.Name, Required: true, Enum: field.Enum, Raw: field.Raw, Command: field.Command}
	switch {
	case t == durationType:
		out.Type.Kind = Duration
	case t == secretType && p.tag == "arg":
		out.Type.Kind = SecretText
	case t.Kind() == reflect.String:
		out.Type.Kind = String
	case t.Kind() == reflect.Bool:
		out.Type.Kind = Bool
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		out.Type.Kind = Int
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		out.Type.Kind = Float
	case t.Kind() == reflect.Interface && t.NumMethod() == 0:
		out.Type.Kind = Any
	case t.Kind() == reflect.Slice:
		out.Type.Kind = List
		out.elem = p.typed(t.Elem(), inner, path+"[]")
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		out.Type.Kind = Map
		inner.Enum = nil
		out.elem = p.typed(t.Elem(), inner, path+".*")
	case t.Kind() == reflect.Struct && t != secretType:
		out.Type.Kind = Object
		out.fields = p.object(t, path)
		out.Type.Fields = schemaFields(out.fields)
	default:
		p.fault("%s: type %s is not supported", path, t)
		return nil
	}
	if out.Type.Kind == List || out.Type.Kind == Map {
		if out.elem == nil {
			return nil
		}
		out.Type.Elem = &out.elem.Type
	}
	return out
}

// fieldType is the type of the struct's field.
func (f *plan) fieldType() reflect.Type {
	if f.pointer {
		return reflect.PointerTo(f.typ)
	}
	return f.typ
}

func schemaFields(plans []*plan) []Field {
	fields := make([]Field, len(plans))
	for i, f := range plans {
		fields[i] = f.Field
	}
	return fields
}

// join appends a name to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

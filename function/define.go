package function

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

var functionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// Define makes a function from a Go function. In is a struct whose fields are the arguments:
//
//	Pod     string        `arg:"pod" doc:"Name of the pod."`
//	Timeout time.Duration `arg:"timeout,optional" doc:"..."`
//	Command []string      `arg:"command,command" doc:"..."`
//
// The name is followed by any of: optional, raw (not rendered), command (ends up on a command line), words (text
// separated by white space), yaml (text that is a YAML list or map is taken too) and nonempty. The tags default:"..." (a text
// that is converted like an argument; implies optional) and enum:"a,b" (of texts, any case) are understood. A pointer is optional.
// Every field has doc, one sentence. The fields of an embedded struct count as those of In; structs nest.
//
// Out is Outputs, when the names are only known at run time, or a struct whose fields have out:"name" and doc tags;
// out:"name,optional" leaves the zero value out. A struct without fields has no outputs.
//
// A bad declaration is reported by NewRegistry.
func Define[In, Out any](name, doc string, run func(ctx context.Context, call *Call, in In) (Out, error), opts *Options) Func {
	f, out := declare[In, Out](name, doc, opts)
	if run == nil {
		f.err = errors.Join(f.err, errors.New("nothing to run"))
	}
	f.schema.Runnable = true
	f.run = func(ctx context.Context, call *Call, in reflect.Value) (Outputs, error) {
		result, err := run(ctx, call, in.Interface().(In))
		if err != nil {
			return nil, err
		}
		return out.outputs(reflect.ValueOf(result))
	}
	return f
}

// Declare makes a function that can be linted and documented but not run: its code is not part of this build. Exec
// fails with ErrDeclared.
func Declare[In, Out any](name, doc string, opts *Options) Func {
	f, _ := declare[In, Out](name, doc, opts)
	return f
}

// declare makes the schema and the plans of both structs, and collects every fault.
func declare[In, Out any](name, doc string, opts *Options) (Func, *plan) {
	if opts == nil {
		opts = &Options{}
	}
	f := Func{check: opts.Check, rules: opts.Rules, schema: Schema{
		Name: name, Doc: doc, Version: opts.Version, Deprecated: opts.Deprecated, Example: opts.Example, Replay: opts.Replay,
	}}
	if f.schema.Version == "" {
		f.schema.Version = DefaultVersion
	}
	var nameErr, docErr error
	if !functionName.MatchString(name) {
		nameErr = errors.New("name is not a letter followed by letters, digits, _, . and -")
	}
	if strings.TrimSpace(doc) == "" {
		docErr = errors.New("no documentation")
	}
	version, versionErr := parseVersion(f.schema.Version)
	in, inErr := planArguments(reflect.TypeFor[In]())
	out, outErr := planOutputs(reflect.TypeFor[Out]())
	f.version, f.in = version, in
	f.schema.Args, f.schema.Outputs = in.Type.Fields, out.Type.Fields
	f.schema.OpenOutputs = out.Type.Kind == Map
	f.err = errors.Join(nameErr, docErr, versionErr, inErr, outErr)
	return f, out
}

// fault is what NewRegistry says of a function that cannot be registered.
func (f Func) fault() error {
	if f.err == nil {
		return errors.New("function without a declaration: make it with Define or Declare")
	}
	return fmt.Errorf("function %q: %w", f.Name(), f.err)
}

func planArguments(t reflect.Type) (*plan, error) {
	out := &plan{typ: t, Field: Field{Type: Type{Kind: Object}}}
	if t.Kind() != reflect.Struct {
		return out, fmt.Errorf("arguments: type %s is not a struct", t)
	}
	p := planner{tag: "arg"}
	out.fields = p.object(t, "")
	out.Type.Fields = schemaFields(out.fields)
	if err := p.err(); err != nil {
		return out, fmt.Errorf("arguments: %w", err)
	}
	return out, nil
}

func planOutputs(t reflect.Type) (*plan, error) {
	out := &plan{typ: t, Field: Field{Type: Type{Kind: Object}}}
	if t == reflect.TypeFor[Outputs]() {
		out.Type.Kind = Map
		return out, nil
	}
	if t.Kind() != reflect.Struct {
		return out, fmt.Errorf("outputs: type %s is neither Outputs nor a struct", t)
	}
	p := planner{tag: "out"}
	out.fields = p.object(t, "")
	out.Type.Fields = schemaFields(out.fields)
	if err := p.err(); err != nil {
		return out, fmt.Errorf("outputs: %w", err)
	}
	return out, nil
}

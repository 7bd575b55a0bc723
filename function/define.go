package function

import "context"

// Define makes a function from a Go function. In is a struct whose fields are the arguments:
//
//	Pod     string   `arg:"pod" doc:"Name of the pod."`
//	Timeout time.Duration `arg:"timeout,optional" doc:"..."`
//	Command []string `arg:"command,command" doc:"..."`
//
// The name is followed by any of: optional, raw (not rendered), command (ends up on a command line), words (text
// separated by white space). The tags default:"..." (implies optional) and enum:"a,b" are understood. Every field has doc, one sentence.
// Out is Outputs, when the names are only known at run time, or a struct whose fields have out:"name" and doc tags.
//
// A bad declaration is reported by NewRegistry.
func Define[In, Out any](name, doc string, run func(ctx context.Context, call *Call, in In) (Out, error), opts *Options) Func {
	return Func{schema: Schema{Name: name, Doc: doc}}
}

// Declare makes a function that can be linted and documented but not run: its code is not part of this build.
func Declare[In, Out any](name, doc string, opts *Options) Func {
	return Func{schema: Schema{Name: name, Doc: doc}}
}

// Validate decodes rendered arguments without running anything. All faults are reported, joined.
func (f Func) Validate(args map[string]any) error { return nil }

// Check reports mistakes in arguments that have not been rendered.
func (f Func) Check(args map[string]any) []Problem { return nil }

// Exec decodes rendered arguments and runs the function. Decoding errors are permanent. A panic becomes an error.
func (f Func) Exec(ctx context.Context, call *Call, args map[string]any) (Outputs, error) {
	return nil, ErrDeclared
}

func name(id, suffix string) string { return id + suffix }

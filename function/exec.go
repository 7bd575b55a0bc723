package function

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode"
)

// Validate decodes rendered arguments without running anything. All faults are reported, joined, sorted by path; the error is
// permanent and wraps ErrArguments.
func (f Func) Validate(args map[string]any) error {
	_, err := f.decode(args)
	return err
}

// Check reports mistakes in arguments that have not been rendered, sorted by path: unknown and missing ones, values that no
// rendering can make right, and what the function's own check finds. It never panics.
func (f Func) Check(args map[string]any) []Problem {
	if f.in == nil {
		return nil
	}
	d := decoding{static: true}
	d.object(f.in.fields, "argument", "", args, reflect.New(f.in.typ).Elem())
	if f.check != nil {
		d.problems = append(d.problems, f.ownCheck(args)...)
	}
	return d.sorted()
}

// Exec decodes rendered arguments and runs the function. Decoding errors wrap ErrArguments and are permanent, as is why it cannot run.
// A panic becomes a *PanicError. Outputs of a function that failed are dropped; those of one that did not are a map, maybe empty.
func (f Func) Exec(ctx context.Context, call *Call, args map[string]any) (out Outputs, err error) {
	if why := f.CannotRun(); why != nil {
		return nil, Permanent(fmt.Errorf("function %q: %w", f.Name(), why))
	}
	in, err := f.decode(args)
	if err != nil {
		return nil, err
	}
	c := Call{}
	if call != nil {
		c = *call
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Mask == nil {
		c.Mask = func(s string) string { return s }
	}
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, newPanicError(f.Name(), r)
		}
	}()
	return f.run(ctx, &c, in)
}

func (f Func) decode(args map[string]any) (reflect.Value, error) {
	if f.in == nil || f.err != nil {
		return reflect.Value{}, Permanent(f.fault())
	}
	d := decoding{}
	in := reflect.New(f.in.typ).Elem()
	d.object(f.in.fields, "argument", "", args, in)
	if len(d.problems) > 0 {
		return reflect.Value{}, Permanent(&argumentsError{f.Name(), d.sorted()})
	}
	return in, nil
}

// ownCheck calls the check of the function's author.
func (f Func) ownCheck(args map[string]any) (problems []Problem) {
	defer func() {
		if r := recover(); r != nil {
			problems = []Problem{{Message: newPanicError(f.Name()+" (check)", r).Error()}}
		}
	}()
	return f.check(args)
}

// argumentsError lists all that is wrong with the arguments of a call.
type argumentsError struct {
	function string
	problems []Problem
}

func (e *argumentsError) Error() string {
	texts := make([]string, len(e.problems))
	for i, p := range e.problems {
		texts[i] = printable(p.Path) + ": " + p.Message
	}
	return fmt.Sprintf("function %q: %s: %s", e.function, ErrArguments, strings.Join(texts, "; "))
}

// printable quotes a path that holds line breaks or other characters that could fake a message.
func printable(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}

func (e *argumentsError) Unwrap() error { return ErrArguments }

// PanicError says that a function panicked: a fault of its code. The panic's value may hold anything, a secret too, so only
// its type is kept.
type PanicError struct {
	// Func names the function, Type is the type of the panic's value, Place the file and line, if known.
	Func, Type, Place string
	// Stack of the goroutine; for logs of the host, not for users.
	Stack []byte
}

// Error names the function, the type of the panic's value and the place.
func (e *PanicError) Error() string {
	return fmt.Sprintf("function %q panicked with a %s at %s", e.Func, e.Type, e.Place)
}

func newPanicError(name string, value any) *PanicError {
	e := &PanicError{Func: name, Type: fmt.Sprintf("%T", value), Place: "an unknown place", Stack: debug.Stack()}
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicking := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !inRuntime {
			e.Place = fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
			return e
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return e
		}
	}
}

package functiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/davit-project/davit/function"
)

// Signature is what callers of a function rely on: names separated by blanks, in any order.
type Signature struct {
	// Required and Optional arguments.
	Required, Optional string
	// Defaults of arguments: "name=value".
	Defaults string
	// Outputs whose names are known.
	Outputs string
	// Open says that there can be outputs of any name.
	Open bool
}

// Declarations compares functions with the signatures they should have, by name, and runs those checks on them that need no
// execution: documentation and, except for deprecated functions without one, the example. All faults are reported, joined.
func Declarations(ctx context.Context, funcs []function.Func, want map[string]Signature) error {
	_, err := function.NewRegistry(funcs...)
	faults := []error{err}
	seen := map[string]bool{}
	for _, f := range funcs {
		name := f.Name()
		seen[name] = true
		signature, known := want[name]
		if !known {
			faults = append(faults, fmt.Errorf("function %q should not exist", name))
			continue
		}
		faults = append(faults, signature.compare(f.Schema()))
		s := Subject{New: func() Function { return f }}
		faults = append(faults, prefixed(name, documentation(ctx, s)))
		if f.Schema().Example != "" || f.Schema().Deprecated == "" {
			faults = append(faults, prefixed(name, example(ctx, s)))
		}
	}
	for name := range want {
		if !seen[name] {
			faults = append(faults, fmt.Errorf("function %q does not exist", name))
		}
	}
	return errors.Join(faults...)
}

func (s Signature) compare(schema function.Schema) error {
	var required, optional, defaults, outputs []string
	for _, a := range schema.Args {
		if a.Required {
			required = append(required, a.Name)
		} else {
			optional = append(optional, a.Name)
		}
		if a.Default != "" {
			defaults = append(defaults, a.Name+"="+a.Default)
		}
	}
	for _, o := range schema.Outputs {
		outputs = append(outputs, o.Name)
	}
	err := errors.Join(
		sameNames("required arguments", s.Required, required),
		sameNames("optional arguments", s.Optional, optional),
		sameNames("defaults", s.Defaults, defaults),
		sameNames("outputs", s.Outputs, outputs),
	)
	if s.Open != schema.OpenOutputs {
		err = errors.Join(err, fmt.Errorf("outputs of any name: are %t, should be %t", schema.OpenOutputs, s.Open))
	}
	return prefixed(schema.Name, err)
}

func sameNames(what, want string, got []string) error {
	wanted := strings.Fields(want)
	slices.Sort(wanted)
	slices.Sort(got)
	if slices.Equal(wanted, got) {
		return nil
	}
	return fmt.Errorf("%s are %v, should be %v", what, got, wanted)
}

func prefixed(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("function %q: %w", name, err)
}

package functiontest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/davit-project/davit/function"
)

// documentation wants sentences: a capital letter first, a full stop last, on one line.
func documentation(_ context.Context, s Subject) error {
	schema := s.New().Schema()
	return errors.Join(
		sentence("function", schema.Doc),
		sentences("argument", schema.Args),
		sentences("output", schema.Outputs),
	)
}

func sentences(what string, fields []function.Field) error {
	var faults []error
	for _, f := range fields {
		faults = append(faults, sentence(fmt.Sprintf("%s %q", what, f.Name), f.Doc))
		t := f.Type
		for t.Elem != nil {
			t = *t.Elem
		}
		faults = append(faults, sentences(what+" "+f.Name+": field", t.Fields))
	}
	return errors.Join(faults...)
}

func sentence(what, doc string) error {
	first := []rune(doc + " ")[0]
	switch {
	case strings.TrimSpace(doc) == "":
		return fmt.Errorf("%s has no documentation", what)
	case unicode.IsLower(first) || !strings.HasSuffix(doc, ".") || strings.ContainsAny(doc, "\n\t"):
		return fmt.Errorf("%s: documentation must be a sentence on one line, is %q", what, doc)
	}
	return nil
}

// example wants a phase that calls the function with arguments its own checks find nothing wrong with.
func example(_ context.Context, s Subject) error {
	f := s.New()
	schema := f.Schema()
	if schema.Example == "" {
		return errors.New("there is no example")
	}
	var phase struct {
		Func string         `yaml:"func"`
		Name string         `yaml:"name"`
		Args map[string]any `yaml:"args"`
	}
	if err := yaml.Unmarshal([]byte(schema.Example), &phase); err != nil {
		return fmt.Errorf("the example is no YAML: %w", err)
	}
	if phase.Func != schema.Name || phase.Name == "" {
		return fmt.Errorf("the example must be a phase with a name and func %q, has func %q and name %q", schema.Name, phase.Func, phase.Name)
	}
	var faults []error
	for _, p := range f.Check(phase.Args) {
		faults = append(faults, fmt.Errorf("the example has a fault at %q: %s", p.Path, p.Message))
	}
	return errors.Join(faults...)
}

// goodArguments wants Validate and Check to accept what Exec runs with.
func goodArguments(ctx context.Context, s Subject) error {
	f := s.New()
	if err := f.Validate(s.Args(0)); err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	if problems := f.Check(s.Args(0)); len(problems) > 0 {
		return fmt.Errorf("check finds faults in good arguments: %v", problems)
	}
	call, _ := s.call(0)
	if _, err := f.Exec(ctx, call, s.Args(0)); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	return nil
}

// unknownArguments wants them refused by all three methods, by name.
func unknownArguments(ctx context.Context, s Subject) error {
	const unknown = "thereIsNoSuchArgument"
	return refused(ctx, s, unknown, func(args map[string]any) { args[unknown] = "x" })
}

// missingArguments wants the absence of each required argument refused.
func missingArguments(ctx context.Context, s Subject) error {
	return eachRequired(ctx, s, func(args map[string]any, name string) { delete(args, name) })
}

// nullArguments wants a null for each required argument refused.
func nullArguments(ctx context.Context, s Subject) error {
	return eachRequired(ctx, s, func(args map[string]any, name string) { args[name] = nil })
}

func eachRequired(ctx context.Context, s Subject, spoil func(args map[string]any, name string)) error {
	var faults []error
	for _, f := range s.New().Schema().Args {
		if f.Required {
			faults = append(faults, refused(ctx, s, f.Name, func(args map[string]any) { spoil(args, f.Name) }))
		}
	}
	return errors.Join(faults...)
}

// refused wants Check, Validate and Exec to name the argument that spoil has spoilt.
func refused(ctx context.Context, s Subject, name string, spoil func(map[string]any)) error {
	f := s.New()
	args := s.Args(0)
	spoil(args)
	var faults []error
	named := false
	for _, p := range f.Check(args) {
		named = named || p.Path == name
	}
	if !named {
		faults = append(faults, fmt.Errorf("check says nothing about argument %q", name))
	}
	call, _ := s.call(0)
	_, execErr := f.Exec(ctx, call, args)
	for method, err := range map[string]error{"validate": f.Validate(args), "exec": execErr} {
		if !errors.Is(err, function.ErrArguments) || !function.IsPermanent(err) || !strings.Contains(err.Error(), name) {
			faults = append(faults, fmt.Errorf("%s must fail for good, with ErrArguments and naming %q, returned: %w", method, name, nonNil(err)))
		}
	}
	return errors.Join(faults...)
}

// nonNil makes success printable.
func nonNil(err error) error {
	if err == nil {
		return errors.New("success")
	}
	return err
}

// Package function defines what a phase of a blueprint can call: a function is one value, made by Define from a
// Go function over two structs. Its schema, the decoding of its arguments, its documentation and its static checks all
// come from the structs' fields.
//
// # Errors
//
// Arguments that cannot be decoded are [ErrArguments], unknown functions and versions [ErrUnknown] and [ErrVersion], a function
// that is not built in [ErrDeclared], and a panic a [*PanicError]. A function that fails in a way that trying again cannot mend wraps its error with Permanent.
//
// # Concurrency
//
// A Func keeps no state; one value serves any number of runs at once.
package function

import (
	"context"
	"errors"
	"reflect"

	"github.com/Masterminds/semver/v3"
)

// Outputs are the results of a phase, by name. Values are strings, numbers, booleans, lists and maps of them.
type Outputs map[string]any

// Replay says what may be done with an attempt whose outcome is unknown because the host died.
type Replay int

// Replay policies.
const (
	// Once stops: the engine reports an unknown outcome and does not call the function again. It is the zero value,
	// because it is the only safe guess.
	Once Replay = iota
	// Idempotent runs the function again: twice is as good as once.
	Idempotent
	// Adopt runs the function again with Call.Resumed set: it finds what the earlier attempt made by its name and carries on.
	Adopt
)

// String is "once", "idempotent" or "adopt".
func (r Replay) String() string {
	switch r {
	case Idempotent:
		return "idempotent"
	case Adopt:
		return "adopt"
	default:
		return "once"
	}
}

// DefaultVersion is the version of a function that names none.
const DefaultVersion = "v0.0.0"

// Options of a function. Nil and zero are ready to use.
type Options struct {
	// Version is a semantic version. Default DefaultVersion.
	Version string
	// Replay is what may be done after a crash. Default Once.
	Replay Replay
	// Deprecated says what to use instead. Default "": not deprecated.
	Deprecated string
	// Check looks for mistakes that a field alone cannot show ("one of pod and volumes"), before anything is
	// rendered: a value may be a template text. It must not touch anything. Default none.
	Check func(args map[string]any) []Problem
	// Rules tells which permissions of a Kubernetes cluster a phase with these arguments needs. They have not been rendered: a value may be a
	// template text, and then stands in the rule as it is; they may also be faulty, and what cannot be read needs no rule. It must not touch anything. Default none.
	Rules func(args map[string]any) []Rule
	// Example is a phase of a blueprint in YAML, for the documentation; it must lint clean. Default none.
	Example string
}

// Rule is a permission, in the terms of Kubernetes' RBAC. Any text in it may be a template text, where the arguments hold one: what it becomes is only
// known when the phase runs, or to who renders it with the parameters of an action.
type Rule struct {
	// Subject is the kind of workload, such as Deployment, that the action must be performed on for the rule to be needed; empty for a rule that is needed
	// whatever the action is performed on.
	Subject string
	// Profile is true for a rule that only runs with a profile need.
	Profile bool
	// Namespace the rule is for; empty for objects that belong to no namespace. Where the arguments do not tell whether an object belongs to one, it is
	// the namespace the object is in if it does.
	Namespace string
	// Group of the API; empty for the core group.
	Group string
	// Version of the API and Kind of the objects stand in place of Resource where the arguments name only them; else they are empty.
	Version, Kind string
	// Resource in the plural, with the subresource after a slash: "pods/exec".
	Resource string
	// Names restricts the rule to objects of these names; nil for all.
	Names []string
	// Verbs such as get and create.
	Verbs []string
}

// Problem is a mistake in the arguments of a phase.
type Problem struct {
	// Path leads from the arguments to the value: "conditions.anyOf[0].condition". Empty for the phase itself.
	Path string
	// Message says what is wrong and what would be right.
	Message string
	// Fault is the kind of mistake. Checks in Options leave it empty.
	Fault Fault
}

// Fault is a kind of mistake in arguments.
type Fault string

// Faults.
const (
	// FaultUnknown means that the function has no such argument, or the object no such field.
	FaultUnknown Fault = "unknown"
	// FaultMissing means that a required argument or field is absent or null.
	FaultMissing Fault = "missing"
	// FaultType means that the value is of another type and no conversion applies.
	FaultType Fault = "type"
	// FaultValue means that the value is of the right type but not allowed.
	FaultValue Fault = "value"
	// FaultOther is a mistake that a function's own check found.
	FaultOther Fault = ""
)

// Func is a function that phases can call. Define and Declare make it; the zero value is refused by NewRegistry.
type Func struct {
	schema  Schema
	version *semver.Version
	in      *plan
	check   func(map[string]any) []Problem
	rules   func(map[string]any) []Rule
	run     func(ctx context.Context, call *Call, in reflect.Value) (Outputs, error)
	// withdrawn is why the host cannot run it.
	withdrawn error
	// err is what is wrong with the declaration.
	err error
}

// Name is the name phases use, in its exact case.
func (f Func) Name() string { return f.schema.Name }

// Schema describes the function. The caller must not change it.
func (f Func) Schema() Schema { return f.schema }

// Rules tells which permissions of a Kubernetes cluster a phase with these arguments needs, before they are rendered.
func (f Func) Rules(args map[string]any) []Rule {
	if f.rules == nil {
		return nil
	}
	return f.rules(args)
}

// Runnable is false for a function that is only declared or was withdrawn: it can be linted, not run.
func (f Func) Runnable() bool { return f.run != nil }

// Withdraw returns a copy for a host that cannot run the function, with the reason: a run that calls it is refused before anything is touched.
func (f Func) Withdraw(why error) Func {
	f.run, f.withdrawn = nil, why
	return f
}

// CannotRun says why the function cannot be run: ErrDeclared, or what Withdraw was given. Nil for one that can.
func (f Func) CannotRun() error {
	switch {
	case f.run != nil:
		return nil
	case f.withdrawn != nil:
		return f.withdrawn
	default:
		return ErrDeclared
	}
}

// Errors of Validate and Exec.
var (
	// ErrDeclared means that a function is known by its schema alone.
	ErrDeclared = errors.New("the function is declared but not built in")
	// ErrArguments means that the arguments do not fit the function's schema.
	ErrArguments = errors.New("bad arguments")
)

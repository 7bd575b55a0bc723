// Package functiontest holds checks that every function must pass, and a call to run one with.
//
// A check returns an error instead of taking a testing.T, so that a host can run the same checks on the functions it is given.
//
// # Errors
//
// A check's error says what the function did and what it should have done. It can hold what the function wrote, a secret too,
// when the fault is that the function leaks it.
//
// # Concurrency
//
// Checks keep no state and can run at once, each on a [Subject] of its own.
package functiontest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/davit-project/davit/function"
)

// Function is what the checks need of a function; function.Func implements it, and so may something that wraps one.
type Function interface {
	Schema() function.Schema
	Check(args map[string]any) []function.Problem
	Validate(args map[string]any) error
	Exec(ctx context.Context, call *function.Call, args map[string]any) (function.Outputs, error)
}

var _ Function = function.Func{}

// Subject is a function under test. New and Args are required.
type Subject struct {
	// New returns the function over fresh fakes: nothing that an earlier one did may show.
	New func() Function
	// Args returns rendered arguments that make the function succeed. Those of different n must not get in each other's way.
	// Every call returns a map of its own.
	Args func(n int) map[string]any
	// Call prepares a call further: its subject, its profile. Default none.
	Call func(*function.Call)
	// Volatile says that outputs differ from one execution to the next in more than their names. Default false.
	Volatile bool
	// Patience bounds how long a function may take to return after its context ended. Default 10 s.
	Patience time.Duration
}

// Check is one property of functions.
type Check struct {
	// Name is stable, in lower case: "unknown arguments".
	Name string
	// Run returns an error when the function does not have the property.
	Run func(ctx context.Context, s Subject) error
}

// Checks returns all checks.
func Checks() []Check {
	return []Check{
		{"documentation", documentation},
		{"example", example},
		{"good arguments", goodArguments},
		{"unknown arguments", unknownArguments},
		{"missing arguments", missingArguments},
		{"null arguments", nullArguments},
		{"arguments are only read", argumentsAreOnlyRead},
		{"no panic", noPanic},
		{"outputs", outputs},
		{"replay", replay},
		{"no shared state", noSharedState},
		{"cancel", cancelled},
		{"secrets", secrets},
	}
}

// Run runs all checks and returns their errors, joined, each with the name of its check.
func Run(ctx context.Context, s Subject) error {
	var faults []error
	for _, c := range Checks() {
		if err := c.Run(ctx, s); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return errors.Join(faults...)
}

// call makes the call of the n-th independent execution.
func (s Subject) call(n int) (*function.Call, *Recorder) {
	call, rec := NewCall(fmt.Sprintf("run/action/phase-%d", n))
	if s.Call != nil {
		s.Call(call)
	}
	return call, rec
}

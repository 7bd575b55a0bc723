package functiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/davit-project/davit/function"
)

// secrets puts a canary into every secret argument and the profile and looks for it in what the function gives away: on
// success, when cancelled, and when another argument is bad.
func secrets(ctx context.Context, s Subject) error {
	dead, cancel := context.WithCancel(ctx)
	cancel()
	return errors.Join(
		leak(ctx, s, "in an execution", nil),
		leak(dead, s, "when cancelled", nil),
		leak(ctx, s, "with an unknown argument", map[string]any{"thereIsNoSuchArgument": "x"}),
	)
}

// leak executes the function once, with more arguments than it should have.
func leak(ctx context.Context, s Subject, when string, more map[string]any) error {
	f, args := s.New(), s.Args(0)
	call, rec := s.call(0)
	canaries := plant(f.Schema().Args, args)
	if !call.Profile.IsSet() {
		canaries = append(canaries, "canary-of-the-profile")
		call.Profile = function.NewSecret(`{"Credential":"canary-of-the-profile"}`)
	}
	for _, canary := range canaries {
		rec.Hide(canary)
	}
	maps.Copy(args, more)
	out, err := f.Exec(ctx, call, args)
	var faults []error
	for _, seen := range []struct{ place, text string }{
		{"outputs", fmt.Sprint(out)},
		{"log", rec.Log()},
		{"progress", fmt.Sprint(rec.Progress())},
		{"error", fmt.Sprintf("%v %+v", err, err)},
	} {
		for _, canary := range canaries {
			if strings.Contains(seen.text, canary) {
				faults = append(faults, fmt.Errorf("%s, the %s shows %s: %s", when, seen.place, canary, seen.text))
			}
		}
	}
	return errors.Join(faults...)
}

// plant replaces the values of secret arguments.
func plant(fields []function.Field, args map[string]any) []string {
	var canaries []string
	for _, f := range fields {
		if f.Type.Kind == function.SecretText {
			canary := "canary-of-" + f.Name
			args[f.Name] = canary
			canaries = append(canaries, canary)
		}
	}
	return canaries
}

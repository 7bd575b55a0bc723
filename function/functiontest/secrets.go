package functiontest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/davit-project/davit/function"
)

// secrets puts a canary into every secret argument and the profile and looks for it in what the function gives away: on
// success, when cancelled, and when another argument is bad.
func secrets(ctx context.Context, s Subject) error {
	dead, cancel := context.WithCancel(ctx)
	cancel()
	var faults []error
	for what, c := range map[string]struct {
		ctx   context.Context
		spoil string
	}{
		"in an execution":          {ctx, ""},
		"when cancelled":           {dead, ""},
		"with an unknown argument": {ctx, "thereIsNoSuchArgument"},
	} {
		call, rec := s.call(0)
		args := s.Args(0)
		canaries := plant(s.New().Schema().Args, args)
		if !call.Profile.IsSet() {
			canaries = append(canaries, "canary-of-the-profile")
			call.Profile = function.NewSecret(`{"Credential":"canary-of-the-profile"}`)
		}
		for _, canary := range canaries {
			rec.Hide(canary)
		}
		if c.spoil != "" {
			args[c.spoil] = "x"
		}
		out, err := s.New().Exec(c.ctx, call, args)
		seen := map[string]string{
			"outputs":  fmt.Sprint(out),
			"log":      rec.Log(),
			"progress": fmt.Sprint(rec.Progress()),
			"error":    fmt.Sprintf("%v %+v", err, err),
		}
		for place, text := range seen {
			for _, canary := range canaries {
				if strings.Contains(text, canary) {
					faults = append(faults, fmt.Errorf("%s, the %s shows %s: %s", what, place, canary, text))
				}
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

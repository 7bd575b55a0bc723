package journal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

const document = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: steps}
actions:
  backup:
    phases:
    - {name: first, func: Step, args: {name: first}}
    - {name: second, func: Step, args: {name: "{{ .Phases.first.Output.name }}-second"}}
    deferPhase: {name: last, func: Step, args: {name: last}}
    outputArtifacts: {result: {keyValue: {name: "{{ .Phases.second.Output.name }}"}}}
`

func spec() *engine.Spec {
	return &engine.Spec{
		ID: key.Name, Blueprints: blueprint.Parse("steps.yaml", []byte(document)).Blueprints,
		Actions: []blueprint.ActionSpec{{Name: "backup", Blueprint: "steps"}},
	}
}

type step struct {
	Name string `arg:"name" out:"name" doc:"Name of the step."`
}

// steps is an engine with a function that may be repeated, and the steps that were made.
func steps(t *testing.T) (*engine.Engine, *[]string) {
	var made []string
	reg, err := function.NewRegistry(function.Define("Step", "Makes a step.",
		func(_ context.Context, _ *function.Call, in step) (step, error) {
			made = append(made, in.Name)
			return in, nil
		}, &function.Options{Replay: function.Idempotent}))
	require.NoError(t, err)
	return engine.New(reg, nil, nil), &made
}

func kinds(events []engine.Event) (all []string) {
	for _, e := range events {
		all = append(all, fmt.Sprint(e.Kind, " ", e.Phase))
	}
	return all
}

// The journal does for a run what the engine's own do.
func TestKeepsARun(t *testing.T) {
	memory := &engine.MemoryJournal{}
	e, made := steps(t)
	_, err := e.Run(t.Context(), spec(), memory)
	require.NoError(t, err)
	want, err := memory.Events(t.Context())
	require.NoError(t, err)
	once := *made

	s := newServer(t)
	e, made = steps(t)
	for range 2 { // the second time there is nothing left to do
		res, err := e.Run(t.Context(), spec(), s.open(t))
		require.NoError(t, err)
		require.Equal(t, engine.Complete, res.State)
		require.Equal(t, "first-second", res.Actions[0].Shown["result"].KeyValue["name"])
	}
	require.Equal(t, once, *made)
	require.Equal(t, kinds(want), kinds(s.stored(t)))
}

// The server refuses the n-th append, before or after it stored the event and for good; another process carries on. No finished step is made again.
func TestARunIsCarriedOnAfterEveryEvent(t *testing.T) {
	for _, stored := range []bool{false, true} {
		for n := 1; n <= 9; n++ {
			t.Run(fmt.Sprint(n, " stored ", stored), func(t *testing.T) {
				s := newServer(t)
				e, made := steps(t)
				j := s.open(t)
				count := 0
				s.patch = func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch) error {
					if count++; count < n {
						return c.Patch(ctx, obj, p)
					}
					var err error
					if stored && count == n {
						err = c.Patch(ctx, obj, p)
					}
					return errors.Join(apierrors.NewUnauthorized("the token has ended"), err)
				}
				_, err := e.Run(t.Context(), spec(), j)
				require.ErrorIs(t, err, engine.ErrJournal)
				require.True(t, apierrors.IsUnauthorized(err))

				s.patch = pass
				res, err := e.Run(t.Context(), spec(), s.open(t))
				require.NoError(t, err)
				require.Equal(t, engine.Complete, res.State)
				begun := map[int]int{}
				for _, ev := range s.stored(t) {
					if ev.Kind == engine.PhaseStarted {
						begun[ev.Phase]++
					}
				}
				require.Equal(t, map[int]int{0: 1, 1: 1, -1: 1}, begun)
				times := map[string]int{}
				for _, name := range *made {
					times[name]++
				}
				twice := 0
				for _, k := range times {
					twice += k - 1
				}
				require.LessOrEqual(t, twice, 1, "only the step whose outcome was not recorded: %v", *made)
			})
		}
	}
}

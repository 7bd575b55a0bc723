package engine

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// A function that takes the name of a secret finds it among the action's and the phase's, which win, in the deferred phase too.
func TestCallKnowsSecretsByName(t *testing.T) {
	source := newObjects()
	for _, name := range []string{"one", "two", "three"} {
		source.secret(name, "key", "value of "+name)
	}
	seen := map[string]map[string]string{}
	w := newWorld()
	w.hook = func(_ context.Context, call *function.Call) error {
		seen[call.Phase] = map[string]string{}
		for name, data := range call.Secrets {
			seen[call.Phase][name] = data["key"].Reveal()
		}
		return nil
	}
	spec := specOf(t, header+`
  backup:
    phases:
    - {func: Echo, name: a, objects: {s: {kind: Secret, name: two, namespace: app}}}
    - {func: Echo, name: b}
    deferPhase: {func: Echo, name: z, objects: {t: {kind: Secret, name: three, namespace: app}}}
`, "backup")
	spec.Actions[0].Secrets = map[string]template.ObjectReference{"s": {Namespace: "app", Name: "one"}}
	_, err := New(w.registry(t), source, nil).Run(t.Context(), spec, &MemoryJournal{})
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]string{
		"a": {"s": "value of two"}, "b": {"s": "value of one"}, "z": {"s": "value of one", "t": "value of three"},
	}, seen)
}

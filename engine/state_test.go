package engine

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Reduce refuses every history that a run cannot have.
func TestReduceRefusesContradictions(t *testing.T) {
	w, j := newWorld(), &MemoryJournal{}
	_, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, twoPhases, "backup"), j)
	require.NoError(t, err)
	good, _ := j.Events(t.Context())
	_, err = Reduce(good)
	require.NoError(t, err)

	at := func(i int, e Event) []Event { return append(slices.Clone(good[:i]), e) }
	cases := map[string][]Event{
		"nothing":                  nil,
		"no beginning":             {{Seq: 1, Kind: PhaseStarted, Attempt: 1}},
		"two beginnings":           at(1, Event{Kind: RunStarted, Run: good[0].Run}),
		"a gap":                    slices.Delete(slices.Clone(good), 1, 2),
		"unknown kind":             at(1, Event{Kind: "surprise"}),
		"unknown action":           at(1, Event{Kind: PhaseStarted, Action: 1, Attempt: 1}),
		"unknown phase":            at(1, Event{Kind: PhaseStarted, Phase: 2, Attempt: 1}),
		"attempt out of order":     at(1, Event{Kind: PhaseStarted, Attempt: 2}),
		"attempt begins twice":     at(2, Event{Kind: PhaseStarted, Attempt: 2}),
		"complete, never begun":    at(1, Event{Kind: PhaseComplete, Attempt: 1}),
		"another attempt complete": at(2, Event{Kind: PhaseComplete, Attempt: 2}),
		"failed, never begun":      at(1, Event{Kind: AttemptFailed, Attempt: 1}),
		"skipped once begun":       at(2, Event{Kind: PhaseSkipped}),
		"begun again":              at(3, Event{Kind: PhaseStarted, Attempt: 2}),
		"failed once complete":     at(3, Event{Kind: PhaseFailed, Attempt: 1}),
		"action ends twice":        at(8, Event{Kind: ActionEnded, State: Complete}),
		"action ends running":      at(7, Event{Kind: ActionEnded, State: Running}),
		"phase after the action":   at(8, Event{Kind: PhaseFailed, Phase: deferIndex, Attempt: 1}),
		"run ends before actions":  at(7, Event{Kind: RunEnded, State: Complete}),
		"run ends running":         at(8, Event{Kind: RunEnded, State: Running}),
		"after the end":            at(9, Event{Kind: CancelAsked, Error: &Failure{Message: "late"}}),
	}
	for name, events := range cases {
		t.Run(name, func(t *testing.T) {
			if name != "a gap" && len(events) > 0 {
				events[len(events)-1].Seq = len(events)
			}
			_, err := Reduce(events)
			require.ErrorIs(t, err, ErrJournal)
		})
	}
}

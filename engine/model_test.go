package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/davit-project/davit/function"
)

// errCrash is what a journal gives that simulates the death of the host: nothing is stored any more.
var errCrash = errors.New("the host is dead")

// mortalJournal stores events, through JSON as a file does, until the host is to die.
type mortalJournal struct {
	MemoryJournal
	left int
}

func (j *mortalJournal) Append(ctx context.Context, e Event) error {
	if err := ctx.Err(); err != nil {
		return err // what a run journals does not depend on whether it was cancelled
	}
	if j.left == 0 {
		return errCrash
	}
	j.left--
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	var stored Event
	if err := json.Unmarshal(data, &stored); err != nil {
		return err
	}
	return j.MemoryJournal.Append(ctx, stored)
}

const fivePhases = header + `
  backup:
    outputArtifacts:
      dump: {keyValue: {path: "{{ .Phases.e.Output.value }}", secret: "{{ .Phases.b.Output.value }}"}}
    phases:
    - {func: Echo, name: a, args: {value: "{{ .Time }}"}}
    - {func: Make, name: b, args: {value: "pw={{ .Phases.b.Secrets.pw.Data.password | toString }}"}, objects: {pw: {kind: Secret, name: pw, namespace: app}}}
    - {func: Make, name: c, args: {value: "{{ .Phases.b.Output.name }}"}}
    - {func: Echo, name: skipped, if: "false"}
    - {func: Echo, name: d, args: {value: "{{ .Phases.c.Output.value }}"}}
    - {func: Make, name: e, args: {value: "{{ .Phases.d.Output.value }}/{{ .Phases.a.Output.value }}"}}
    deferPhase: {func: Echo, name: z, args: {value: "{{ .Phases.b.Output.value }}"}}
`

// TestCrashAfterEveryEvent lets the host die at every event and resumes, until nothing more happens.
func TestCrashAfterEveryEvent(t *testing.T) {
	source := newObjects()
	source.secret("pw", "password", "correct horse")
	clock := func() time.Time { return time.Unix(1700000000, 0) }
	opts := &Options{Now: clock}
	w := newWorld()
	undisturbed, err := New(w.registry(t), source, opts).Run(t.Context(), specOf(t, fivePhases, "backup"), &MemoryJournal{})
	require.NoError(t, err)
	want, err := undisturbed.Artifacts(0)
	require.NoError(t, err)
	require.Equal(t, "pw=correct horse", want["dump"].KeyValue["secret"])

	for stride := 1; stride <= 4; stride++ {
		w, j := newWorld(), &mortalJournal{}
		var res *Result
		deaths := 0
		for {
			j.left = stride
			res, err = New(w.registry(t), source, opts).Run(t.Context(), specOf(t, fivePhases, "backup"), j)
			if !errors.Is(err, errCrash) {
				break
			}
			deaths++
			require.ErrorIs(t, err, ErrJournal)
			require.Less(t, deaths, 100)
		}
		require.NoError(t, err)
		require.Positive(t, deaths)
		got, err := res.Artifacts(0)
		require.NoError(t, err)
		require.Equal(t, want, got)
		events, _ := j.Events(t.Context())
		checkHistory(t, events)
		data, err := json.Marshal(events)
		require.NoError(t, err)
		require.NotContains(t, string(data), "correct horse")
	}
}

// checkHistory asserts what must hold of every journal: finished phases do not begin again, states never go back.
func checkHistory(t require.TestingT, events []Event) {
	ended := map[[2]int]bool{}
	for i, e := range events {
		key := [2]int{e.Action, e.Phase}
		switch e.Kind {
		case PhaseStarted:
			require.False(t, ended[key], "phase %v begins again", key)
		case PhaseComplete, PhaseFailed, PhaseSkipped:
			require.False(t, ended[key], "phase %v ends twice", key)
			ended[key] = true
		case RunEnded:
			require.Equal(t, len(events)-1, i)
		}
	}
	_, err := Reduce(events)
	require.NoError(t, err)
}

// untilItEnds begins or resumes a run until no host dies over it any more; each lasts for a few events. Cancel cancels the host's context.
func untilItEnds(rt *rapid.T, j *mortalJournal, cancel *context.CancelFunc, run func(context.Context) (*Result, error)) *Result {
	for round := 0; ; round++ {
		require.Less(rt, round, 200)
		var ctx context.Context
		ctx, *cancel = context.WithCancel(context.Background())
		j.left = rapid.IntRange(1, 6).Draw(rt, "events until the host dies")
		res, err := run(ctx)
		(*cancel)()
		if !errors.Is(err, errCrash) {
			return res
		}
	}
}

// TestModel executes random actions with random failures, crashes and cancels against what must always hold.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		funcs := rapid.SliceOfN(rapid.SampledFrom([]string{"Echo", "Make", "Once"}), 1, 5).Draw(rt, "funcs")
		withDefer := rapid.Bool().Draw(rt, "defer")
		text := header + "  backup:\n    phases:\n"
		for i, f := range funcs {
			text += "    - {func: " + f + ", name: p" + string(rune('0'+i)) + ", retry: {attempts: 2, backoff: 1ns, maxBackoff: 1ns}}\n"
		}
		if withDefer {
			text += "    deferPhase: {func: Echo, name: z}\n"
		}
		w, j := newWorld(), &mortalJournal{}
		failing := rapid.SliceOfN(rapid.Float64Range(0, 1), 64, 64).Draw(rt, "failing")
		call := 0
		var cancel context.CancelFunc
		w.hook = func(_ context.Context, c *function.Call) error {
			call++
			switch p := failing[call%len(failing)]; {
			case p < 0.15:
				return errors.New("transient")
			case p < 0.2:
				return function.Permanent(errors.New("permanent"))
			case p < 0.25 && c.Phase != "z":
				cancel()
			}
			return nil
		}
		res := untilItEnds(rt, j, &cancel, func(ctx context.Context) (*Result, error) {
			return New(w.registry(t), newObjects(), nil).Run(ctx, specOf(t, text, "backup"), j)
		})
		require.True(rt, res.State.Ended())
		events, _ := j.Events(context.Background())
		checkHistory(rt, events)
		state, err := Reduce(events)
		require.NoError(rt, err)
		a := state.Actions[0]
		require.Equal(rt, step{kind: stepNone}, next(state, 0))
		for i, p := range a.Phases {
			if funcs[i] == "Once" {
				require.LessOrEqual(rt, w.count(p.Name), max(p.Attempt, 0), "a phase that is not safe to repeat was repeated")
			}
			if p.State == Complete {
				require.Positive(rt, w.count(p.Name))
			}
			if i > 0 && p.State != Pending {
				require.Equal(rt, Complete, a.Phases[i-1].State, "phases run in order")
			}
		}
		if withDefer && slices.ContainsFunc(a.Phases, func(p PhaseState) bool { return p.State != Pending }) {
			require.True(rt, a.Defer.State.Ended(), "the deferred phase runs whatever happened")
			require.Positive(rt, w.count("z"))
		}
	})
}

func TestUnknownOutcome(t *testing.T) {
	bp := header + `
  backup:
    phases: [{func: Once, name: a}, {func: Echo, name: b}]
    deferPhase: {func: Echo, name: z}
`
	interrupted := func() (*world, *mortalJournal) {
		w, j := newWorld(), &mortalJournal{left: 2} // run started, phase a started
		_, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, bp, "backup"), j)
		require.ErrorIs(t, err, errCrash)
		require.Equal(t, 1, w.count("a"))
		j.left = 100
		return w, j
	}
	w, j := interrupted()
	res, err := New(w.registry(t), newObjects(), nil).Resume(t.Context(), j)
	require.ErrorIs(t, err, ErrUnknownOutcome)
	require.Equal(t, Failed, res.State)
	require.Equal(t, []int{1, 0, 1}, []int{w.count("a"), w.count("b"), w.count("z")})

	w, j = interrupted()
	_, err = New(w.registry(t), newObjects(), &Options{Unknown: UnknownReruns}).Resume(t.Context(), j)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1, 1}, []int{w.count("a"), w.count("b"), w.count("z")})
}

func TestResumedAttemptIsTold(t *testing.T) {
	w, j := newWorld(), &mortalJournal{left: 2}
	var seen []function.Call
	w.hook = func(_ context.Context, c *function.Call) error { seen = append(seen, *c); return nil }
	spec := specOf(t, header+"  backup: {phases: [{func: Make, name: a}]}\n", "backup")
	_, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), spec, j)
	require.ErrorIs(t, err, errCrash)
	j.left = 100
	_, err = New(w.registry(t), newObjects(), nil).Run(t.Context(), spec, j)
	require.NoError(t, err)
	require.Len(t, seen, 2)
	require.False(t, seen[0].Resumed)
	require.True(t, seen[1].Resumed)
	require.Equal(t, seen[0].Attempt, seen[1].Attempt)
	require.Equal(t, seen[0].Name("pod"), seen[1].Name("pod"))
	require.Equal(t, seen[0].Labels, seen[1].Labels)
}

func TestCancelWhileTheHostIsDeadAbandons(t *testing.T) {
	w, j := newWorld(), &mortalJournal{left: 3}
	ctx, cancel := context.WithCancel(t.Context())
	resumed := false
	w.hook = func(fctx context.Context, c *function.Call) error {
		if c.Phase == "a" {
			cancel()
			<-fctx.Done()
			resumed = c.Resumed
			return fctx.Err()
		}
		return nil
	}
	spec := specOf(t, header+"  backup: {phases: [{func: Make, name: a}], deferPhase: {func: Echo, name: z}}\n", "backup")
	_, err := New(w.registry(t), newObjects(), nil).Run(ctx, spec, j)
	require.ErrorIs(t, err, errCrash)
	j.left = 100
	res, err := New(w.registry(t), newObjects(), nil).Resume(t.Context(), j)
	require.ErrorIs(t, err, ErrCancelled)
	require.Equal(t, Cancelled, res.State)
	require.True(t, resumed)
	require.Equal(t, []int{2, 1}, []int{w.count("a"), w.count("z")}, "the function is called to remove what it made")
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

const twoPhases = header + `
  backup:
    outputArtifacts:
      dump: {keyValue: {path: "{{ .Phases.second.Output.value }}", after: "{{ .DeferPhase.Output.value }}"}}
    phases:
    - {func: Echo, name: first, args: {value: "{{ .StatefulSet.Name }}/{{ .Object.metadata.generation }}"}}
    - {func: Make, name: second, args: {value: "got {{ .Phases.first.Output.value }} {{ .Phases.first.Output.n }}"}}
    deferPhase: {func: Echo, name: last, args: {value: "after {{ .Phases.second.Output.value }}"}}
`

func TestRunCompletes(t *testing.T) {
	w, j := newWorld(), &MemoryJournal{}
	res, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, twoPhases, "backup"), j)
	require.NoError(t, err)
	require.Equal(t, Complete, res.State)
	artifacts, err := res.Artifacts(0)
	require.NoError(t, err)
	require.Equal(t, map[string]template.Artifact{"dump": {KeyValue: map[string]string{
		"path": "got db/3 7", "after": "after got db/3 7"}}}, artifacts)
	events, _ := j.Events(t.Context())
	require.Equal(t, []Kind{RunStarted, PhaseStarted, PhaseComplete, PhaseStarted, PhaseComplete, PhaseStarted, PhaseComplete, ActionEnded, RunEnded}, kinds(events))
}

func TestFinishedRunIsNotExecutedAgain(t *testing.T) {
	w, j := newWorld(), &MemoryJournal{}
	e := New(w.registry(t), newObjects(), nil)
	spec := specOf(t, twoPhases, "backup")
	first, err := e.Run(t.Context(), spec, j)
	require.NoError(t, err)
	for _, again := range []func() (*Result, error){
		func() (*Result, error) { return e.Run(t.Context(), spec, j) },
		func() (*Result, error) { return e.Resume(t.Context(), j) },
		func() (*Result, error) { return e.Load(t.Context(), j) },
	} {
		res, err := again()
		require.NoError(t, err)
		require.Equal(t, first.Actions, res.Actions)
	}
	require.Equal(t, []string{"first:call", "second:call", "last:call"}, w.log)
}

func TestFailureRunsDeferAndKeepsBothErrors(t *testing.T) {
	w := newWorld()
	res, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, header+`
  backup:
    outputArtifacts: {dump: {keyValue: {path: x}}}
    phases:
    - {func: Echo, name: first, args: {fail: "disk on fire"}}
    - {func: Echo, name: never}
    deferPhase: {func: Echo, args: {fail: "no water"}}
`, "backup"), &MemoryJournal{})
	require.ErrorIs(t, err, ErrFailed)
	var pe *PhaseError
	require.ErrorAs(t, err, &pe)
	require.Equal(t, "first", pe.Phase)
	require.ErrorContains(t, err, `action "backup", phase "first" (Echo): disk on fire`)
	require.ErrorContains(t, err, `phase "deferPhase" (Echo): no water`)
	require.Equal(t, Failed, res.State)
	require.Zero(t, w.count("never"))
	require.Empty(t, res.Actions[0].Shown)
}

func TestBadRequestsTouchNothing(t *testing.T) {
	good := twoPhases
	cases := map[string]struct {
		change func(*Spec)
		text   string
		want   string
	}{
		"no id":             {func(s *Spec) { s.ID = "" }, good, `run id ""`},
		"bad id":            {func(s *Spec) { s.ID = "../x" }, good, `run id "../x"`},
		"no action":         {func(s *Spec) { s.Actions = nil }, good, "no action is asked for"},
		"unknown action":    {func(s *Spec) { s.Actions[0].Name = "bakcup" }, good, `blueprint "bp" has no action "bakcup"; it has "backup"`},
		"unknown blueprint": {func(s *Spec) { s.Actions[0].Blueprint = "other" }, good, `blueprint "other" is not given`},
		"absent subject":    {func(s *Spec) { s.Actions[0].Object.Name = "absent" }, good, `action "backup": subject: statefulset "absent": not found`},
		"absent secret": {func(s *Spec) {
			s.Actions[0].Secrets = map[string]template.ObjectReference{"pw": {Namespace: "app", Name: "nope"}}
		}, good, `secret "pw": secret "app/nope": not found`},
		"absent profile": {func(s *Spec) { s.Actions[0].Profile = &template.ObjectReference{Namespace: "app", Name: "p"} }, good,
			`profile: profile "app/p": not found`},
		"unknown function": {nil, header + "  backup: {phases: [{func: Ecko, name: a}]}\n", "Ecko"},
		"bad template":     {nil, header + "  backup: {phases: [{func: Echo, name: a, args: {value: '{{ .X'}}]}\n", "actions.backup.phases[0].args"},
		"absent artifact, in a later phase": {nil, header + "  backup: {phases: [{func: Echo, name: a}, {func: Echo, name: b, args: {value: '{{ .ArtifactsIn.dump.KeyValue.path }}'}}]}\n",
			`actions.backup.phases[1].args.value: .ArtifactsIn.dump`},
		"absent profile, in the deferred phase": {nil, header + "  backup: {phases: [{func: Echo, name: a}], deferPhase: {func: Echo, args: {value: '{{ .Profile.Location.Bucket }}'}}}\n",
			"the run has no profile"},
		"absent option, in an artifact": {nil, header + "  backup: {outputArtifacts: {x: {keyValue: {y: '{{ .Options.z }}'}}}, phases: [{func: Echo, name: a}]}\n", `.Options.z`},
		"bad condition":                 {nil, header + "  backup: {phases: [{func: Echo, name: a}, {func: Echo, name: b, if: '{{ .Options.z }}'}]}\n", `.Options.z`},
		"same names":                    {nil, header + "  backup: {phases: [{func: Echo, name: a}, {func: Echo, name: a}]}\n", `two phases are named "a"`},
		"objects see no outputs": {nil, header + "  backup: {phases: [{func: Echo, name: a, objects: {s: {kind: Secret, name: '{{ .Phases.a.Output.x }}'}}}]}\n",
			"Phases"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w, j := newWorld(), &MemoryJournal{}
			action := "backup"
			spec := specOf(t, c.text, action)
			if c.change != nil {
				c.change(spec)
			}
			_, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), spec, j)
			require.ErrorIs(t, err, ErrInvalid)
			require.ErrorContains(t, err, c.want)
			require.Empty(t, w.log)
			events, _ := j.Events(t.Context())
			require.Empty(t, events)
		})
	}
}

func TestRetryBacksOffAndKeepsTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, j := newWorld(), &MemoryJournal{}
		var names []string
		var attempts []int
		w.hook = func(_ context.Context, call *function.Call) error {
			names, attempts = append(names, call.Name("")), append(attempts, call.Attempt)
			if call.Attempt < 4 {
				return errors.New("try again")
			}
			return nil
		}
		e := New(w.registry(t), newObjects(), nil)
		e.jitter = func() float64 { return 1 }
		start := time.Now()
		_, err := e.Run(t.Context(), specOf(t, header+`
  backup: {phases: [{func: Make, name: a, retry: {attempts: 5, backoff: 2s, maxBackoff: 5s}}]}
`, "backup"), j)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 3, 4}, attempts)
		require.Equal(t, names[0], names[3])
		require.Equal(t, 2*time.Second+4*time.Second+5*time.Second, time.Since(start))
	})
}

func TestPermanentAndLastAttemptsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, err := range map[int]error{1: function.Permanent(errors.New("never")), 3: errors.New("maybe")} {
			w := newWorld()
			w.hook = func(context.Context, *function.Call) error { return err }
			_, got := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, header+`
  backup: {phases: [{func: Echo, name: a, retry: {attempts: 3}}]}
`, "backup"), &MemoryJournal{})
			require.ErrorIs(t, got, err)
			require.Equal(t, want, w.count("a"))
		}
	})
}

func TestTimeoutBoundsAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.hook = func(ctx context.Context, call *function.Call) error {
			if call.Phase != "a" {
				return nil
			}
			if call.Attempt == 1 {
				return errors.New("once more")
			}
			<-ctx.Done()
			return ctx.Err()
		}
		start := time.Now()
		_, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, header+`
  backup:
    phases: [{func: Echo, name: a, timeout: 10s, retry: {attempts: 9, backoff: 4s}}]
    deferPhase: {func: Echo, name: z}
`, "backup"), &MemoryJournal{})
		require.ErrorIs(t, err, ErrTimeout)
		require.ErrorContains(t, err, "timed out: it has 10s")
		require.Equal(t, 10*time.Second, time.Since(start))
		require.Equal(t, 1, w.count("z"))
	})
}

func TestCancelStopsWithinItsBoundAndDefers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, stubborn := range []bool{false, true} {
			w, j := newWorld(), &MemoryJournal{}
			ctx, cancel := context.WithCancel(t.Context())
			release := make(chan struct{})
			w.hook = func(ctx context.Context, call *function.Call) error {
				if call.Phase == "z" {
					_, bounded := ctx.Deadline()
					require.True(t, bounded)
					return ctx.Err() // a fresh context, although the run is cancelled
				}
				cancel()
				if stubborn {
					<-release
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}
			start := time.Now()
			res, err := New(w.registry(t), newObjects(), &Options{StopGrace: 3 * time.Second}).Run(ctx, specOf(t, header+`
  backup:
    phases: [{func: Make, name: a}, {func: Make, name: b}]
    deferPhase: {func: Echo, name: z}
`, "backup"), j)
			require.ErrorIs(t, err, ErrCancelled)
			require.Equal(t, Cancelled, res.State)
			require.Equal(t, 1, w.count("z"))
			require.Zero(t, w.count("b"))
			if stubborn {
				require.Equal(t, 3*time.Second, time.Since(start))
				require.Len(t, res.Left, 1)
				require.Contains(t, res.Left[0], "did not return within 3s")
			}
			close(release)
			synctest.Wait()
			events, _ := j.Events(t.Context())
			require.Contains(t, kinds(events), CancelAsked)
			again, err := New(w.registry(t), newObjects(), nil).Load(t.Context(), j)
			require.NoError(t, err)
			require.ErrorIs(t, again.Err(), ErrCancelled)
		}
	})
}

func TestStopErrorTellsWhatElseThereIs(t *testing.T) {
	left := errors.New("pod x is left behind")
	cause := fmt.Errorf("%w: by a test", ErrCancelled)
	for _, err := range []error{
		context.Canceled, cause, ErrCancelled, fmt.Errorf("copy: %w", context.Canceled), errors.Join(context.Canceled, fmt.Errorf("list: %w", context.DeadlineExceeded)),
		function.Permanent(fmt.Errorf("copy: %w", cause)),
	} {
		require.Equal(t, cause, stopError(cause, err))
	}
	for _, err := range []error{left, errors.Join(context.Canceled, left), fmt.Errorf("copy: %w; %w", cause, left), function.Permanent(fmt.Errorf("%w; %w", context.Canceled, left))} {
		got := stopError(cause, err)
		require.ErrorIs(t, got, ErrCancelled)
		require.ErrorContains(t, got, left.Error())
	}
}

func TestCancelledBeforeItBeganDoesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := newWorld()
	res, err := New(w.registry(t), newObjects(), nil).Run(ctx, specOf(t, twoPhases, "backup"), &mortalJournal{left: 100})
	require.ErrorIs(t, err, ErrCancelled)
	require.Equal(t, Cancelled, res.State)
	require.Empty(t, w.log)
}

func TestConditions(t *testing.T) {
	bp := header + `
  backup:
    phases:
    - {func: Echo, name: a, if: '{{ eq (index .Options "full") "yes" }}'}
    - {func: Echo, name: b}
`
	for option, want := range map[string]RunState{"yes": Complete, "no": Skipped} {
		w := newWorld()
		spec := specOf(t, bp, "backup")
		spec.Actions[0].Options = map[string]string{"full": option}
		res, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), spec, &MemoryJournal{})
		require.NoError(t, err)
		require.Equal(t, want, res.Actions[0].Phases[0].State)
		require.Equal(t, 1, w.count("b"))
	}
	w := newWorld()
	_, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, header+
		"  backup: {phases: [{func: Echo, name: a, if: '{{ .StatefulSet.Name }}'}]}\n", "backup"), &MemoryJournal{})
	require.ErrorContains(t, err, `if: want true or false, got "db"`)
	require.Zero(t, w.count("a"))
}

func TestActionsRunAtTheSameTimeAndFailAlone(t *testing.T) {
	w := newWorld()
	meet := make(chan struct{})
	w.hook = func(_ context.Context, call *function.Call) error {
		if call.Phase == "b" {
			return nil
		}
		select { // both actions are in their first phase at once
		case meet <- struct{}{}:
			return errors.New("first to meet fails")
		case <-meet:
			return nil
		}
	}
	spec := specOf(t, header+"  backup: {phases: [{func: Echo, name: a}, {func: Echo, name: b}]}\n", "backup", "backup")
	res, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), spec, &MemoryJournal{})
	require.ErrorIs(t, err, ErrFailed)
	require.Equal(t, 1, w.count("b"))
	require.Equal(t, Failed, res.State)
	require.Equal(t, "backup[0]", res.Actions[0].Action)
}

func TestOutputsAreBounded(t *testing.T) {
	w := newWorld()
	spec := specOf(t, header+"  backup: {phases: [{func: Echo, name: a, args: {value: '{{ repeat 2000 \"x\" }}'}}]}\n", "backup")
	_, err := New(w.registry(t), newObjects(), &Options{MaxOutput: 1000}).Run(t.Context(), spec, &MemoryJournal{})
	require.ErrorIs(t, err, ErrOutputTooLarge)
}

func TestSweepReportsLeftovers(t *testing.T) {
	var got map[string]string
	sweep := sweeper(func(labels map[string]string) ([]string, error) {
		got = labels
		return []string{"pod app/x: stuck"}, errors.New("list: refused")
	})
	w := newWorld()
	res, err := New(w.registry(t), newObjects(), &Options{Sweep: sweep}).Run(t.Context(), specOf(t, twoPhases, "backup"), &MemoryJournal{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{RunLabel: "run-1"}, got)
	require.Equal(t, []string{"pod app/x: stuck", "whatever carries the label davit.io/run=run-1: list: refused"}, res.Left)
}

type sweeper func(map[string]string) ([]string, error)

func (s sweeper) Sweep(_ context.Context, labels map[string]string) ([]string, error) {
	return s(labels)
}

func TestWithoutASource(t *testing.T) {
	w := newWorld()
	spec := specOf(t, header+"  backup: {phases: [{func: Echo, name: a}]}\n", "backup")
	_, err := New(w.registry(t), nil, nil).Run(t.Context(), spec, &MemoryJournal{})
	require.ErrorIs(t, err, ErrInvalid)
	require.ErrorContains(t, err, "no source of objects")
	spec.Actions[0].Object = template.ObjectReference{}
	j := &MemoryJournal{}
	_, err = New(w.registry(t), nil, nil).Run(t.Context(), spec, j)
	require.NoError(t, err)
	events, _ := j.Events(t.Context())
	require.Equal(t, "backup a Echo", events[1].Label+" "+events[1].Name+" "+events[1].Func)
}

func TestPlan(t *testing.T) {
	w := newWorld()
	plan, err := New(w.registry(t), nil, nil).Plan(specOf(t, twoPhases, "backup"))
	require.NoError(t, err)
	require.Equal(t, []PlannedPhase{
		{Name: "first", Func: "Echo", Version: "v0.0.0", Replay: function.Idempotent, Attempts: 1},
		{Name: "second", Func: "Make", Version: "v0.0.0", Replay: function.Adopt, Attempts: 1},
		{Name: "last", Func: "Echo", Version: "v0.0.0", Replay: function.Idempotent, Deferred: true, Attempts: 1},
	}, plan.Actions[0].Phases)
}

func TestArtifactFailureFailsTheRun(t *testing.T) {
	w := newWorld()
	res, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, header+`
  backup:
    outputArtifacts: {dump: {keyValue: {path: "{{ .Phases.a.Output.nope }}"}}}
    phases: [{func: Echo, name: a}]
`, "backup"), &MemoryJournal{})
	require.ErrorContains(t, err, `action "backup": output artifacts:`)
	require.Equal(t, Failed, res.State)
}

func TestKeysOfArtifactsAreNotRendered(t *testing.T) {
	w := newWorld()
	res, err := New(w.registry(t), newObjects(), &Options{Now: func() time.Time { return time.Unix(0, 0) }}).Run(t.Context(), specOf(t, header+`
  backup:
    outputArtifacts: {dump: {keyValue: {"{{ key }}": '{{ now | date "2006" }}'}, kopiaSnapshot: "{{ .StatefulSet.Name }}"}}
    phases: [{func: Echo, name: a}]
`, "backup"), &MemoryJournal{})
	require.NoError(t, err)
	require.Equal(t, map[string]template.Artifact{"dump": {KeyValue: map[string]string{"{{ key }}": "1970"}, KopiaSnapshot: "db"}}, res.Actions[0].Shown)
}

func TestResultJSONHasTheStates(t *testing.T) {
	w := newWorld()
	res, err := New(w.registry(t), newObjects(), nil).Run(t.Context(), specOf(t, twoPhases, "backup"), &MemoryJournal{})
	require.NoError(t, err)
	data, err := json.Marshal(res)
	require.NoError(t, err)
	require.Contains(t, string(data), `"artifacts":{"dump":{"keyValue":{"after":"after got db/3 7","path":"got db/3 7"}}}`)
}

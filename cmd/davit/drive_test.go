package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

const threePhases = `
apiVersion: cr.kanister.io/v1alpha1
kind: Blueprint
metadata: {name: bp}
actions:
  backup:
    outputArtifacts:
      copy: {keyValue: {path: "{{ .Phases.first.Output.path }}"}}
    phases:
    - {func: Work, name: first, args: {path: "/{{ .Options.to }}"}}
    - {func: Block, name: second}
    deferPhase: {func: Work, name: tidy, args: {path: /tmp}}
`

// bench is a session over functions of its own.
type bench struct {
	*session
	out, errs *bytes.Buffer
	signals   chan os.Signal
	// block is what Block does; worked counts the calls of Work by their argument.
	block  func(ctx context.Context) error
	worked map[string]int
	code   chan int
}

type workArgs struct {
	Path string `arg:"path" doc:"Path to give back."`
}

type noArgs struct{}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		out: &bytes.Buffer{}, errs: &bytes.Buffer{}, signals: make(chan os.Signal), worked: map[string]int{},
		block: func(context.Context) error { return nil }, code: make(chan int, 1),
	}
	reg, err := function.NewRegistry(
		function.Define("Work", "Gives its argument back.", func(_ context.Context, _ *function.Call, in workArgs) (function.Outputs, error) {
			b.worked[in.Path]++
			return function.Outputs{"path": in.Path}, nil
		}, nil),
		function.Define("Block", "Does what the test wants.", func(ctx context.Context, _ *function.Call, _ noArgs) (function.Outputs, error) {
			return nil, b.block(ctx)
		}, &function.Options{Replay: function.Idempotent}),
	)
	require.NoError(t, err)
	p := &program{
		stdout: b.out, stderr: b.errs, getenv: func(string) string { return "" },
		interrupts: func() (<-chan os.Signal, func()) { return b.signals, func() {} },
		exit:       func(code int) { b.code <- code },
	}
	dir, err := p.openState(t.TempDir())
	require.NoError(t, err)
	b.session = &session{program: p, flags: &runFlags{}, state: dir, report: &report{to: p.reporter(), now: time.Now}}
	b.engine = engine.New(reg, noSource{}, &engine.Options{Observe: b.report.observe, Progress: b.report.progress})
	return b
}

func (b *bench) spec(t *testing.T) *engine.Spec {
	t.Helper()
	file := blueprint.Parse("bp.yaml", []byte(threePhases))
	require.NoError(t, file.Err())
	return &engine.Spec{ID: "r1", Blueprints: file.Blueprints, Actions: []blueprint.ActionSpec{{
		Name: "backup", Blueprint: "bp", Options: map[string]string{"to": "a"},
		Object: template.ObjectReference{Kind: "Namespace", Name: "ns", Namespace: "ns"},
	}}}
}

// events returns the events printed so far, each as "event state".
func (b *bench) events(t *testing.T) []string {
	t.Helper()
	var all []string
	for text := range strings.Lines(b.out.String()) {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l), text)
		assert.Equal(t, "r1", l.Run)
		assert.False(t, l.Time.IsZero())
		all = append(all, strings.TrimSpace(l.Event+" "+l.Phase+l.State))
	}
	return all
}

func codeOf(err error) int {
	if err == nil {
		return 0
	}
	exit := &exitError{code: exitUsage}
	errors.As(err, &exit)
	return exit.code
}

// noSource knows every subject and nothing of it.
type noSource struct{ unreachable }

func (noSource) Subject(context.Context, template.ObjectReference, *template.Params) error {
	return nil
}

func TestDriveToTheEnd(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.drive(t.Context(), b.spec(t)))
	assert.Equal(t, []string{
		"run-started", "phase-started first", "phase-complete first", "phase-started second", "phase-complete second",
		"phase-started tidy", "phase-complete tidy", "action-ended complete", "run-ended complete",
	}, b.events(t))
	assert.Contains(t, b.out.String(), `"artifacts":{"copy":{"keyValue":{"path":"/a"}`)

	b.out.Reset()
	b.flags.run, b.flags.onUnknown, b.flags.state = "r1", "fail", string(b.state)
	require.NoError(t, b.run(t.Context(), b.flags, false), "a run that has ended shows its result")
	assert.Equal(t, []string{"action-ended complete", "run-ended complete"}, b.events(t))
	assert.Equal(t, map[string]int{"/a": 1, "/tmp": 1}, b.worked)
}

func TestDriveFailure(t *testing.T) {
	b := newBench(t)
	b.block = func(context.Context) error { return errors.New("disk on fire") }
	err := b.drive(t.Context(), b.spec(t))
	assert.Equal(t, exitFailed, codeOf(err))
	require.ErrorContains(t, err, `phase "second" (Block): disk on fire`)
	assert.Equal(t, "run-ended failed", b.events(t)[len(b.events(t))-1])
	assert.Equal(t, 1, b.worked["/tmp"], "the deferred phase ran")
}

func TestDriveWrongRequest(t *testing.T) {
	b := newBench(t)
	spec := b.spec(t)
	spec.Actions[0].Name = "restore"
	err := b.drive(t.Context(), spec)
	assert.Equal(t, exitUsage, codeOf(err))
	require.ErrorContains(t, err, `has no action "restore"`)
	_, _, err = b.state.read(t.Context(), "r1")
	require.ErrorIs(t, err, os.ErrNotExist, "no journal is left")
}

func TestInterruptCancels(t *testing.T) {
	b := newBench(t)
	b.block = func(ctx context.Context) error {
		b.signals <- os.Interrupt
		<-ctx.Done()
		return context.Cause(ctx)
	}
	err := b.drive(t.Context(), b.spec(t))
	assert.Equal(t, exitCancelled, codeOf(err))
	require.ErrorIs(t, err, engine.ErrCancelled)
	assert.Equal(t, "run-ended cancelled", b.events(t)[len(b.events(t))-1])
	assert.Equal(t, 1, b.worked["/tmp"], "the deferred phase ran")
}

func TestSecondInterruptEndsAtOnce(t *testing.T) {
	b := newBench(t)
	code := 0
	b.block = func(context.Context) error {
		b.signals <- os.Interrupt
		b.signals <- os.Interrupt
		code = <-b.code
		return nil
	}
	_ = b.drive(t.Context(), b.spec(t))
	assert.Equal(t, exitInterrupt, code)
	assert.Contains(t, b.errs.String(), "the run goes on with --run r1")
}

func TestRunIsBusy(t *testing.T) {
	b := newBench(t)
	path, err := b.state.journal("r1")
	require.NoError(t, err)
	journal, err := engine.OpenFile(path)
	require.NoError(t, err)
	err = b.drive(t.Context(), b.spec(t))
	assert.Equal(t, exitUsage, codeOf(err))
	require.ErrorIs(t, err, engine.ErrBusy)
	require.NoError(t, journal.Close())
}

func TestResumeGoesOn(t *testing.T) {
	b := newBench(t)
	path, err := b.state.journal("r1")
	require.NoError(t, err)
	journal, err := engine.OpenFile(path)
	require.NoError(t, err)
	dying := &dyingJournal{Journal: journal, left: 4}
	_, err = b.engine.Run(t.Context(), b.spec(t), dying)
	require.ErrorIs(t, err, engine.ErrJournal)
	require.NoError(t, journal.Close())

	b.out.Reset()
	require.NoError(t, b.drive(t.Context(), &engine.Spec{ID: "r1"}))
	events := b.events(t)
	assert.Equal(t, "run-resumed", events[0])
	assert.Equal(t, "run-ended complete", events[len(events)-1])
	assert.Equal(t, map[string]int{"/a": 1, "/tmp": 1}, b.worked)
}

// dyingJournal takes some events and then no more.
type dyingJournal struct {
	engine.Journal
	left int
}

func (j *dyingJournal) Append(ctx context.Context, e engine.Event) error {
	if j.left--; j.left < 0 {
		return errors.New("no space left on device")
	}
	return j.Journal.Append(ctx, e)
}

func TestDefaultStateFolder(t *testing.T) {
	home := t.TempDir()
	for want, env := range map[string]map[string]string{
		home + "/.local/state/davit": {"HOME": home},
		home + "/x/davit":            {"HOME": home, "XDG_STATE_HOME": home + "/x"},
	} {
		p := &program{getenv: func(name string) string { return env[name] }}
		got, err := p.openState("")
		require.NoError(t, err)
		assert.Equal(t, state(want), got)
		assert.DirExists(t, want)
	}
	_, err := (&program{getenv: func(string) string { return "" }}).openState("")
	require.ErrorContains(t, err, "give one with --state")
}

func TestNewIDs(t *testing.T) {
	for action, want := range map[string]string{
		"backup":                   `^backup-[a-z2-7]{8}$`,
		"Back_Up!":                 `^back-up-[a-z2-7]{8}$`,
		"ü":                        `^run-[a-z2-7]{8}$`,
		strings.Repeat("long", 30): `^(long){10}-[a-z2-7]{8}$`,
	} {
		id := newID(action)
		assert.Regexp(t, want, id)
		assert.Regexp(t, runID, id)
	}
}

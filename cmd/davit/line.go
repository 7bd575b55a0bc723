package main

import (
	"strings"
	"time"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

// runResumed and progress are the events of a line that are none of the journal's.
const (
	runResumed = "run-resumed"
	progress   = "progress"
)

// line is one line of the output of davit run where standard output is no terminal: one JSON object. Fields that do
// not belong to the event are absent. Secrets are masked.
type line struct {
	Time time.Time `json:"time"`
	// Event is one of the engine's kinds of events, run-resumed or progress.
	Event string `json:"event"`
	Run   string `json:"run"`
	// Action is the action's label, Phase the phase's name, Func the function it calls.
	Action  string `json:"action,omitempty"`
	Phase   string `json:"phase,omitempty"`
	Func    string `json:"func,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	// State of action-ended and run-ended: complete, failed or cancelled.
	State string `json:"state,omitempty"`
	Error string `json:"error,omitempty"`
	// Code tells some errors apart: timeout, max-hold, cancelled, unknown-outcome, output-too-large.
	Code string `json:"code,omitempty"`
	// WaitSeconds until the next attempt: attempt-failed.
	WaitSeconds float64 `json:"waitSeconds,omitempty"`
	// HeldSeconds is how long something was held, such as a quiesced database, that the phase undid: phase-complete and phase-failed.
	HeldSeconds float64 `json:"heldSeconds,omitempty"`
	// Outputs of phase-complete, Artifacts of action-ended.
	Outputs   map[string]any `json:"outputs,omitempty"`
	Artifacts map[string]any `json:"artifacts,omitempty"`
	// Insecure names the actions whose profile turns the verification of certificates off: run-started.
	Insecure []string `json:"insecure,omitempty"`
	// Left names what a run could not remove: run-ended.
	Left []string `json:"left,omitempty"`
	// Bytes moved so far, TotalBytes where it is known, and a Note: progress.
	Bytes      int64  `json:"bytes,omitempty"`
	TotalBytes int64  `json:"totalBytes,omitempty"`
	Note       string `json:"note,omitempty"`
}

// reporter shows a run to whoever started it. Its methods are called one at a time.
type reporter interface {
	event(l line)
	progress(l line)
	// close ends what is not yet a whole line.
	close()
}

// names turns the positions in events into names. Its zero value knows none: it learns them from the first event of a run.
type names struct {
	run     string
	actions []engine.ActionState
}

// line describes an event.
func (n *names) line(e engine.Event) line {
	if e.Kind == engine.RunStarted {
		n.learn(e)
	}
	l := line{
		Time: e.Time, Event: string(e.Kind), Run: n.run, Attempt: e.Attempt, State: string(e.State), Left: e.Left,
		WaitSeconds: e.Wait.Seconds(), HeldSeconds: e.Held.Seconds(), Outputs: e.Outputs.Masked(), Artifacts: e.Artifacts.Masked(),
	}
	if e.Run != nil {
		for _, a := range e.Run.Actions {
			if a.Insecure {
				l.Insecure = append(l.Insecure, a.Label)
			}
		}
	}
	if e.Error != nil {
		l.Error, l.Code = e.Error.Message, e.Error.Code
	}
	switch e.Kind {
	case engine.RunStarted, engine.RunEnded, engine.CancelAsked:
		return l
	}
	if e.Action < 0 || e.Action >= len(n.actions) {
		return l
	}
	a := n.actions[e.Action]
	l.Action = a.Label
	if e.Kind == engine.ActionEnded {
		return l
	}
	switch {
	case e.Phase >= 0 && e.Phase < len(a.Phases):
		l.Phase, l.Func = a.Phases[e.Phase].Name, a.Phases[e.Phase].Func
	case a.Defer != nil:
		l.Phase, l.Func = a.Defer.Name, a.Defer.Func
	}
	return l
}

func (n *names) learn(e engine.Event) {
	if s, err := engine.Reduce([]engine.Event{e}); err == nil {
		n.run, n.actions = s.Record.ID, s.Actions
	}
}

// progressLine describes how far a phase is.
func (n *names) progressLine(at time.Time, ref engine.PhaseRef, p function.Progress) line {
	return line{
		Time: at, Event: progress, Run: n.run, Action: ref.Action, Phase: ref.Phase,
		Bytes: p.Bytes, TotalBytes: p.TotalBytes, Note: oneLine(p.Note),
	}
}

// oneLine keeps a text on one line and of a bounded length.
func oneLine(s string) string {
	const limit = 400
	s = strings.Join(strings.Fields(printable(s)), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

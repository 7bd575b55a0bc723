package engine

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/davit-project/davit/blueprint"
)

// Kind is the kind of an event.
type Kind string

// The kinds of events, in the order they can come in.
const (
	RunStarted    Kind = "run-started"
	PhaseStarted  Kind = "phase-started"
	AttemptFailed Kind = "attempt-failed"
	PhaseComplete Kind = "phase-complete"
	PhaseSkipped  Kind = "phase-skipped"
	PhaseFailed   Kind = "phase-failed"
	CancelAsked   Kind = "cancel-asked"
	ActionEnded   Kind = "action-ended"
	RunEnded      Kind = "run-ended"
)

// Event is one transition of a run. Fields that do not belong to its kind are zero.
type Event struct {
	// Seq counts from 1 without gaps.
	Seq  int       `json:"seq"`
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Action is the position of the action in the run, from 0.
	Action int `json:"action"`
	// Phase is the position of the phase in the action; -1 is the deferred phase.
	Phase int `json:"phase"`
	// Label of the action, Name and Func of the phase: for whoever reads the event. The positions above are what counts.
	Label string `json:"label,omitempty"`
	Name  string `json:"name,omitempty"`
	Func  string `json:"func,omitempty"`
	// Attempt from 1: PhaseStarted and what ends a phase.
	Attempt int `json:"attempt,omitempty"`
	// Run is all that is needed to carry on: RunStarted.
	Run *RunRecord `json:"run,omitempty"`
	// Outputs of PhaseComplete.
	Outputs Values `json:"outputs,omitempty"`
	// Artifacts of ActionEnded.
	Artifacts Values `json:"artifacts,omitempty"`
	// Wait before the next attempt: AttemptFailed.
	Wait time.Duration `json:"wait,omitempty"`
	// Held is how long something was held that the phase undid, for whoever reads the event: PhaseComplete and PhaseFailed of the last phase of a release.
	Held time.Duration `json:"held,omitempty"`
	// Error of AttemptFailed, PhaseFailed, ActionEnded and CancelAsked.
	Error *Failure `json:"error,omitempty"`
	// State of ActionEnded and RunEnded.
	State RunState `json:"state,omitempty"`
	// Left names what a run could not remove: RunEnded.
	Left []string `json:"left,omitempty"`
}

// RunState is the state of a run, an action or a phase.
type RunState string

// The states. Complete, Failed, Cancelled and Skipped are final.
const (
	Pending   RunState = "pending"
	Running   RunState = "running"
	Complete  RunState = "complete"
	Failed    RunState = "failed"
	Cancelled RunState = "cancelled"
	Skipped   RunState = "skipped"
)

// Ended tells whether the state is final.
func (s RunState) Ended() bool { return s != Pending && s != Running && s != "" }

// RunRecord is what RunStarted holds: the whole request and what was captured at its start, without secrets.
type RunRecord struct {
	ID         string                     `json:"id"`
	Labels     map[string]string          `json:"labels,omitempty"`
	Blueprints map[string]json.RawMessage `json:"blueprints"`
	Actions    []ActionRecord             `json:"actions"`
}

// ActionRecord is one action of a run.
type ActionRecord struct {
	// Label is unique in the run.
	Label string `json:"label"`
	// Spec without artifacts and options, which are in Params.
	Spec blueprint.ActionSpec `json:"spec"`
	// Params are the captured parameters; secrets in them are references.
	Params Values `json:"params"`
	// Objects are the rendered references to secrets and config maps: a map of names to references for each phase, the deferred
	// one's key is empty.
	Objects Values `json:"objects,omitempty"`
	// Insecure tells that the profile turns the verification of certificates off.
	Insecure bool `json:"insecure,omitempty"`
}

// masked returns a copy without references to secrets, for whoever watches.
func (e Event) masked() Event {
	e.Outputs, e.Artifacts = e.Outputs.Masked(), e.Artifacts.Masked()
	if e.Run != nil {
		rec := *e.Run
		rec.Actions = slices.Clone(rec.Actions)
		for i := range rec.Actions {
			a := &rec.Actions[i]
			a.Params, a.Objects = a.Params.Masked(), a.Objects.Masked()
		}
		e.Run = &rec
	}
	return e
}

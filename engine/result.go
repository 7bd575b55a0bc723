package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/davit-project/davit/template"
)

// Result says what became of a run. Its fields, and its JSON, are masked.
type Result struct {
	ID      string         `json:"id"`
	State   RunState       `json:"state"`
	Started time.Time      `json:"started"`
	Ended   time.Time      `json:"ended,omitzero"`
	Actions []ActionResult `json:"actions"`
	// Left names what the run could not remove.
	Left []string `json:"left,omitempty"`

	artifacts []map[string]template.Artifact
	missing   error
	cancel    *Failure
	causes    map[[2]int]error
}

// ActionResult says what became of an action.
type ActionResult struct {
	// Action is the action's label: its name, with "[n]" appended in a run of several actions.
	Action    string   `json:"action"`
	Blueprint string   `json:"blueprint"`
	State     RunState `json:"state"`
	// Insecure tells that the action's profile turned the verification of certificates off: whoever stood between could read and change the data.
	Insecure bool `json:"insecure,omitempty"`
	// Phases in order; the deferred one comes last.
	Phases []PhaseResult `json:"phases"`
	// Shown are the artifacts with secrets masked, for display. Result.Artifacts has them as they are.
	Shown map[string]template.Artifact `json:"artifacts,omitempty"`
	// Failure is why the action failed beside its phases: its artifacts could not be rendered.
	Failure *Failure `json:"error,omitempty"`
}

// PhaseResult says what became of a phase.
type PhaseResult struct {
	Name     string    `json:"name"`
	Func     string    `json:"func"`
	State    RunState  `json:"state"`
	Deferred bool      `json:"deferred,omitempty"`
	Attempts int       `json:"attempts,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	// Held is how long a phase with a release held something: from its beginning until what it did was undone. Zero where there is none, and until then.
	Held time.Duration `json:"held,omitempty"`
	// Outputs with secrets masked.
	Outputs map[string]any `json:"outputs,omitempty"`
	Failure *Failure       `json:"error,omitempty"`
}

// Artifacts returns the artifacts of an action by its position, as other actions take them. They may contain a secret when the blueprint put it there: do not
// print them. The error says which secret of a run from a journal can no longer be read.
func (r *Result) Artifacts(action int) (map[string]template.Artifact, error) {
	if r.missing != nil {
		return nil, r.missing
	}
	if action < 0 || action >= len(r.artifacts) {
		return nil, invalidf("run %q has no action %d", r.ID, action)
	}
	return r.artifacts[action], nil
}

// Err is nil for a complete run, and else what Engine.Run returned.
func (r *Result) Err() error {
	if r.State == Complete {
		return nil
	}
	var errs []error
	if r.cancel != nil && r.State == Cancelled {
		errs = append(errs, r.cancel.asError())
	}
	for i, a := range r.Actions {
		for k, p := range a.Phases {
			if p.Failure == nil || p.State != Failed {
				continue
			}
			if p.Deferred {
				k = deferIndex
			}
			cause := r.causes[[2]int{i, k}]
			if cause == nil {
				cause = p.Failure.asError()
			}
			errs = append(errs, &PhaseError{Action: a.Action, Phase: p.Name, Func: p.Func, Attempt: p.Attempts, Err: cause})
		}
		if a.Failure != nil {
			errs = append(errs, fmt.Errorf("action %q: %w", a.Action, a.Failure.asError()))
		}
	}
	if !r.State.Ended() {
		return errors.Join(fmt.Errorf("run %q has not ended", r.ID), errors.Join(errs...))
	}
	return fmt.Errorf("%w: %w", ErrFailed, errors.Join(errs...))
}

// result of a run whose journal was read: secrets are only read where it refers to one.
func (e *Engine) result(ctx context.Context, state *State) *Result {
	v := newVault()
	_ = e.recall(ctx, v, state) // expanding says what is missing
	return resultOf(v, state, nil)
}

func expandArtifacts(v *vault, state *State) ([]map[string]template.Artifact, error) {
	var all []map[string]template.Artifact
	for i := range state.Actions {
		tree, err := v.expand(map[string]any(state.Actions[i].Artifacts))
		if err != nil {
			return nil, fmt.Errorf("artifacts of action %q: %w", state.Actions[i].Label, err)
		}
		artifacts, err := artifactsOf(tree)
		if err != nil {
			return nil, err
		}
		all = append(all, artifacts)
	}
	return all, nil
}

func artifactsOf(tree any) (map[string]template.Artifact, error) {
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var artifacts map[string]template.Artifact
	err = json.Unmarshal(data, &artifacts)
	return artifacts, err
}

func resultOf(v *vault, state *State, causes map[[2]int]error) *Result {
	res := &Result{ID: state.Record.ID, State: state.State, Started: state.Started, Ended: state.Ended, Left: state.Left, cancel: state.Cancel, causes: causes}
	res.artifacts, res.missing = expandArtifacts(v, state)
	for i := range state.Actions {
		a := &state.Actions[i]
		ar := ActionResult{Action: a.Label, Blueprint: state.Record.Actions[i].Spec.Blueprint, State: a.State, Failure: a.Error, Insecure: state.Record.Actions[i].Insecure}
		for k := range a.Phases {
			pr := phaseResult(&a.Phases[k], false)
			pr.Held = a.held(k)
			ar.Phases = append(ar.Phases, pr)
		}
		if a.Defer != nil {
			ar.Phases = append(ar.Phases, phaseResult(a.Defer, true))
		}
		ar.Shown, _ = artifactsOf(a.Artifacts.Masked())
		res.Actions = append(res.Actions, ar)
	}
	return res
}

func phaseResult(p *PhaseState, deferred bool) PhaseResult {
	return PhaseResult{Name: p.Name, Func: p.Func, State: p.State, Deferred: deferred, Attempts: p.Attempt,
		Started: p.Started, Ended: p.Ended, Outputs: p.Outputs.Masked(), Failure: p.Error}
}

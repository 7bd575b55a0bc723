package engine

import (
	"context"
	"fmt"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// Preview says what a run would do, as far as that is known before it begins. Every text in it is masked: it holds no secret.
type Preview struct {
	// ID of the run.
	ID      string          `json:"id"`
	Actions []PreviewAction `json:"actions"`
}

// PreviewAction is one action of a preview.
type PreviewAction struct {
	// Action is the action's label: its name, with "[n]" appended in a run of several actions.
	Action    string                   `json:"action"`
	Blueprint string                   `json:"blueprint"`
	Object    template.ObjectReference `json:"object"`
	// Phases in order; the deferred one comes last.
	Phases []PreviewPhase `json:"phases"`
	// Artifacts that the action will put out.
	Artifacts map[string]template.Artifact `json:"artifacts,omitempty"`
	// Open lists the places in the artifacts that are still template texts: they depend on what phases put out.
	Open []string `json:"open,omitempty"`
	// Problems are what the action lacks or cannot render; with one, the run does not begin or fails.
	Problems []string `json:"problems,omitempty"`
}

// PreviewPhase is one phase of a preview.
type PreviewPhase struct {
	Name    string `json:"name"`
	Func    string `json:"func"`
	Version string `json:"version"`
	// Replay is once, idempotent or adopt: what becomes of the phase when the host dies in it.
	Replay   string `json:"replay"`
	Deferred bool   `json:"deferred,omitempty"`
	// Timeout such as "10m0s"; empty for none.
	Timeout string `json:"timeout,omitempty"`
	// Attempts in all, at least 1, with waits from Backoff up to MaxBackoff between them.
	Attempts   int    `json:"attempts"`
	Backoff    string `json:"backoff,omitempty"`
	MaxBackoff string `json:"maxBackoff,omitempty"`
	// If is the condition's template text; empty for a phase that always runs. Runs says what is known of it.
	If   string `json:"if,omitempty"`
	Runs Runs   `json:"runs"`
	// Release names the phases that undo this one, MaxHold such as "30s" how long they may be waited for; empty without a bound.
	Release []string `json:"release,omitempty"`
	MaxHold string   `json:"maxHold,omitempty"`
	// Objects are the secrets and config maps that the phase reads.
	Objects map[string]template.ObjectReference `json:"objects,omitempty"`
	// Args as they are known now. Open lists the places that are still template texts ("args.command[2]"): they depend on what earlier phases put out,
	// on a condition that is not known, or on an object that could not be read.
	Args map[string]any `json:"args"`
	Open []string       `json:"open,omitempty"`
	// Images are the container images that the arguments name.
	Images []string `json:"images,omitempty"`
	// Outputs whose names are known; OpenOutputs is true where the command may add others.
	Outputs     []string `json:"outputs,omitempty"`
	OpenOutputs bool     `json:"openOutputs,omitempty"`
	// Rules are the permissions of a Kubernetes cluster that the phase needs. What depends on earlier phases is a template text.
	Rules []function.Rule `json:"-"`
	// Problems are what would make the phase fail.
	Problems []string `json:"problems,omitempty"`
}

// Runs says whether a phase will run.
type Runs string

// Whether a phase will run.
const (
	// RunsAlways is for a phase without a condition.
	RunsAlways Runs = "always"
	// RunsTrue and RunsFalse are for a condition that is known now.
	RunsTrue  Runs = "true"
	RunsFalse Runs = "false"
	// RunsUnknown is for a condition that depends on earlier phases.
	RunsUnknown Runs = "unknown"
)

// Problems lists every problem of the preview with the action and phase it belongs to. None means that the run can begin.
func (p *Preview) Problems() []string {
	var all []string
	for _, a := range p.Actions {
		for _, problem := range a.Problems {
			all = append(all, fmt.Sprintf("action %q: %s", a.Action, problem))
		}
		for _, ph := range a.Phases {
			for _, problem := range ph.Problems {
				all = append(all, fmt.Sprintf("action %q, phase %q (%s): %s", a.Action, ph.Name, ph.Func, problem))
			}
		}
	}
	return all
}

// Preview reads what a run would read and renders what can be rendered before its first phase. It writes nothing: no journal, no object. What is missing or
// fails is a problem in the preview, all of it at once; the error is for a request that is ErrInvalid by itself, or a context that ended.
func (e *Engine) Preview(ctx context.Context, spec *Spec) (*Preview, error) {
	p, err := e.compile(spec)
	if err != nil {
		return nil, err
	}
	v := newVault()
	var views []*view
	for i := range p.actions {
		a := &p.actions[i]
		views = append(views, e.look(ctx, v, a, p.blueprints[a.spec.Blueprint].Actions[a.spec.Name].OutputArtifacts))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	// only now are all secrets known
	out := &Preview{ID: v.mask(p.id)}
	for _, w := range views {
		out.Actions = append(out.Actions, w.masked())
	}
	return out, nil
}

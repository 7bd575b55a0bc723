package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// Spec asks for a run: one or more actions, which are executed at the same time, each with its phases in order.
type Spec struct {
	// ID names the run: lower-case letters, digits, hyphens and dots, at most 63. It must be new. Required.
	ID string
	// Labels are kept with the run for the host; the engine does not use them.
	Labels map[string]string
	// Blueprints that the actions name.
	Blueprints []*blueprint.Blueprint
	Actions    []blueprint.ActionSpec
}

// Plan says what a run would do, as far as that is known without reading anything.
type Plan struct {
	Actions []PlannedAction
}

// PlannedAction is one action of a plan.
type PlannedAction struct {
	Label, Blueprint string
	// Phases in order; the deferred one comes last.
	Phases []PlannedPhase
}

// PlannedPhase is one phase of a plan.
type PlannedPhase struct {
	Name, Func, Version string
	Replay              function.Replay
	Deferred            bool
	// Conditional phases have an if.
	Conditional bool
	Attempts    int
	// Release names the phases that undo this one, MaxHold how long they may be waited for; zero without a bound.
	Release []string
	MaxHold time.Duration
}

// Plan checks the request and says what it would do. It reads and touches nothing.
func (e *Engine) Plan(spec *Spec) (*Plan, error) {
	p, err := e.compile(spec)
	if err != nil {
		return nil, err
	}
	plan := &Plan{}
	for i := range p.actions {
		a := &p.actions[i]
		pa := PlannedAction{Label: a.label, Blueprint: a.spec.Blueprint}
		for _, ph := range a.all() {
			s := ph.fn.Schema()
			attempts := 1
			if ph.src.Retry != nil {
				attempts = ph.src.Retry.Attempts
			}
			pa.Phases = append(pa.Phases, PlannedPhase{Name: ph.name, Func: s.Name, Version: s.Version, Replay: s.Replay,
				Deferred: ph == a.deferred, Conditional: ph.cond != nil, Attempts: attempts, Release: ph.src.Release, MaxHold: ph.src.MaxHold})
		}
		plan.Actions = append(plan.Actions, pa)
	}
	return plan, nil
}

// program is a compiled request.
type program struct {
	id         string
	labels     map[string]string
	blueprints map[string]*blueprint.Blueprint
	actions    []action
}

type action struct {
	label     string
	spec      blueprint.ActionSpec
	phases    []*phase
	deferred  *phase
	artifacts map[string]*artifact
}

type artifact struct {
	keyValue      *template.Value
	kopiaSnapshot *template.Template
}

type phase struct {
	name    string
	index   int
	src     *blueprint.Phase
	fn      function.Func
	args    *template.Value
	objects *template.Value
	cond    *template.Template
}

// all phases, the deferred one last.
func (a *action) all() []*phase {
	all := slices.Clone(a.phases)
	if a.deferred != nil {
		all = append(all, a.deferred)
	}
	return all
}

var runID = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// compile checks the whole request and compiles its templates. All faults are reported at once.
func (e *Engine) compile(spec *Spec) (*program, error) {
	p := &program{id: spec.ID, labels: spec.Labels, blueprints: map[string]*blueprint.Blueprint{}}
	var errs []error
	if !runID.MatchString(spec.ID) || len(spec.ID) > 63 {
		errs = append(errs, fmt.Errorf("run id %q: want lower-case letters, digits, hyphens and dots, at most 63", spec.ID))
	}
	for _, bp := range spec.Blueprints {
		if p.blueprints[bp.Name] != nil {
			errs = append(errs, fmt.Errorf("blueprint %q is given twice", bp.Name))
		}
		p.blueprints[bp.Name] = bp
	}
	if len(spec.Actions) == 0 {
		errs = append(errs, errors.New("no action is asked for"))
	}
	for i, as := range spec.Actions {
		a, err := e.compileAction(p.blueprints, as)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		a.label = as.Name
		if len(spec.Actions) > 1 {
			a.label = fmt.Sprintf("%s[%d]", as.Name, i)
		}
		p.actions = append(p.actions, *a)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, invalidf("%w", err)
	}
	return p, nil
}

func findAction(blueprints map[string]*blueprint.Blueprint, as blueprint.ActionSpec) (*blueprint.Action, error) {
	bp := blueprints[as.Blueprint]
	if bp == nil {
		return nil, fmt.Errorf("action %q: blueprint %q is not given", as.Name, as.Blueprint)
	}
	a := bp.Actions[as.Name]
	if a == nil {
		return nil, fmt.Errorf("blueprint %q has no action %q; it has %s", as.Blueprint, as.Name, quoteList(bp.ActionNames))
	}
	return a, nil
}

func quoteList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	if len(quoted) == 0 {
		return "none"
	}
	return strings.Join(quoted, ", ")
}

func (e *Engine) compileAction(blueprints map[string]*blueprint.Blueprint, as blueprint.ActionSpec) (*action, error) {
	src, err := findAction(blueprints, as)
	if err != nil {
		return nil, err
	}
	a := &action{spec: as, artifacts: map[string]*artifact{}}
	where := "actions." + as.Name
	var errs []error
	seen := map[string]bool{}
	for i, ps := range src.Phases {
		ph, err := e.compilePhase(fmt.Sprintf("%s.phases[%d]", where, i), ps, as.PreferredVersion)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if seen[ph.name] {
			errs = append(errs, fmt.Errorf("%s: two phases are named %q", where, ph.name))
		}
		seen[ph.name] = true
		ph.index = i
		a.phases = append(a.phases, ph)
	}
	if _, err := src.Released(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", where, err))
	}
	if ps := src.DeferPhase; ps != nil {
		ph, err := e.compilePhase(where+".deferPhase", ps, as.PreferredVersion)
		if err != nil {
			errs = append(errs, err)
		} else {
			ph.index, ph.name = deferIndex, deferName(ps)
			a.deferred = ph
		}
	}
	for name, art := range src.OutputArtifacts {
		at := where + ".outputArtifacts." + name
		a.artifacts[name] = &artifact{}
		// keys are not rendered, as in Kanister: they are the outermost of this tree
		a.artifacts[name].keyValue, err = e.opts.Env.CompileValue(at+".keyValue", anyMap(art.KeyValue), nil)
		errs = append(errs, err)
		a.artifacts[name].kopiaSnapshot, err = e.opts.Env.Compile(at+".kopiaSnapshot", art.KopiaSnapshot)
		errs = append(errs, err)
	}
	return a, errors.Join(errs...)
}

func anyMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// deferName is the name of a deferred phase, which a blueprint may leave out.
func deferName(p *blueprint.Phase) string {
	if p.Name == "" {
		return "deferPhase"
	}
	return p.Name
}

func (e *Engine) compilePhase(where string, src *blueprint.Phase, version string) (*phase, error) {
	fn, err := e.registry.Lookup(src.Func, version)
	if err != nil {
		return nil, fmt.Errorf("%s (%s): %w", where, src.Name, err)
	}
	var errs []error
	if why := fn.CannotRun(); why != nil {
		errs = append(errs, fmt.Errorf("function %q: %w", src.Func, why))
	}
	for _, pr := range fn.Check(src.Args) {
		errs = append(errs, fmt.Errorf("args.%s: %s", pr.Path, pr.Message))
	}
	ph := &phase{name: src.Name, src: src, fn: fn}
	ph.args, err = e.opts.Env.CompileValue(where+".args", argsOf(src), fn.Schema().RawPath)
	errs = append(errs, err)
	objects := map[string]any{}
	for name, ref := range src.Objects {
		objects[name] = map[string]any{"apiVersion": ref.APIVersion, "group": ref.Group, "resource": ref.Resource,
			"kind": ref.Kind, "name": ref.Name, "namespace": ref.Namespace}
	}
	ph.objects, err = e.opts.Env.CompileValue(where+".objects", objects, nil)
	errs = append(errs, err)
	if src.If != "" {
		ph.cond, err = e.opts.Env.Compile(where+".if", src.If)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%s (%s): %w", where, src.Name, err)
	}
	return ph, nil
}

func argsOf(p *blueprint.Phase) map[string]any {
	if p.Args == nil {
		return map[string]any{}
	}
	return p.Args
}

// record is what RunStarted holds of the program.
func (p *program) record() (*RunRecord, error) {
	rec := &RunRecord{ID: p.id, Labels: p.labels, Blueprints: map[string]json.RawMessage{}}
	for i := range p.actions {
		name := p.actions[i].spec.Blueprint
		data, err := p.blueprints[name].JSON()
		if err != nil {
			return nil, invalidf("blueprint %q: %w", name, err)
		}
		rec.Blueprints[name] = data
	}
	return rec, nil
}

// parseBlueprints reads the blueprints of a journal.
func parseBlueprints(rec *RunRecord) (map[string]*blueprint.Blueprint, error) {
	all := map[string]*blueprint.Blueprint{}
	for name, data := range rec.Blueprints {
		f := blueprint.Parse(name, data)
		if err := f.Err(); err != nil {
			return nil, fmt.Errorf("blueprint %q: %w", name, err)
		}
		if len(f.Blueprints) != 1 {
			return nil, fmt.Errorf("blueprint %q: %d documents", name, len(f.Blueprints))
		}
		all[name] = f.Blueprints[0]
	}
	return all, nil
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/davit-project/davit/template"
)

// run is one execution of a run by this process.
type run struct {
	engine  *Engine
	program *program
	vault   *vault
	journal Journal
	// params of each action; only the action's own goroutine uses them.
	params []*template.Params
	// since is when this process began with the phases of each action that nothing stops, by their position; only the action's own goroutine uses it.
	since []map[int]time.Time

	mu    sync.Mutex
	state *State
	// broken is set once the journal could not be written; nothing is begun after it.
	broken error
	// stuck names what could not be removed, and phases whose function did not return.
	stuck []string
	// causes are the errors of failed phases, by action and phase, as the functions gave them.
	causes map[[2]int]error

	// stopping ends, with the cause, when running phases have to stop.
	stopping context.Context
	stop     context.CancelCauseFunc
}

// begin reads what the run needs and journals its start.
func (e *Engine) begin(ctx context.Context, p *program, journal Journal) (*run, error) {
	r := &run{engine: e, program: p, vault: newVault(), journal: journal, state: &State{}, causes: map[[2]int]error{},
		since: make([]map[int]time.Time, len(p.actions))}
	rec, err := p.record()
	if err != nil {
		return nil, err
	}
	var errs []error
	refs := make([]map[string]any, len(p.actions))
	for i := range p.actions {
		a := &p.actions[i]
		params, missing := e.capture(ctx, r.vault, a.spec)
		err := missing.err()
		if err == nil {
			refs[i], err = renderObjects(a, params)
			err = errors.Join(err, precheck(a, params))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("action %q: %w", a.label, r.vault.maskError(err)))
		}
		r.params = append(r.params, params)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, invalidf("%w", err)
	}
	for i := range p.actions {
		ar, err := r.actionRecord(i, refs[i])
		if err != nil {
			return nil, invalidf("action %q: %w", p.actions[i].label, err)
		}
		rec.Actions = append(rec.Actions, ar)
	}
	if err := r.append(ctx, Event{Kind: RunStarted, Run: rec}); err != nil {
		return nil, err
	}
	return r, r.restore(ctx)
}

// actionRecord is what the journal holds of an action. What came with the request is in the parameters, where secrets are references.
func (r *run) actionRecord(i int, refs map[string]any) (ActionRecord, error) {
	a := &r.program.actions[i]
	rec := ActionRecord{Label: a.label, Spec: a.spec}
	rec.Insecure = r.params[i].Profile != nil && r.params[i].Profile.SkipSSLVerify
	s := &rec.Spec
	s.Artifacts, s.Options, s.PodOverride, s.PodLabels, s.PodAnnotations = nil, nil, nil, nil, nil
	var err error
	if rec.Params, err = r.vault.freeze(r.params[i]); err != nil {
		return rec, err
	}
	rec.Objects, err = r.vault.encodeValues(refs)
	return rec, err
}

// renderObjects renders the references of all phases before any runs, as Kanister does.
func renderObjects(a *action, p *template.Params) (map[string]any, error) {
	all := map[string]any{}
	var errs []error
	for _, ph := range a.all() {
		if len(ph.src.Objects) == 0 {
			continue
		}
		tree, err := ph.objects.Render(p)
		errs = append(errs, err)
		all[ph.key()] = tree
	}
	return all, errors.Join(errs...)
}

// key of a phase in ActionRecord.Objects.
func (p *phase) key() string {
	if p.index == deferIndex {
		return ""
	}
	return p.name
}

// reopen continues a run from its state.
func (e *Engine) reopen(ctx context.Context, state *State, journal Journal) (*run, error) {
	blueprints, err := parseBlueprints(state.Record)
	if err != nil {
		return nil, journalError(err)
	}
	spec := &Spec{ID: state.Record.ID, Labels: state.Record.Labels}
	for _, bp := range blueprints {
		spec.Blueprints = append(spec.Blueprints, bp)
	}
	for _, a := range state.Record.Actions {
		spec.Actions = append(spec.Actions, a.Spec)
	}
	p, err := e.compile(spec)
	if err != nil {
		return nil, fmt.Errorf("run %q cannot be resumed: %w", spec.ID, err)
	}
	r := &run{engine: e, program: p, vault: newVault(), journal: journal, state: state, causes: map[[2]int]error{},
		since: make([]map[int]time.Time, len(p.actions))}
	for i := range p.actions {
		params := &template.Params{}
		if err := e.readSecrets(ctx, r.vault, p.actions[i].spec, params).err(); err != nil {
			return nil, fmt.Errorf("run %q cannot be resumed: action %q: %w", spec.ID, p.actions[i].label, r.vault.maskError(err))
		}
		r.params = append(r.params, params)
	}
	if err := e.recall(ctx, r.vault, state); err != nil {
		return nil, fmt.Errorf("run %q cannot be resumed: %w", spec.ID, r.vault.maskError(err))
	}
	for i := range p.actions {
		// running phases may write what the subject's pods are given
		if params, err := r.vault.thaw(state.Record.Actions[i].Params); err == nil {
			e.learn(ctx, r.vault, p.actions[i].spec.Object.Namespace, params.Object)
		}
	}
	if err := r.restore(ctx); err != nil {
		return nil, fmt.Errorf("run %q cannot be resumed: %w", spec.ID, r.vault.maskError(err))
	}
	return r, nil
}

// restore rebuilds the parameters from the state: what was captured, and what finished phases left. A first and a resumed run both
// go through it and so see the same values.
func (r *run) restore(ctx context.Context) error {
	for i := range r.program.actions {
		// phase secrets first: captured values and outputs may refer to them
		phases := map[*phase]*template.Phase{}
		for _, ph := range r.program.actions[i].all() {
			ps := r.state.Actions[i].phase(ph.index)
			if ps.State != Complete && ps.State != Failed {
				continue
			}
			tp, err := r.readObjects(ctx, i, ph, isAbsent)
			if err != nil {
				return err
			}
			phases[ph] = tp
		}
		params, err := r.vault.thaw(r.state.Record.Actions[i].Params)
		if err != nil {
			return err
		}
		params.Secrets, params.Profile = r.params[i].Secrets, r.params[i].Profile
		r.params[i] = params
		for ph, tp := range phases {
			r.setPhase(i, ph, tp)
			r.setKnownOutputs(ctx, i, ph, r.state.Actions[i].phase(ph.index).Outputs)
		}
	}
	return nil
}

// isAbsent tells whether an object is gone for good, and not only out of reach for the moment. A phase that has ended may have removed it, or a later one;
// who still needs it gets a clear error.
func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// readObjects reads the secrets and config maps of a phase. Errors that spare accepts leave the object out; nil spares none.
func (r *run) readObjects(ctx context.Context, i int, ph *phase, spare func(error) bool) (*template.Phase, error) {
	state, _ := r.current()
	tree, ok := state.Record.Actions[i].Objects[ph.key()]
	if !ok {
		return newPhase(), nil
	}
	tree, err := r.vault.expand(tree)
	if err != nil {
		return nil, err
	}
	var errs []error
	tp, err := r.engine.readRefs(ctx, r.vault, tree, func(name, _ string, err error) {
		if spare == nil || !spare(err) {
			errs = append(errs, fmt.Errorf("object %q: %w", name, err))
		}
	})
	return tp, errors.Join(err, errors.Join(errs...))
}

func newPhase() *template.Phase {
	return &template.Phase{Secrets: map[string]template.Secret{}, ConfigMaps: map[string]template.ConfigMap{}}
}

// readRefs reads the secrets and config maps that rendered references name. Failed is told the name, the field of template.Phase and the error of each that
// cannot be read.
func (e *Engine) readRefs(ctx context.Context, v *vault, tree any, failed func(name, field string, err error)) (*template.Phase, error) {
	tp := newPhase()
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var refs map[string]template.ObjectReference
	if err := json.Unmarshal(data, &refs); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		switch ref := refs[name]; {
		case isSecret(ref):
			s, err := e.source.Secret(ctx, ref.Namespace, ref.Name)
			if err != nil {
				failed(name, "Secrets", err)
				continue
			}
			v.addSecret(ref.Namespace, ref.Name, s)
			tp.Secrets[name] = s
		case isConfigMap(ref):
			cm, err := e.source.ConfigMap(ctx, ref.Namespace, ref.Name)
			if err != nil {
				failed(name, "ConfigMaps", err)
				continue
			}
			tp.ConfigMaps[name] = cm
		}
	}
	return tp, nil
}

func (r *run) setPhase(i int, ph *phase, tp *template.Phase) {
	if ph.index == deferIndex {
		r.params[i].DeferPhase = tp
		return
	}
	r.params[i].Phases[ph.name] = tp
}

// setOutputs makes the journalled outputs of a phase visible to templates.
func (r *run) setOutputs(i int, ph *phase, outputs Values) error {
	if len(outputs) == 0 {
		return nil // the journal does not tell none from an empty map
	}
	tree, err := r.vault.expand(map[string]any(outputs))
	if err != nil {
		return fmt.Errorf("outputs of phase %q: %w", ph.name, err)
	}
	tp := r.params[i].DeferPhase
	if ph.index != deferIndex {
		tp = r.params[i].Phases[ph.name]
	}
	tp.Output = tree.(map[string]any)
	return nil
}

// setKnownOutputs is setOutputs for a phase that ended before the host died. An output whose secret is gone is left out: only a phase that reads it
// fails, and the deferred phase runs.
func (r *run) setKnownOutputs(ctx context.Context, i int, ph *phase, outputs Values) {
	known := Values{}
	for key, v := range outputs {
		if _, err := r.vault.expand(v); err != nil {
			r.engine.opts.Logger.WarnContext(ctx, "an output is lost", "phase", ph.name, "output", key, "error", err)
			continue
		}
		known[key] = v
	}
	_ = r.setOutputs(i, ph, known) // each can be expanded
}

// append journals an event and applies it. The event is durable, and only then part of the state.
func (r *run) append(ctx context.Context, e Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	if e.Kind == CancelAsked && r.state.Cancel != nil {
		return nil
	}
	e.Seq, e.Time = r.state.Seq+1, r.engine.opts.Now().UTC().Round(0)
	after := r.state.clone()
	err := after.apply(e)
	after.name(&e)
	if err == nil {
		err = r.journal.Append(context.WithoutCancel(ctx), e)
	}
	if err != nil {
		r.broken = fmt.Errorf("run %q stands still at event %d (%s): %w; resume it once the journal can be written",
			r.program.id, e.Seq, e.Kind, journalError(err))
		if r.stop != nil {
			r.stop(r.broken)
		}
		return r.broken
	}
	r.state = after
	if observe := r.engine.opts.Observe; observe != nil {
		observe(e.masked())
	}
	return nil
}

// name fills in the names that an event is about.
func (s *State) name(e *Event) {
	switch e.Kind {
	case RunStarted, RunEnded, CancelAsked:
		return
	}
	if e.Action < 0 || e.Action >= len(s.Actions) {
		return
	}
	a := &s.Actions[e.Action]
	e.Label = a.Label
	if p := a.phase(e.Phase); p != nil && e.Kind != ActionEnded {
		e.Name, e.Func, e.Held = p.Name, p.Func, a.ended(e.Phase)
	}
}

// clone copies what apply changes.
func (s *State) clone() *State {
	c := *s
	c.Actions = slices.Clone(s.Actions)
	for i := range c.Actions {
		a := &c.Actions[i]
		a.Phases = slices.Clone(a.Phases)
		if a.Defer != nil {
			d := *a.Defer
			a.Defer = &d
		}
	}
	return &c
}

// current returns the state as it is now; it must not be changed.
func (r *run) current() (*State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.broken
}

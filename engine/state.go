package engine

import (
	"fmt"
	"time"
)

// State is the state of a run: a pure function of its events.
type State struct {
	Record  *RunRecord
	State   RunState
	Started time.Time
	Ended   time.Time
	// Cancel is why the run was cancelled; nil when it was not.
	Cancel  *Failure
	Actions []ActionState
	Left    []string
	// Seq is the number of the last event.
	Seq int
}

// ActionState is the state of an action.
type ActionState struct {
	Label  string
	State  RunState
	Phases []PhaseState
	// Defer is nil for an action without deferred phase.
	Defer     *PhaseState
	Artifacts Values
	// Error is set when the action failed by itself, beside its phases.
	Error *Failure
}

// PhaseState is the state of a phase.
type PhaseState struct {
	Name, Func string
	State      RunState
	// Attempt is the last one that began.
	Attempt int
	// Waiting is true between a failed attempt and the next; Next is when that is due, Wait how long that is after the failure.
	Waiting bool
	Next    time.Time
	Wait    time.Duration
	// Started is when the first attempt began.
	Started time.Time
	Ended   time.Time
	Outputs Values
	Error   *Failure

	// releases are the positions of the phases that undo this one, released those of the phases that it undoes.
	releases, released []int
	maxHold            time.Duration
}

// Reduce computes the state from the events. Events that contradict each other are an error that wraps ErrJournal.
func Reduce(events []Event) (*State, error) {
	if len(events) == 0 {
		return nil, fmt.Errorf("%w: no events", ErrJournal)
	}
	s := &State{}
	for _, e := range events {
		if err := s.apply(e); err != nil {
			return nil, fmt.Errorf("%w: event %d (%s): %w", ErrJournal, e.Seq, e.Kind, err)
		}
	}
	return s, nil
}

// apply changes the state by one event; an event that cannot follow is refused and changes nothing.
func (s *State) apply(e Event) error {
	if e.Seq != s.Seq+1 {
		return fmt.Errorf("number %d expected", s.Seq+1)
	}
	if (s.Record == nil) != (e.Kind == RunStarted) {
		return fmt.Errorf("a run begins with %s, once", RunStarted)
	}
	if s.State.Ended() {
		return fmt.Errorf("the run has ended")
	}
	var err error
	switch e.Kind {
	case RunStarted:
		err = s.start(e)
	case CancelAsked:
		if s.Cancel == nil {
			s.Cancel = e.Error
		}
	case ActionEnded:
		err = s.endAction(e)
	case RunEnded:
		err = s.end(e)
	default:
		err = s.applyPhase(e)
	}
	if err == nil {
		s.Seq = e.Seq
	}
	return err
}

func (s *State) start(e Event) error {
	if e.Run == nil || len(e.Run.Actions) == 0 {
		return fmt.Errorf("no actions")
	}
	blueprints, err := parseBlueprints(e.Run)
	if err != nil {
		return err
	}
	actions := make([]ActionState, len(e.Run.Actions))
	for i, rec := range e.Run.Actions {
		action, err := findAction(blueprints, rec.Spec)
		if err != nil {
			return err
		}
		a := ActionState{Label: rec.Label, State: Running, Phases: make([]PhaseState, len(action.Phases))}
		for k, p := range action.Phases {
			a.Phases[k] = PhaseState{Name: p.Name, Func: p.Func, State: Pending}
		}
		if err := a.holds(action); err != nil {
			return err
		}
		if p := action.DeferPhase; p != nil {
			a.Defer = &PhaseState{Name: deferName(p), Func: p.Func, State: Pending}
		}
		actions[i] = a
	}
	s.Record, s.State, s.Started, s.Actions = e.Run, Running, e.Time, actions
	return nil
}

func (s *State) applyPhase(e Event) error {
	if e.Action < 0 || e.Action >= len(s.Actions) {
		return fmt.Errorf("no action %d", e.Action)
	}
	a := &s.Actions[e.Action]
	p := a.phase(e.Phase)
	if p == nil || a.State.Ended() || p.State.Ended() {
		return fmt.Errorf("action %d has no open phase %d", e.Action, e.Phase)
	}
	switch e.Kind {
	case PhaseStarted:
		return p.begin(e)
	case AttemptFailed:
		if p.State != Running || p.Waiting || e.Attempt != p.Attempt {
			return fmt.Errorf("attempt %d does not run", e.Attempt)
		}
		p.Waiting, p.Next, p.Wait, p.Error = true, e.Time.Add(e.Wait), e.Wait, e.Error
		return nil
	case PhaseComplete:
		if p.State != Running || p.Waiting || e.Attempt != p.Attempt {
			return fmt.Errorf("attempt %d does not run", e.Attempt)
		}
		p.Outputs, p.Error = e.Outputs, nil
		p.finish(Complete, e.Time)
		return nil
	case PhaseSkipped:
		if p.State != Pending {
			return fmt.Errorf("the phase has begun")
		}
		p.finish(Skipped, e.Time)
		return nil
	case PhaseFailed:
		p.Error = e.Error
		p.finish(Failed, e.Time)
		return nil
	default:
		return fmt.Errorf("unknown kind")
	}
}

func (p *PhaseState) begin(e Event) error {
	if p.State == Running && !p.Waiting || e.Attempt != p.Attempt+1 {
		return fmt.Errorf("attempt %d cannot begin", e.Attempt)
	}
	if p.State == Pending {
		p.Started = e.Time
	}
	p.State, p.Attempt, p.Waiting = Running, e.Attempt, false
	return nil
}

func (p *PhaseState) finish(s RunState, at time.Time) {
	p.State, p.Waiting, p.Ended = s, false, at
	if p.Started.IsZero() {
		p.Started = at
	}
}

func (s *State) endAction(e Event) error {
	if e.Action < 0 || e.Action >= len(s.Actions) || s.Actions[e.Action].State.Ended() || !e.State.Ended() {
		return fmt.Errorf("action %d cannot end", e.Action)
	}
	a := &s.Actions[e.Action]
	a.State, a.Artifacts, a.Error = e.State, e.Artifacts, e.Error
	return nil
}

func (s *State) end(e Event) error {
	for i := range s.Actions {
		if !s.Actions[i].State.Ended() {
			return fmt.Errorf("action %d has not ended", i)
		}
	}
	if !e.State.Ended() {
		return fmt.Errorf("state %q is not final", e.State)
	}
	s.State, s.Ended, s.Left = e.State, e.Time, e.Left
	return nil
}

func (a *ActionState) phase(i int) *PhaseState {
	if i == deferIndex {
		return a.Defer
	}
	if i < 0 || i >= len(a.Phases) {
		return nil
	}
	return &a.Phases[i]
}

package engine

// deferIndex is the position of the deferred phase.
const deferIndex = -1

type stepKind int

const (
	// stepRun runs a phase: its first or next attempt, or the attempt that was begun by a host that died.
	stepRun stepKind = iota
	// stepAbandon fails a phase that was begun and must not go on, because the run was cancelled while the host was dead.
	stepAbandon
	// stepEnd ends the action.
	stepEnd
	// stepNone means that the action has ended.
	stepNone
)

// step is what comes next for an action.
type step struct {
	kind stepKind
	// phase is a position, or deferIndex.
	phase   int
	attempt int
	// resumed is true for an attempt that was begun before.
	resumed bool
	// state the action ends in, before its artifacts are rendered.
	state RunState
}

// next says what comes next for an action whose phases are not being executed at the moment. It is a pure function of the state.
func next(s *State, action int) step {
	a := &s.Actions[action]
	if a.State.Ended() {
		return step{kind: stepNone}
	}
	outcome := Complete
	for i := range a.Phases {
		p := &a.Phases[i]
		switch stopped := s.Cancel != nil || outcome == Failed; {
		case p.State == Failed:
			outcome = Failed
		case p.State.Ended():
		case !stopped || a.owed(i):
			return attemptStep(p, i)
		case p.State == Running:
			return step{kind: stepAbandon, phase: i, attempt: p.Attempt}
		default:
			outcome = Failed
		}
	}
	if d := a.Defer; d != nil {
		if !d.State.Ended() && begun(a) {
			return attemptStep(d, deferIndex)
		}
		if d.State == Failed {
			outcome = Failed
		}
	}
	if outcome == Failed && s.Cancel != nil {
		outcome = Cancelled
	}
	return step{kind: stepEnd, state: outcome}
}

func attemptStep(p *PhaseState, i int) step {
	if p.State == Running && !p.Waiting {
		return step{kind: stepRun, phase: i, attempt: p.Attempt, resumed: true}
	}
	return step{kind: stepRun, phase: i, attempt: p.Attempt + 1}
}

// begun tells whether any phase was begun: before that there is nothing for the deferred phase to undo.
func begun(a *ActionState) bool {
	for i := range a.Phases {
		if a.Phases[i].State != Pending {
			return true
		}
	}
	return len(a.Phases) == 0
}

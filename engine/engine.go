// Package engine runs the actions of blueprints. A run is a journal: every transition is an event that is durable before the
// next step starts, and the state is a pure function of the events. A host that dies resumes the run from its journal;
// a host that cancels gets a terminal state within a bound, with the deferred phase run and a list of what is left over.
//
// # Errors
//
// Everything that is wrong with a request is found before anything is touched: [ErrInvalid]. A run that ended without success
// gives an error that wraps one [*PhaseError] for each phase that failed and matches [ErrFailed], and [ErrCancelled],
// [ErrTimeout], [ErrMaxHold] or [ErrUnknownOutcome] where they are the cause. [ErrJournal] means that the journal could not be
// written: the run stands still and is resumed once it can.
//
// # Secrets
//
// Every value of a Secret, and of a profile's credential, that the run reads is masked in logs, events, errors and results.
// The journal holds references to secrets in their place; a resume reads them again. Values of one to three
// bytes are only masked where they stand alone, between characters that are no letters or digits.
//
// # Concurrency
//
// An Engine keeps no state between runs and is safe for concurrent use. One run must not be executed twice at once:
// the file journal sees to it with a lock, other journals are the host's care.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// Source gives a run the objects it names. It is called at the start of a run and of a phase, and again after a resume. The error of an object that
// does not exist matches fs.ErrNotExist: a resumed run tells it from one that cannot be read at the moment, which it can wait for.
type Source interface {
	// Subject fills into with the object an action is performed on, as it is now.
	Subject(ctx context.Context, ref template.ObjectReference, into *template.Params) error
	Secret(ctx context.Context, namespace, name string) (template.Secret, error)
	ConfigMap(ctx context.Context, namespace, name string) (template.ConfigMap, error)
	Profile(ctx context.Context, namespace, name string) (*template.Profile, error)
}

// Sweeper removes what a run left behind: everything that carries the labels. It returns the names of what it could not remove.
type Sweeper interface {
	Sweep(ctx context.Context, labels map[string]string) (left []string, err error)
}

// RunLabel is the label that carries the run's id on everything functions create.
const RunLabel = "davit.io/run"

// Labels of the action and the phase within the run.
const (
	actionLabel = "davit.io/action"
	phaseLabel  = "davit.io/phase"
)

// Unknown says what becomes of a phase whose function is not safe to repeat and whose outcome is unknown after a crash.
type Unknown int

// Policies for unknown outcomes.
const (
	// UnknownFails ends the phase with ErrUnknownOutcome; the deferred phase runs and the run fails.
	UnknownFails Unknown = iota
	// UnknownReruns runs the function again: the caller knows that this is safe.
	UnknownReruns
)

// Options of an engine. Nil and zero are ready to use.
type Options struct {
	// Env is what templates can call. Default the built-in functions, with Now as their clock.
	Env *template.Env
	// Observe is called with every event after it is durable, masked, one at a time. It must not block. Default none.
	Observe func(Event)
	// Progress is called with what running phases report; possibly often, from several goroutines. Default none.
	Progress func(PhaseRef, function.Progress)
	// Logger receives what functions and containers say, masked. Default none.
	Logger *slog.Logger
	// Sweep removes what a run left behind, before the run ends. Default none.
	Sweep Sweeper
	// Manifest is called when all phases of an action are complete and before the action is: one that it returns an error for has failed. It must return when its context
	// ends, and must be safe to repeat: a run that goes on after a crash calls it again with the same manifest. Actions call it at the same time. Default none.
	Manifest func(context.Context, *Manifest) error
	// Unknown says what becomes of phases whose outcome is unknown after a crash. Default UnknownFails.
	Unknown Unknown
	// StopGrace is how long a function may take to return once its context has ended. Default 30s.
	StopGrace time.Duration
	// DeferTimeout bounds a deferred phase that has no timeout of its own. Default 10m.
	DeferTimeout time.Duration
	// SweepTimeout bounds the sweep. Default 1m.
	SweepTimeout time.Duration
	// ManifestTimeout bounds a call of Manifest; in a cancelled run, StopGrace does as well. Default 5m.
	ManifestTimeout time.Duration
	// MaxOutput bounds the outputs of one phase, and the artifacts of one action, as JSON, in bytes. Default 1 MiB.
	MaxOutput int
	// Now is the clock of events and of .Time. Default time.Now.
	Now func() time.Time
}

// PhaseRef names a phase of a run.
type PhaseRef struct {
	// Action is the action's label: its name, with "[n]" appended in a run of several actions.
	Action string
	Phase  string
}

// Engine runs actions.
type Engine struct {
	registry *function.Registry
	source   Source
	opts     Options
	jitter   func() float64
}

// New makes an engine. A nil source is for hosts whose actions have no object, secrets, config maps or profile; an action that names one is
// ErrInvalid then.
func New(registry *function.Registry, source Source, opts *Options) *Engine {
	e := &Engine{registry: registry, source: source, jitter: rand.Float64}
	if opts != nil {
		e.opts = *opts
	}
	if source == nil {
		e.source = noSource{}
	}
	o := &e.opts
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.StopGrace <= 0 {
		o.StopGrace = 30 * time.Second
	}
	if o.DeferTimeout <= 0 {
		o.DeferTimeout = 10 * time.Minute
	}
	if o.SweepTimeout <= 0 {
		o.SweepTimeout = time.Minute
	}
	if o.ManifestTimeout <= 0 {
		o.ManifestTimeout = 5 * time.Minute
	}
	if o.MaxOutput <= 0 {
		o.MaxOutput = 1 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var env template.Env
	if o.Env != nil {
		env = *o.Env
	}
	if env.Now == nil {
		env.Now = o.Now
	}
	o.Env = &env
	return e
}

// noSource has nothing.
type noSource struct{}

var errNoSource = errors.New("the host program gave the engine no source of objects")

func (noSource) Subject(_ context.Context, ref template.ObjectReference, _ *template.Params) error {
	if ref == (template.ObjectReference{}) {
		return nil
	}
	return errNoSource
}

func (noSource) Secret(context.Context, string, string) (template.Secret, error) {
	return template.Secret{}, errNoSource
}

func (noSource) ConfigMap(context.Context, string, string) (template.ConfigMap, error) {
	return template.ConfigMap{}, errNoSource
}

func (noSource) Profile(context.Context, string, string) (*template.Profile, error) {
	return nil, errNoSource
}

// Run executes the run that spec describes and returns when it is terminal. A journal that holds this run already is resumed:
// what finished is not repeated, and a run that ended gives its result again. Cancelling ctx cancels the run.
// A result comes with every error but ErrInvalid and that of a journal that cannot be read or begun.
func (e *Engine) Run(ctx context.Context, spec *Spec, journal Journal) (*Result, error) {
	events, err := journal.Events(ctx)
	if err != nil {
		return nil, journalError(err)
	}
	if len(events) > 0 {
		if rec := events[0].Run; rec != nil && spec.ID != "" && spec.ID != rec.ID {
			return nil, invalidf("the journal is that of run %q, not of %q", rec.ID, spec.ID)
		}
		return e.resume(ctx, events, journal)
	}
	p, err := e.compile(spec)
	if err != nil {
		return nil, err
	}
	r, err := e.begin(ctx, p, journal)
	if err != nil {
		return nil, err
	}
	return r.loop(ctx)
}

// Resume carries on the run that the journal holds, or returns the result of one that ended.
func (e *Engine) Resume(ctx context.Context, journal Journal) (*Result, error) {
	events, err := journal.Events(ctx)
	if err != nil {
		return nil, journalError(err)
	}
	if len(events) == 0 {
		return nil, invalidf("the journal is empty: there is no run to resume")
	}
	return e.resume(ctx, events, journal)
}

// Load returns the result of a run as its journal has it, without executing anything.
func (e *Engine) Load(ctx context.Context, journal Journal) (*Result, error) {
	events, err := journal.Events(ctx)
	if err != nil {
		return nil, journalError(err)
	}
	if len(events) == 0 {
		return nil, invalidf("the journal is empty: there is no run to load")
	}
	state, err := Reduce(events)
	if err != nil {
		return nil, err
	}
	return e.result(ctx, state), nil
}

func (e *Engine) resume(ctx context.Context, events []Event, journal Journal) (*Result, error) {
	state, err := Reduce(events)
	if err != nil {
		return nil, err
	}
	if state.State.Ended() {
		res := e.result(ctx, state)
		return res, res.Err()
	}
	r, err := e.reopen(ctx, state, journal)
	if err != nil {
		return resultOf(newVault(), state, nil), err
	}
	return r.loop(ctx)
}

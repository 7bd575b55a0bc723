package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/engine"
)

func (p *program) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run an action of a blueprint, or resume a run",
		Long: `Runs an action of a blueprint on one or more objects, or resumes a run that was interrupted.

Every step is in the run's journal before it is taken. A run whose process died goes on where it was with
--run ID: what finished is not repeated. A run that has ended is not executed again: its result is shown.

The first interrupt (Ctrl-C) cancels the run: its deferred phase runs, then it ends. A second one ends the process at once;
the run can be resumed.

With --local, pods are processes of this machine, as you, without isolation. Their working directory stands for the root
of the container: what is mounted at /data is data there, so commands say data/file, not /data/file. What claims hold is
kept in the --state folder, below local/claims. What commands print is masked of every secret the run knows: the profile's, those
that --secret or the blueprint's objects name, and those that the subject's pods or a podOverride refer to. One that a
command gets elsewhere is not known to the run: name it with --secret, and it is masked too.

Where standard output is no terminal, each event is one line of JSON on it.

Exit codes: 0 the run is complete, 1 it failed, 2 wrong usage or input (nothing was touched), 3 it was cancelled,
130 ended by a second interrupt (the run can be resumed).`,
		Example: `  davit run --local app.yaml --blueprint bp.yaml --action backup --deployment shop/db
  davit run --local app.yaml --from backup-1x2y3z4w --action restore`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("takes no arguments, got %q: what to run is said with flags", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			again := slices.ContainsFunc(asks, func(name string) bool { return cmd.Flags().Changed(name) })
			return p.run(cmd.Context(), &f, again)
		},
	}
	f.bind(cmd)
	return cmd
}

// session is one execution of davit run.
type session struct {
	*program
	flags *runFlags
	state state
	// local is true for a run on this machine: flags say so, or the journal of the run that goes on or is taken over.
	local  bool
	engine *engine.Engine
	report *report
}

// run resumes the run that the flags name, or begins one. Asked is true when flags say what to run.
func (p *program) run(ctx context.Context, f *runFlags, asked bool) error {
	unknown, err := f.unknown()
	if err != nil {
		return err
	}
	req, err := f.request()
	if err != nil {
		return err
	}
	if f.run != "" && !runID.MatchString(f.run) {
		return badID(f.run)
	}
	if !asked && f.run == "" {
		return errors.New("nothing to run: give --blueprint and --action, --filename, --from, or --run of an interrupted run")
	}
	s := &session{program: p, flags: f, local: len(f.local) > 0, report: &report{to: p.reporter(), now: time.Now}}
	if s.state, err = p.openState(f.state); err != nil {
		return err
	}
	if f.run != "" {
		journal, events, err := s.state.read(ctx, f.run)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case len(events) > 0:
			if asked {
				_, _ = fmt.Fprintf(p.stderr, "davit run: run %s is what its journal says; flags that say what to run are not looked at\n", f.run)
			}
			return s.again(ctx, journal, events, unknown)
		case !asked:
			return fmt.Errorf("there is no run %q to resume in %q, and no flag says what a new one should do", f.run, s.state)
		}
	}
	o, err := s.newOrder(ctx, req)
	if err != nil {
		return err
	}
	return s.execute(ctx, o, unknown)
}

// clusterLabel, with the value local, marks a run that is on this machine.
const clusterLabel = "davit.io/cluster"

func isLocal(events []engine.Event) bool {
	return len(events) > 0 && events[0].Run != nil && events[0].Run.Labels[clusterLabel] == "local"
}

// again resumes a run, or shows the result of one that has ended, which needs no cluster.
func (s *session) again(ctx context.Context, journal engine.Journal, events []engine.Event, unknown engine.Unknown) error {
	if events[len(events)-1].Kind != engine.RunEnded {
		s.local = s.local || isLocal(events)
		o := &order{id: s.flags.run, resume: true}
		for _, a := range events[0].Run.Actions {
			o.base = append(o.base, a.Spec)
		}
		return s.execute(ctx, o, unknown)
	}
	result, err := engine.New(nil, unreachable{}, nil).Load(ctx, journal)
	if err != nil {
		return err
	}
	defer s.report.close()
	s.report.replay(events)
	return exitOf(result, result.Err(), result.ID)
}

// execute opens the cluster and drives the run.
func (s *session) execute(ctx context.Context, o *order, unknown engine.Unknown) (err error) {
	if !s.local {
		return errors.New("no cluster to run on: give manifests with --local")
	}
	handler := slog.DiscardHandler
	if s.flags.verbose {
		handler = slog.NewTextHandler(s.stderr, nil)
	}
	logger := slog.New(handler)
	c, err := s.openLocal(ctx, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()
	if s.engine, err = s.engineOn(c, unknown, logger); err != nil {
		return err
	}
	spec, err := o.spec(ctx, s.engine)
	if err != nil {
		return err
	}
	c.settle(ctx, o.subjects(), logger)
	return s.drive(ctx, spec)
}

// drive executes the run with its journal and turns what became of it into an exit code.
func (s *session) drive(ctx context.Context, spec *engine.Spec) error {
	path, err := s.state.journal(spec.ID)
	if err != nil {
		return err
	}
	journal, err := engine.OpenFile(path)
	if err != nil {
		return err
	}
	defer func() { _ = journal.Close() }() // every event is on disk already
	events, err := journal.Events(ctx)
	if err != nil {
		return err
	}
	s.report.resume(events)
	defer s.report.close()

	ctx, stop := s.cancelOnSignal(ctx, spec.ID)
	defer stop()
	result, err := s.engine.Run(ctx, spec, journal)
	if len(events) == 0 && err != nil && result != nil && result.State == engine.Failed && s.shown() {
		return &exitError{code: exitFailed} // the terminal shows each cause already, as it came
	}
	return exitOf(result, err, spec.ID)
}

// shown is true when who reads standard error has read the run's events too: both are terminals.
func (s *session) shown() bool { return isTerminal(s.stdout) && isTerminal(s.stderr) }

// exitOf turns what became of a run into an exit code.
func exitOf(result *engine.Result, err error, id string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrInvalid):
		return err
	case errors.Is(err, engine.ErrJournal):
		return &exitError{exitFailed, fmt.Errorf("%w\nthe run stands still; once the cause is gone, resume it with --run %s", err, id)}
	case result != nil && result.State == engine.Cancelled:
		return &exitError{exitCancelled, cancelled(result)}
	default:
		return &exitError{exitFailed, err}
	}
}

// cancelled says that a run was cancelled, and how each phase that did not end well took it.
func cancelled(result *engine.Result) error {
	errs := []error{fmt.Errorf("run %s was %w", result.ID, engine.ErrCancelled)}
	for _, a := range result.Actions {
		for _, phase := range a.Phases {
			if phase.Failure != nil && phase.State == engine.Failed {
				errs = append(errs, fmt.Errorf("action %q, phase %q (%s): %s", a.Action, phase.Name, phase.Func, phase.Failure.Message))
			}
		}
		if a.Failure != nil {
			errs = append(errs, fmt.Errorf("action %q: %s", a.Action, a.Failure.Message))
		}
	}
	return errors.Join(errs...)
}

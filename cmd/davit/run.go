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

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/location/catalog"
	"github.com/davit-project/davit/template"
)

func (p *program) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run an action of a blueprint, or resume a run",
		Long: `Runs an action of a blueprint on one or more objects, or resumes a run that was interrupted.

The run is on the Kubernetes cluster that --kubeconfig, $KUBECONFIG or ~/.kube/config names, or on that of the pod davit runs in; with --local, on this
machine. davit plan says what a run would do, davit rbac which permissions it needs.

Every step is in the run's journal before it is taken. A run whose process died goes on where it was with
--run ID: what finished is not repeated. A run that has ended is not executed again: its result is shown.

The first interrupt (Ctrl-C) cancels the run: its deferred phase runs, then it ends. A second one ends the process at once;
the run can be resumed. On Kubernetes, pods of a run whose process died go on, and are found again.

Pods have the settings of the restricted Pod Security Standard, and no token of a service account. A podOverride may change what the baseline standard
allows, and name the service accounts of --service-account. The journal does not keep these flags: give a run that goes on the same ones.

With --local, pods are processes of this machine, as you, without isolation. Their working directory stands for the root
of the container: what is mounted at /data is data there, so commands say data/file, not /data/file. What claims hold is
kept in the --state folder, below local/claims. What commands print is masked of every secret the run knows: the profile's, those
that --secret or the blueprint's objects name, and those that the subject's pods or a podOverride refer to. One that a
command gets elsewhere is not known to the run: name it with --secret, and it is masked too.

Where standard output is no terminal, each event is one line of JSON on it.

Exit codes: 0 the run is complete, 1 it failed, 2 wrong usage or input (nothing was touched), 3 it was cancelled,
130 ended by a second interrupt (the run can be resumed).`,
		Example: `  davit run --blueprint bp.yaml --action backup --statefulset shop/db --profile shop/backups
  davit run --local app.yaml --blueprint bp.yaml --action backup --deployment shop/db
  davit run --local app.yaml --from backup-1x2y3z4w --action restore`,
		Args: onlyFlags,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd.Context(), &f, asked(cmd)) },
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&f.catalog, "catalog", false, "before an action is complete, keep a manifest of it in its profile's location, for davit catalog")
	return cmd
}

func onlyFlags(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no arguments, got %q: what to run is said with flags", args[0])
	}
	return nil
}

// asked tells whether flags say what to run.
func asked(cmd *cobra.Command) bool {
	return slices.ContainsFunc(asks, func(name string) bool { return cmd.Flags().Changed(name) })
}

// session is one execution of davit run or davit plan.
type session struct {
	*program
	flags *runFlags
	state state
	// local is true for a run on this machine: flags say so, or the journal of the run that goes on or is taken over. Else target is the cluster.
	local  bool
	target *kubeTarget
	// namespace of what is named without one.
	namespace string
	// catalog is true for a run that keeps manifests: flags say so, or the journal of the run that goes on.
	catalog bool
	// manifest is what a run of davit catalog restores, nil for others; profile is the location it restores from.
	manifest *catalog.Manifest
	profile  *template.Profile
	// sweeps is true for a run that may leave pods behind.
	sweeps bool
	engine *engine.Engine
	report *report
}

// newSession reads the flags of a run, before anything is touched.
func (p *program) newSession(f *runFlags) (*session, *request, engine.Unknown, error) {
	unknown, err := f.unknown()
	if err != nil {
		return nil, nil, unknown, err
	}
	req, err := f.request()
	if err != nil {
		return nil, nil, unknown, err
	}
	if f.run != "" && !runID.MatchString(f.run) {
		return nil, nil, unknown, badID(f.run)
	}
	return &session{program: p, flags: f, local: len(f.local) > 0, report: &report{to: p.reporter(), now: time.Now}}, req, unknown, nil
}

// run resumes the run that the flags name, or begins one. Asked is true when flags say what to run.
func (p *program) run(ctx context.Context, f *runFlags, asked bool) error {
	s, req, unknown, err := p.newSession(f)
	if err != nil {
		return err
	}
	if !asked && f.run == "" {
		return errors.New("nothing to run: give --blueprint and --action, --filename, --from, or --run of an interrupted run")
	}
	if s.state, err = p.openState(f.state); err != nil {
		return err
	}
	if done, err := s.resume(ctx, asked, unknown); done || err != nil {
		return err
	}
	s.catalog = f.catalog
	o, err := s.newOrder(ctx, req)
	if err != nil {
		return err
	}
	return s.execute(ctx, o, unknown)
}

// resume carries on the run that the flags name; done tells that there was one.
func (s *session) resume(ctx context.Context, asked bool, unknown engine.Unknown) (done bool, err error) {
	if s.flags.run == "" {
		return false, nil
	}
	journal, events, err := s.state.read(ctx, s.flags.run)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, err
	case len(events) > 0:
		if asked {
			_, _ = fmt.Fprintf(s.stderr, "davit run: run %s is what its journal says; flags that say what to run are not looked at\n", s.flags.run)
		}
		return true, s.again(ctx, journal, events, unknown)
	case !asked:
		return false, fmt.Errorf("there is no run %q to resume in %q, and no flag says what a new one should do", s.flags.run, s.state)
	}
	return false, nil
}

// Labels of a run, kept in its journal.
const (
	// clusterLabel is local for a run on this machine, else the URL of the API server.
	clusterLabel  = "davit.io/cluster"
	onThisMachine = "local"
	// namespaceLabel is the namespace of pods whose phase names none: a pod is only found again where it was created.
	namespaceLabel = "davit.io/namespace"
	// catalogLabel is keep for a run with manifests.
	catalogLabel = "davit.io/catalog"
	keeps        = "keep"
)

func labelOf(events []engine.Event, label string) string {
	if len(events) == 0 || events[0].Run == nil {
		return ""
	}
	return events[0].Run.Labels[label]
}

func isLocal(events []engine.Event) bool { return labelOf(events, clusterLabel) == onThisMachine }

// again resumes a run, or shows the result of one that has ended, which needs no cluster.
func (s *session) again(ctx context.Context, journal engine.Journal, events []engine.Event, unknown engine.Unknown) error {
	if events[len(events)-1].Kind != engine.RunEnded {
		if err := s.locateAgain(events); err != nil {
			return err
		}
		s.catalog = labelOf(events, catalogLabel) == keeps
		o := &order{id: s.flags.run, resume: true}
		var err error
		if o.blueprints, o.base, err = recorded(events[0].Run); err != nil {
			return fmt.Errorf("run %q: %w", o.id, err)
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
	logger := s.logger()
	c, err := s.open(ctx, o, logger)
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

// logger writes what functions say to standard error, where that is asked for.
func (s *session) logger() *slog.Logger {
	if s.flags.verbose {
		return slog.New(slog.NewTextHandler(s.stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
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
	denied := errors.Is(err, cluster.ErrDenied) && !s.local
	if len(events) == 0 && err != nil && result != nil && result.State == engine.Failed && s.shown() {
		if denied {
			s.warn(deniedHint)
		}
		return &exitError{code: exitFailed} // the terminal shows each cause already, as it came
	}
	if denied {
		err = fmt.Errorf("%w\n%s", err, deniedHint)
	}
	return exitOf(result, err, spec.ID)
}

// deniedHint follows the error of a run that was not allowed to do something.
const deniedHint = "a permission is missing: davit rbac BLUEPRINT prints the roles that a blueprint needs, davit plan tells which verbs are denied"

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

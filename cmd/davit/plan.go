package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/template/kubedata"
)

func (p *program) planCommand() *cobra.Command {
	var f runFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say what a run would do, and whether it may, without doing it",
		Long: `Says what davit run would do with the same flags. It reads the objects that the run would read, renders every argument that can be rendered before the
first phase, and asks the API server for each permission whether it is there. It writes nothing: no journal, no object, no pod.

What depends on the outputs of phases, on a condition that is not known yet, or on an object that an earlier phase may create is shown as its template text
and marked "not known yet". Secrets are masked.

With --local, manifests are read as if all their pods ran; nothing is started, and there are no permissions. What earlier runs left is not looked at.

Exit codes: 0 the run could begin, 1 a template fails, an object is missing or a permission is denied (all are listed), 2 wrong usage or input, or the cluster
cannot be reached.`,
		Example: `  davit plan --blueprint bp.yaml --action backup --statefulset shop/db --profile shop/backups
  davit plan --local app.yaml --blueprint bp.yaml --action backup --deployment shop/db --json`,
		Args: onlyFlags,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.plan(cmd.Context(), &f, asked(cmd), asJSON) },
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// plan shows a run that has not begun.
func (p *program) plan(ctx context.Context, f *runFlags, asked, asJSON bool) error {
	if _, err := f.unknown(); err != nil {
		return err
	}
	req, err := f.request()
	if err != nil {
		return err
	}
	if !asked {
		return errors.New("nothing to plan: give --blueprint and --action, --filename or --from")
	}
	s := &session{program: p, flags: f, local: len(f.local) > 0}
	if s.state, err = p.stateFolder(f.state); err != nil {
		return err
	}
	if f.run != "" {
		if _, _, err := s.state.read(ctx, f.run); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("run %q has begun: a plan is of a new run", f.run))
		}
	}
	o, err := s.newOrder(ctx, req)
	if err != nil {
		return err
	}
	return s.showPlan(ctx, o, asJSON)
}

// showPlan prints what an order would do; problems give an exit code.
func (s *session) showPlan(ctx context.Context, o *order, asJSON bool) error {
	shown, err := s.preview(ctx, o)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(s.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(shown)
	} else {
		err = shown.print(s.stdout)
	}
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("print the plan: %w", err)}
	}
	if len(shown.Problems) > 0 {
		return &exitError{code: exitFound}
	}
	return nil
}

// reader is what a plan needs of a cluster.
type reader interface {
	cluster.Getter
	cluster.PodLister
}

// planned is the output of davit plan. Secrets are masked.
type planned struct {
	// Cluster is local, or the URL of the API server.
	Cluster string `json:"cluster"`
	// Namespace is that of pods whose phase names none.
	Namespace string          `json:"namespace"`
	Actions   []plannedAction `json:"actions"`
	// Problems are all that keeps the run from beginning or would make it fail; none for a run that could begin.
	Problems []string `json:"problems"`
}

type plannedAction struct {
	engine.PreviewAction
	Phases []plannedPhase `json:"phases"`
	// Permissions that filling the parameters needs; absent on this machine.
	Permissions []permission `json:"permissions,omitempty"`
	// Unknown says what is needed but cannot be told yet.
	Unknown []string `json:"unknown,omitempty"`
}

type plannedPhase struct {
	engine.PreviewPhase
	// Permissions that the phase needs; absent on this machine.
	Permissions []permission `json:"permissions,omitempty"`
	Unknown     []string     `json:"unknown,omitempty"`
}

// preview reads the cluster and puts together what is shown.
func (s *session) preview(ctx context.Context, o *order) (*planned, error) {
	logger := s.logger()
	from, access, err := s.openToRead(ctx, logger)
	if err != nil {
		return nil, err
	}
	reg, err := registryFor(s.namespace, s.flags.kube.moverImage)
	if err != nil {
		return nil, err
	}
	e := engine.New(reg, s.source(kubedata.New(from, from)), &engine.Options{Logger: logger})
	spec, err := o.spec(ctx, e)
	if err != nil {
		return nil, err
	}
	preview, err := e.Preview(ctx, spec)
	if err != nil {
		return nil, err
	}
	out := &planned{Cluster: s.place(), Namespace: s.namespace, Problems: append([]string{}, preview.Problems()...)}
	for i, a := range preview.Actions {
		action := plannedAction{PreviewAction: a}
		for _, ph := range a.Phases {
			action.Phases = append(action.Phases, plannedPhase{PreviewPhase: ph})
		}
		if access != nil {
			bp, err := o.blueprint(spec.Actions[i])
			if err != nil {
				return nil, err
			}
			if err := access.check(ctx, &action, bp, spec.Actions[i]); err != nil {
				return nil, err
			}
		}
		out.Actions = append(out.Actions, action)
		out.Problems = append(out.Problems, action.denials()...)
	}
	return out, nil
}

// openToRead opens what the run would be on. The access is nil on this machine.
func (s *session) openToRead(ctx context.Context, logger *slog.Logger) (reader, *access, error) {
	if s.local {
		if len(s.flags.local) == 0 {
			return nil, nil, errors.New("the run would be on this machine, which a plan does not look at: give its manifests with --local")
		}
		manifests, err := s.readManifests(s.flags.local)
		if err != nil {
			return nil, nil, err
		}
		staged, err := stage(manifests)
		return staged, nil, err
	}
	policy, err := s.flags.kube.policy()
	if err != nil {
		return nil, nil, err
	}
	k, err := s.target.open(ctx, policy, nil, logger)
	if err != nil {
		return nil, nil, err
	}
	return k, &access{from: k, clients: k.clients, namespace: s.namespace, seen: map[permission]permission{}}, nil
}

// denials are the permissions that the server refuses.
func (a *plannedAction) denials() []string {
	var all []string
	add := func(what string, permissions []permission) {
		for _, line := range summary(permissions) {
			if line.state == denied {
				all = append(all, fmt.Sprintf("action %q%s: %s: %s", a.Action, what, denied, line.text))
			}
		}
	}
	add("", a.Permissions)
	for _, ph := range a.Phases {
		add(fmt.Sprintf(", phase %q (%s)", ph.Name, ph.Func), ph.Permissions)
	}
	return all
}

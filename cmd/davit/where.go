package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/engine/rbac"
	"github.com/davit-project/davit/template"
)

// locate finds where a new run is, without touching it, and the namespace of what is named without one.
func (s *session) locate() error {
	s.namespace = s.flags.namespace
	if s.local {
		s.namespace = cmp.Or(s.namespace, "default")
		return nil
	}
	var err error
	if s.target, err = s.flags.kube.target(s.getenv); err != nil {
		return err
	}
	s.namespace = cmp.Or(s.namespace, s.target.namespace)
	return nil
}

// locateAgain finds where a run goes on. What its journal says of it counts.
func (s *session) locateAgain(events []engine.Event) error {
	id, place := s.flags.run, labelOf(events, clusterLabel)
	switch {
	case place == onThisMachine && s.flags.kube.named():
		return fmt.Errorf("run %q is on this machine: it cannot go on with --kubeconfig or --context", id)
	case place == onThisMachine:
		s.local = true
	case place != "" && s.local:
		return fmt.Errorf("run %q is on the cluster %s: it cannot go on with --local", id, place)
	}
	if err := s.locate(); err != nil {
		return err
	}
	if !s.local && place != "" && place != s.target.server {
		s.warn("run %s was begun on %s and goes on on %s: if these are two clusters, interrupt it and name the first with --kubeconfig and --context", id, place, s.target.server)
	}
	if recorded := labelOf(events, namespaceLabel); recorded != "" {
		if s.flags.namespace != "" && s.flags.namespace != recorded {
			s.warn("run %s has its pods in namespace %s: --namespace is not looked at", id, recorded)
		}
		s.namespace = recorded
	}
	return nil
}

// place is what the journal says of where the run is.
func (s *session) place() string {
	if s.local {
		return onThisMachine
	}
	return s.target.server
}

func (s *session) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(s.stderr, "davit run: %s\n", printable(fmt.Sprintf(format, args...)))
}

// open opens the place of the run: the local cluster, or the Kubernetes cluster for the first time.
func (s *session) open(ctx context.Context, o *order, logger *slog.Logger) (binding, error) {
	if s.local {
		return s.openLocal(ctx, logger)
	}
	policy, err := s.flags.kube.policy()
	if err != nil {
		return nil, err
	}
	namespaces, err := s.podNamespaces(o)
	if err != nil {
		return nil, err
	}
	k, err := s.target.open(ctx, policy, namespaces, logger)
	if err != nil {
		return nil, err
	}
	s.sweeps = len(namespaces) > 0
	return k, nil
}

// podNamespaces lists the namespaces in which the run's functions may create pods, as far as that is known before it begins: what it may leave behind is there.
func (s *session) podNamespaces(o *order) ([]string, error) {
	reg, err := registryFor(s.namespace, s.flags.kube.moverImage)
	if err != nil {
		return nil, err
	}
	specs := o.base
	if !o.resume {
		if specs, err = o.request.apply(o.base); err != nil {
			return nil, err
		}
	}
	found := map[string]bool{}
	for _, spec := range specs {
		bp, err := o.blueprint(spec)
		if err != nil {
			return nil, err
		}
		needs, err := rbac.Of(reg, bp, spec, &rbac.Options{Namespace: s.namespace})
		if err != nil {
			return nil, err
		}
		for _, n := range needs.Needs {
			if n.Group == "" && n.Resource == "pods" && slices.Contains(n.Verbs, "create") {
				found[n.Namespace] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// settle has nothing to wait for: what runs in the cluster was not started by davit.
func (k *onKube) settle(context.Context, []template.ObjectReference, *slog.Logger) {}

package blueprint

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/template"
)

// Names of the actions that frame a snapshot by the convention of Kasten K10: one quiesces the application, the other lets it go on.
// Source: https://docs.kasten.io/latest/kanister/reference/action-names
const (
	BackupPrehook  = "backupPrehook"
	BackupPosthook = "backupPosthook"
)

// FrameOptions may be nil.
type FrameOptions struct {
	// Prehook and Posthook name the actions of the hooks; one of them may be absent. Default BackupPrehook and BackupPosthook.
	Prehook, Posthook string
	// Through names the last phase of the action that runs between the hooks. Default "": its last phase.
	Through string
	// MaxHold bounds the time from the beginning of the first phase of the prehook to that of the posthook. Default 0: no bound.
	MaxHold time.Duration
}

// Frame returns a copy of a blueprint in which one action stands between hooks: the phases of the prehook come before it, those of the posthook after the phase opts.Through, and
// the action's other phases after them. The phases of the posthook are released by those of the prehook, so that they run whatever happens. Hooks that were written for the snapshots of
// a backup tool run unchanged in this way, in one run with one journal; they may be in the same blueprint.
//
// It fails when there is no such action, hooks has neither action, a hook has a deferPhase, two phases or artifacts have one name, or there is no phase Through. The arguments
// are not changed.
func Frame(bp *Blueprint, name string, hooks *Blueprint, opts *FrameOptions) (*Blueprint, error) {
	if opts == nil {
		opts = &FrameOptions{}
	}
	action := bp.Actions[name]
	if action == nil {
		return nil, fmt.Errorf("blueprint %q has no action %q", bp.Name, name)
	}
	pre := hooks.Actions[cmp.Or(opts.Prehook, BackupPrehook)]
	post := hooks.Actions[cmp.Or(opts.Posthook, BackupPosthook)]
	if pre == nil && post == nil {
		return nil, fmt.Errorf("blueprint %q has neither action %q nor %q", hooks.Name, cmp.Or(opts.Prehook, BackupPrehook), cmp.Or(opts.Posthook, BackupPosthook))
	}
	last := len(action.Phases)
	if opts.Through != "" {
		last = 1 + slices.IndexFunc(action.Phases, func(p *Phase) bool { return p.Name == opts.Through })
		if last == 0 {
			return nil, fmt.Errorf("action %q has no phase %q", name, opts.Through)
		}
	}
	var errs []error
	framed := &Action{Name: name, Kind: action.Kind, DeferPhase: action.DeferPhase, OutputArtifacts: map[string]template.Artifact{}}
	for _, a := range []*Action{action, pre, post} {
		errs = append(errs, framed.adopt(a, a != action))
	}
	before, own, after := copied(pre), copied(action), copied(post)
	holders := before
	if len(holders) == 0 {
		holders = own[:last]
	}
	hold(holders, after, opts.MaxHold)
	framed.Phases = slices.Concat(before, own[:last], after, own[last:])
	errs = append(errs, framed.distinct())
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("frame action %q of blueprint %q with the hooks of %q: %w", name, bp.Name, hooks.Name, err)
	}
	out := &Blueprint{Name: bp.Name, Namespace: bp.Namespace, Actions: maps.Clone(bp.Actions), ActionNames: slices.Clone(bp.ActionNames)}
	out.Actions[name] = framed
	return out, nil
}

// hold lets phases release others.
func hold(holders, released []*Phase, maxHold time.Duration) {
	if len(released) == 0 {
		return
	}
	var names []string
	for _, p := range released {
		names = append(names, p.Name)
	}
	for _, p := range holders {
		p.Release = slices.Concat(p.Release, names)
		if maxHold > 0 && (p.MaxHold == 0 || maxHold < p.MaxHold) {
			p.MaxHold = maxHold
		}
	}
}

// adopt takes over what another action says it needs and leaves.
func (a *Action) adopt(from *Action, hook bool) error {
	if from == nil {
		return nil
	}
	union := func(into *[]string, names []string) {
		for _, n := range names {
			if !slices.Contains(*into, n) {
				*into = append(*into, n)
			}
		}
	}
	union(&a.ConfigMapNames, from.ConfigMapNames)
	union(&a.SecretNames, from.SecretNames)
	union(&a.InputArtifactNames, from.InputArtifactNames)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(from.OutputArtifacts)) {
		if _, ok := a.OutputArtifacts[name]; ok {
			errs = append(errs, fmt.Errorf("two actions produce artifact %q", name))
		}
		a.OutputArtifacts[name] = from.OutputArtifacts[name]
	}
	if hook && from.DeferPhase != nil {
		errs = append(errs, fmt.Errorf("action %q has a deferPhase, which a hook cannot have: make it a phase of the other hook", from.Name))
	}
	return errors.Join(errs...)
}

// copied returns copies of the phases of an action, which may be nil.
func copied(a *Action) []*Phase {
	if a == nil {
		return nil
	}
	all := make([]*Phase, len(a.Phases))
	for i, p := range a.Phases {
		q := *p
		all[i] = &q
	}
	return all
}

// distinct fails when two phases have one name, or cannot be released as they say.
func (a *Action) distinct() error {
	seen, twice := map[string]bool{}, map[string]bool{}
	for _, p := range a.Phases {
		twice[p.Name] = twice[p.Name] || seen[p.Name] && p.Name != ""
		seen[p.Name] = true
	}
	var names []string
	for name, is := range twice {
		if is {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		return fmt.Errorf("several phases are named %s", strings.Join(names, ", "))
	}
	_, err := a.Released()
	return err
}

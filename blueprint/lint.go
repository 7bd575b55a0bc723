package blueprint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// LintOptions may be nil.
type LintOptions struct {
	// Version prefers a version of functions. Default the default one.
	Version string
	// Env is the set of template functions. Default the built-in one.
	Env *template.Env
}

// Lint checks a blueprint against a registry, without a cluster. All findings, sorted by position.
//
// Conditions of Wait and WaitV2 and other raw arguments are no templates of the blueprint: the functions check them
// themselves. Blueprints made by hand have no positions; the place is part of the message then.
func Lint(bp *Blueprint, reg *function.Registry, opts *LintOptions) []Diagnostic {
	if opts == nil {
		opts = &LintOptions{}
	}
	l := &linter{bp: bp, reg: reg, version: opts.Version, env: opts.Env, functions: map[string]bool{}}
	if l.env == nil {
		l.env = &template.Env{}
	}
	l.blueprint()
	for _, name := range l.actionNames() {
		if a := bp.Actions[name]; a != nil {
			l.action("actions."+name, a)
		}
	}
	return sorted(l.diags)
}

type linter struct {
	bp      *Blueprint
	reg     *function.Registry
	version string
	env     *template.Env
	// functions tells which template functions exist, as far as that was asked.
	functions map[string]bool
	diags     []Diagnostic
}

// actionNames are those in the order of the document, or of all actions when a blueprint made by hand names others.
func (l *linter) actionNames() []string {
	for _, n := range l.bp.ActionNames {
		if l.bp.Actions[n] == nil {
			return slices.Sorted(maps.Keys(l.bp.Actions))
		}
	}
	if len(l.bp.ActionNames) != len(l.bp.Actions) {
		return slices.Sorted(maps.Keys(l.bp.Actions))
	}
	return l.bp.ActionNames
}

// report adds a finding about what stands at path.
func (l *linter) report(path string, severity Severity, code, format string, args ...any) {
	l.reportAt(l.bp.Source.Find(path), path, severity, code, format, args...)
}

func (l *linter) reportAt(at Position, path string, severity Severity, code, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if len(l.bp.Source.Positions) == 0 && path != "" {
		message = path + ": " + message
	}
	l.diags = append(l.diags, Diagnostic{File: l.bp.Source.File, Line: at.Line, Column: at.Column, Severity: severity,
		Code: code, Message: message})
}

// blueprint checks what concerns the blueprint as a whole.
func (l *linter) blueprint() {
	if l.bp.Name == "" {
		l.report("metadata", Warning, "unnamed-blueprint", "the blueprint has no metadata.name, so no action set can ask for it")
	}
	if len(l.bp.Actions) == 0 {
		l.report("actions", Error, "no-actions", "the blueprint has no actions")
		return
	}
	has := func(action string) bool {
		return slices.ContainsFunc(l.actionNames(), func(n string) bool { return strings.EqualFold(n, action) })
	}
	backup, restore := has("backup"), has("restore")
	switch {
	case backup && !restore:
		l.report("actions", Warning, "no-backup-restore-pair", "the blueprint has a backup but no restore")
	case restore && !backup:
		l.report("actions", Warning, "no-backup-restore-pair", "the blueprint has a restore but no backup")
	case !backup:
		l.report("actions", Warning, "no-backup-restore-pair", "the blueprint has neither a backup nor a restore")
	}
	if backup && !has("delete") {
		l.report("actions", Note, "no-delete", "the blueprint has no delete: what its backups leave in the location stays there")
	}
}

func (l *linter) action(path string, a *Action) {
	switch {
	case len(a.Phases) == 0 && a.DeferPhase == nil:
		l.report(path, Error, "empty-action", "action %q has no phases: it would report success and do nothing", a.Name)
	case len(a.Phases) == 0:
		l.report(path, Warning, "empty-action", "action %q has a deferPhase but no phases", a.Name)
	}
	s := newScope(path, a)
	l.phaseNames(s)
	l.releases(s)
	for i, p := range a.Phases {
		l.phase(s.in(i, index(path+".phases", i), p))
	}
	if a.DeferPhase != nil {
		l.phase(s.in(len(a.Phases), path+".deferPhase", a.DeferPhase))
	}
	l.outputArtifacts(s)
	l.inputArtifacts(s)
	l.subjects(s)
}

// phaseNames reports names given twice. Only a deferPhase may go without one: nothing needs it.
func (l *linter) phaseNames(s *scope) {
	first := map[string]string{}
	check := func(path string, p *Phase) {
		if p.Name == "" {
			return
		}
		if other, ok := first[p.Name]; ok {
			l.report(path+".name", Error, "phase-duplicate", "phase %q has the name of another phase of the action, in line %d", p.Name,
				l.bp.Source.Find(other).Line)
			return
		}
		first[p.Name] = path + ".name"
	}
	for i, p := range s.action.Phases {
		at := index(s.path+".phases", i)
		if p.Name == "" {
			l.report(at, Warning, "phase-unnamed", "the phase has no name, so no template can read its outputs")
		}
		check(at, p)
	}
	if s.action.DeferPhase != nil {
		check(s.path+".deferPhase", s.action.DeferPhase)
	}
}

// releases reports phases that cannot be released as they say, and notes for each phase since when it is owed.
func (l *linter) releases(s *scope) {
	for i := range s.action.Phases {
		at, err := s.action.released(i)
		if err != nil {
			l.report(index(s.path+".phases", i), Error, "bad-release", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		for _, k := range at {
			if first, ok := s.owedSince[k]; !ok || i < first {
				s.owedSince[k] = i
			}
		}
	}
	if d := s.action.DeferPhase; d != nil && (len(d.Release) > 0 || d.MaxHold != 0) {
		l.report(s.path+".deferPhase", Error, "bad-release", "the deferPhase comes last: it has nothing to release")
	}
}

func (l *linter) outputArtifacts(s *scope) {
	for name, a := range ordinary(s.action.OutputArtifacts) {
		path := s.path + ".outputArtifacts." + name
		for key, text := range ordinary(a.KeyValue) {
			l.text(s.after(), path+".keyValue."+key, text)
		}
		l.text(s.after(), path+".kopiaSnapshot", a.KopiaSnapshot)
	}
}

// inputArtifacts reports the names listed that nothing produces; those that templates read are reported there.
func (l *linter) inputArtifacts(s *scope) {
	for i, name := range s.action.InputArtifactNames {
		if len(l.producers(name)) == 0 && !s.readArtifacts[name] {
			l.report(index(s.path+".inputArtifactNames", i), Warning, "artifact-unproduced",
				"no action of the blueprint produces artifact %q, and nothing reads it", name)
		}
	}
}

func (l *linter) subjects(s *scope) {
	if len(s.subjects) < 2 {
		return
	}
	kinds := slices.Sorted(maps.Keys(s.subjects))
	l.report(s.path, Warning, "several-subjects", "action %q reads .%s, but a run has one subject: the others are not there", s.action.Name,
		strings.Join(kinds, " and ."))
}

// ordinary iterates over a map in the order of its keys.
func ordinary[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

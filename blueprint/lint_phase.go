package blueprint

import (
	"errors"
	"strings"
	"time"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// scope is the place of a template: what it can read depends on it.
type scope struct {
	action *Action
	// path of the action, and of the phase.
	path, phasePath string
	// phase is nil in output artifacts. Its index is the number of phases for the deferPhase, and one more for output
	// artifacts.
	phase *Phase
	index int
	// objects is true for the objects of phases, which are read before the first phase.
	objects bool
	// schema of the phase's function and the top-level argument, in arguments of a known function.
	schema *function.Schema
	arg    string
	// depth of the value in the arguments.
	depth int
	*seen
}

// seen is what an action's templates have been found to read, for findings that are made once.
type seen struct {
	readArtifacts map[string]bool
	subjects      map[string]bool
	once          map[string]bool
	// owedSince is, for each phase that another releases, the first that does.
	owedSince map[int]int
}

func newScope(path string, a *Action) *scope {
	return &scope{action: a, path: path, seen: &seen{readArtifacts: map[string]bool{}, subjects: map[string]bool{}, once: map[string]bool{}, owedSince: map[int]int{}}}
}

func (s scope) in(i int, path string, p *Phase) scope {
	s.index, s.phasePath, s.phase = i, path, p
	return s
}

func (s scope) after() scope {
	s.index, s.phasePath, s.phase = len(s.action.Phases)+1, s.path, nil
	return s
}

func (s scope) deferred() bool { return s.phase != nil && s.index == len(s.action.Phases) }

// first tells whether this is the first time for key.
func (s scope) first(key string) bool {
	if s.once[key] {
		return false
	}
	s.once[key] = true
	return true
}

func (l *linter) phase(s scope) {
	l.policy(s)
	l.condition(s)
	l.objects(s)
	if f, ok := l.function(s); ok {
		l.arguments(s, f)
		return
	}
	l.tree(s, s.phasePath+".args", "", s.phase.Args, nil)
}

// function looks up the function of a phase.
func (l *linter) function(s scope) (function.Func, bool) {
	name, at := s.phase.Func, s.phasePath+".func"
	if name == "" {
		l.report(s.phasePath, Error, "missing-field", "the phase has no func")
		return function.Func{}, false
	}
	f, err := l.reg.Lookup(name, l.version)
	switch {
	case errors.Is(err, function.ErrVersion):
		l.report(at, Error, "unknown-version", "%s", err)
		return f, false
	case err != nil:
		l.report(at, Error, "unknown-function", "%s%s", err, removedFunctions[name])
		return f, false
	}
	schema := f.Schema()
	if schema.Deprecated != "" {
		l.report(at, Warning, "function-deprecated", "function %q is deprecated: %s", name, schema.Deprecated)
	}
	if !f.Runnable() {
		l.report(at, Note, "function-declared", "function %q is known but not part of this build: the phase cannot run here", name)
	}
	return f, true
}

// removedFunctions are those that Kanister once had.
var removedFunctions = map[string]string{
	"BackupDataUsingKopiaServer":  "; Kanister has removed it with its repository server",
	"RestoreDataUsingKopiaServer": "; Kanister has removed it with its repository server",
	"DeleteDataUsingKopiaServer":  "; Kanister has removed it with its repository server",
	"CreateVolumeSnapshot":        "; Kanister has removed it in favour of CreateCSISnapshot",
	"WaitForSnapshotCompletion":   "; Kanister has removed it in favour of CreateCSISnapshot, which waits",
	"CreateVolumeFromSnapshot":    "; Kanister has removed it in favour of RestoreCSISnapshot",
	"DeleteVolumeSnapshot":        "; Kanister has removed it in favour of DeleteCSISnapshot",
	"ScaleDeployment":             "; Kanister has removed it in favour of ScaleWorkload",
	"ScaleStatefulSet":            "; Kanister has removed it in favour of ScaleWorkload",
}

// faultCodes are the codes of the faults that functions find in arguments.
var faultCodes = map[function.Fault]string{
	function.FaultUnknown: "argument-unknown",
	function.FaultMissing: "argument-missing",
	function.FaultType:    "argument-type",
	function.FaultValue:   "argument-value",
	function.FaultOther:   "argument-check",
}

func (l *linter) arguments(s scope, f function.Func) {
	schema := f.Schema()
	base := s.phasePath + ".args"
	for _, p := range f.Check(s.phase.Args) {
		code, ok := faultCodes[p.Fault]
		if !ok {
			code = "argument-check"
		}
		path, message := base, p.Message
		if p.Path != "" {
			path += "." + p.Path
			message = p.Path + ": " + message
		}
		at := l.bp.Source.Find(path)
		if key, ok := l.bp.Source.Positions[path+"[key]"]; ok && p.Fault == function.FaultUnknown {
			at = key
		}
		l.reportAt(at, path, Error, code, "function %q: %s", f.Name(), message)
	}
	s.schema = &schema
	for name, v := range ordinary(s.phase.Args) {
		s.arg = name
		if !schema.RawPath(name) {
			l.tree(s, base+"."+name, name, v, schema.RawPath)
		}
	}
}

// tree checks every text in a value, map keys included; rel is its path from the arguments.
func (l *linter) tree(s scope, path, rel string, v any, raw func(string) bool) {
	if s.depth++; s.depth > 2*maxDepth || raw != nil && rel != "" && raw(rel) {
		return
	}
	switch v := v.(type) {
	case string:
		l.text(s, path, v)
	case []any:
		for i, e := range v {
			l.tree(s, index(path, i), index(rel, i), e, raw)
		}
	case map[string]any:
		for k, e := range ordinary(v) {
			if rel != "" {
				l.text(s, join(path, k)+"[key]", k)
			}
			l.tree(s, join(path, k), join(rel, k), e, raw)
		}
	}
}

func (l *linter) condition(s scope) {
	text, path := s.phase.If, s.phasePath+".if"
	if text == "" || strings.Contains(text, "{{") {
		l.text(s, path, text)
		return
	}
	switch strings.TrimSpace(text) {
	case "true", "false":
		l.report(path, Warning, "condition-constant", "the phase's if is always %s", strings.TrimSpace(text))
	default:
		l.report(path, Error, "bad-condition", "the phase's if is always %q, which is neither true nor false", short(text))
	}
}

// policy checks timeout and retry, which may have been made by hand.
func (l *linter) policy(s scope) {
	p := s.phase
	if p.Timeout < 0 {
		l.report(s.phasePath+".timeout", Error, "bad-duration", "the timeout %s is negative", p.Timeout)
	}
	r := p.Retry
	switch {
	case r == nil:
	case r.Attempts < 1 || r.Backoff < 0 || r.MaxBackoff < 0:
		l.report(s.phasePath+".retry", Error, "bad-retry", "retry needs at least one attempt and no negative backoff")
	case r.Attempts > 1 && p.Timeout > 0 && p.Timeout <= max(r.Backoff, time.Nanosecond):
		l.report(s.phasePath+".retry", Warning, "retry-beyond-timeout", "the timeout %s ends the phase before the backoff %s is over: there is never a second attempt", p.Timeout, r.Backoff)
	}
}

func (l *linter) objects(s scope) {
	s.objects = true
	for name, ref := range ordinary(s.phase.Objects) {
		path := s.phasePath + ".objects." + name
		if ref.Name == "" {
			l.report(path, Error, "missing-field", "object %q has no name", name)
		}
		if k := objectKind(ref); k == "" {
			l.report(path+".kind", Warning, "bad-object-kind", "object %q is of kind %q: only a Secret and a ConfigMap are read", name, ref.Kind)
		}
		for field, text := range ordinary(map[string]string{"apiVersion": ref.APIVersion, "group": ref.Group, "resource": ref.Resource,
			"kind": ref.Kind, "name": ref.Name, "namespace": ref.Namespace}) {
			l.text(s, path+"."+field, text)
		}
	}
}

// objectKind is Secrets or ConfigMaps, "any" when a template decides, and empty for what phases do not read.
func objectKind(ref template.ObjectReference) string {
	switch {
	case strings.Contains(ref.Kind, "{{"):
		return "any"
	case strings.EqualFold(ref.Kind, "Secret"):
		return "Secrets"
	case strings.EqualFold(ref.Kind, "ConfigMap"):
		return "ConfigMaps"
	}
	return ""
}

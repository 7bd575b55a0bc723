package blueprint

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/davit-project/davit/template"
)

// subjectRoots are the parameters of which a run has one.
var subjectRoots = []string{"StatefulSet", "Deployment", "DeploymentConfig", "PVC", "Namespace"}

// reference checks one path that a template reads.
func (l *linter) reference(s scope, f finding, ref template.Reference) {
	if len(ref.Path) == 0 {
		return
	}
	if err := template.CheckPath(ref.Path); err != nil {
		f.report(Error, "template-field-unknown", "%s", err)
		return
	}
	switch root := ref.Path[0]; root {
	case "Phases":
		l.phaseReference(s, f, ref.Path)
	case "DeferPhase":
		l.deferReference(s, f, ref.Path)
	case "ArtifactsIn":
		l.artifactReference(s, f, ref.Path)
	case "Secrets":
		declared(s, f, ref.Path, s.action.SecretNames, "secret")
	case "ConfigMaps":
		declared(s, f, ref.Path, s.action.ConfigMapNames, "config-map")
	default:
		if slices.Contains(subjectRoots, root) && !ref.Optional && len(ref.Path) > 1 && (s.phase == nil || s.phase.If == "") {
			s.subjects[root] = true
		}
	}
	l.secretInCommand(s, f, ref)
}

// declared reports a secret or config map that the action does not list.
func declared(s scope, f finding, path, names []string, what string) {
	if len(path) < 2 || slices.Contains(names, path[1]) || !s.first(what+" "+path[1]) {
		return
	}
	field := map[string]string{"secret": "secretNames", "config-map": "configMapNames"}[what]
	f.report(Warning, what+"-undeclared", "action %q does not list %q in %s%s", s.action.Name, path[1], field, suggest(path[1], names))
}

// phaseReference checks .Phases.NAME.PART.KEY.
func (l *linter) phaseReference(s scope, f finding, path []string) {
	if s.objects {
		f.report(Error, "phase-later", "the objects of all phases are read before the first phase: they cannot use .Phases")
		return
	}
	if len(path) < 2 {
		return
	}
	name := path[1]
	at := s.phaseIndex(name)
	if at < 0 {
		l.unknownPhase(s, f, name)
		return
	}
	if at > s.index {
		f.report(Error, "phase-later", "phase %q comes later: nothing of it is there yet", name)
		return
	}
	p := s.action.Phases[at]
	if at == s.index && len(path) > 2 && path[2] == "Output" {
		f.report(Error, "phase-later", "phase %q reads its own output, which is there only when it has ended", name)
		return
	}
	if since, owed := s.owedSince[s.index]; owed && s.phase != nil && at >= since && at != s.index {
		f.report(Error, "release-depends", "phase %q runs even when phase %q has failed or never ran: it cannot read anything of it", s.phase.Name, name)
		return
	}
	if p.If != "" && at != s.index && (s.phase == nil || s.phase.If != p.If) && len(path) > 2 && path[2] == "Output" {
		f.report(Warning, "phase-conditional", "phase %q may have been skipped, and has no outputs then", name)
	}
	l.phasePart(f, p, "phase "+strconv.Quote(name), path[2:])
}

// phaseIndex is the position of the phase of that name that the scope sees: the last one before it, or else the first.
func (s scope) phaseIndex(name string) int {
	found := -1
	for i, p := range s.action.Phases {
		if p.Name == name && (found < 0 || i <= s.index) {
			found = i
		}
	}
	return found
}

func (l *linter) unknownPhase(s scope, f finding, name string) {
	if d := s.action.DeferPhase; d != nil && d.Name == name {
		f.report(Error, "phase-unknown", "phase %q is the deferPhase: its outputs are in .DeferPhase, for output artifacts", name)
		return
	}
	for other, a := range ordinary(l.bp.Actions) {
		if a != nil && slices.ContainsFunc(a.Phases, func(p *Phase) bool { return p.Name == name }) {
			f.report(Error, "phase-unknown", "phase %q belongs to action %q: an action sees its own phases only", name, other)
			return
		}
	}
	var names []string
	for _, p := range s.action.Phases {
		names = append(names, p.Name)
	}
	f.report(Error, "phase-unknown", "action %q has no phase %q%s", s.action.Name, name, suggest(name, names))
}

// deferReference checks .DeferPhase.PART.KEY.
func (l *linter) deferReference(s scope, f finding, path []string) {
	d := s.action.DeferPhase
	switch {
	case d == nil:
		f.report(Error, "phase-unknown", "action %q has no deferPhase", s.action.Name)
	case s.objects:
		f.report(Error, "phase-later", "the objects of all phases are read before the first phase: they cannot use .DeferPhase")
	case s.deferred() && len(path) > 1 && path[1] == "Output":
		f.report(Error, "phase-later", "the deferPhase reads its own output, which is there only when it has ended")
	case s.phase != nil && !s.deferred():
		f.report(Error, "phase-later", "the deferPhase comes later: nothing of it is there yet")
	default:
		l.phasePart(f, d, "the deferPhase", path[1:])
	}
}

// phasePart checks what is read of a phase: Output.KEY, Secrets.NAME or ConfigMaps.NAME.
func (l *linter) phasePart(f finding, p *Phase, who string, part []string) {
	if len(part) < 2 {
		return
	}
	if part[0] == "Output" {
		l.output(f, p, who, part[1])
		return
	}
	ref, ok := p.Objects[part[1]]
	if !ok {
		f.report(Error, "object-undeclared", "%s has no object %q%s", who, part[1], suggest(part[1], slices.Collect(maps.Keys(p.Objects))))
		return
	}
	switch kind := objectKind(ref); kind {
	case "any", part[0]:
	case "":
		f.report(Error, "bad-object-kind", "object %q of %s is of kind %q: only a Secret and a ConfigMap are read", part[1], who, ref.Kind)
	default:
		f.report(Error, "object-undeclared", "object %q of %s is of kind %s: it is in .%s, not in .%s", part[1], who, ref.Kind, kind, part[0])
	}
}

func (l *linter) output(f finding, p *Phase, who, key string) {
	fn, err := l.reg.Lookup(p.Func, l.version)
	if err != nil {
		return
	}
	schema := fn.Schema()
	if schema.OpenOutputs {
		return
	}
	var names []string
	for _, o := range schema.Outputs {
		if o.Name == key {
			return
		}
		names = append(names, o.Name)
	}
	if len(names) == 0 {
		f.report(Error, "output-unknown", "%s has no output %q: function %q has no outputs", who, key, p.Func)
		return
	}
	hint := suggest(key, names)
	if hint == "" {
		hint = "; it has " + strings.Join(names, ", ")
	}
	f.report(Error, "output-unknown", "%s has no output %q: function %q does not produce it%s", who, key, p.Func, hint)
}

// producers are the artifacts of that name of all actions.
func (l *linter) producers(name string) []template.Artifact {
	var found []template.Artifact
	for _, a := range l.bp.Actions {
		if a == nil {
			continue
		}
		if art, ok := a.OutputArtifacts[name]; ok {
			found = append(found, art)
		}
	}
	return found
}

// artifactReference checks .ArtifactsIn.NAME.PART.KEY.
func (l *linter) artifactReference(s scope, f finding, path []string) {
	if len(path) < 2 {
		return
	}
	name := path[1]
	s.readArtifacts[name] = true
	if !slices.Contains(s.action.InputArtifactNames, name) && s.first("artifact "+name) {
		f.report(Warning, "artifact-undeclared", "action %q does not list artifact %q in inputArtifactNames", s.action.Name, name)
	}
	made := l.producers(name)
	if len(made) == 0 {
		l.unproduced(s, f, name)
		return
	}
	if len(path) < 3 {
		return
	}
	if path[2] == "KopiaSnapshot" {
		if !slices.ContainsFunc(made, func(a template.Artifact) bool { return a.KopiaSnapshot != "" }) {
			f.report(Warning, "artifact-key-unknown", "no action gives artifact %q a kopiaSnapshot: it is empty", name)
		}
		return
	}
	if len(path) < 4 || path[2] != "KeyValue" {
		return
	}
	var keys []string
	for _, a := range made {
		if _, ok := a.KeyValue[path[3]]; ok {
			return
		}
		keys = slices.AppendSeq(keys, maps.Keys(a.KeyValue))
	}
	f.report(Error, "artifact-key-unknown", "no action puts %q into artifact %q%s", path[3], name, suggest(path[3], keys))
}

// unproduced reports an artifact that nothing produces. In a blueprint whose actions produce others that is an error;
// one whose actions produce none gets its artifacts from elsewhere.
func (l *linter) unproduced(s scope, f finding, name string) {
	var names []string
	for _, a := range l.bp.Actions {
		if a != nil {
			names = slices.AppendSeq(names, maps.Keys(a.OutputArtifacts))
		}
	}
	if !s.first("unproduced " + name) {
		return
	}
	severity := Error
	if len(names) == 0 {
		severity = Warning
	}
	f.report(severity, "artifact-unproduced", "no action of the blueprint produces artifact %q%s", name, suggest(name, names))
}

// secretInCommand reports the first secret in each argument that becomes a command line.
func (l *linter) secretInCommand(s scope, f finding, ref template.Reference) {
	if s.schema == nil || !ref.Printed || !secret(ref.Path) {
		return
	}
	arg, ok := s.schema.Arg(s.arg)
	if !ok || !arg.Command || !s.first("command "+s.phasePath+" "+s.arg) {
		return
	}
	f.report(Warning, "secret-in-command", "secret .%s is rendered into a command line, which process lists and audit logs show; a file or an environment variable taken from the Secret does not", strings.Join(ref.Path, "."))
}

// secret tells whether a path holds, or contains, what must stay secret.
func secret(path []string) bool {
	rest := func(n int) []string { return path[min(n, len(path)):] }
	switch path[0] {
	case "Secrets":
		return ofSecrets(rest(1))
	case "Phases":
		return len(path) > 2 && path[2] == "Secrets" && ofSecrets(rest(3))
	case "DeferPhase", "CurrentPhase":
		return len(path) > 1 && path[1] == "Secrets" && ofSecrets(rest(2))
	case "Profile":
		return len(path) == 1 || path[1] == "Credential" && ofCredential(rest(2))
	}
	return false
}

// ofSecrets is for NAME.Data and what contains it.
func ofSecrets(rest []string) bool { return len(rest) < 2 || rest[1] == "Data" }

func ofCredential(rest []string) bool {
	if len(rest) == 0 {
		return true
	}
	switch rest[0] {
	case "KeyPair":
		return len(rest) == 1 || rest[1] == "Secret"
	case "Secret":
		return len(rest) == 1 || rest[1] == "Data"
	case "KopiaServerSecret":
		return len(rest) == 1 || rest[1] == "Password"
	}
	return false
}

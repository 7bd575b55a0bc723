package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/template"
)

// later marks what a run will know, and a plan does not.
const later = "not known yet"

// print writes the plan for a person.
func (p *planned) print(w io.Writer) error {
	out := &planWriter{Writer: bufio.NewWriter(w)}
	for i := range p.Actions {
		out.action(p, &p.Actions[i])
	}
	switch n := len(p.Problems); n {
	case 0:
		out.line(0, "the run could begin")
	case 1:
		out.line(0, "1 problem:")
	default:
		out.line(0, "%d problems:", n)
	}
	for _, problem := range p.Problems {
		out.line(1, "%s", problem)
	}
	return out.Flush()
}

// planWriter writes indented lines; the error of its writer comes with Flush.
type planWriter struct{ *bufio.Writer }

// line writes one line, or several that the text has, each indented.
func (w *planWriter) line(depth int, format string, args ...any) {
	text := printable(fmt.Sprintf(format, args...))
	_, _ = w.WriteString(indent(text, strings.Repeat("  ", depth)) + "\n")
}

// field writes a line with a name in front, unless there is nothing to say.
func (w *planWriter) field(depth int, name, text string) {
	if text != "" {
		w.line(depth, "%-12s%s", name, text)
	}
}

func (w *planWriter) action(p *planned, a *plannedAction) {
	w.line(0, "action %s of blueprint %s", a.Action, a.Blueprint)
	w.field(1, "on", objectName(a.Object))
	where := "this machine"
	if p.Cluster != onThisMachine {
		where = p.Cluster
	}
	w.field(1, "cluster", where)
	w.permissions(1, "to begin", a.Permissions, a.Unknown)
	for i := range a.Phases {
		w.phase(i, &a.Phases[i])
	}
	if len(a.Artifacts) > 0 {
		w.line(1, "artifacts")
		for _, name := range slices.Sorted(maps.Keys(a.Artifacts)) {
			w.tree(2, map[string]any{name: artifactTree(a.Artifacts[name])}, "outputArtifacts", a.Open)
		}
	}
	w.line(0, "")
}

func objectName(r template.ObjectReference) string {
	kind := r.Kind
	if kind == "" {
		kind = r.Resource
		if r.Group != "" {
			kind += "." + r.Group
		}
	}
	name := r.Name
	if r.Namespace != "" && r.Namespace != r.Name {
		name = r.Namespace + "/" + name
	}
	return strings.TrimSpace(kind + " " + name)
}

func artifactTree(a template.Artifact) map[string]any {
	tree := map[string]any{}
	if len(a.KeyValue) > 0 {
		values := map[string]any{}
		for key, value := range a.KeyValue {
			values[key] = value
		}
		tree["keyValue"] = values
	}
	if a.KopiaSnapshot != "" {
		tree["kopiaSnapshot"] = a.KopiaSnapshot
	}
	return tree
}

func (w *planWriter) phase(i int, ph *plannedPhase) {
	title := fmt.Sprintf("phase %d: %s", i+1, ph.Name)
	if ph.Deferred {
		title = "deferred phase: " + ph.Name
	}
	w.line(1, "%s", title)
	w.field(2, "function", ph.Func+" "+ph.Version)
	w.field(2, "runs", runsText(ph))
	w.field(2, "crash", replayText(ph.Replay))
	w.field(2, "timeout", ph.Timeout)
	w.field(2, "undone by", strings.Join(ph.Release, ", "))
	w.field(2, "max hold", ph.MaxHold)
	if ph.Attempts > 1 {
		w.field(2, "attempts", fmt.Sprintf("%d, with waits from %s to %s", ph.Attempts, ph.Backoff, ph.MaxBackoff))
	}
	for _, image := range ph.Images {
		w.field(2, "image", image)
	}
	for _, name := range slices.Sorted(maps.Keys(ph.Objects)) {
		w.field(2, "reads", fmt.Sprintf("%s: %s", name, objectName(ph.Objects[name])))
	}
	outputs := strings.Join(ph.Outputs, ", ")
	if ph.OpenOutputs {
		outputs = strings.TrimPrefix(outputs+", any that the command gives", ", ")
	}
	w.field(2, "outputs", outputs)
	if len(ph.Args) > 0 {
		w.line(2, "arguments")
		w.tree(3, ph.Args, "args", ph.Open)
	}
	w.permissions(2, "permissions", ph.Permissions, ph.Unknown)
	for _, problem := range ph.Problems {
		w.line(2, "PROBLEM: %s", problem)
	}
}

func runsText(ph *plannedPhase) string {
	switch ph.Runs {
	case engine.RunsTrue:
		return "yes: " + ph.If
	case engine.RunsFalse:
		return "no: " + ph.If
	case engine.RunsUnknown:
		return later + ": " + ph.If
	default:
		return ""
	}
}

// replayText says what becomes of a phase that a crash interrupted.
func replayText(replay string) string {
	switch replay {
	case "idempotent":
		return "run again when davit dies in it"
	case "adopt":
		return "goes on when davit dies in it"
	default:
		return "fails when davit dies in it: whether it did its work is not known then (--on-unknown)"
	}
}

func (w *planWriter) permissions(depth int, title string, permissions []permission, unknown []string) {
	if len(permissions)+len(unknown) == 0 {
		return
	}
	w.line(depth, "%s", title)
	for _, l := range summary(permissions) {
		w.line(depth+1, "%-8s %s", l.state, l.text)
	}
	for _, text := range unknown {
		w.line(depth+1, "%-8s %s", notAsked, text)
	}
}

// tree writes values as YAML, with a mark at what is not known yet.
func (w *planWriter) tree(depth int, tree map[string]any, path string, open []string) {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(treeNode(tree, path, open)); err != nil {
		b.WriteString("(cannot be shown)")
	}
	_ = enc.Close() // a builder takes everything
	w.line(depth, "%s", strings.TrimRight(b.String(), "\n"))
}

// treeNode makes YAML of a tree.
func treeNode(v any, path string, open []string) *yaml.Node {
	n := &yaml.Node{}
	switch v := v.(type) {
	case map[string]any:
		n.Kind = yaml.MappingNode
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := path + "." + key
			k := scalar(printable(key))
			k.LineComment = mark(at+"[key]", open)
			n.Content = append(n.Content, k, treeNode(v[key], at, open))
		}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
	case []any:
		n.Kind = yaml.SequenceNode
		for i, e := range v {
			n.Content = append(n.Content, treeNode(e, fmt.Sprintf("%s[%d]", path, i), open))
		}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
	case string:
		n = scalar(printable(v))
		n.LineComment = mark(path, open)
	default:
		if err := n.Encode(v); err != nil {
			n = scalar("(cannot be shown)")
		}
	}
	return n
}

func mark(path string, open []string) string {
	if slices.Contains(open, path) {
		return "# " + later
	}
	return ""
}

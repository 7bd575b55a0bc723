package blueprint

import (
	"time"

	"github.com/davit-project/davit/template"
	"go.yaml.in/yaml/v3"
)

// Defaults of Retry.
const (
	DefaultBackoff    = time.Second
	DefaultMaxBackoff = 5 * time.Minute
)

// setter stores what a field holds.
type setter = func(n *yaml.Node, path string)

func (r *reader) text1(what string, into *string) setter {
	return func(n *yaml.Node, path string) { *into = r.str(n, path, what) }
}

func (r *reader) texts(what string, into *[]string) setter {
	return func(n *yaml.Node, path string) { *into = r.strs(n, path, what) }
}

// ignored is a field that has been read already or does not matter.
func ignored(*yaml.Node, string) {}

func (r *reader) source() Source {
	return Source{File: r.file, Positions: r.positions, lines: r.lines}
}

func (r *reader) blueprint(root *yaml.Node) *Blueprint {
	bp := &Blueprint{Actions: map[string]*Action{}}
	r.fields(root, "", "a blueprint", map[string]setter{
		"apiVersion": ignored,
		"kind":       ignored,
		"metadata": func(n *yaml.Node, path string) {
			m := r.metadata(n, path)
			bp.Name, bp.Namespace = m.name, m.namespace
		},
		"actions": func(n *yaml.Node, path string) {
			for _, e := range r.mapping(n, path, "actions") {
				bp.Actions[e.key] = r.action(e)
				bp.ActionNames = append(bp.ActionNames, e.key)
			}
		},
	})
	bp.Source = r.source()
	return bp
}

// meta is what documents keep of their metadata.
type meta struct {
	name, namespace, generateName string
	labels                        map[string]string
}

// metadata takes any content; only the fields that are kept must be of the right type.
func (r *reader) metadata(n *yaml.Node, path string) meta {
	var m meta
	for _, e := range r.mapping(n, path, "metadata") {
		switch e.key {
		case "name":
			m.name = r.str(e.node, e.path, "the name")
		case "namespace":
			m.namespace = r.str(e.node, e.path, "the namespace")
		case "generateName":
			m.generateName = r.str(e.node, e.path, "generateName")
		case "labels":
			m.labels = r.strMap(e.node, e.path, "the labels")
		}
	}
	return m
}

func (r *reader) action(e entry) *Action {
	a := &Action{Name: e.key}
	r.fields(e.node, e.path, "an action", map[string]setter{
		"name":               r.text1("the name", new(string)), // Kanister has the field and never reads it
		"kind":               r.text1("the kind", &a.Kind),
		"type":               func(n *yaml.Node, path string) { r.oldKind(n, path, a) },
		"configMapNames":     r.texts("configMapNames", &a.ConfigMapNames),
		"secretNames":        r.texts("secretNames", &a.SecretNames),
		"inputArtifactNames": r.texts("inputArtifactNames", &a.InputArtifactNames),
		"outputArtifacts": func(n *yaml.Node, path string) {
			a.OutputArtifacts = r.artifacts(n, path, "outputArtifacts")
		},
		"phases": func(n *yaml.Node, path string) {
			for i, c := range r.list(n, path, "phases") {
				a.Phases = append(a.Phases, r.phase(c, index(path, i)))
			}
		},
		"deferPhase": func(n *yaml.Node, path string) {
			if !isNull(n) {
				a.DeferPhase = r.phase(n, path)
			}
		},
	})
	return a
}

// oldKind reads the field that old blueprints have in place of kind. Kubernetes drops it without a word.
func (r *reader) oldKind(n *yaml.Node, path string, a *Action) {
	kind := r.str(n, path, "the type")
	if a.Kind == "" {
		a.Kind = kind
	}
	r.report(r.positions[path], Warning, "old-field", "type is the old name of the field kind")
}

func (r *reader) phase(n *yaml.Node, path string) *Phase {
	p := &Phase{}
	r.fields(n, path, "a phase", map[string]setter{
		"name": r.text1("the name of a phase", &p.Name),
		"func": r.text1("func", &p.Func),
		"objects": func(n *yaml.Node, path string) {
			p.Objects = r.references(n, path, "objects")
		},
		"args": func(n *yaml.Node, path string) {
			for _, e := range r.mapping(n, path, "args") {
				if p.Args == nil {
					p.Args = map[string]any{}
				}
				p.Args[e.key] = r.value(e.node, e.path, 0)
			}
		},
		"timeout": func(n *yaml.Node, path string) { p.Timeout = r.duration(n, path, "the timeout") },
		"retry": func(n *yaml.Node, path string) {
			if !isNull(n) {
				p.Retry = r.retry(n, path)
			}
		},
		"if":      func(n *yaml.Node, path string) { p.If = r.condition(n, path) },
		"release": r.texts("release", &p.Release),
		"maxHold": func(n *yaml.Node, path string) { p.MaxHold = r.duration(n, path, "maxHold") },
	})
	return p
}

// condition reads a template, or a boolean as its text.
func (r *reader) condition(n *yaml.Node, path string) string {
	if v := follow(n); v.Kind == yaml.ScalarNode && v.ShortTag() == "!!bool" {
		r.enter(n, path)
		return v.Value
	}
	return r.str(n, path, "if")
}

// duration reads a positive Go duration.
func (r *reader) duration(n *yaml.Node, path, what string) time.Duration {
	if isNull(n) {
		return 0
	}
	if v := follow(n); v.Kind == yaml.ScalarNode && kindOf(v) == "a number" {
		r.fault(v, "bad-duration", "%s %s has no unit; write %ss for seconds", what, short(v.Value), short(v.Value))
		return 0
	}
	before := len(r.diags)
	text := r.str(n, path, what)
	if len(r.diags) > before {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		r.fault(follow(n), "bad-duration", "%s %q is not a positive duration such as 1h30m", what, short(text))
		return 0
	}
	return d
}

func (r *reader) retry(n *yaml.Node, path string) *Retry {
	retry := &Retry{}
	before := len(r.diags)
	r.fields(n, path, "retry", map[string]setter{
		"attempts": func(n *yaml.Node, path string) { retry.Attempts = r.attempts(n, path) },
		"backoff": func(n *yaml.Node, path string) {
			retry.Backoff = r.duration(n, path, "the backoff")
		},
		"maxBackoff": func(n *yaml.Node, path string) {
			retry.MaxBackoff = r.duration(n, path, "maxBackoff")
		},
	})
	if len(r.diags) > before {
		retry.Attempts = max(retry.Attempts, 1)
		return retry
	}
	if retry.Attempts == 0 {
		r.fault(follow(n), "bad-retry", "retry needs attempts, the number of attempts in all")
		retry.Attempts = 1
	}
	if retry.Backoff == 0 {
		retry.Backoff = DefaultBackoff
		if retry.MaxBackoff > 0 {
			retry.Backoff = min(retry.Backoff, retry.MaxBackoff)
		}
	}
	if retry.MaxBackoff == 0 {
		retry.MaxBackoff = max(DefaultMaxBackoff, retry.Backoff)
	}
	if retry.MaxBackoff < retry.Backoff {
		r.fault(follow(n), "bad-retry", "maxBackoff %s is less than the backoff %s", retry.MaxBackoff, retry.Backoff)
	}
	return retry
}

// maxAttempts is beyond what can be meant.
const maxAttempts = 1000

func (r *reader) attempts(n *yaml.Node, path string) int {
	n, ok := r.enter(n, path)
	if !ok {
		return 1
	}
	var v any
	if n.Kind == yaml.ScalarNode {
		v = r.scalar(n)
	}
	count, ok := v.(int64)
	if !ok || count < 1 || count > maxAttempts {
		r.fault(n, "bad-retry", "attempts must be a whole number from 1 to %d", maxAttempts)
		return 1
	}
	return int(count)
}

func (r *reader) artifacts(n *yaml.Node, path, what string) map[string]template.Artifact {
	var out map[string]template.Artifact
	for _, e := range r.mapping(n, path, what) {
		if out == nil {
			out = map[string]template.Artifact{}
		}
		var a template.Artifact
		r.fields(e.node, e.path, "an artifact", map[string]setter{
			"keyValue": func(n *yaml.Node, path string) {
				a.KeyValue = r.strMap(n, path, "keyValue")
			},
			"kopiaSnapshot": r.text1("kopiaSnapshot", &a.KopiaSnapshot),
		})
		out[e.key] = a
	}
	return out
}

func (r *reader) reference(n *yaml.Node, path string) template.ObjectReference {
	var o template.ObjectReference
	r.fields(n, path, "an object reference", map[string]setter{
		"apiVersion": r.text1("apiVersion", &o.APIVersion),
		"group":      r.text1("the group", &o.Group),
		"resource":   r.text1("the resource", &o.Resource),
		"kind":       r.text1("the kind", &o.Kind),
		"name":       r.text1("the name", &o.Name),
		"namespace":  r.text1("the namespace", &o.Namespace),
	})
	return o
}

func (r *reader) references(n *yaml.Node, path, what string) map[string]template.ObjectReference {
	var out map[string]template.ObjectReference
	for _, e := range r.mapping(n, path, what) {
		if out == nil {
			out = map[string]template.ObjectReference{}
		}
		out[e.key] = r.reference(e.node, e.path)
	}
	return out
}

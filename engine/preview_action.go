package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// view collects what is known of an action. What it holds is not masked yet.
type view struct {
	engine *Engine
	vault  *vault
	action *action
	params *template.Params
	// missing are paths of the parameters that could not be read: templates that need one are left open.
	missing [][]string
	// rules of the phases so far.
	rules []function.Rule
	out   PreviewAction
}

// look reads what the action reads at its start and renders all that is known then.
func (e *Engine) look(ctx context.Context, v *vault, a *action, artifacts map[string]template.Artifact) *view {
	w := &view{engine: e, vault: v, action: a}
	w.out = PreviewAction{Action: a.label, Blueprint: a.spec.Blueprint, Object: a.spec.Object}
	params, missing := e.capture(ctx, v, a.spec)
	w.params = params
	for _, f := range missing {
		w.out.Problems = append(w.out.Problems, f.err.Error())
		w.missing = append(w.missing, f.roots...)
	}
	for _, ph := range a.all() {
		w.phase(ctx, ph)
	}
	r := &rendering{view: w, certain: true}
	for _, name := range slices.Sorted(maps.Keys(artifacts)) {
		w.artifact(ctx, r, name, artifacts[name])
	}
	w.out.Open = r.open
	w.out.Problems = append(w.out.Problems, r.problems...)
	return w
}

func (w *view) artifact(ctx context.Context, r *rendering, name string, src template.Artifact) {
	if w.out.Artifacts == nil {
		w.out.Artifacts = map[string]template.Artifact{}
	}
	art := template.Artifact{KeyValue: map[string]string{}}
	at := "outputArtifacts." + name
	for _, key := range slices.Sorted(maps.Keys(src.KeyValue)) {
		art.KeyValue[key] = r.text(ctx, at+".keyValue."+key, src.KeyValue[key])
	}
	art.KopiaSnapshot = r.text(ctx, at+".kopiaSnapshot", src.KopiaSnapshot)
	w.out.Artifacts[name] = art
}

func (w *view) phase(ctx context.Context, ph *phase) {
	s := ph.fn.Schema()
	out := PreviewPhase{Name: ph.name, Func: s.Name, Version: s.Version, Replay: s.Replay.String(), Deferred: ph == w.action.deferred,
		Attempts: 1, If: ph.src.If, Runs: RunsAlways, OpenOutputs: s.OpenOutputs}
	timeout := ph.src.Timeout
	if out.Deferred && timeout == 0 {
		timeout = w.engine.opts.DeferTimeout
	}
	out.Timeout, out.Release, out.MaxHold = duration(timeout), ph.src.Release, duration(ph.src.MaxHold)
	if p := ph.src.Retry; p != nil {
		backoff, limit := retryWaits(p)
		out.Attempts, out.Backoff, out.MaxBackoff = p.Attempts, duration(backoff), duration(limit)
	}
	for _, o := range s.Outputs {
		out.Outputs = append(out.Outputs, o.Name)
	}
	r := &rendering{view: w, certain: true}
	out.Runs = w.condition(ctx, ph, r)
	w.objects(ctx, ph, r, &out)
	w.arguments(ctx, ph, r, &out)
	out.Images = images(out.Args)
	if out.Runs != RunsFalse {
		out.Rules = ph.fn.Rules(out.Args)
		w.rules = append(w.rules, out.Rules...)
	}
	out.Open, out.Problems = r.open, r.problems
	w.out.Phases = append(w.out.Phases, out)
}

// certain tells whether the phase is known to run.
func (p *PreviewPhase) certain() bool { return p.Runs == RunsAlways || p.Runs == RunsTrue }

// duration is empty for none.
func duration(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return d.String()
}

// condition says whether the phase runs, as far as that is known.
func (w *view) condition(ctx context.Context, ph *phase, r *rendering) Runs {
	if ph.cond == nil {
		return RunsAlways
	}
	before := len(r.open) + len(r.problems)
	text := strings.TrimSpace(r.text(ctx, "if", ph.src.If))
	switch {
	case len(r.open)+len(r.problems) > before:
		return RunsUnknown
	case text == "true":
		return RunsTrue
	case text == "false":
		return RunsFalse
	default:
		r.problems = append(r.problems, fmt.Sprintf("if: want true or false, got %q", text))
		return RunsUnknown
	}
}

// arguments renders what is known of the arguments, and checks them once all is.
func (w *view) arguments(ctx context.Context, ph *phase, r *rendering, out *PreviewPhase) {
	args := argsOf(ph.src)
	if out.Runs == RunsFalse {
		out.Args = args
		return
	}
	open, problems := len(r.open), len(r.problems)
	r.raw = ph.fn.Schema().RawPath
	out.Args = r.tree(ctx, "", args, true).(map[string]any)
	namespace, _ := out.Args["namespace"].(string)
	if namespace == "" || strings.Contains(namespace, "{{") {
		namespace = w.action.spec.Object.Namespace
	}
	w.engine.learn(ctx, w.vault, namespace, out.Args)
	w.engine.learn(ctx, w.vault, namespace, w.params.PodOverride)
	if len(r.open) > open || len(r.problems) > problems || ctx.Err() != nil {
		return
	}
	tree, err := ph.args.Render(w.params) // once more as a run does it: what no place shows alone, such as two equal keys
	if err == nil {
		err = ph.fn.Validate(tree.(map[string]any))
	}
	r.fail("args", err)
}

// images lists the images that arguments name: in fields called image, and those whose names end in Image.
func images(args map[string]any) []string {
	found := map[string]bool{}
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				collect(e)
			}
		case map[string]any:
			for key, e := range v {
				if text, ok := e.(string); ok && text != "" && (key == "image" || strings.HasSuffix(key, "Image")) {
					found[text] = true
				}
				collect(e)
			}
		}
	}
	collect(args)
	return slices.Sorted(maps.Keys(found))
}

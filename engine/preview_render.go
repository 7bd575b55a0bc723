package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/davit-project/davit/template"
)

// rendering renders the texts of one phase, or of the artifacts, and notes what is open and what fails.
type rendering struct {
	view *view
	// raw tells which arguments are not rendered.
	raw func(path string) bool
	// certain is false for a phase that may be skipped: what fails in it is open, as it may never be rendered.
	certain        bool
	open, problems []string
	size           int
}

// maxPreview bounds the texts rendered for one phase, in bytes.
const maxPreview = 16 << 20

func (r *rendering) fail(what string, err error) {
	switch {
	case err == nil:
	case r.certain:
		r.problems = append(r.problems, what+": "+err.Error())
	default:
		r.open = append(r.open, what)
	}
}

// text renders a text where all that it reads is known, and else returns it as it is.
func (r *rendering) text(ctx context.Context, where, text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	t, err := r.view.engine.opts.Env.Compile(where, text)
	if err == nil && !r.view.known(t) {
		r.open = append(r.open, where)
		return text
	}
	var out string
	if err == nil {
		out, err = t.Render(r.view.params)
	}
	if r.size += len(out); err == nil && r.size > maxPreview {
		err = errors.New("too large to be shown with the rest of the phase")
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		r.failText(where, err)
		return text
	}
	return out
}

// failText is fail for an error that may name the place itself.
func (r *rendering) failText(where string, err error) {
	var named *template.Error
	if r.certain && errors.As(err, &named) {
		r.problems = append(r.problems, err.Error())
		return
	}
	r.fail(where, err)
}

// tree renders a tree, as template.Value does: leaf by leaf, keys too but for those of the outermost map.
func (r *rendering) tree(ctx context.Context, path string, v any, top bool) any {
	if path != "" && r.raw(path) {
		return v
	}
	at := "args"
	if path != "" {
		at += "." + path
	}
	switch v := v.(type) {
	case string:
		return r.text(ctx, at, v)
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = r.tree(ctx, fmt.Sprintf("%s[%d]", path, i), e, false)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			child := name
			if path != "" {
				child = path + "." + name
			}
			key := name
			if !top {
				key = r.text(ctx, "args."+child+"[key]", name)
			}
			object[key] = r.tree(ctx, child, v[name], false)
		}
		return object
	default:
		return v
	}
}

// known tells whether everything that a template reads is known now.
func (w *view) known(t *template.Template) bool {
	for _, ref := range t.References() {
		path := ref.Path
		if len(path) == 0 || path[0] == "CurrentPhase" || slices.ContainsFunc(w.missing, func(m []string) bool { return overlap(m, path) }) {
			return false
		}
		var part []string
		switch path[0] {
		case "Phases":
			part = path[min(2, len(path)):]
		case "DeferPhase":
			part = path[1:]
		default:
			continue
		}
		if len(part) == 0 || part[0] != "Secrets" && part[0] != "ConfigMaps" {
			return false
		}
	}
	return true
}

// overlap tells whether one path leads to, or through, the other.
func overlap(a, b []string) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

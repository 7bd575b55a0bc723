// Package template renders the templates of blueprints: compiled once, rendered many times, bounded in output, steps and
// memory, with an allow-listed set of functions.
package template

import "time"

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
type Template struct{}

// Compile parses a text. Name says where it stands, for errors: "actions.backup.phases[0].args.command[2]".
func (e *Env) Compile(name, text string) (*Template, error) { return &Template{}, nil }

// Render executes the template. Data is *Params for everything in a blueprint; Wait's conditions use other data.
func (t *Template) Render(data any) (string, error) { return "", nil }

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

// Value is a compiled tree of maps, lists and scalars whose strings are templates.
type Value struct{}

// CompileValue compiles every string of v, map keys included, the keys of the outermost map not. Raw tells which paths
// ("conditions.anyOf[0].condition", list positions as [n]) are left as they are; nil for none. All faults are reported, joined.
func (e *Env) CompileValue(name string, v any, raw func(path string) bool) (*Value, error) {
	return &Value{}, nil
}

// Render returns a new tree of map[string]any, []any and scalars: strings rendered, all else unchanged, nulls included.
func (v *Value) Render(data any) (any, error) { return nil, nil }

// Walk calls f for every template in the tree, in the order of the document, with the path where it stands. A key's path ends in "[key]".
func (v *Value) Walk(f func(path string, t *Template)) {}

// Package template renders the templates of blueprints: compiled once, rendered many times, bounded in output, steps and
// memory, with an allow-listed set of functions.
//
// The language is that of text/template with its parser, missingkey=error and the functions of sprig v3 that are pure
// ([Env.Functions] lists all). An evaluator of its own walks the tree: it counts steps, bounds what is built before it is
// built, knows the path of whatever is missing, and never puts a value into an error.
//
// It differs from text/template on purpose: printing nothing ("<no value>", "<nil>") is an error; index of an absent key is an
// error but for [Options] and maps of any; methods are those a value has without taking its address; range takes
// lists, maps and numbers; there is no call.
//
// # Errors
//
// A failure is an [*Error], several are joined. [ErrSyntax], [ErrMissing] and [ErrLimit] are matched with errors.Is.
//
// # Concurrency
//
// Env, Template and Value are immutable and safe for concurrent use; the data rendered is only read.
package template

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"time"
)

const (
	defaultMaxOutput = 1 << 20
	defaultMaxSteps  = 100_000
	// maxActions bounds the actions of one text, and so how deep they nest.
	maxActions = 10_000
)

// Env is what templates can call and how far they may go. Nil and zero are ready to use. It is immutable.
type Env struct {
	// Funcs are the host's own functions, in addition; one of the name of a built-in one replaces it. Each returns one value, or one and
	// an error, and must be safe for concurrent use. Their errors are shown as they are. Default none.
	Funcs map[string]any
	// Now is the clock of now, ago and date functions. Default time.Now.
	Now func() time.Time
	// MaxOutput bounds the text of one rendering, that of one template and any one value built on the way, in bytes. Default 1 MiB.
	MaxOutput int
	// MaxSteps bounds the work of one rendering: every action, argument, loop turn, template call and function call is a
	// step. Default 100,000.
	MaxSteps int
}

// Template is one compiled text. It is safe for concurrent use.
type Template struct {
	name, text string
	// root is nil for a text without actions.
	root  *parse.Tree
	trees map[string]*parse.Tree
	funcs map[string]*function
	// mutates is true when it calls a function that changes a map.
	mutates             bool
	now                 func() time.Time
	maxOutput, maxSteps int
}

// Compile parses a text. Name says where it stands, for errors: "actions.backup.phases[0].args.command[2]".
func (e *Env) Compile(name, text string) (*Template, error) {
	t := &Template{name: name, text: text, now: time.Now, maxOutput: defaultMaxOutput, maxSteps: defaultMaxSteps}
	var host map[string]any
	if e != nil {
		host = e.Funcs
		if e.Now != nil {
			t.now = e.Now
		}
		if e.MaxOutput > 0 {
			t.maxOutput = e.MaxOutput
		}
		if e.MaxSteps > 0 {
			t.maxSteps = e.MaxSteps
		}
	}
	if len(text) > t.maxOutput {
		return nil, &Error{Name: name, Err: fmt.Errorf("%w: the text has %d bytes, more than %d", ErrLimit, len(text), t.maxOutput)}
	}
	if !strings.Contains(text, "{{") {
		return t, nil
	}
	if n := strings.Count(text, "{{"); n > maxActions {
		return nil, &Error{Name: name, Err: fmt.Errorf("%w: the text has %d actions, more than %d", ErrLimit, n, maxActions)}
	}
	if err := t.parse(host); err != nil {
		return nil, err
	}
	return t, nil
}

// Functions lists the functions templates can call, sorted: the built-in ones and the host's.
func (e *Env) Functions() []string {
	names := slices.Collect(maps.Keys(builtins()))
	if e != nil {
		for name := range e.Funcs {
			if _, twice := builtins()[name]; !twice {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func (t *Template) parse(host map[string]any) error {
	trees, err := parseTrees(t.text, host)
	if err != nil {
		return t.syntaxError(err)
	}
	t.trees, t.root, t.funcs = trees, trees[treeName], map[string]*function{}
	for name := range calls(trees) {
		f, known := builtins()[name]
		if own, ok := host[name]; ok {
			if f, err = newFunction(own); err != nil {
				return &Error{Name: t.name, Err: fmt.Errorf("function %q of the host %w", name, err)}
			}
			known = true
		}
		if known {
			t.funcs[name] = f
			t.mutates = t.mutates || f.mutates
		}
	}
	return nil
}

// treeName is the name of the main tree.
const treeName = "\x00"

func parseTrees(text string, host map[string]any) (trees map[string]*parse.Tree, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the parser gives up")
		}
	}()
	return parse.Parse(treeName, text, "", "", builtinNames(), host)
}

// syntaxError turns the parser's error, which begins with "template: NAME:LINE: ", into one of ours.
func (t *Template) syntaxError(err error) error {
	out := &Error{Name: t.name, Line: 1}
	message := err.Error()
	if rest, ok := strings.CutPrefix(message, "template: "+treeName+":"); ok {
		if line, rest, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(line); err == nil {
				out.Line, message = n, rest
			}
		}
	}
	out.Err = fmt.Errorf("%w: %s", ErrSyntax, message)
	return out
}

// Render executes the template. Data is *Params for everything in a blueprint; Wait's conditions use other data.
func (t *Template) Render(data any) (string, error) {
	if t == nil || t.root == nil {
		if t == nil {
			return "", nil
		}
		return t.text, nil
	}
	r, err := t.render(data)
	if err != nil {
		return "", err
	}
	return string(r.out), nil
}

// render executes a template that has actions, and tells what it spent.
func (t *Template) render(data any) (*renderer, error) {
	copied := 0
	if t.mutates {
		data, copied = deepCopy(data)
	}
	r := newRenderer(t, reflect.ValueOf(data))
	r.work = copied * wordSize
	return r, r.run()
}

// Functions lists the names of the functions it calls, sorted.
func (t *Template) Functions() []string {
	if t == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.funcs))
}

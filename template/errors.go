package template

import (
	"errors"
	"strconv"
	"strings"
)

// Errors of compiling and rendering.
var (
	// ErrSyntax means that a text is no template, or calls a function that does not exist.
	ErrSyntax = errors.New("not a template")
	// ErrMissing means that a template reads something the run does not have.
	ErrMissing = errors.New("not there")
	// ErrLimit means that a template is larger, deeper, longer running or builds more than the Env allows.
	ErrLimit = errors.New("over the limit")
)

// Error says which template failed, where in its text and why. It never holds a value a template read, only names.
type Error struct {
	// Name is the one given to Compile: the place in the document.
	Name string
	// Path is what was read when it failed (".Phases.dump.Output.path"); empty when it failed otherwise.
	Path string
	// Line and Column in the template's text, from 1; zero where unknown.
	Line, Column int
	// Err says why.
	Err error
}

// Error is "name: path: why", with the line in front of the path when it is not the first.
func (e *Error) Error() string {
	var parts []string
	if e.Name != "" {
		parts = append(parts, e.Name)
	}
	if e.Line > 1 {
		parts = append(parts, "line "+strconv.Itoa(e.Line))
	}
	if e.Path != "" {
		parts = append(parts, e.Path)
	}
	return strings.Join(append(parts, e.Err.Error()), ": ")
}

// Unwrap returns why.
func (e *Error) Unwrap() error { return e.Err }

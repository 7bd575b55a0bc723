package blueprint

import (
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// LintOptions may be nil.
type LintOptions struct {
	// Version prefers a version of functions. Default the default one.
	Version string
	// Env is the set of template functions. Default the built-in one.
	Env *template.Env
}

// Lint checks a blueprint against a registry, without a cluster. All findings, sorted by position.
func Lint(bp *Blueprint, reg *function.Registry, opts *LintOptions) []Diagnostic { return nil }

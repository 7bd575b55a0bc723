package blueprint

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Severity of a diagnostic.
type Severity string

// Severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Diagnostic is one finding. Code is stable.
type Diagnostic struct {
	File string `json:"file"`
	// Line and Column count from 1, columns in characters.
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`
	Message  string   `json:"message"`
}

// String is "file:line:column: severity code: message".
func (d Diagnostic) String() string {
	return fmt.Sprintf("%s:%d:%d: %s %s: %s", d.File, d.Line, d.Column, d.Severity, d.Code, d.Message)
}

// Err joins the diagnostics of severity Error, each as "file:line:column: code: message"; nil without one.
func (f *File) Err() error {
	var errs []error
	for _, d := range f.Diagnostics {
		if d.Severity == Error {
			errs = append(errs, fmt.Errorf("%s:%d:%d: %s: %s", d.File, d.Line, d.Column, d.Code, d.Message))
		}
	}
	return errors.Join(errs...)
}

// sorted returns the diagnostics by position, each once.
func sorted(ds []Diagnostic) []Diagnostic {
	slices.SortFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(ds)
}

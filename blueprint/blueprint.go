// Package blueprint reads, checks and describes blueprints and action sets: documents, without a cluster or execution.
package blueprint

import (
	"time"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// APIVersion of every document.
const APIVersion = "cr.kanister.io/v1alpha1"

// Blueprint is a set of actions.
type Blueprint struct {
	Name, Namespace string
	// Actions by name; ActionNames holds the names in the order of the document.
	Actions     map[string]*Action
	ActionNames []string
	// Source is the document, for positions.
	Source Source
}

// Action is a list of phases.
type Action struct {
	Name string
	Kind string
	// ConfigMapNames, SecretNames and InputArtifactNames are what the action says it needs.
	ConfigMapNames, SecretNames, InputArtifactNames []string
	// OutputArtifacts holds templates.
	OutputArtifacts map[string]template.Artifact
	Phases          []*Phase
	// DeferPhase runs after the phases whatever became of them; nil for none.
	DeferPhase *Phase
}

// Phase calls one function.
type Phase struct {
	Name string
	Func string
	// Objects are secrets and config maps the phase reads; the fields are templates.
	Objects map[string]template.ObjectReference
	// Args as written: map[string]any, []any, string, bool, int64, float64 and nil.
	Args map[string]any
	// Timeout bounds the phase with all its attempts and the waits between them. Zero: none.
	Timeout time.Duration
	// Retry is nil for one attempt.
	Retry *Retry
	// If is a template that must render to true or false; the phase is skipped on false. Empty: always run.
	If string
}

// Retry says how often a phase that failed is tried again.
type Retry struct {
	// Attempts in all, the first included; at least 1.
	Attempts int
	// Backoff is the wait before the second attempt; it doubles up to MaxBackoff. Defaults 1s and 5m.
	Backoff, MaxBackoff time.Duration
}

// Source remembers where things stand in a document.
type Source struct {
	File string
	// Positions by path: "actions.backup.phases[0].args.command[2]"; the position of a map's value; "…[key]" that of its key.
	Positions map[string]Position
}

// Position is a place in a file, from 1.
type Position struct {
	Line, Column int
	// TextLine is the line where the text of a block scalar begins, and Indent its indentation; zero for other values.
	TextLine, Indent int
}

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
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`
	Message  string   `json:"message"`
}

// ActionSet is a request to run actions.
type ActionSet struct {
	Name, Namespace string
	// GenerateName is the prefix of a name to be made.
	GenerateName string
	Labels       map[string]string
	Actions      []ActionSpec
	Source       Source
}

// ActionSpec asks for one action on one object.
type ActionSpec struct {
	// Name of the action in the blueprint.
	Name string `json:"name"`
	// Blueprint is the blueprint's name.
	Blueprint        string                              `json:"blueprint"`
	Object           template.ObjectReference            `json:"object"`
	Artifacts        map[string]template.Artifact        `json:"artifacts,omitempty"`
	ConfigMaps       map[string]template.ObjectReference `json:"configMaps,omitempty"`
	Secrets          map[string]template.ObjectReference `json:"secrets,omitempty"`
	Profile          *template.ObjectReference           `json:"profile,omitempty"`
	PodOverride      map[string]any                      `json:"podOverride,omitempty"`
	Options          map[string]string                   `json:"options,omitempty"`
	PreferredVersion string                              `json:"preferredVersion"`
	PodLabels        map[string]string                   `json:"podLabels"`
	PodAnnotations   map[string]string                   `json:"podAnnotations"`
}

// File is what Parse found in one file.
type File struct {
	Blueprints []*Blueprint
	ActionSets []*ActionSet
	// Diagnostics of syntax and types, sorted. With one of severity Error the documents may be incomplete.
	Diagnostics []Diagnostic
}

// Parse reads every document of a YAML or JSON file. It never fails: what is wrong is in the diagnostics.
// Documents of other kinds are left out and noted.
func Parse(file string, data []byte) *File { return &File{} }

// LintOptions may be nil.
type LintOptions struct {
	// Version prefers a version of functions. Default the default one.
	Version string
	// Env is the set of template functions. Default the built-in one.
	Env *template.Env
}

// Lint checks a blueprint against a registry, without a cluster. All findings, sorted by position.
func Lint(bp *Blueprint, reg *function.Registry, opts *LintOptions) []Diagnostic { return nil }

// JSONSchema returns the JSON Schema (draft 2020-12) of blueprints with the arguments of every function, for editors.
func JSONSchema(reg *function.Registry) ([]byte, error) { return nil, nil }

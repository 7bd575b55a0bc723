// Package blueprint reads, checks and describes blueprints and action sets: documents, without a cluster or execution.
//
// Parse reads files, Lint checks a blueprint against a registry of functions, JSONSchema describes blueprints to editors.
//
// # Limits
//
// A file has at most 2 MiB. A document nests at most 100 levels deep, and has, after its aliases are expanded, at most
// 100,000 values whose texts and paths take at most 16 MiB. Parse reports at most 100 findings. What is beyond is a
// diagnostic.
//
// # Errors
//
// Parse and Lint never fail: what is wrong is in their diagnostics, all of it at once. File.Err turns those of severity
// Error into a Go error. An Error is a fault that certainly fails or does damage when the action runs; a Warning is a
// likely one; a Note is for information. The codes are stable, and listed at Codes.
//
// # Concurrency
//
// Documents are plain values: reading them from several goroutines is safe as long as nobody changes them.
package blueprint

import (
	"time"

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
	// Release names later phases of the action that undo this one. Once this phase has begun they run whatever happens, as soon as a phase before them has failed, the run
	// is cancelled or MaxHold is over, and after a crash; nothing stops them but their own timeout, and they
	// are repeated when the host died in them. When this phase is skipped, so are they.
	Release []string
	// MaxHold bounds the time from the beginning of this phase to the beginning of the first phase of Release: phases that are not through by then are stopped. Zero: none.
	MaxHold time.Duration
}

// Retry says how often a phase that failed is tried again.
type Retry struct {
	// Attempts in all, the first included; at least 1.
	Attempts int
	// Backoff is the wait before the second attempt; it doubles up to MaxBackoff. Defaults 1s and 5m.
	Backoff, MaxBackoff time.Duration
}

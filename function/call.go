package function

import (
	"context"
	"log/slog"
)

// Call is what the engine tells a function about the execution it is part of. It is valid until the function returns.
type Call struct {
	// Run, Action and Phase name the execution. Action is unique in the run: "backup", or "backup[1]" for the
	// second action of a run that has several.
	Run, Action, Phase string
	// Attempt counts from 1. A retry after a known failure has the next number; an attempt that is taken up
	// again after a crash keeps its number.
	Attempt int
	// Resumed is true when this attempt was begun by a host that died: what it made may exist.
	Resumed bool
	// Labels identify the run and the phase. Everything the function creates must carry them.
	Labels map[string]string
	// Subject is the workload the action is performed on, as it was when the action started; zero for other kinds.
	Subject Subject
	// Pod is what the run asks of every pod that functions create.
	Pod PodSettings
	// Profile is the JSON of the run's profile; unset without one.
	Profile Secret
	// Secrets are those that the blueprint knows by a name: the action's, and those among the phase's objects, which win. They are for functions that take
	// the name of one instead of its values. Nil for none.
	Secrets map[string]map[string]Secret
	// Log is masked: secrets the run knows do not get through. Never nil.
	Log *slog.Logger
	// Mask replaces the secrets the run knows in a text. Never nil. Use it on what a container wrote before it
	// becomes part of an error.
	Mask func(string) string
	// OnProgress receives progress; nil drops it. Functions call Report.
	OnProgress func(context.Context, Progress)
	// OnRecorded takes what is to be done once the outcome is durable; nil does it at once. Functions call AfterRecord.
	OnRecorded func(what string, do func(context.Context) error)
	// ID is the base of Name.
	ID string
}

// Name returns a name for something this phase creates: a DNS label of at most 63 characters, the same on every attempt of
// this phase of this run and different from that of every other phase and run. Suffix tells several things apart and
// may be empty; of it, at most 20 characters are kept.
func (c *Call) Name(suffix string) string { return name(c.ID, suffix) }

// AfterRecord has something done once the outcome of this attempt is durable, whatever it was: removing a pod that holds the result. What names it where
// it cannot be done ("pod app/x"); do gets a context of its own with a deadline. When the host dies before, what is there must carry the run's labels, so that a
// sweep finds it.
func (c *Call) AfterRecord(ctx context.Context, what string, do func(context.Context) error) {
	if c.OnRecorded != nil {
		c.OnRecorded(what, do)
		return
	}
	if err := do(context.WithoutCancel(ctx)); err != nil && c.Log != nil {
		c.Log.ErrorContext(ctx, "clean up", "what", what, "error", err)
	}
}

// Report says how far the function is. It never blocks for long and may be called from several goroutines.
func (c *Call) Report(ctx context.Context, p Progress) {
	if c.OnProgress != nil {
		c.OnProgress(ctx, p)
	}
}

// Progress says how far a phase is. Zero fields are unknown.
type Progress struct {
	// Bytes moved so far, and in all.
	Bytes, TotalBytes int64
	// Note is one short line for a person.
	Note string
}

// Subject is a workload with its pods.
type Subject struct {
	// Kind is StatefulSet, Deployment or DeploymentConfig; empty when the action's subject is no workload.
	Kind, Namespace, Name string
	// Pods holds the names of the running pods.
	Pods []string
	// Claims maps a pod's name to its claims and their mount paths.
	Claims map[string]map[string]string
}

// PodSettings are the run's wishes for the pods that functions create.
type PodSettings struct {
	// Override is a PodSpec fragment that is merged over the pod, after the phase's own; nil for none.
	Override map[string]any
	// Labels and Annotations are added to the pod; those of the phase win.
	Labels, Annotations map[string]string
}

package rehearsal

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

// report writes what happens, for a person, 80 columns wide.
type report struct {
	mu  sync.Mutex
	out io.Writer
	// of the run that is under way
	plan  engine.PlannedAction
	began time.Time
	bytes map[string]int64
}

func (r *report) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print(format, args...)
}

func (r *report) print(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// step says how long something took.
func (r *report) step(what string, began time.Time) {
	r.say("   %-24s %8s", what, took(time.Since(began)))
}

// begin says which run the next events belong to.
func (r *report) begin(plan engine.PlannedAction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan, r.bytes = plan, map[string]int64{}
}

// observe receives every event of a run after it is in the journal.
func (r *report) observe(e engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case engine.PhaseStarted:
		r.began = e.Time
	case engine.PhaseComplete:
		p := r.phase(e)
		moved, deferred := "", ""
		if n := r.bytes[p.Name]; n > 0 {
			moved = fmt.Sprintf("  %11s", size(n))
		}
		if p.Deferred {
			deferred = "  (deferred: runs whatever happens)"
		}
		r.print("   %-9s %-14s %8s%s%s", p.Name, p.Func, took(e.Time.Sub(r.began)), moved, deferred)
	case engine.AttemptFailed:
		r.print("   %-9s %-14s failed, is tried again", r.phase(e).Name, r.phase(e).Func)
	case engine.PhaseFailed:
		r.print("   %-9s %-14s failed", r.phase(e).Name, r.phase(e).Func) // the program ends with the reason
	}
}

func (r *report) phase(e engine.Event) engine.PlannedPhase {
	if e.Phase < 0 {
		return r.plan.Phases[len(r.plan.Phases)-1]
	}
	return r.plan.Phases[e.Phase]
}

// progress receives what a running phase reports.
func (r *report) progress(ref engine.PhaseRef, p function.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes[ref.Phase] = max(p.Bytes, r.bytes[ref.Phase])
}

func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// size writes bytes in the binary unit that fits.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
}

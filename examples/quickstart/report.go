//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

// report writes what happens, for a person, 80 columns wide.
type report struct {
	mu  sync.Mutex
	out io.Writer
	// terminal is true when lines can be drawn over.
	terminal bool
	drawn    bool
	// of the run that is under way
	plan  engine.PlannedAction
	began time.Time
	last  time.Time
	bytes map[string]int64
	// moved is called with what phases have moved; nil for none.
	moved func(phase string, bytes int64)
	rows  []row
}

// row is one phase in the closing table.
type row struct {
	action, phase, function, state string
	took                           time.Duration
	bytes                          int64
}

func newReport() *report {
	return &report{out: os.Stdout, terminal: term.IsTerminal(int(os.Stdout.Fd()))}
}

// The least time between two lines of progress: those that are drawn over, and those that are not.
const (
	drawEvery  = 50 * time.Millisecond
	printEvery = time.Second
)

func (r *report) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print(format, args...)
}

func (r *report) print(format string, args ...any) {
	if r.drawn {
		fmt.Fprint(r.out, "\r\x1b[K")
		r.drawn = false
	}
	fmt.Fprintf(r.out, format+"\n", args...)
}

// live shows a line that the next one takes the place of, where that is possible.
func (r *report) live(format string, args ...any) {
	now, gap := time.Now(), printEvery
	if r.terminal {
		gap = drawEvery
	}
	if now.Sub(r.last) < gap {
		return
	}
	r.last = now
	if !r.terminal {
		r.print(format, args...)
		return
	}
	fmt.Fprintf(r.out, "\r\x1b[K"+format, args...)
	r.drawn = true
}

// begin says which run the next events belong to, and what happened to it before.
func (r *report) begin(plan engine.PlannedAction, before []engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan, r.bytes = plan, map[string]int64{}
	for _, e := range before {
		if e.Kind == engine.PhaseStarted {
			r.began = e.Time
		}
	}
}

// observe receives every event of a run after it is in the journal.
func (r *report) observe(e engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case engine.PhaseStarted:
		r.began, r.last = e.Time, time.Now()
	case engine.PhaseComplete:
		p := r.phase(e)
		r.print("   %-9s %-14s %8s%s%s", p.Name, p.Func, took(e.Time.Sub(r.began)), amount(r.bytes[p.Name], e.Time.Sub(r.began)), deferred(p))
	case engine.PhaseFailed, engine.AttemptFailed:
		p := r.phase(e)
		r.print("   %-9s %-14s failed", p.Name, p.Func) // the program ends with the reason
	case engine.CancelAsked:
		r.print("   cancelling; the deferred phase still runs")
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
	r.live("   %-9s %-14s %8s%s", ref.Phase, "…", took(time.Since(r.began)), amount(p.Bytes, time.Since(r.began)))
	if r.moved != nil {
		r.moved(ref.Phase, p.Bytes)
	}
}

// filled shows how far the first records are.
func (r *report) filled(bytes int64, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live("   %-24s %8s%s", "writing …", took(time.Since(since)), amount(bytes, time.Since(since)))
}

// end keeps the phases of a run for the table.
func (r *report) end(result *engine.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range result.Actions {
		for _, p := range a.Phases {
			r.rows = append(r.rows, row{a.Action, p.Name, p.Func, string(p.State), p.Ended.Sub(p.Started), r.bytes[p.Name]})
		}
	}
}

// table closes the program's output.
func (r *report) table(facts [][2]string) {
	r.say("\n%-9s %-10s %-15s %-9s %8s %11s %11s", "action", "phase", "function", "state", "took", "bytes", "rate")
	r.say("%s", strings.Repeat("-", 79))
	for _, w := range r.rows {
		bytes, rate := "", ""
		if w.bytes > 0 {
			bytes, rate = size(w.bytes), size(perSecond(w.bytes, w.took))+"/s"
		}
		r.say("%s", strings.TrimRight(fmt.Sprintf("%-9s %-10s %-15s %-9s %8s %11s %11s", w.action, w.phase, w.function, w.state, took(w.took), bytes, rate), " "))
	}
	r.say("%s", strings.Repeat("-", 79))
	for _, f := range facts {
		r.say("%-9s %s", f[0], f[1])
	}
}

func deferred(p engine.PlannedPhase) string {
	if p.Deferred {
		return "  (deferred: runs whatever happens)"
	}
	return ""
}

// amount is empty for no bytes.
func amount(bytes int64, took time.Duration) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf("  %11s %11s/s", size(bytes), size(perSecond(bytes, took)))
}

func perSecond(bytes int64, took time.Duration) int64 {
	return int64(float64(bytes) / max(took, time.Millisecond).Seconds())
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

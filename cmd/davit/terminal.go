package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/davit-project/davit/engine"
)

// terminal shows a run to a person: a line for each transition, and below it one that is rewritten as phases move on.
type terminal struct {
	w io.Writer
	// width returns the columns of the terminal.
	width   func() int
	live    bool
	drawn   time.Time
	started map[string]time.Time
	run     time.Time
}

var _ reporter = (*terminal)(nil)

func newTerminal(w io.Writer, width func() int) *terminal {
	return &terminal{w: w, width: width, started: map[string]time.Time{}}
}

// reporter returns the one that suits standard output.
func (p *program) reporter() reporter {
	if !isTerminal(p.stdout) {
		return newJSONLines(p.stdout)
	}
	f, _ := p.stdout.(*os.File)
	return newTerminal(f, func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80
		}
		return width
	})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (t *terminal) event(l line) {
	t.close()
	text := t.text(l)
	_, _ = io.WriteString(t.w, printable(text))
}

// text is what a person reads of an event; empty for what another event says too.
func (t *terminal) text(l line) string {
	phase := l.Action + "/" + l.Phase
	switch engine.Kind(l.Event) {
	case engine.RunStarted:
		t.run = l.Time
		return fmt.Sprintf("run %s started\n", l.Run) + insecureText(l.Insecure)
	case runResumed:
		t.run = l.Time
		return fmt.Sprintf("run %s goes on from its journal\n", l.Run)
	case engine.PhaseStarted:
		t.started[phase] = l.Time
		return fmt.Sprintf("  %s  %s%s\n", phase, l.Func, attempt(l.Attempt))
	case engine.AttemptFailed:
		return fmt.Sprintf("  %s  failed: %s; again in %s\n", phase, l.Error, seconds(l.WaitSeconds))
	case engine.PhaseComplete:
		return fmt.Sprintf("  %s  complete%s%s\n", phase, t.since(t.started[phase], l.Time), held(l.HeldSeconds))
	case engine.PhaseSkipped:
		return fmt.Sprintf("  %s  skipped\n", phase)
	case engine.PhaseFailed:
		return fmt.Sprintf("  %s  failed%s%s: %s\n", phase, t.since(t.started[phase], l.Time), held(l.HeldSeconds), l.Error)
	case engine.CancelAsked:
		return "  cancelling; a second interrupt leaves the run as it is, to be resumed\n"
	case engine.ActionEnded:
		return actionText(l)
	case engine.RunEnded:
		return fmt.Sprintf("run %s %s%s\n", l.Run, l.State, t.since(t.run, l.Time)) + leftText(l.Left)
	default:
		return ""
	}
}

func insecureText(actions []string) string {
	var b strings.Builder
	for _, a := range actions {
		fmt.Fprintf(&b, "  %s  insecure: the profile turns the verification of the store's certificates off\n", a)
	}
	return b.String()
}

func actionText(l line) string {
	var b strings.Builder
	if l.Error != "" {
		fmt.Fprintf(&b, "  %s  %s: %s\n", l.Action, l.State, l.Error)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Artifacts)) {
		fmt.Fprintf(&b, "  %s  artifact %s", l.Action, name)
		artifact, _ := l.Artifacts[name].(map[string]any)
		values, _ := artifact["keyValue"].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&b, " %s=%v", key, values[key])
		}
		if snapshot, _ := artifact["kopiaSnapshot"].(string); snapshot != "" {
			fmt.Fprintf(&b, " %s", snapshot)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func leftText(left []string) string {
	if len(left) == 0 {
		return ""
	}
	return "left behind, remove by hand:\n  " + strings.Join(left, "\n  ") + "\n"
}

func attempt(n int) string {
	if n <= 1 {
		return ""
	}
	return fmt.Sprintf(", attempt %d", n)
}

func (t *terminal) since(start, end time.Time) string {
	if start.IsZero() {
		return ""
	}
	return " in " + seconds(end.Sub(start).Seconds())
}

// held says how long something was held that a phase undid.
func held(s float64) string {
	if s <= 0 {
		return ""
	}
	return ", held for " + seconds(s)
}

func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// progress draws the live line, ten times a second at most.
func (t *terminal) progress(l line) {
	if t.live && l.Time.Sub(t.drawn) < 100*time.Millisecond {
		return
	}
	phase := l.Action + "/" + l.Phase
	text := fmt.Sprintf("  %s  %s", phase, size(l.Bytes))
	if l.TotalBytes > 0 {
		text += fmt.Sprintf(" of %s, %d %%", size(l.TotalBytes), 100*l.Bytes/l.TotalBytes)
	}
	if since := l.Time.Sub(t.started[phase]).Seconds(); l.Bytes > 0 && !t.started[phase].IsZero() && since > 0 {
		text += fmt.Sprintf(", %s/s", size(int64(float64(l.Bytes)/since)))
	}
	if l.Note != "" {
		text += "  " + l.Note
	}
	_, _ = io.WriteString(t.w, "\r\x1b[K"+cut(text, t.width()-1))
	t.live, t.drawn = true, l.Time
}

// close takes the live line away.
func (t *terminal) close() {
	if t.live {
		_, _ = io.WriteString(t.w, "\r\x1b[K")
		t.live = false
	}
}

func cut(text string, columns int) string {
	if columns < 1 || utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:columns])
}

// size writes a number of bytes in the binary unit that fits.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, unit := float64(n)/(1<<10), 0
	for f >= 1<<10 && unit < len(units)-1 {
		f, unit = f/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %s", f, units[unit])
}

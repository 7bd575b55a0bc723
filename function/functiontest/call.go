package functiontest

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/davit-project/davit/function"
)

// NewCall returns a call as the engine would make it for the phase with this id, and what records its log and progress. The
// caller may change the call before it is used.
func NewCall(id string) (*function.Call, *Recorder) {
	rec := &Recorder{}
	return &function.Call{
		Run: "run", Action: "action", Phase: "phase", Attempt: 1,
		ID:         id,
		Labels:     map[string]string{"davit.io/run": "run", "davit.io/phase": label(id)},
		Log:        slog.New(slog.NewTextHandler(rec, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Mask:       rec.mask,
		OnProgress: rec.progressed,
	}, rec
}

// Recorder keeps what a function logs and reports. It is safe for concurrent use.
type Recorder struct {
	mu       sync.Mutex
	log      bytes.Buffer
	progress []function.Progress
	secrets  []string
}

// Hide makes the call's Mask replace a text. The log is recorded as the function wrote it, so that a test can look for leaks.
func (r *Recorder) Hide(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, secret)
}

// Log returns the lines logged so far, one record a line.
func (r *Recorder) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// Progress returns the reports so far.
func (r *Recorder) Progress() []function.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.progress)
}

// Write adds to the log.
func (r *Recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *Recorder) progressed(_ context.Context, p function.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = append(r.progress, p)
}

func (r *Recorder) mask(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.secrets {
		text = strings.ReplaceAll(text, s, "[masked]")
	}
	return text
}

// label makes a label's value of an id.
func label(id string) string {
	return strings.Map(func(c rune) rune {
		if c == '/' {
			return '.'
		}
		return c
	}, id)
}

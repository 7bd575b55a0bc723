package main

import (
	"sync"
	"time"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/function"
)

// report passes the run's events on to a reporter, one at a time.
type report struct {
	mu    sync.Mutex
	to    reporter
	now   func() time.Time
	names names
}

func (r *report) observe(e engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to.event(r.names.line(e))
}

func (r *report) progress(ref engine.PhaseRef, p function.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to.progress(r.names.progressLine(r.now(), ref, p))
}

// resume says that a run goes on, when it has begun.
func (r *report) resume(events []engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(events) == 0 {
		return
	}
	r.names.learn(events[0])
	r.to.event(line{Time: r.now(), Event: runResumed, Run: r.names.run})
}

// replay shows how a run ended that had ended before.
func (r *report) replay(events []engine.Event) {
	r.names.learn(events[0])
	for _, e := range events {
		if e.Kind == engine.ActionEnded || e.Kind == engine.RunEnded {
			r.observe(e)
		}
	}
}

func (r *report) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to.close()
}

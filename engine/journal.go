package engine

import (
	"context"
	"slices"
	"sync"
)

// Journal stores the events of one run.
type Journal interface {
	// Append stores the event; it is durable when Append returns nil. After an error nothing of it is stored.
	Append(ctx context.Context, e Event) error
	// Events returns all events in order; none is no error.
	Events(ctx context.Context) ([]Event, error)
}

// MemoryJournal keeps a run in memory: for tests, and for runs that need not survive the host. The zero value is ready to use.
type MemoryJournal struct {
	mu     sync.Mutex
	events []Event
}

var _ Journal = (*MemoryJournal)(nil)

// Append stores the event.
func (j *MemoryJournal) Append(_ context.Context, e Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
	return nil
}

// Events returns a copy of the list.
func (j *MemoryJournal) Events(context.Context) ([]Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events), nil
}

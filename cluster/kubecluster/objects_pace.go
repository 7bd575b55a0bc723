package kubecluster

import (
	"context"
	"time"
)

// patience is how long requests of a poll may fail for reasons that pass: longer than an API server takes to start again.
const patience = 2 * time.Minute

// pace spaces the requests of a poll: 100 ms, doubling up to 2 s.
type pace struct {
	next    time.Duration
	failing time.Time
}

func newPace() *pace { return &pace{next: 100 * time.Millisecond} }

// again waits until the next request is due. It returns ctx's error when ctx ends first, and the error of the last request when it will not pass or has not
// passed in time.
func (p *pace) again(ctx context.Context, err error) error {
	switch {
	case err == nil:
		p.failing = time.Time{}
	case ctx.Err() != nil || classify(err) != nil:
		return err
	case p.failing.IsZero():
		p.failing = time.Now()
	case time.Since(p.failing) > patience:
		return err
	}
	timer := time.NewTimer(p.next)
	defer timer.Stop()
	p.next = min(2*p.next, 2*time.Second)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

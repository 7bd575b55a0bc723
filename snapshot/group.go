package snapshot

import (
	"context"
	"fmt"
	"time"
)

// GroupRequest asks for snapshots that belong together.
type GroupRequest struct {
	// Requests of the group, each with a Ref of its own, all with the same Token. At least one.
	Requests []Request
	// MaxHold is the longest from the beginning of Hold until every snapshot is cut. Default 1m. Without a Holder it means nothing.
	MaxHold time.Duration
	// Anew never takes over a group of an earlier call: what there is of it is removed first. It is for callers that need what the holder learnt. Default false.
	Anew bool
	// Accept, when it is set, is called once the application goes on, before the group is finished: it keeps what the holder learnt, or finds that it is of no use. Its error fails
	// the call, and every snapshot is removed. It is not called for a group that is taken over, nor without a Holder. Default nil.
	Accept func(ctx context.Context) error
	// UntilCut returns once every snapshot is cut and the application goes on. Default false: once every snapshot is ready too.
	UntilCut bool
}

// GroupResult is what became of a group.
type GroupResult struct {
	// Snapshots in the order of the requests.
	Snapshots []Status
	// Held is the time from the beginning of Hold until Release returned; 0 without a Holder and when adopted.
	Held time.Duration
	// FirstCut and LastCut are the first and the last CutAt, by the storage's clock; zero where the storage does not say.
	FirstCut, LastCut time.Time
	// Adopted tells that every snapshot was there already, from an earlier call with this token.
	Adopted bool
}

// CreateGroup takes snapshots while the application that writes to the volumes is held: it holds, asks for all snapshots at once, lets the application go on as soon as
// every one is cut, and only then waits until they are ready. Whatever happens, an application that was held is released, once, before anything else. Without a Holder (nil)
// the snapshots are each taken as they come.
//
// With a Holder, a group of an earlier call with this token is taken over if it was finished: every snapshot cut under one hold that lasted until the end, which Confirm
// recorded. Anything else of this token is removed first. Without a Holder, what is there is taken over and the rest is made. With Anew, nothing is taken over.
//
// When the call fails, and when ctx has ended before, every snapshot of this token is removed; what could not be removed is in the error. The result then has only Held.
//
// Errors: those of Create, ErrMaxHold, ErrHoldLost when the application did not stay held or Release failed, and those of Hold and Accept.
func (s *Snapshotter) CreateGroup(ctx context.Context, req GroupRequest, h Holder) (*GroupResult, error) {
	if err := req.check(); err != nil {
		return &GroupResult{}, err
	}
	g := &group{s: s, req: req, holder: h, snapshots: make([]Status, len(req.Requests)), late: make([]time.Duration, len(req.Requests))}
	for _, r := range req.Requests {
		g.members = append(g.members, making{own: own{ref: r.Ref, token: r.Token, volume: r.Volume, policy: Delete}})
	}
	adopted, err := g.run(ctx)
	if err != nil {
		err = s.cleanUp(ctx, err, len(g.members), func(ctx context.Context, i int) error { return s.remove(ctx, g.members[i].own, g.late[i]) })
		return &GroupResult{Held: g.held}, err
	}
	return g.result(adopted), nil
}

func (r GroupRequest) check() error {
	if len(r.Requests) == 0 {
		return fmt.Errorf("group of snapshots: %w: it is empty", ErrInvalid)
	}
	if r.MaxHold < 0 {
		return fmt.Errorf("group of snapshots: %w: the longest time to hold the application is %s", ErrInvalid, r.MaxHold)
	}
	names := map[Ref]bool{}
	for _, q := range r.Requests {
		if err := q.check(); err != nil {
			return err
		}
		switch {
		case names[q.Ref]:
			return fmt.Errorf("group of snapshots: %w: snapshot %q is asked for twice", ErrInvalid, q.Ref)
		case q.Token != r.Requests[0].Token:
			return fmt.Errorf("group of snapshots: %w: snapshot %q has another token than %q", ErrInvalid, q.Ref, r.Requests[0].Ref)
		}
		names[q.Ref] = true
	}
	return nil
}

// group is one call of CreateGroup.
type group struct {
	s         *Snapshotter
	req       GroupRequest
	holder    Holder
	members   []making
	snapshots []Status
	held      time.Duration
	// late is for how long something may still come of each request that failed.
	late []time.Duration
}

func (g *group) run(ctx context.Context) (adopted bool, err error) {
	found := make([]*Status, len(g.members))
	err = g.each(ctx, func(ctx context.Context, i int) (err error) {
		found[i], err = g.s.find(ctx, g.members[i])
		return err
	})
	if err != nil {
		return false, err
	}
	adopted = g.complete(found)
	if !adopted {
		if err := g.prepare(ctx, found); err != nil {
			return false, err
		}
		if err := g.cut(ctx); err != nil {
			return false, err
		}
	}
	if g.req.UntilCut {
		return adopted, g.await(ctx, "see it cut", g.s.pace(), Status.Cut)
	}
	return adopted, g.await(ctx, "see it ready", g.s.pace(), func(st Status) bool { return st.Ready })
}

// complete tells whether the group of an earlier call can be taken over.
func (g *group) complete(found []*Status) bool {
	if g.req.Anew {
		return false
	}
	for _, st := range found {
		if st == nil || st.Deleting || g.holder != nil && !st.Confirmed {
			return false
		}
	}
	return true
}

// prepare does all that can be done before the application is held: it finds what would make a request fail, and removes what an earlier call left.
func (g *group) prepare(ctx context.Context, found []*Status) error {
	if checker, ok := g.s.driver.(Checker); ok {
		err := g.each(ctx, func(ctx context.Context, i int) error {
			if err := checker.Check(ctx, g.req.Requests[i]); err != nil {
				return fmt.Errorf("ask for snapshot %q: %w", g.members[i].ref, withCause(ctx, err))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	ctx, cancel := g.s.limited(ctx)
	defer cancel()
	return g.each(ctx, func(ctx context.Context, i int) error {
		if found[i] == nil || g.holder == nil && !g.req.Anew && !found[i].Deleting {
			return nil
		}
		return g.s.remove(ctx, g.members[i].own, 0)
	})
}

// cut returns once every snapshot is cut and, with a Holder, confirmed.
func (g *group) cut(ctx context.Context) error {
	if g.holder == nil {
		return g.each(ctx, func(ctx context.Context, i int) error { return g.ask(ctx, i) })
	}
	if err := g.cutHeld(ctx); err != nil {
		return err
	}
	if accept := g.req.Accept; accept != nil {
		if err := guard(func() error { return accept(ctx) }); err != nil {
			return fmt.Errorf("accept what was held for %s: %w", g.held.Round(time.Millisecond), withCause(ctx, err))
		}
	}
	return g.each(ctx, func(ctx context.Context, i int) error {
		ref := g.members[i].ref
		return poll(ctx, g.s.pace().of(fmt.Sprintf("confirm snapshot %q", ref)), func(ctx context.Context) (seen, error) {
			err := g.s.driver.Confirm(ctx, ref, g.snapshots[i].UID)
			return seen{done: err == nil}, err
		})
	})
}

func (g *group) ask(ctx context.Context, i int) error {
	req := g.req.Requests[i]
	if err := guard(func() error { return g.s.driver.Create(ctx, req) }); err != nil {
		g.late[i] = lateAfter(err)
		return fmt.Errorf("ask for snapshot %q: %w", req.Ref, withCause(ctx, err))
	}
	return nil
}

// await looks at all snapshots until they are as wanted.
func (g *group) await(ctx context.Context, what string, pace patience, done func(Status) bool) error {
	ctx, cancel := g.s.limited(ctx)
	defer cancel()
	return g.each(ctx, func(ctx context.Context, i int) (err error) {
		m := g.members[i]
		g.snapshots[i], err = g.s.await(ctx, want{ref: m.ref, token: m.token, what: what, pace: pace, done: done})
		return err
	})
}

// each calls f for every member at the same time; the first failure ends the others.
func (g *group) each(ctx context.Context, f func(ctx context.Context, i int) error) error {
	return together(ctx, len(g.members), true, f)
}

func (g *group) result(adopted bool) *GroupResult {
	r := &GroupResult{Snapshots: g.snapshots, Held: g.held, Adopted: adopted}
	for _, st := range g.snapshots {
		if st.CutAt.IsZero() {
			continue
		}
		if r.FirstCut.IsZero() || st.CutAt.Before(r.FirstCut) {
			r.FirstCut = st.CutAt
		}
		if st.CutAt.After(r.LastCut) {
			r.LastCut = st.CutAt
		}
	}
	return r
}

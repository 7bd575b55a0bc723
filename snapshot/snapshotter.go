package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"
)

// Options of a Snapshotter. Nil and zero are ready to use.
type Options struct {
	// Interval between looks; it grows to 5 seconds while nothing changes. Default 250ms. While an application is held, it is at most 100ms and does not grow.
	Interval time.Duration
	// ErrorGrace is how long a problem that the storage reports, or a failing look, is given to pass. It counts from when it was first seen and starts again when it is gone.
	// While an application is held, it is at most 10 seconds. Default 2m.
	ErrorGrace time.Duration
	// CleanUpTimeout is the longest for removing what a failed call made; it counts even when the call's context has ended. Default 2m.
	CleanUpTimeout time.Duration
	// Timeout of each wait until something is ready, bound or gone. Default 0: the context alone ends it.
	Timeout time.Duration
	// ReleaseTimeout is the longest for Held.Release; it counts even when the call's context has ended. Default 1m.
	ReleaseTimeout time.Duration
}

const slowest = 5 * time.Second

// Snapshotter takes, restores and removes snapshots and returns once that is done. Only one call at a time may use a token.
type Snapshotter struct {
	driver  Driver
	opts    Options
	observe func(Status)
}

// New returns a Snapshotter over a driver.
func New(d Driver, opts *Options) *Snapshotter {
	s := &Snapshotter{driver: d, observe: func(Status) {}}
	if opts != nil {
		s.opts = *opts
	}
	for _, o := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&s.opts.Interval, 250 * time.Millisecond},
		{&s.opts.ErrorGrace, 2 * time.Minute},
		{&s.opts.CleanUpTimeout, 2 * time.Minute},
		{&s.opts.ReleaseTimeout, time.Minute},
	} {
		if *o.field <= 0 {
			*o.field = o.value
		}
	}
	return s
}

// Observed returns a copy that calls f whenever the status of a snapshot it waits for has changed. The calls come one after the other; f returns soon.
func (s *Snapshotter) Observed(f func(Status)) *Snapshotter {
	c := *s
	var mu sync.Mutex
	c.observe = func(st Status) {
		mu.Lock()
		defer mu.Unlock()
		f(st)
	}
	return &c
}

// Create takes a snapshot and returns once it is cut and ready. A snapshot of that name and token, left by a call that died, is taken over; one that is being deleted is
// waited out. When the call fails, and when ctx has ended before, the snapshot of that token is removed; what could not be removed is in the error.
//
// Errors: those of Driver.Create, ErrInvalid for a request without name, volume or token, ErrFailed, and ctx's cause.
func (s *Snapshotter) Create(ctx context.Context, req Request) (Status, error) {
	if err := req.check(); err != nil {
		return Status{}, err
	}
	return s.make(ctx, making{own: own{ref: req.Ref, token: req.Token, volume: req.Volume, policy: Delete}, ask: func(ctx context.Context) error {
		return s.driver.Create(ctx, req)
	}})
}

// Import makes a snapshot of what exists in the storage; as Create otherwise. What a failed call removes is the snapshot and its content in the cluster: the storage's snapshot stays.
// It needs a driver that is an Importer.
func (s *Snapshotter) Import(ctx context.Context, req ImportRequest) (Status, error) {
	if req.Driver == "" || req.Handle == "" {
		return Status{}, fmt.Errorf("import snapshot %q: %w: driver and handle are required", req.Ref, ErrInvalid)
	}
	return s.importFrom(ctx, req, func(context.Context) (ImportRequest, error) { return req, nil })
}

// Clone makes a second snapshot, in any namespace, of the storage's snapshot behind source; as Import otherwise. Driver and Handle are the source's. The default Policy is
// Retain: deleting the clone never takes the source's data. Deleting the source takes the clone's data, if that is the source's policy.
func (s *Snapshotter) Clone(ctx context.Context, source Ref, req ImportRequest) (Status, error) {
	return s.importFrom(ctx, req, func(ctx context.Context) (ImportRequest, error) {
		st, err := s.await(ctx, want{ref: source, what: "know the storage's name", pace: s.pace(), done: func(st Status) bool { return st.Driver != "" && st.Handle != "" }})
		if err != nil {
			return req, err
		}
		full := req
		full.Driver, full.Handle, full.Policy = st.Driver, st.Handle, cmp.Or(req.Policy, Retain)
		return full, nil
	})
}

func (s *Snapshotter) importFrom(ctx context.Context, req ImportRequest, source func(context.Context) (ImportRequest, error)) (Status, error) {
	if err := req.check(); err != nil {
		return Status{}, err
	}
	importer, ok := s.driver.(Importer)
	if !ok {
		return Status{}, fmt.Errorf("import snapshot %q: %w", req.Ref, ErrUnsupported)
	}
	return s.make(ctx, making{own: own{ref: req.Ref, token: req.Token, policy: Retain, contentToo: true}, ask: func(ctx context.Context) error {
		full, err := source(ctx)
		if err != nil {
			return err
		}
		return importer.Import(ctx, full)
	}})
}

// Get returns what is known of a snapshot. An absent one is ErrNotFound.
func (s *Snapshotter) Get(ctx context.Context, ref Ref) (Status, error) {
	st, err := s.get(ctx, ref)
	if err != nil {
		return st, fmt.Errorf("look at snapshot %q: %w", ref, err)
	}
	return st, nil
}

// Wait returns once the snapshot is cut and ready. An absent one is ErrNotFound, before and while waiting. With an error, the status is what was seen last.
func (s *Snapshotter) Wait(ctx context.Context, ref Ref) (Status, error) {
	return s.untilReady(ctx, own{ref: ref})
}

// List returns the snapshots of a namespace that carry all the labels, by name. It needs a driver that is a Lister.
func (s *Snapshotter) List(ctx context.Context, namespace string, labels map[string]string) ([]Status, error) {
	lister, ok := s.driver.(Lister)
	if !ok {
		return nil, fmt.Errorf("list the snapshots of namespace %q: %w", namespace, ErrUnsupported)
	}
	var list []Status
	err := guard(func() (err error) { list, err = lister.List(ctx, namespace, labels); return err })
	if err != nil {
		return nil, fmt.Errorf("list the snapshots of namespace %q: %w", namespace, err)
	}
	return list, nil
}

// own is a snapshot that a call asks for.
type own struct {
	ref   Ref
	token string
	// volume it is of; empty for any.
	volume string
	// policy of its removal.
	policy Policy
	// contentToo removes its content whatever the policy.
	contentToo bool
}

// making is how to ask for a snapshot.
type making struct {
	own
	ask func(context.Context) error
}

func (s *Snapshotter) make(ctx context.Context, m making) (Status, error) {
	st, lateFor, err := s.tryMake(ctx, m)
	switch {
	case err != nil && m.contentToo && errors.Is(err, ErrExists):
		return Status{}, err // an earlier import with this token, of something else, is not this call's to remove
	case err != nil:
		return Status{}, s.cleanUp(ctx, err, 1, func(ctx context.Context, _ int) error { return s.remove(ctx, m.own, lateFor) })
	}
	return st, nil
}

// tryMake returns too for how long something may still come of a request that failed.
func (s *Snapshotter) tryMake(ctx context.Context, m making) (Status, time.Duration, error) {
	if err := s.prepare(ctx, m); err != nil {
		return Status{}, 0, err
	}
	if err := guard(func() error { return m.ask(ctx) }); err != nil {
		return Status{}, lateAfter(err), fmt.Errorf("ask for snapshot %q: %w", m.ref, withCause(ctx, err))
	}
	st, err := s.untilReady(ctx, m.own)
	return st, 0, err
}

// prepare returns once there is nothing of that name, or the snapshot of an earlier call.
func (s *Snapshotter) prepare(ctx context.Context, m making) error {
	found, err := s.find(ctx, m)
	if err != nil || found == nil || !found.Deleting {
		return err
	}
	ctx, cancel := s.limited(ctx)
	defer cancel()
	return s.remove(ctx, m.own, 0)
}

// find looks for the snapshot of an earlier call; nil if there is none. Somebody else's is ErrExists.
func (s *Snapshotter) find(ctx context.Context, m making) (*Status, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("snapshot %q: %w", m.ref, context.Cause(ctx))
	}
	var found *Status
	err := poll(ctx, s.pace().of(fmt.Sprintf("look for snapshot %q", m.ref)), func(ctx context.Context) (seen, error) {
		st, err := s.get(ctx, m.ref)
		switch {
		case errors.Is(err, ErrNotFound):
			return seen{done: true}, nil
		case err != nil:
			return seen{}, err
		case st.Token != m.token:
			return seen{}, fmt.Errorf("%w: it was made by somebody else", ErrExists)
		case m.volume != "" && st.Volume != m.volume:
			return seen{}, fmt.Errorf("%w: it is of volume %q, not %q", ErrExists, st.Volume, m.volume)
		}
		found = &st
		return seen{done: true}, nil
	})
	return found, err
}

// want is what to wait for.
type want struct {
	ref   Ref
	token string
	// what completes "wait to".
	what string
	pace patience
	done func(Status) bool
}

func (s *Snapshotter) untilReady(ctx context.Context, o own) (Status, error) {
	ctx, cancel := s.limited(ctx)
	defer cancel()
	return s.await(ctx, want{ref: o.ref, token: o.token, what: "see it ready", pace: s.pace(), done: func(st Status) bool { return st.Ready }})
}

// await looks until the snapshot is as wanted; it tells the observer. With an error, the status is what was seen last.
func (s *Snapshotter) await(ctx context.Context, w want) (Status, error) {
	var st Status
	what := fmt.Sprintf("snapshot %q: wait to %s", w.ref, w.what)
	err := poll(ctx, w.pace.of(what), func(ctx context.Context) (seen, error) {
		now, err := s.get(ctx, w.ref)
		switch {
		case err != nil:
			return seen{}, err
		case w.token != "" && now.Token != w.token:
			return seen{}, fmt.Errorf("%w: it was replaced by somebody else", ErrExists)
		}
		if !reflect.DeepEqual(now, st) {
			st = now
			if err := guard(func() error { s.observe(now); return nil }); err != nil {
				return seen{}, fmt.Errorf("tell the observer: %w", err)
			}
		}
		if now.Deleting {
			return seen{}, errGoing
		}
		return seen{done: w.done(now), text: now.text(), problem: now.Problem}, nil
	})
	return st, err
}

func (s *Snapshotter) get(ctx context.Context, ref Ref) (st Status, err error) {
	err = guard(func() (err error) { st, err = s.driver.Get(ctx, ref); return err })
	return st, err
}

func (s *Snapshotter) pace() patience {
	return patience{first: s.opts.Interval, most: slowest, grace: s.opts.ErrorGrace}
}

func (p patience) of(what string) patience {
	p.what = what
	return p
}

// removal is the patience to remove something.
func (s *Snapshotter) removal(of string) patience {
	p := s.pace().of("remove " + of)
	p.stubborn = true
	return p
}

// limited is ctx with Options.Timeout.
func (s *Snapshotter) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.opts.Timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, s.opts.Timeout, fmt.Errorf("%w: the timeout of %s is over", context.DeadlineExceeded, s.opts.Timeout))
}

// withCause adds why ctx ended to an error that may only say that it did.
func withCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// text describes the state in words.
func (s Status) text() string {
	switch {
	case s.Deleting:
		return "being deleted"
	case s.Ready:
		return "ready"
	case s.Cut():
		return "cut at " + s.CutAt.UTC().Format(time.RFC3339) + ", not ready"
	default:
		return "asked for, not cut"
	}
}

func (r Request) check() error {
	if r.Volume == "" {
		return fmt.Errorf("snapshot %q: %w: the volume is required", r.Ref, ErrInvalid)
	}
	return checkRef("snapshot", r.Ref, r.Token)
}

func (r ImportRequest) check() error {
	switch r.Policy {
	case "", Delete, Retain:
	default:
		return fmt.Errorf("import snapshot %q: %w: policy %q is neither Delete nor Retain", r.Ref, ErrInvalid, r.Policy)
	}
	return checkRef("snapshot", r.Ref, r.Token)
}

func checkRef(kind string, r Ref, token string) error {
	for _, required := range []struct{ name, value string }{{"name", r.Name}, {"namespace", r.Namespace}, {"token", token}} {
		if required.value == "" {
			return fmt.Errorf("%s %s: %w: the %s is required", kind, strconv.Quote(r.String()), ErrInvalid, required.name)
		}
	}
	return nil
}

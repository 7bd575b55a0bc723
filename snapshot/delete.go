package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// settle is how long a removal goes on looking for a snapshot whose request ended unclear, for it may still be carried out.
const settle = 2 * time.Second

// Delete removes a snapshot and returns once it is gone. Policy decides, when it is not empty, what becomes of the storage's snapshot: with Delete, the call waits until
// its Content is gone too; with Retain, Content stays, and the caller finds its name with Get before. An absent snapshot is no error.
func (s *Snapshotter) Delete(ctx context.Context, ref Ref, policy Policy) error {
	if ref.Name == "" || ref.Namespace == "" {
		return fmt.Errorf("delete snapshot %q: %w: namespace and name are required", ref, ErrInvalid)
	}
	switch policy {
	case "", Delete, Retain:
	default:
		return fmt.Errorf("delete snapshot %q: %w: policy %q is neither Delete nor Retain", ref, ErrInvalid, policy)
	}
	ctx, cancel := s.limited(ctx)
	defer cancel()
	return s.remove(ctx, own{ref: ref, policy: policy}, 0)
}

// DeleteContent removes the cluster's object that stands for a snapshot of the storage, and returns once it is gone. An absent one is no error.
// It needs a driver that has Contents.
func (s *Snapshotter) DeleteContent(ctx context.Context, name string) error {
	contents, ok := s.driver.(Contents)
	switch {
	case !ok:
		return fmt.Errorf("delete content %q: %w", name, ErrUnsupported)
	case name == "":
		return fmt.Errorf("delete content: %w: the name is required", ErrInvalid)
	}
	ctx, cancel := s.limited(ctx)
	defer cancel()
	asked := false
	return poll(ctx, s.pace().of(fmt.Sprintf("delete content %q", name)), func(ctx context.Context) (seen, error) {
		if !asked {
			if err := guard(func() error { return contents.DeleteContent(ctx, name) }); err != nil {
				return seen{}, err
			}
			asked = true
		}
		return s.contentGone(ctx, name)
	})
}

// contentGone looks whether a content is gone; an empty name is.
func (s *Snapshotter) contentGone(ctx context.Context, name string) (seen, error) {
	contents, ok := s.driver.(Contents)
	if name == "" || !ok {
		return seen{done: true}, nil
	}
	var has bool
	err := guard(func() (err error) { has, err = contents.HasContent(ctx, name); return err })
	return seen{done: !has, text: fmt.Sprintf("its content %q is still there", name)}, err
}

// remove removes a snapshot and waits until it is gone, and its content if that goes too. With a token, it only touches a snapshot of that token. An absent snapshot must
// stay absent for as long as lateFor.
func (s *Snapshotter) remove(ctx context.Context, o own, lateFor time.Duration) error {
	r := removing{s: s, own: o, begin: time.Now(), lateFor: lateFor}
	return poll(ctx, s.removal(fmt.Sprintf("snapshot %q", o.ref)), r.look)
}

type removing struct {
	s *Snapshotter
	own
	begin   time.Time
	lateFor time.Duration
	asked   bool
	// uid is that of the snapshot whose removal was asked for.
	uid string
	// content goes with the snapshot; contentAsked tells that its removal was asked for.
	content      string
	contentAsked bool
	// stale is the problem that was there before.
	stale string
}

func (r *removing) look(ctx context.Context) (seen, error) {
	st, err := r.s.get(ctx, r.ref)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !r.meant(st):
		if !r.asked && time.Since(r.begin) < r.lateFor {
			return seen{text: "absent, and may still come"}, nil
		}
		return r.lookForContent(ctx)
	case err != nil:
		return seen{}, err
	}
	if cmp.Or(r.policy, st.Policy) == Delete || r.contentToo {
		r.content = cmp.Or(st.Content, r.content)
	}
	if !r.asked || !st.Deleting {
		if !r.asked {
			r.stale = st.Problem
		}
		if err := guard(func() error { return r.s.driver.Delete(ctx, r.ref, st.UID, r.policy) }); err != nil {
			return seen{}, err
		}
		r.asked, r.uid = true, st.UID
	}
	now := seen{text: st.text()}
	if st.Problem != r.stale {
		now.problem = st.Problem
	}
	return now, nil
}

// meant tells whether a snapshot is the one to remove: that of the token, however often it comes, or else the one that had the name in the beginning.
func (r *removing) meant(st Status) bool {
	if r.token != "" {
		return st.Token == r.token && (r.volume == "" || st.Volume == r.volume)
	}
	return !r.asked || st.UID == r.uid
}

// lookForContent looks whether the content has followed its snapshot. One that was to stay until just now, or still is, does not go by itself.
func (r *removing) lookForContent(ctx context.Context) (seen, error) {
	now, err := r.s.contentGone(ctx, r.content)
	if err != nil || now.done || r.contentAsked || r.policy != Delete && !r.contentToo {
		return now, err
	}
	contents, _ := r.s.driver.(Contents)
	if err := guard(func() error { return contents.DeleteContent(ctx, r.content) }); err != nil {
		return seen{}, fmt.Errorf("delete its content %q: %w", r.content, err)
	}
	r.contentAsked = true
	return now, nil
}

// cleanUp removes the n things a failed call made, whatever has become of ctx, and returns the failure together with what could not be removed.
func (s *Snapshotter) cleanUp(ctx context.Context, failure error, n int, remove func(ctx context.Context, i int) error) error {
	limit := s.opts.CleanUpTimeout
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, fmt.Errorf("%w: the clean-up's %s are over", context.DeadlineExceeded, limit))
	defer cancel()
	if err := together(ctx, n, false, remove); err != nil {
		return fmt.Errorf("%w; %w: %w", failure, ErrLeft, err)
	}
	return failure
}

// lateAfter is for how long something may still come of a request that failed with err.
func lateAfter(err error) time.Duration {
	if err == nil || lasting(err) && !errors.Is(err, errPanic) {
		return 0
	}
	return settle
}

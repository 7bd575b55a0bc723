package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Restore makes a new volume with the content of a snapshot. It waits until the snapshot is ready, asks for the volume, and returns once it is Bound, or Waiting where the
// storage waits for a pod. A volume of that name and token is taken over. When the call fails, and when ctx has ended before, the volume of that token is removed; what
// could not be removed is in the error.
//
// Errors: those of Restorer.Restore, ErrUnsupported, ErrInvalid for a request without name, snapshot, size or token, ErrNotFound without the snapshot, ErrFailed, and ctx's cause.
func (s *Snapshotter) Restore(ctx context.Context, req RestoreRequest) (VolumeStatus, error) {
	restorer, ok := s.driver.(Restorer)
	switch {
	case !ok:
		return VolumeStatus{}, fmt.Errorf("restore volume %q: %w", req.Ref, ErrUnsupported)
	case req.Snapshot == "" || req.Size == "":
		return VolumeStatus{}, fmt.Errorf("restore volume %q: %w: the snapshot and the size are required", req.Ref, ErrInvalid)
	}
	if err := checkRef("volume", req.Ref, req.Token); err != nil {
		return VolumeStatus{}, err
	}
	r := restoring{Snapshotter: s, restorer: restorer, req: req}
	st, err := r.run(ctx)
	if err != nil {
		return VolumeStatus{}, s.cleanUp(ctx, err, 1, func(ctx context.Context, _ int) error { return r.remove(ctx, r.lateFor) })
	}
	return st, nil
}

type restoring struct {
	*Snapshotter
	restorer Restorer
	req      RestoreRequest
	// lateFor is for how long something may still come of a request that failed.
	lateFor time.Duration
}

func (r *restoring) run(ctx context.Context) (VolumeStatus, error) {
	found, err := r.find(ctx)
	if err != nil {
		return VolumeStatus{}, err
	}
	if found != nil && found.Deleting {
		if err := r.gone(ctx); err != nil {
			return VolumeStatus{}, err
		}
		found = nil
	}
	if found == nil {
		if _, err := r.Wait(ctx, Ref{Namespace: r.req.Namespace, Name: r.req.Snapshot}); err != nil {
			return VolumeStatus{}, fmt.Errorf("restore volume %q: %w", r.req.Ref, err)
		}
		if err := guard(func() error { return r.restorer.Restore(ctx, r.req) }); err != nil {
			r.lateFor = lateAfter(err)
			return VolumeStatus{}, fmt.Errorf("ask for volume %q from snapshot %q: %w", r.req.Ref, r.req.Snapshot, withCause(ctx, err))
		}
	}
	return r.bound(ctx)
}

// find looks for the volume of an earlier call; nil if there is none. Somebody else's is ErrExists.
func (r *restoring) find(ctx context.Context) (*VolumeStatus, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("volume %q: %w", r.req.Ref, context.Cause(ctx))
	}
	var found *VolumeStatus
	err := poll(ctx, r.pace().of(fmt.Sprintf("look for volume %q", r.req.Ref)), func(ctx context.Context) (seen, error) {
		st, err := r.volume(ctx)
		switch {
		case errors.Is(err, ErrNotFound):
			return seen{done: true}, nil
		case err != nil:
			return seen{}, err
		case st.Token != r.req.Token:
			return seen{}, fmt.Errorf("%w: it was made by somebody else", ErrExists)
		case st.Snapshot != r.req.Snapshot:
			return seen{}, fmt.Errorf("%w: an earlier call made it from snapshot %q, not %q", ErrExists, st.Snapshot, r.req.Snapshot)
		}
		found = &st
		return seen{done: true}, nil
	})
	return found, err
}

func (r *restoring) bound(ctx context.Context) (VolumeStatus, error) {
	ctx, cancel := r.limited(ctx)
	defer cancel()
	var st VolumeStatus
	err := poll(ctx, r.pace().of(fmt.Sprintf("volume %q from snapshot %q: wait until it is bound", r.req.Ref, r.req.Snapshot)), func(ctx context.Context) (seen, error) {
		var err error
		switch st, err = r.volume(ctx); {
		case err != nil:
			return seen{}, err
		case st.Token != r.req.Token:
			return seen{}, fmt.Errorf("%w: it was replaced by somebody else", ErrExists)
		case st.Deleting:
			return seen{}, errGoing
		}
		return seen{done: st.Bound || st.Waiting, text: "asked for, not bound", problem: st.Problem}, nil
	})
	return st, err
}

// gone waits out a volume that is being deleted.
func (r *restoring) gone(ctx context.Context) error {
	ctx, cancel := r.limited(ctx)
	defer cancel()
	return r.remove(ctx, 0)
}

// remove removes the volume of the token and waits until it is gone. An absent one must stay absent for as long as lateFor.
func (r *restoring) remove(ctx context.Context, lateFor time.Duration) error {
	asked, begin := false, time.Now()
	return poll(ctx, r.removal(fmt.Sprintf("volume %q", r.req.Ref)), func(ctx context.Context) (seen, error) {
		st, err := r.volume(ctx)
		switch {
		case errors.Is(err, ErrNotFound), err == nil && (st.Token != r.req.Token || st.Snapshot != r.req.Snapshot):
			return seen{done: asked || time.Since(begin) >= lateFor, text: "absent, and may still come"}, nil
		case err != nil:
			return seen{}, err
		}
		if !asked || !st.Deleting {
			if err := guard(func() error { return r.restorer.DeleteVolume(ctx, r.req.Ref, r.req.Token) }); err != nil {
				return seen{}, err
			}
			asked = true
		}
		return seen{text: "being deleted"}, nil
	})
}

func (r *restoring) volume(ctx context.Context) (st VolumeStatus, err error) {
	err = guard(func() (err error) { st, err = r.restorer.Volume(ctx, r.req.Ref); return err })
	return st, err
}

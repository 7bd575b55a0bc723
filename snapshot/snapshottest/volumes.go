package snapshottest

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/davit-project/davit/snapshot"
)

func restorerChecks() []check {
	return []check{
		{"a volume has the content of the cut", contentOfTheCut},
		{"a restored volume belongs to who asked for it", volumeBelongs},
		{"a restored volume names its snapshot", volumeNamesItsSnapshot},
		{"a volume that can not be is refused", volumeRefused},
		{"an absent volume is no volume", volumeAbsent},
	}
}

func (r *run) restoreRequest(st snapshot.Status) snapshot.RestoreRequest {
	return snapshot.RestoreRequest{
		Ref: r.ref("volume"), Snapshot: st.Name, StorageClass: r.StorageClass, Size: cmp.Or(st.RestoreSize, "1Gi"), Token: r.id,
	}
}

// restore asks for a volume that is removed after the check, and waits until it is bound or waits for a pod.
func (r *run) restore(ctx context.Context, req snapshot.RestoreRequest) error {
	r.undo = append(r.undo, func(ctx context.Context) error { return r.removeVolume(ctx, req) })
	if err := r.restorer().Restore(ctx, req); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return r.until(ctx, fmt.Sprintf("volume %q is bound", req.Ref), func(ctx context.Context) (bool, error) {
		st, err := r.restorer().Volume(ctx, req.Ref)
		switch {
		case err != nil:
			return false, err
		case st.Token != req.Token:
			return false, fmt.Errorf("its token is %q, want %q", st.Token, req.Token)
		case st.Bound && st.Size == "":
			return false, errors.New("it is bound and its size is not known")
		}
		return st.Bound || st.Waiting, nil
	})
}

func (r *run) removeVolume(ctx context.Context, req snapshot.RestoreRequest) error {
	if err := r.restorer().DeleteVolume(ctx, req.Ref, req.Token); err != nil {
		return fmt.Errorf("delete volume %q: %w", req.Ref, err)
	}
	return r.until(ctx, fmt.Sprintf("volume %q is gone", req.Ref), func(ctx context.Context) (bool, error) {
		_, err := r.restorer().Volume(ctx, req.Ref)
		if errors.Is(err, snapshot.ErrNotFound) {
			return true, nil
		}
		return false, err
	})
}

func (r *run) restorer() snapshot.Restorer { return r.Driver.(snapshot.Restorer) }

// contentOfTheCut writes to the volume as soon as the snapshot is cut.
func contentOfTheCut(ctx context.Context, r *run) error {
	if err := r.Write(ctx, "before "+r.id); err != nil {
		return fmt.Errorf("write to the volume: %w", err)
	}
	req := r.request("a")
	if err := r.create(ctx, req); err != nil {
		return err
	}
	err := r.until(ctx, "the snapshot is cut", func(ctx context.Context) (bool, error) {
		st, err := r.Driver.Get(ctx, req.Ref)
		return st.Cut(), err
	})
	if err != nil {
		return err
	}
	if err := r.Write(ctx, "after "+r.id); err != nil {
		return fmt.Errorf("write to the volume: %w", err)
	}
	st, err := r.untilReady(ctx, req.Ref)
	if err != nil {
		return err
	}
	volume := r.restoreRequest(st)
	if err := r.restore(ctx, volume); err != nil {
		return err
	}
	content, err := r.Read(ctx, volume.Ref)
	if err != nil {
		return fmt.Errorf("read the restored volume: %w", err)
	}
	if content != "before "+r.id {
		return fmt.Errorf("the restored volume has %q, want %q", content, "before "+r.id)
	}
	now, err := r.restorer().Volume(ctx, volume.Ref)
	if err == nil && (!now.Bound || now.Waiting || now.Problem != "") {
		return fmt.Errorf("the restored volume has been read, and is bound: %t, waiting: %t, problem: %q", now.Bound, now.Waiting, now.Problem)
	}
	return err
}

func volumeBelongs(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	req := r.restoreRequest(st)
	if err := r.restore(ctx, req); err != nil {
		return err
	}
	if err := r.restorer().Restore(ctx, req); err != nil {
		return fmt.Errorf("the same request again: %w", err)
	}
	other := req
	other.Token += "-other"
	if err := want(snapshot.ErrExists, r.restorer().Restore(ctx, other), "a request with another token"); err != nil {
		return err
	}
	if err := want(snapshot.ErrExists, r.restorer().DeleteVolume(ctx, other.Ref, other.Token), "delete with another token"); err != nil {
		return err
	}
	if err := want(snapshot.ErrExists, r.restorer().DeleteVolume(ctx, r.Volume, r.id), "delete of a volume that nobody restored"); err != nil {
		return err
	}
	now, err := r.restorer().Volume(ctx, req.Ref)
	if err != nil {
		return err
	}
	if now.Deleting {
		return errors.New("the volume is being deleted, which only others have asked for")
	}
	return r.removeVolume(ctx, req)
}

func volumeNamesItsSnapshot(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	req := r.restoreRequest(st)
	if err := r.restore(ctx, req); err != nil {
		return err
	}
	now, err := r.restorer().Volume(ctx, req.Ref)
	if err == nil && now.Snapshot != st.Name {
		return fmt.Errorf("volume %q says that it is made from snapshot %q, want %q", req.Ref, now.Snapshot, st.Name)
	}
	return err
}

func volumeRefused(ctx context.Context, r *run) error {
	st, err := r.ready(ctx)
	if err != nil {
		return err
	}
	for name, c := range map[string]struct {
		change func(*snapshot.RestoreRequest)
		target error
	}{
		"from an absent snapshot": {func(q *snapshot.RestoreRequest) { q.Snapshot = r.id }, snapshot.ErrNotFound},
		"without token":           {func(q *snapshot.RestoreRequest) { q.Token = "" }, snapshot.ErrInvalid},
		"of size 0":               {func(q *snapshot.RestoreRequest) { q.Size = "0" }, snapshot.ErrInvalid},
		"of size -1Gi":            {func(q *snapshot.RestoreRequest) { q.Size = "-1Gi" }, snapshot.ErrInvalid},
		"of size big":             {func(q *snapshot.RestoreRequest) { q.Size = "big" }, snapshot.ErrInvalid},
		"of size 1":               {func(q *snapshot.RestoreRequest) { q.Size = "1" }, snapshot.ErrInvalid},
	} {
		req := r.restoreRequest(st)
		c.change(&req)
		if req.Size == "1" && st.RestoreSize == "" {
			continue // the storage does not say what is too small
		}
		r.undo = append(r.undo, func(ctx context.Context) error { return r.removeVolume(ctx, r.restoreRequest(st)) })
		if err := want(c.target, r.restorer().Restore(ctx, req), "restore %s", name); err != nil {
			return err
		}
		_, err := r.restorer().Volume(ctx, req.Ref)
		if err := want(snapshot.ErrNotFound, err, "the volume after a refused restore %s", name); err != nil {
			return err
		}
	}
	return nil
}

func volumeAbsent(ctx context.Context, r *run) error {
	_, err := r.restorer().Volume(ctx, r.ref("volume"))
	if err := want(snapshot.ErrNotFound, err, "get of an absent volume"); err != nil {
		return err
	}
	if err := r.restorer().DeleteVolume(ctx, r.ref("volume"), r.id); err != nil {
		return fmt.Errorf("delete of an absent volume: %w", err)
	}
	return nil
}

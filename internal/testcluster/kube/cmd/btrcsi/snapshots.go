package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func snapshotOf(id string, r record) *csi.Snapshot {
	return &csi.Snapshot{SnapshotId: id, SourceVolumeId: r.Source, SizeBytes: r.Size, CreationTime: timestamppb.New(r.Made), ReadyToUse: r.ready()}
}

// CreateSnapshot cuts a snapshot of a volume. Its id is its name.
func (d *driver) CreateSnapshot(ctx context.Context, q *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	id, volume := q.GetName(), q.GetSourceVolumeId()
	if !validID(id) {
		return nil, status.Errorf(codes.InvalidArgument, "name %q cannot be that of a snapshot", id)
	}
	calls, done, err := d.history.begin("snapshot " + id)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := d.snapshots.get(id)
	if err == nil {
		if r.Source != volume {
			return nil, status.Errorf(codes.AlreadyExists, "snapshot %s is of volume %s", id, r.Source)
		}
		if err := r.permit(q.GetSecrets()); err != nil {
			return nil, err
		}
		return &csi.CreateSnapshotResponse{Snapshot: snapshotOf(id, r)}, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, failed(err, "snapshot "+id)
	}
	if r, err = d.snapshot(ctx, q, calls); err != nil {
		return nil, err
	}
	return &csi.CreateSnapshotResponse{Snapshot: snapshotOf(id, r)}, nil
}

// snapshot makes one that is not there.
func (d *driver) snapshot(ctx context.Context, q *csi.CreateSnapshotRequest, calls *calls) (r record, err error) {
	id, volume := q.GetName(), q.GetSourceVolumeId()
	of, err := d.volumes.get(volume)
	if err != nil {
		return r, failed(err, "volume "+volume)
	}
	r = record{Source: volume, Size: of.Size, Token: token(q.GetSecrets())}
	if r.Faults, err = parseFaults(q.GetParameters()); err != nil {
		return r, err
	}
	if err := r.permit(q.GetSecrets()); err != nil {
		return r, err
	}
	if err := calls.create(ctx, r.Faults); err != nil {
		return r, err
	}
	if r, err = d.snapshots.add(id, r, d.volumes.path(volume), readOnly); err != nil {
		return r, failed(err, "snapshot "+id)
	}
	return r, nil
}

// DeleteSnapshot removes a snapshot; that it is gone is no error.
func (d *driver) DeleteSnapshot(_ context.Context, q *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if err := d.delete(d.snapshots, "snapshot", q.GetSnapshotId(), q.GetSecrets()); err != nil {
		return nil, err
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

// ListSnapshots lists one snapshot, those of a volume, or all. It refuses to tell of one whose token is missing; among others that one is left out.
func (d *driver) ListSnapshots(_ context.Context, q *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	if q.GetStartingToken() != "" {
		return nil, status.Error(codes.Aborted, "the list has no further parts")
	}
	ids, err := d.snapshots.ids()
	if err != nil {
		return nil, failed(err, "snapshots")
	}
	list := &csi.ListSnapshotsResponse{}
	for _, id := range ids {
		if q.GetSnapshotId() != "" && q.GetSnapshotId() != id {
			continue
		}
		r, err := d.snapshots.get(id)
		if errors.Is(err, fs.ErrNotExist) || q.GetSourceVolumeId() != "" && q.GetSourceVolumeId() != r.Source {
			continue
		}
		if err != nil {
			return nil, failed(err, "snapshot "+id)
		}
		if err := r.permit(q.GetSecrets()); err != nil {
			if q.GetSnapshotId() == "" {
				continue
			}
			return nil, err
		}
		list.Entries = append(list.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: snapshotOf(id, r)})
	}
	return list, nil
}
